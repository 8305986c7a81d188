"""Initial topologies of a layer by name: ``PATTERNS[name](n_in, n_out, nnz, ...)``.

Each returns connections of weight 0, exactly `nnz` of them, for every shape and every
nnz from 1 to all cells, in O(nnz + n_in + n_out) memory. All take ``(n_in, n_out, nnz,
generator, dtype)``, and their options by keyword.
"""

from collections.abc import Callable

from truesparse.drawing.cells import erdos_renyi
from truesparse.drawing.patterns.brf import brf
from truesparse.drawing.patterns.bsf import bsf
from truesparse.drawing.patterns.bsw import bsw
from truesparse.drawing.patterns.constant_fan_in import constant_fan_in
from truesparse.drawing.patterns.csti import csti
from truesparse.sparse.connections import Connections

PATTERNS: dict[str, Callable[..., Connections]] = {
    function.__name__: function
    for function in (erdos_renyi, constant_fan_in, bsf, bsw, brf, csti)
}

__all__ = ["PATTERNS", "brf", "bsf", "bsw", "constant_fan_in", "csti", "erdos_renyi"]
