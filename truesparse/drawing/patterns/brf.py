"""Bipartite receptive fields (BRF): connections to near neurons, more or less strictly.

Zhang et al., "Brain network science modelling of sparse neural networks" (CHTs, NeurIPS
2025; code: biomedical-cybernetics/Cannistraci-Hebb-Training-Soft-Rule-). Neuron i of
the smaller side (the inputs, if both are equal) draws its targets on the larger one by
one, without replacement, with probability proportional to (1 + d)^-alpha; d is the
distance on the ring from floor(i * n_large / n_small), alpha is (1 - r) / r. So r = 1
is uniform, and r = 0 takes the nearest.

Departures: the total is exact for every shape. The centres are spread over the whole
ring; the code multiplies i by the rounded ratio of the sides. With "uniform" degrees,
connections beyond the targets that a neuron has are spread again over the others, and
fewer connections than neurons go to as many neurons, one each. Of two targets equally
near, r = 0 takes the one above first.
"""

import numpy as np

from truesparse.common.checks import check_share, choose
from truesparse.drawing.cells import check_counts, from_keys, sample_ranks
from truesparse.drawing.patterns.placing import (
    MOST_DRAWS,
    even_counts,
    oriented_keys,
    positions_within,
    uniform_items,
)
from truesparse.kernels.patterns import draw_by_tail
from truesparse.sparse.connections import Connections

# For r below this, only the nearest are drawn: at the largest possible distance, 2^30,
# one step further out weighs e^-931 times as much. Weights of equal distances would get
# lost in the sums of logarithms.
_NEAREST = 1e-12


def brf(
    n_in: int,
    n_out: int,
    nnz: int,
    generator: np.random.Generator,
    dtype: type = np.float32,
    *,
    r: float = 0.25,
    degree: str = "fixed",
) -> Connections:
    """Draw receptive fields.

    Parameters
    ----------
    n_in, n_out, nnz : int
    generator : numpy Generator
    dtype : type
    r : float
        Randomness, from 0 (the nearest neurons) to 1 (uniform).
    degree : {"fixed", "uniform"}
        Whether every neuron of the smaller side has the same number of connections,
        give or take one, or one plus a random number.

    Examples
    --------
    >>> import numpy as np
    >>> connections = brf(2, 6, 6, np.random.default_rng(0), r=0.0)
    >>> connections.indices.reshape(2, 3).tolist()
    [[0, 1, 5], [2, 3, 4]]
    """
    n_in, n_out, nnz = check_counts(n_in, n_out, nnz)
    check_share(r=r)
    choose(degree, ("fixed", "uniform"), "degree of receptive fields")
    n_small, n_large = sorted((n_in, n_out))
    if degree == "fixed":
        counts = even_counts(nnz, n_small, generator)
    else:
        counts = _random_counts(nnz, n_small, n_large, generator)
    if r == 1.0:
        places = uniform_items(counts, n_large, generator)
    elif r > _NEAREST:
        places = _draw_places(counts, n_large, (1.0 - r) / r, generator)
    else:
        places = positions_within(counts)
    # Places are in the order of distance: 0, 1 above, 1 below, 2 above, ...
    is_above = places % 2 == 1
    places += 1
    places //= 2
    np.negative(places, out=places, where=~is_above)
    few = np.repeat(np.arange(n_small), counts)
    places += few * n_large // n_small
    places %= n_large
    keys = oriented_keys(places, few, n_out, many_are_outputs=n_out >= n_in)
    return from_keys(n_in, n_out, keys, dtype)


def _random_counts(
    total: int, n_groups: int, most: int, generator: np.random.Generator
) -> np.ndarray:
    """Return 1 plus a random number for each group: at most `most`, in all `total`."""
    counts = np.zeros(n_groups, np.int64)
    if total < n_groups:
        counts[sample_ranks(n_groups, total, generator)] = 1
        return counts
    counts += 1
    rest = total - n_groups
    while rest:
        free = np.flatnonzero(counts < most)
        added = generator.integers(0, free.size, rest)
        counts[free] += np.bincount(added, minlength=free.size)
        rest = int(np.maximum(counts - most, 0).sum())
        np.minimum(counts, most, out=counts)
    return counts


def _draw_places(
    counts: np.ndarray, n_places: int, alpha: float, generator: np.random.Generator
) -> np.ndarray:
    """Draw distinct places for each group, place q of weight (1 + (q + 1) // 2)^-alpha.

    Returns
    -------
    (sum of counts,) int64 array
        Groups one after the other, places in the order drawn.
    """
    log_weights = -alpha * np.log1p(np.arange(1, n_places + 1) // 2)
    # Sums of all weights from a place on, in logarithms: steep ones would underflow.
    log_tails = np.logaddexp.accumulate(log_weights[::-1])[::-1].copy()
    indptr = np.concatenate([[0], np.cumsum(counts)])
    nnz = int(indptr[-1])
    places = np.empty(nnz, np.int64)
    taken = np.full(n_places, -1, np.int64)
    state = np.zeros(3, np.int64)
    while state[1] < nnz:
        n_draws = min(nnz - int(state[1]), MOST_DRAWS)
        draws = generator.standard_exponential(n_draws)
        draw_by_tail(draws, state, indptr, log_tails, taken, places)
    return places
