"""Inputs of each output neuron: drawn, ranked; and cells that stand for several."""

import numpy as np

from truesparse.kernels.ranks import rank_groups
from truesparse.sparse.balance import balance
from truesparse.topology.parts.guided import largest


def draw_inputs(
    counts: np.ndarray, n_in: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw inputs of output neurons uniformly, and return them as distinct keys.

    Parameters
    ----------
    counts : (n_out,) int array
        Number of draws for each neuron; repeated inputs are left out.
    n_in : int

    Returns
    -------
    (k,) int64 array
        Keys ``row * n_out + column``, ascending by column and then by row.
    """
    # In place where possible: there may be as many candidates as connections.
    cells = np.repeat(np.arange(counts.size), counts)
    cells *= n_in
    cells += generator.integers(0, n_in, cells.size)
    cells.sort()
    is_first = np.ones(cells.size, bool)
    np.not_equal(cells[1:], cells[:-1], out=is_first[1:])
    cells = cells[is_first]
    keys = cells % n_in
    keys *= counts.size
    cells //= n_in
    keys += cells
    return keys


def ranks_by_group(groups: np.ndarray, sizes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return each entry's rank by size within its group, the largest being 0.

    Parameters
    ----------
    groups : (k,) int array
        Ascending.
    sizes : (k,) float array
        Among equal sizes the first has the lower rank.
    n_groups : int

    Returns
    -------
    (k,) int32 array

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.topology.parts.neurons import ranks_by_group
    >>> ranks_by_group(np.array([1, 3, 3, 3]), np.array([0.1, 0.2, 0.5, 0.3]), 4)
    array([0, 2, 0, 1], dtype=int32)
    """
    bounds = np.zeros(n_groups + 1, np.int64)
    np.cumsum(np.bincount(groups, minlength=n_groups), out=bounds[1:])
    ranks = np.empty(groups.size, np.int32)
    rank_groups(balance(bounds), bounds, sizes, ranks)
    return ranks


def largest_weighted(
    sizes: np.ndarray, stand_for: np.ndarray, count: int
) -> np.ndarray:
    """Return the positions of the largest sizes that stand for about `count` cells.

    Parameters
    ----------
    sizes : (k,) float array
        Those of 0 are left out.
    stand_for : (k,) float array
        Number of cells that each one stands for, at least 1.
    count : int

    Examples
    --------
    >>> import numpy as np
    >>> sizes = np.array([5.0, 3.0, 4.0, 1.0])
    >>> stand_for = np.array([1.0, 9.0, 1.0, 9.0])
    >>> largest_weighted(sizes, stand_for, 3).tolist()
    [0, 2]
    >>> largest_weighted(sizes, stand_for, 7).tolist()
    [0, 2, 1]
    """
    best = largest(sizes, count)
    best = best[np.argsort(-sizes[best], kind="stable")]
    # The last one counts if at least half of its cells do.
    return best[np.cumsum(stand_for[best]) <= count + stand_for[best] / 2.0]
