"""The weighted connections of one layer: index arrays, values and optimiser state.

W is (n_in, n_out) in CSR, row = input neuron. The values (the weights) and the
optimiser's moments are in that order and are rewired together. The column view, needed
where outputs gather their inputs, is built on first use and dropped when the topology
changes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.common.checks import check_compressed, check_whole, first_fall
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Csc, Csr, Moments
from truesparse.kernels.rewire import find
from truesparse.kernels.transpose import build_view
from truesparse.sparse.balance import TASK_SIZE, balance
from truesparse.sparse.rewiring import Rewiring

LARGEST_SIDE = np.iinfo(np.int32).max
# Each task of the counting sort has a counter for every column: more would cost memory.
VIEW_TASKS = 4


def new_moments(values: np.ndarray, first: bool, second: bool) -> Moments:
    """Return zero optimiser state for a vector of values; empty where not needed."""
    empty = np.empty(0, values.dtype)  # a slice would hold on to all values
    return Moments(
        np.zeros_like(values) if first else empty,
        np.zeros_like(values) if second else empty,
    )


class Connections:
    """Sparse weights of one layer.

    Parameters
    ----------
    n_in, n_out : int
        Neurons on each side, from 1 to 2**31 - 1.
    indptr : (n_in + 1,) int64 array
    indices : (nnz,) int32 array
        Output neurons, strictly ascending within a row.
    values : (nnz,) float32 or float64 array
        Arrays of these dtypes are shared, not copied: training changes them.

    Raises
    ------
    UsageError
        If the arrays do not form a valid CSR matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sparse.connections import Connections
    >>> weights = np.ones(2, np.float32)
    >>> c = Connections(2, 3, np.array([0, 1, 2]), np.array([2, 0]), weights)
    >>> c.nnz, c.to_scipy().toarray().tolist()
    (2, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    # Which moments there are, also while there is no connection.
    _has_moments = (False, False)

    def __init__(
        self,
        n_in: int,
        n_out: int,
        indptr: np.ndarray,
        indices: np.ndarray,
        values: np.ndarray,
    ):
        check_sides(n_in, n_out)
        self.n_in, self.n_out = int(n_in), int(n_out)
        self.indptr = _as_index(indptr, np.int64, "indptr")
        self.indices = _as_index(indices, np.int32, "indices")
        self.values = _as_values(values)
        self.moments = new_moments(self.values, False, False)
        self._view: Csc | None = None
        self.version = 0  # counts changes of the pattern
        self.check()
        self.split_rows()

    def __getstate__(self) -> dict[str, Any]:
        # The view would be a third of a pickle and is quickly built again.
        return self.__dict__ | {"_view": None}

    @classmethod
    def unchecked(cls, n_in, n_out, indptr, indices, values) -> "Connections":
        """Wrap arrays that are known to be valid, of the very dtypes named above."""
        self = cls.__new__(cls)
        self.n_in, self.n_out = n_in, n_out
        self.indptr, self.indices, self.values = indptr, indices, values
        self.moments = new_moments(values, False, False)
        self._view = None
        self.version = 0
        self.split_rows()
        return self

    @classmethod
    def from_scipy(cls, matrix) -> "Connections":
        """Make connections of a scipy.sparse matrix of shape (n_in, n_out).

        A CSR matrix with sorted int32 indices and float32 or float64 data is shared,
        not copied: training changes it.
        """
        if not scipy.sparse.issparse(matrix):
            raise UsageError(f"expected a scipy.sparse matrix, got {type(matrix)}")
        if matrix.ndim != 2:
            raise UsageError(f"expected a matrix, got an array of shape {matrix.shape}")
        try:
            csr = canonical_csr(matrix)
        except ValueError as error:
            raise UsageError(f"not a valid sparse matrix: {error}") from None
        n_in, n_out = csr.shape
        return cls(n_in, n_out, csr.indptr, csr.indices, csr.data)

    def to_scipy(self) -> scipy.sparse.csr_array:
        """Return a csr_array of shape (n_in, n_out) that shares values and indices."""
        # SciPy wants index arrays of one type: the shorter array is converted, unless
        # there are too many connections for int32.
        indptr = self.indptr
        if self.nnz <= LARGEST_SIDE:
            indptr = indptr.astype(np.int32)
        parts = (self.values, self.indices, indptr)
        return scipy.sparse.csr_array(parts, shape=(self.n_in, self.n_out), copy=False)

    @property
    def nnz(self) -> int:
        """Number of connections."""
        return self.values.size

    @property
    def density(self) -> float:
        """Share of the n_in x n_out cells that are connected."""
        return self.nnz / (self.n_in * self.n_out)

    @property
    def fan_in(self) -> float:
        """Average number of connections of an output neuron."""
        return self.nnz / self.n_out

    @property
    def csr(self) -> Csr:
        """The arrays by input neuron, as kernels take them."""
        return Csr(self.indptr, self.indices, self.values)

    @property
    def view(self) -> Csc:
        """The pattern by output neuron, built when first asked for."""
        if self._view is None:
            self._view = self._build_view()
        return self._view

    @property
    def nbytes(self) -> int:
        """Bytes held by all arrays of this layer's connections."""
        arrays = [*self.csr, *self.moments, *(self._view or ())]
        return sum(array.nbytes for array in arrays)

    def rows(self) -> np.ndarray:
        """Return the input neuron of every connection as an (nnz,) int32 array."""
        return np.repeat(np.arange(self.n_in, dtype=np.int32), np.diff(self.indptr))

    def keys(self, positions: np.ndarray) -> np.ndarray:
        """Return the cells of some connections as int64 keys row * n_out + column."""
        rows = np.searchsorted(self.indptr, positions, side="right") - 1
        return rows * self.n_out + self.indices[positions]

    def contains(self, keys: np.ndarray) -> np.ndarray:
        """Return which cells are connected, for int64 keys row * n_out + column."""
        is_connected = np.empty(keys.size, bool)
        find(self.csr, self.n_out, keys, TASK_SIZE, is_connected)
        return is_connected

    def allocate_moments(self, first: bool, second: bool) -> None:
        """Give every connection zero optimiser state, as far as it is needed."""
        self.moments = new_moments(self.values, first, second)
        self._has_moments = (first, second)

    def rewire(
        self, dropped: np.ndarray, keys: np.ndarray, new_values: np.ndarray
    ) -> None:
        """Remove connections and insert others; survivors keep value and state.

        Parameters
        ----------
        dropped : (nnz,) bool array
        keys : (k,) int64 array
            New cells as ``row * n_out + column``, ascending, distinct, not connected
            (or dropped by this call).
        new_values : (k,) array
            Their weights; their optimiser state is zero.

        Raises
        ------
        UsageError
            If the arguments do not fit the layer, which then stays as it is. Where
            memory runs out later, it has no connections any more.
        """
        with np.errstate(over="ignore"):
            # A number that becomes infinite is refused below.
            new_values = np.asarray(new_values, self.values.dtype, order="C")
        self._check_change(dropped, keys, new_values)
        change = Rewiring(
            self.row_tasks, self.csr, dropped, keys, new_values, self.n_out
        )
        pairs = zip(self.moments, self._has_moments, strict=True)
        arrays = [self.values, *(moment if has else None for moment, has in pairs)]
        try:
            self._clear()
            change.carry_over(arrays)
        finally:
            # After an interrupt too: half a change would be worse than a late one.
            values, *moments = change.carry_over(arrays)
            self._replace(change.indptr, change.indices, values, moments)

    def adopt(self, other: "Connections") -> None:
        """Share the arrays of another layer of the same shape and dtype."""
        if other.values.dtype != self.values.dtype:
            raise UsageError(
                f"a layer of {other.values.dtype} cannot replace one of "
                f"{self.values.dtype}"
            )
        if (other.n_in, other.n_out) != (self.n_in, self.n_out):
            raise UsageError(
                f"a layer of {other.n_in} x {other.n_out} cannot replace one of "
                f"{self.n_in} x {self.n_out}"
            )
        self._replace(other.indptr, other.indices, other.values, other.moments)
        self._has_moments = other._has_moments

    def check(self) -> None:
        """Verify every invariant of the storage.

        Raises
        ------
        UsageError
            If an invariant does not hold; the message names the first one.
        """
        indptr, indices, nnz = self.indptr, self.indices, self.values.size
        if indptr.shape != (self.n_in + 1,):
            raise UsageError(
                f"indptr must have n_in + 1 = {self.n_in + 1} entries, "
                f"got shape {indptr.shape}"
            )
        if indices.shape != (nnz,):
            raise UsageError(
                f"indices must be as long as values, {nnz}, got shape {indices.shape}"
            )
        if indptr[0] != 0 or indptr[-1] != nnz or (np.diff(indptr) < 0).any():
            raise UsageError(
                f"indptr must rise from 0 to nnz = {nnz}; it starts at {indptr[0]} "
                f"and ends at {indptr[-1]}"
            )
        if nnz and (indices.min() < 0 or indices.max() >= self.n_out):
            raise UsageError(
                f"indices must be from 0 to n_out - 1 = {self.n_out - 1}, got "
                f"{indices.min()} to {indices.max()}"
            )
        position = first_fall(indices, indptr)
        if position is not None:
            raise UsageError(
                "indices must ascend strictly within each row; they do not at "
                f"position {position}"
            )
        for name, array in zip(self.moments._fields, self.moments, strict=True):
            if array.size not in (0, nnz):
                raise UsageError(f"moment {name} must have 0 or {nnz} entries")
        if self._view is not None:
            self._check_view(self._view)

    def _clear(self) -> None:
        """Let go of all arrays; the layer has no connections then."""
        self.indptr, self.indices = np.zeros_like(self.indptr), np.empty(0, np.int32)
        self.values = np.empty(0, self.values.dtype)
        self.moments = new_moments(self.values, False, False)
        self._view = None

    def _replace(self, indptr, indices, values, moments: Iterable[np.ndarray]) -> None:
        self.indptr, self.indices, self.values = indptr, indices, values
        self.moments = Moments(*moments)
        self._view = None
        self.version += 1
        self.split_rows()

    def _check_change(self, dropped, keys, new_values) -> None:
        if dropped.shape != (self.nnz,) or dropped.dtype != bool:
            raise UsageError(
                f"dropped must be {self.nnz} bools, got {dropped.dtype} of shape "
                f"{dropped.shape}"
            )
        if keys.dtype != np.int64 or keys.shape != new_values.shape:
            raise UsageError(
                "keys must be int64 and as many as new_values, got "
                f"{keys.dtype} of shape {keys.shape} and {new_values.shape}"
            )
        if not np.isfinite(new_values).all():
            raise UsageError(
                "new_values hold NaN or infinity, or a number too large for "
                f"{new_values.dtype}; weights must be finite"
            )
        cells = self.n_in * self.n_out
        if keys.size and (
            keys[0] < 0 or keys[-1] >= cells or (keys[1:] <= keys[:-1]).any()
        ):
            raise UsageError(f"keys must ascend strictly from 0 to below {cells}")

    def _check_view(self, view: Csc) -> None:
        counts = np.bincount(self.indices, minlength=self.n_out)
        matches = (
            np.array_equal(view.indptr, np.concatenate([[0], np.cumsum(counts)]))
            and np.array_equal(np.sort(view.permutation), np.arange(self.nnz))
            and np.array_equal(self.rows()[view.permutation], view.rows)
            and (np.diff(self.indices[view.permutation]) >= 0).all()
        )
        if not matches:
            raise UsageError("the column view does not match the connections")

    def split_rows(self) -> None:
        """Recompute how rows are split into tasks."""
        self.row_tasks = balance(self.indptr)
        self.longest_row = int(np.diff(self.indptr).max())

    def _build_view(self) -> Csc:
        tasks = balance(self.indptr, VIEW_TASKS)
        view = Csc(
            np.empty(self.n_out + 1, np.int64),
            np.empty(self.nnz, np.int32),
            np.empty(self.nnz, position_dtype(self.nnz)),
        )
        cursors = np.empty((tasks.size - 1, self.n_out), np.int64)
        build_view(tasks, self.indptr, self.indices, cursors, view)
        return view


def canonical_csr(matrix):
    """Return a scipy.sparse matrix as CSR with sorted rows and no duplicates.

    A matrix that is so already is returned as it is.

    Raises
    ------
    ValueError
        If its index arrays are not valid.
    """
    # Before SciPy converts the matrix: that trusts the indices, as our kernels do.
    if matrix.format == "coo":
        for index, side in zip((matrix.row, matrix.col), matrix.shape, strict=True):
            if index.min(initial=0) < 0 or index.max(initial=0) >= side:
                raise ValueError(f"indices must be from 0 to {side - 1}")
    elif hasattr(matrix, "indptr"):
        check_compressed(matrix)
    csr = matrix.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy() if csr is matrix else csr
        csr.sum_duplicates()
    return csr


def position_dtype(nnz: int) -> type:
    """Return the integer type that holds every position in an array of `nnz`."""
    return np.int32 if nnz <= LARGEST_SIDE else np.int64


def check_sides(n_in: int, n_out: int) -> None:
    """Raise UsageError unless both are whole numbers from 1 to 2**31 - 1."""
    check_whole("n_in", n_in, 1, LARGEST_SIDE)
    check_whole("n_out", n_out, 1, LARGEST_SIDE)


def _as_index(array, dtype, name: str) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UsageError(
            f"{name} must be a 1-D array of integers, got {array.dtype} of shape "
            f"{array.shape}"
        )
    for value in (array.min(initial=0), array.max(initial=0)):
        if not 0 <= value <= np.iinfo(dtype).max:
            raise UsageError(
                f"{name} holds {value}; accepted are numbers from 0 to "
                f"{np.iinfo(dtype).max}"
            )
    return np.ascontiguousarray(array, dtype)


def _as_values(array) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype not in (np.float32, np.float64):
        raise UsageError(
            "values must be a 1-D array of float32 or float64, got "
            f"{array.dtype} of shape {array.shape}"
        )
    if not array.flags.writeable:
        raise UsageError("values must be writeable: training changes them in place")
    return np.ascontiguousarray(array)
