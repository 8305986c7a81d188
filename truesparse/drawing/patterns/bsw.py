"""Bipartite small world (BSW): a ring lattice, some of whose connections are rewired.

Watts and Strogatz (Nature 1998) on two layers, an initial topology of Zhang et al.,
"Brain network science modelling of sparse neural networks" (CHTs, NeurIPS 2025; code:
biomedical-cybernetics/Cannistraci-Hebb-training). Neuron i of the larger side (the
outputs, if both are equal) is connected to K consecutive neurons of the smaller,
centred at i * n_small / n_large; then every connection is removed with probability
beta, and as many are placed uniformly on cells that are then empty.

Departures: K is nnz / n_large rounded down, or up for as many uniformly drawn neurons
as make the total exact; the position of the first of the K is rounded down, also below
0.
"""

import numpy as np

from truesparse.common.checks import check_share
from truesparse.drawing.cells import check_counts, from_keys
from truesparse.drawing.patterns.placing import (
    even_counts,
    fill_up,
    oriented_keys,
    positions_within,
)
from truesparse.sparse.connections import Connections


def bsw(
    n_in: int,
    n_out: int,
    nnz: int,
    generator: np.random.Generator,
    dtype: type = np.float32,
    *,
    beta: float = 0.25,
) -> Connections:
    """Draw a bipartite small world; `beta` is the share of connections rewired.

    Examples
    --------
    >>> import numpy as np
    >>> connections = bsw(4, 4, 8, np.random.default_rng(0), beta=0.0)
    >>> connections.to_scipy().indices.reshape(4, 2).tolist()
    [[0, 1], [1, 2], [2, 3], [0, 3]]
    """
    n_in, n_out, nnz = check_counts(n_in, n_out, nnz)
    check_share(beta=beta)
    n_small, n_large = sorted((n_in, n_out))
    counts = even_counts(nnz, n_large, generator)
    # i * n_small / n_large - K / 2, rounded down.
    firsts = np.arange(n_large) * (2 * n_small) - counts * n_large
    firsts //= 2 * n_large
    few = np.repeat(firsts, counts)
    few += positions_within(counts)
    few %= n_small
    many = np.repeat(np.arange(n_large), counts)
    keys = oriented_keys(many, few, n_out, many_are_outputs=n_out >= n_in)
    del many, few
    if beta > 0.0:
        keys = keys[generator.random(nnz) >= beta]
        keys = fill_up(keys, n_in * n_out, nnz, generator)
    return from_keys(n_in, n_out, keys, dtype)
