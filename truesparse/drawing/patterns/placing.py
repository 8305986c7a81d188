"""Tools of the patterns: drawing lists of cells, as keys row * n_out + column."""

import numpy as np

from truesparse.drawing.cells import redraw_repeated, sample_ranks

MOST_DRAWS = 1 << 20  # numbers drawn at a time, 8 MB


def fill_up(
    keys: np.ndarray, cells: int, nnz: int, generator: np.random.Generator
) -> np.ndarray:
    """Add uniform cells to ascending distinct cells until there are `nnz`.

    Examples
    --------
    >>> import numpy as np
    >>> fill_up(np.array([1, 2, 5]), 6, 6, np.random.default_rng(0)).tolist()
    [0, 1, 2, 3, 4, 5]
    """
    if keys.size == nnz:
        return keys
    ranks = sample_ranks(cells - keys.size, nnz - keys.size, generator)
    # Before keys[p] there are keys[p] - p empty cells.
    empty_before = keys - np.arange(keys.size)
    ranks += np.searchsorted(empty_before, ranks, side="right")
    return np.sort(np.concatenate([keys, ranks]), kind="stable")


def even_counts(
    total: int, n_groups: int, generator: np.random.Generator
) -> np.ndarray:
    """Split `total` evenly; the remainder goes to random groups, one each.

    Returns
    -------
    (n_groups,) int64 array
    """
    counts = np.full(n_groups, total // n_groups, np.int64)
    counts[sample_ranks(n_groups, total % n_groups, generator)] += 1
    return counts


def positions_within(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... within each group, one group after the other.

    Examples
    --------
    >>> import numpy as np
    >>> positions_within(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(starts, counts)


def oriented_keys(
    many: np.ndarray, few: np.ndarray, n_out: int, many_are_outputs: bool
) -> np.ndarray:
    """Return the ascending keys of connections between two sides, in either order."""
    rows, columns = (few, many) if many_are_outputs else (many, few)
    keys = rows * np.int64(n_out)
    keys += columns
    keys.sort()
    return keys


def uniform_items(
    counts: np.ndarray, n_items: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw distinct numbers below `n_items` for each group, uniformly.

    Parameters
    ----------
    counts : (n_groups,) int64 array
        Numbers to draw for each group, from 0 to `n_items`.
    n_items : int
    generator : numpy Generator

    Returns
    -------
    (sum of counts,) int64 array
        One group after the other, ascending within a group.
    """
    # Above one half, the numbers to leave out are drawn: fewer draws repeat.
    cells = counts.size * n_items
    is_dense = 2 * int(counts.sum()) > cells
    if is_dense:
        counts = n_items - counts
    keys = np.repeat(np.arange(counts.size) * np.int64(n_items), counts)
    keys += generator.integers(0, n_items, keys.size)
    redraw_repeated(keys, n_items, generator)
    if is_dense:
        taken = np.ones(cells, bool)
        taken[keys] = False
        keys = np.flatnonzero(taken)
    keys %= n_items
    return keys
