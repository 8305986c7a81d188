"""Split of rows into training and test part, where the source has no test part."""

import math

import numpy as np

from truesparse.datasets.table_options import say
from truesparse.errors import DataError


def split_rows(
    n_rows: int, labels: np.ndarray | None, test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows of the training and of the test part.

    Both parts have the same share of every class, to one row; the training part has at
    least one row of each.

    Parameters
    ----------
    n_rows : int
        Number of rows to split.
    labels : ndarray, shape (n_rows,), or None
        Class labels; None for other tasks.
    test_fraction : float
        Share of the test part, between 0 and 1; its rows are rounded up.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    train, test : ndarray of int64
        Row numbers in rising order, at least one each, none in both.

    Raises
    ------
    DataError
        If there are too few rows for two parts.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.split import split_rows
    >>> train, test = split_rows(10, np.repeat([0, 1], 5), 0.4, seed=0)
    >>> len(train), sorted(test // 5)
    (6, [np.int64(0), np.int64(0), np.int64(1), np.int64(1)])
    """
    codes = np.zeros(n_rows, np.int64)
    if labels is not None:
        codes = np.unique(labels, return_inverse=True)[1]
    random = np.random.default_rng(seed)
    order = random.permutation(n_rows)
    # The first row of each class, in this order, is for training.
    _, first = np.unique(codes[order], return_index=True)
    rest = np.delete(order, first)
    if n_rows < 2:
        raise DataError(
            f"{n_rows} rows cannot be split into training and test part; give at least "
            "2"
        )
    if len(rest) == 0:
        raise DataError(
            f"each of the {n_rows} rows has a class of its own, so none can be held "
            "out; give more rows of each class, or, if the target is a quantity, "
            f"{say('task', 'regression')}"
        )
    n_test = min(math.ceil(test_fraction * n_rows), len(rest))
    # Even steps through the rows in order of class take the same share of each.
    rest = rest[np.argsort(codes[rest], kind="stable")]
    start = random.integers(len(rest))
    taken = (np.arange(n_test) * len(rest) + start) // n_test
    is_test = np.zeros(n_rows, bool)
    is_test[rest[taken]] = True
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)
