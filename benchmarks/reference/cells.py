"""Cells of a layer by their keys ``row * n_out + column``: smallest, largest, empty.

No array has the size n_in n_out: all gradients of a layer are looked at part by part,
and only the largest are held. Ties go as the reference says.
"""

from collections.abc import Callable

import numpy as np
import scipy.sparse

# Cells of a part.
PART = 1 << 16
Gradients = Callable[[np.ndarray], np.ndarray]


def smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Mark the `count` smallest scores; of equal ones the first."""
    marks = np.zeros(scores.size, bool)
    marks[np.argsort(scores, kind="stable")[: max(count, 0)]] = True
    return marks


def nearest_to_zero(weights: np.ndarray, fraction: float) -> np.ndarray:
    """Mark a fraction of each sign, nearest to 0; weights that are 0 go first."""
    is_zero = weights == 0
    missing = fraction * weights.size - is_zero.sum()
    if fraction == 0 or (is_zero.any() and missing <= 0):
        goes = is_zero.any() and fraction > 0 and not is_zero.all()
        return is_zero if goes else np.zeros_like(is_zero)
    fraction = missing / max((~is_zero).sum(), 1)
    n, size = weights.size, np.abs(weights).min()
    first, last = (weights < -size).sum(), n - (weights > size).sum()
    low = int((1 - fraction) * first)
    high = int(min(n - 1, last + fraction * (n - last)))
    ascending = np.sort(weights)
    marks = (weights >= ascending[low]) & (weights <= ascending[high])
    return np.zeros_like(marks) if marks.all() else marks


def empty_cells(connected: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the cells at these places in the list of cells that are not connected.

    Parameters
    ----------
    connected, ranks : int64 arrays
        Ascending.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmarks.reference.rules import empty_cells
    >>> empty_cells(np.array([1, 2, 5]), np.array([0, 1, 3])).tolist()
    [0, 3, 6]
    """
    # Before connected cell i there are connected[i] - i empty ones.
    before = connected - np.arange(connected.size)
    return ranks + np.searchsorted(before, ranks, side="right")


def largest_absent(
    connected: np.ndarray, n_cells: int, gradients: Gradients, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the absent cells of largest absolute gradient, and its size.

    Cells ascend; those whose gradient is 0 are left out, and of equal ones the last are
    taken.
    """
    keys, sizes = np.empty(0, np.int64), np.empty(0)
    n_absent = n_cells - connected.size
    for start in range(0, n_absent, PART):
        places = np.arange(start, min(start + PART, n_absent))
        cells = empty_cells(connected, places)
        keys = np.append(keys, cells)
        sizes = np.append(sizes, np.abs(gradients(cells)))
        best = ~smallest(sizes, sizes.size - count) & (sizes > 0)
        keys, sizes = keys[best], sizes[best]
    return keys, sizes


def share_out(total: int, weights: list[float], rooms: list[int]) -> list[int]:
    """Share connections out in proportion to weights, by largest remainders.

    What a layer has no room for goes to the others; where all with a weight are full,
    to the rest in proportion to their room.
    """
    counts, room = np.zeros(len(weights), np.int64), np.array(rooms)
    left = min(total, int(room.sum()))
    while left > 0:
        free = room - counts
        share = np.where(free > 0, weights, 0.0)
        share = share if share.sum() > 0 else free.astype(float)
        exact = left * (share / share.sum())
        part = np.minimum(np.floor(exact).astype(np.int64), free)
        if not part.any():
            order = np.argsort(-exact, kind="stable")
            part[order[share[order] > 0][:left]] = 1
        counts += part
        left -= int(part.sum())
    return counts.tolist()


def highest_scores(
    keys: np.ndarray, shape: tuple[int, int], count: int, ties: np.ndarray | None
) -> np.ndarray:
    """Return the absent cells of highest CH3-L3p score; `ties` chooses of equal ones.

    The score of (u, v) is the sum over all paths u - z1 - z2 - v of
    1 / sqrt(e_z1 e_z2), where e_z is one more than the number of neighbours of z that
    are not u, v or on such a path. Of the neighbours of z1, those on a path are what
    it shares with v; of those of z2, what it shares with u.
    """
    if count <= 0:
        return keys[:0]
    values = np.ones(keys.size), (keys // shape[1], keys % shape[1])
    rows = scipy.sparse.csr_array(values, shape=shape)
    columns = rows.T.tocsr()
    out_degrees, in_degrees = np.diff(rows.indptr), np.diff(columns.indptr)
    cells, scores = [], []
    for u in range(shape[0]):
        # All pairs (z1, z2), and from these all paths.
        z1 = rows.indices[rows.indptr[u] : rows.indptr[u + 1]]
        z2 = _neighbours(columns, z1)
        z1 = np.repeat(z1, in_degrees[z1])
        shared = np.bincount(z2, minlength=shape[0])
        e2 = (out_degrees - shared)[z2]
        v = _neighbours(rows, z2)
        z1, e2 = (np.repeat(each, out_degrees[z2]) for each in (z1, e2))
        is_absent = ~np.isin(v, rows.indices[rows.indptr[u] : rows.indptr[u + 1]])
        z1, e2, v = z1[is_absent], e2[is_absent], v[is_absent]
        _, places, paths = np.unique(
            z1.astype(np.int64) * shape[1] + v, return_inverse=True, return_counts=True
        )
        e1 = in_degrees[z1] - paths[places]
        total = np.bincount(v, 1.0 / np.sqrt(e1 * e2), minlength=shape[1])
        reached = np.flatnonzero(total)
        cells.append(u * shape[1] + reached)
        scores.append(total[reached])
    keys, total = np.concatenate(cells), np.concatenate(scores)
    if count >= keys.size:
        return keys
    lowest = np.sort(total)[-count]
    is_tied = np.abs(total - lowest) <= 1e-9 * lowest
    best = keys[(total > lowest) & ~is_tied]
    chosen = np.arange(count - best.size) if ties is None else ties
    return np.union1d(best, keys[is_tied][chosen])


def _neighbours(matrix: scipy.sparse.csr_array, numbers: np.ndarray) -> np.ndarray:
    """Return the indices of these rows, one row after the other."""
    return matrix[numbers].indices if numbers.size else numbers
