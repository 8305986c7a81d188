"""A change of a layer's pattern, and the numbers that go with its connections.

The new pattern is made first. Then values and moments are carried over one array after
another, each freed as soon as its successor exists: besides the new indices, a change
takes the memory of one array, not that of a second layer.
"""

import numpy as np

from truesparse.errors import UsageError
from truesparse.kernels.arrays import Csr, Growth
from truesparse.kernels.rewire import count_kept, merge_indices, merge_values


class Rewiring:
    """A pattern without some connections and with others.

    Parameters
    ----------
    tasks : (n_tasks + 1,) int64 array
        Rows of each task.
    csr : Csr
        The old connections.
    dropped : (nnz,) bool array
    keys : (k,) int64 array
        New cells ``row * n_out + column``, ascending.
    new_values : (k,) array
    n_out : int

    Attributes
    ----------
    indptr : (n_in + 1,) int64 array
    indices : (new nnz,) int32 array

    Raises
    ------
    UsageError
        If a new cell is connected and not dropped.
    """

    def __init__(
        self,
        tasks: np.ndarray,
        csr: Csr,
        dropped: np.ndarray,
        keys: np.ndarray,
        new_values: np.ndarray,
        n_out: int,
    ):
        self._tasks, self._old_indptr, self._dropped = tasks, csr.indptr, dropped
        self._new, self._n_out = Growth(keys, new_values), n_out
        self.indptr = np.empty_like(csr.indptr)
        count_kept(tasks, csr.indptr, dropped, self.indptr)
        np.cumsum(self.indptr, out=self.indptr)
        bounds = np.arange(self.indptr.size, dtype=np.int64)
        bounds *= n_out
        self.indptr += np.searchsorted(keys, bounds)
        del bounds
        self.indices = np.empty(int(self.indptr[-1]), np.int32)
        merge_indices(tasks, csr, dropped, keys, n_out, self.indptr, self.indices)
        if self.indices.min(initial=0) < 0:
            raise UsageError(
                "keys hold a cell that is connected already: drop its connection in "
                "the same call, or leave it out"
            )
        self._carried: list[np.ndarray] = []

    def carry_over(self, arrays: list) -> list[np.ndarray]:
        """Return the numbers of the new connections, for values and for each moment.

        Parameters
        ----------
        arrays : list of (nnz,) arrays or None
            Values, then moments, which are 0 for new connections; None for a moment
            that there is not. The list is emptied on the way. If an interrupt ends
            this, another call does the rest.
        """
        while (place := len(self._carried)) < len(arrays):
            self._carried.append(self._carry(arrays[place], is_first=place == 0))
            arrays[place] = None
        return self._carried

    def _carry(self, old: np.ndarray | None, is_first: bool) -> np.ndarray:
        if old is None:
            return np.empty(0, self._new.values.dtype)
        out = np.empty(self.indices.size, old.dtype)
        new = self._new if is_first else self._new._replace(values=out[:0])
        merge_values(
            self._tasks,
            Csr(self._old_indptr, self.indices, old),
            self._dropped,
            new,
            self._n_out,
            Csr(self.indptr, self.indices, out),
        )
        return out
