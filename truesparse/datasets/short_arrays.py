"""An array that is cut short from its end as its rows are read.

Memory of the rows cut off goes back to the system, and what is made of them can take
it: source and result never stand in memory whole at the same time.
"""

import contextlib

import numpy as np


class Shrinking:
    """Rows of an array that nobody else needs.

    Parameters
    ----------
    array : ndarray, shape (n_rows, n_columns)
        An array, or the first rows of one. Where something else refers to it, it keeps
        its length.

    Attributes
    ----------
    shape : tuple of int
        Shape of the rows before any was cut off.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.short_arrays import Shrinking
    >>> rows = Shrinking(np.arange(6).reshape(3, 2).copy())
    >>> rows.cut(1)
    >>> rows[:1].tolist(), rows.shape
    ([[0, 1]], (3, 2))
    """

    def __init__(self, array: np.ndarray):
        base = array.base
        self._array = array
        self.shape = array.shape
        if (
            isinstance(base, np.ndarray)
            and base.ndim == 2
            and base.dtype == array.dtype
            and base.strides == array.strides
            and base.shape[1] == array.shape[1]
            and base.ctypes.data == array.ctypes.data
        ):
            self._array = base

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return some of the rows that are left."""
        return self._array[rows]

    def cut(self, n_rows: int) -> None:
        """Give up all but the first rows."""
        with contextlib.suppress(ValueError):  # something else refers to the array
            self._array.resize((n_rows, self._array.shape[1]))
