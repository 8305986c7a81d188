"""Constant fan-in: every output neuron has the same number of uniformly drawn inputs.

The initial topology of SRigL: Lasby et al., "Dynamic Sparse Training with Structured
Sparsity", ICLR 2024. Departure: if the connections do not divide evenly, the remainder
goes to uniformly drawn neurons, one each, and the total is exact; the paper rounds
down.
"""

import numpy as np

from truesparse.drawing.cells import check_counts, from_keys
from truesparse.drawing.patterns.placing import (
    even_counts,
    oriented_keys,
    uniform_items,
)
from truesparse.sparse.connections import Connections


def constant_fan_in(
    n_in: int,
    n_out: int,
    nnz: int,
    generator: np.random.Generator,
    dtype: type = np.float32,
) -> Connections:
    """Draw a layer whose neurons have ``nnz // n_out`` inputs or one more.

    Examples
    --------
    >>> import numpy as np
    >>> connections = constant_fan_in(5, 3, 6, np.random.default_rng(0))
    >>> np.bincount(connections.indices).tolist()
    [2, 2, 2]
    """
    n_in, n_out, nnz = check_counts(n_in, n_out, nnz)
    counts = even_counts(nnz, n_out, generator)
    inputs = uniform_items(counts, n_in, generator)
    neurons = np.repeat(np.arange(n_out), counts)
    keys = oriented_keys(neurons, inputs, n_out, many_are_outputs=True)
    return from_keys(n_in, n_out, keys, dtype)
