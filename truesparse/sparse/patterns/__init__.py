"""Initial topologies of a layer by name: ``PATTERNS[name](n_in, n_out, nnz, ...)``.

Each returns connections of weight 0, exactly `nnz` of them, for every shape and every
nnz from 1 to all cells, in O(nnz + n_in + n_out) memory. All take ``(n_in, n_out, nnz,
generator, dtype)``, and their options by keyword.
"""

from collections.abc import Callable

from truesparse.sparse.connections import Connections
from truesparse.sparse.init import erdos_renyi
from truesparse.sparse.patterns.brf import brf
from truesparse.sparse.patterns.bsf import bsf
from truesparse.sparse.patterns.bsw import bsw
from truesparse.sparse.patterns.constant_fan_in import constant_fan_in
from truesparse.sparse.patterns.csti import csti

PATTERNS: dict[str, Callable[..., Connections]] = {
    function.__name__: function
    for function in (erdos_renyi, constant_fan_in, bsf, bsw, brf, csti)
}

__all__ = ["PATTERNS", "brf", "bsf", "bsw", "constant_fan_in", "csti", "erdos_renyi"]
