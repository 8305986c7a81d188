"""Training and test rows, where the source has no test part of its own."""

import math

import numpy as np

from ..errors import DataError


def split_rows(
    n_rows: int, labels: np.ndarray | None, test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the rows of the training and of the test part.

    Classes have the same share of both parts. Where they are too small for that, one
    row of each class is set aside for training and the rest is split at random, so
    that no class is unknown in training.

    Parameters
    ----------
    n_rows : int
        Rows to split.
    labels : ndarray, shape (n_rows,), or None
        Class labels; None for other tasks.
    test_fraction : float
        Between 0 and 1; the test part has this share of rows, rounded up.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    train, test : ndarray of int64
        Row numbers, without common ones, at least one each.

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
    from sklearn.model_selection import train_test_split

    rows = np.arange(n_rows)
    n_test = min(math.ceil(test_fraction * n_rows), n_rows - 1)
    if n_test < 1:
        raise DataError(f"{n_rows} rows cannot be split into training and test part")
    if labels is None:
        return tuple(train_test_split(rows, test_size=n_test, random_state=seed))
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() >= 2 and len(counts) <= min(n_test, n_rows - n_test):
        train, test = train_test_split(
            rows, test_size=n_test, random_state=seed, stratify=codes
        )
        return train, test
    shuffled = np.random.default_rng(seed).permutation(n_rows)
    _, first = np.unique(codes[shuffled], return_index=True)
    kept, rest = shuffled[first], np.delete(shuffled, first)
    if len(rest) == 0:
        raise DataError(
            f"each of the {n_rows} rows has a class of its own, so none can be held "
            "out; if the target is a quantity, use task 'regression'"
        )
    n_test = min(n_test, len(rest))
    return np.concatenate([kept, rest[n_test:]]), rest[:n_test]
