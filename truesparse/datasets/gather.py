"""Blocks of rows gathered into columns, the features side by side in one array.

A table takes its memory once: the array grows in place (its pages move, they are not
copied), and whole numbers are held in the narrowest type for all of them.
"""

from collections.abc import Sequence

import numpy as np

# A block of rows has so many cells, 8 MB of numbers, of which pandas holds four copies,
# and at least so many rows: it takes 13 us a column to make a frame of a block.
_BLOCK_CELLS, _LEAST_ROWS = 1 << 20, 500


def rows_of_block(n_columns: int) -> int:
    """Return how many rows of a table to read at a time."""
    return max(_BLOCK_CELLS // n_columns, _LEAST_ROWS)


class MixedKindsError(Exception):
    """A column holds numbers in one block and something else in another."""


class Gatherer:
    """Columns of blocks that are added one after another.

    Parameters
    ----------
    together : sequence of int
        Columns to lay side by side as one array, in this order, as far as they are
        numbers or bools, which become 0 and 1. All others are arrays of their own, of
        the type that they have.
    """

    def __init__(self, together: Sequence[int]):
        self._wanted = together
        self._together: list[int] | None = None
        self._array = np.empty((0, 0), np.int8)
        self._others: dict[int, list[np.ndarray]] = {}
        self._kinds: list[str] = []

    def add(self, columns: Sequence[np.ndarray]) -> None:
        """Add rows.

        Parameters
        ----------
        columns : sequence of ndarray, shape (n_rows,)
            Numbers, bools, or object with text and None.

        Raises
        ------
        MixedKindsError
            If a column is of another kind than in the blocks before.
        """
        # Not uint64, which would become float64 beside int64 and lose digits.
        kinds = ["n" if c.dtype.kind in "if" else c.dtype.kind for c in columns]
        if self._together is None:
            self._kinds = kinds
            self._together = [i for i in self._wanted if kinds[i] in "nb"]
            self._array = np.empty((0, len(self._together)), np.int8)
            self._others = {i: [] for i in range(len(columns))}
            for i in self._together:
                del self._others[i]
        if kinds != self._kinds:
            raise MixedKindsError
        for i, pieces in self._others.items():
            pieces.append(columns[i].copy())  # not a view that keeps the block
        if self._together:
            self._grow([columns[i] for i in self._together])

    def _grow(self, columns: list[np.ndarray]) -> None:
        n_rows, n_columns = self._array.shape
        # Bools not as uint8, which stands for pixels.
        kinds = {np.dtype("i1") if c.dtype == bool else c.dtype for c in columns}
        stored = np.result_type(*kinds)
        block = np.empty((len(columns[0]), n_columns), stored)
        for place, column in enumerate(columns):
            block[:, place] = column
        wide_enough = np.result_type(self._array.dtype, narrowest(block))
        if wide_enough != self._array.dtype:
            self._array = self._array.astype(wide_enough)
        # No view of the array exists yet.
        self._array.resize((n_rows + len(block), n_columns), refcheck=False)
        self._array[n_rows:] = block

    def finish(self) -> list[np.ndarray]:
        """Return the columns; those together are views of one array."""
        columns = {i: np.concatenate(pieces) for i, pieces in self._others.items()}
        for place, i in enumerate(self._together or ()):
            columns[i] = self._array[:, place]
        return [columns[i] for i in range(len(columns))]


def narrowest(numbers: np.ndarray) -> np.dtype:
    """Return the narrowest of int8 to int64 that holds whole numbers, or their type.

    uint8 stands for pixels and is never returned.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.gather import narrowest
    >>> narrowest(np.array([0, 255])), narrowest(np.array([0.0, 255.0]))
    (dtype('int16'), dtype('float64'))
    """
    if numbers.dtype.kind != "i" or numbers.size == 0:
        return numbers.dtype
    low, high = numbers.min(), numbers.max()
    ranges = [np.iinfo(dtype) for dtype in (np.int8, np.int16, np.int32, np.int64)]
    return next(each.dtype for each in ranges if each.min <= low and high <= each.max)


def side_by_side(columns: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the array whose columns these are, all of them and in order, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.gather import side_by_side
    >>> X = np.ones((3, 2))
    >>> side_by_side([X[:, 0], X[:, 1]]).shape
    (3, 2)
    >>> side_by_side([X[:, 1], X[:, 0]])
    """
    base, n_rows = columns[0].base, len(columns[0])
    if (
        not isinstance(base, np.ndarray)
        or base.ndim != 2
        or not base.flags.c_contiguous
        or base.shape[1] != len(columns)
        or base.shape[0] < n_rows
    ):
        return None
    array = base[:n_rows]
    for place, column in enumerate(columns):
        expected = array[:, place].__array_interface__
        if column.base is not base or column.__array_interface__ != expected:
            return None
    return array
