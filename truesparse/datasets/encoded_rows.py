"""Rows of a table as features, made block by block from its encoded columns.

The features take 8 bytes each. They are never all in memory: numbers are kept as they
were read, and categories as their numbers.
"""

from typing import NamedTuple

import numpy as np

from truesparse.datasets.gather import side_by_side
from truesparse.datasets.shrinking import Shrinking


class Codes(NamedTuple):
    """The categories of a column, from feature number `start` on.

    `numbers`, (n_rows,) int32, are those of the values, or -1 where the training part
    lacks the value; `is_onehot` says whether each has a feature of its own.
    """

    start: int
    is_onehot: bool
    numbers: np.ndarray


class EncodedRows:
    """Features of a table, (n_rows, n_features) float64, of which blocks are made.

    Parameters
    ----------
    columns : list of ndarray, shape (n_rows,)
        Numbers and bools; NaN where a value is missing.
    places : list of int
        The feature that each of them becomes.
    fills : list of float
        What stands for a missing value of each; NaN for nothing.
    codes : list of Codes
    shape : tuple of int
    """

    dtype = np.dtype(np.float64)

    def __init__(
        self,
        columns: list[np.ndarray],
        places: list[int],
        fills: list[float],
        codes: list[Codes],
        shape: tuple[int, int],
    ):
        numbers = stack(columns) if columns else np.empty((shape[0], 0), np.int8)
        self._numbers = Shrinking(numbers)
        self._places = np.array(places, np.intp)
        self._fills = np.array(fills)
        self._codes = codes
        self.shape = shape

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the features of some rows."""
        numbers = self._numbers[rows]
        if numbers.dtype.kind == "f" and not np.isnan(self._fills).all():
            numbers = np.where(np.isnan(numbers), self._fills, numbers)
        block = np.zeros((len(numbers), self.shape[1]))
        block[:, self._places] = numbers
        for start, is_onehot, codes in self._codes:
            chosen = codes[rows]
            if is_onehot:
                known = np.flatnonzero(chosen >= 0)
                block[known, start + chosen[known]] = 1.0
            else:
                block[:, start] = chosen
        return block

    def cut(self, n_rows: int) -> None:
        """Give up all but the first rows."""
        self._numbers.cut(n_rows)


def stack(columns: list[np.ndarray]) -> np.ndarray:
    """Return numbers and bools as one array, in a type that holds them all.

    Columns that are those of an array give that array.
    """
    if (array := side_by_side(columns)) is not None:
        return array
    # Bools not as uint8, which stands for pixels.
    kinds = [np.dtype("i1") if c.dtype == bool else c.dtype for c in columns]
    X = np.empty((len(columns[0]), len(columns)), np.result_type(*kinds))
    for place, column in enumerate(columns):
        X[:, place] = column
    return X
