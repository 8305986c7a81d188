"""Checks of features at the boundary where a user's data come in.

Features that pass are finite, real, two-dimensional and not empty; sparse ones are CSR
with index arrays that a kernel can follow without checks. Nothing below this boundary
checks again.
"""

import math
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from truesparse.common.checks import check_compressed, float_type
from truesparse.common.memory import require
from truesparse.datasets.room import require_room_for_rows
from truesparse.errors import DataError

Features: TypeAlias = np.ndarray | sparse.csr_array
Source = TypeVar("Source", np.ndarray, sparse.csr_array)

MAX_INDEX = np.iinfo(np.int32).max

# Rows are visited in blocks of 2^17 values (1 MB as float64), which stay in the cache.
BLOCK_VALUES = 1 << 17

GAPS = "drop those rows or fill the gaps"
TOO_LARGE = "use dtype float64, or divide the column by a constant"


def row_blocks(shape: tuple[int, ...]) -> list[slice]:
    """Cut the rows of an array into slices of about ``BLOCK_VALUES`` values."""
    rows = max(1, BLOCK_VALUES // max(1, shape[1]))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]


def take_blocks(X: Source, rows: np.ndarray | None) -> Iterator[tuple[slice, Source]]:
    """Yield rows of a source block by block, so that no copy of them all exists.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, n_features)
        The source.
    rows : ndarray of int, shape (n_rows,), or None
        Rows to take, in this order; None takes all as they stand.

    Yields
    ------
    places : slice
        Places of the block among the rows taken.
    block : ndarray or csr_array
        About ``BLOCK_VALUES`` stored values; a view of dense `X` if `rows` is None.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.features import take_blocks
    >>> X = np.array([[1, 2], [3, 4], [5, 6]])
    >>> [(places, block.tolist()) for places, block in take_blocks(X, np.array([2, 0]))]
    [(slice(0, 2, None), [[5, 6], [1, 2]])]
    """
    n_rows = X.shape[0] if rows is None else len(rows)
    width = X.shape[1]
    if isinstance(X, sparse.csr_array):
        width = -(-X.nnz // X.shape[0])
    for start, stop, _ in (s.indices(n_rows) for s in row_blocks((n_rows, width))):
        places = slice(start, stop)
        yield places, X[places] if rows is None else X[rows[places]]


def as_dense(values: Any, name: str) -> np.ndarray:
    """Return values, sparse or not, as a dense array.

    Raises
    ------
    DataError
        If the rows differ in length.
    MemoryLimitError
        If sparse values do not fit in memory as a dense array.
    """
    if sparse.issparse(values):
        # A few bytes of a file may declare any shape.
        n_bytes = math.prod(values.shape) * values.dtype.itemsize
        require(n_bytes, f"{name} has shape {values.shape}; give fewer rows")
    try:
        return values.toarray() if sparse.issparse(values) else np.asarray(values)
    except ValueError as error:
        raise DataError(
            f"{name} has rows of different lengths; give each row equally many values"
        ) from error


def check_features(
    X: object,
    dtype: DTypeLike | None = np.float32,
    name: str = "X",
    *,
    n_features: int | None = None,
) -> Features:
    """Return features as a C-contiguous array or a canonical CSR array.

    Parameters
    ----------
    X : array-like or sparse array, shape (n_samples, n_features)
        Real, finite numbers. CSC, COO and other sparse formats become CSR. The
        argument is never changed; it is returned itself if nothing is to be done.
    dtype : {float32, float64} or None
        Type of the result; None keeps the type that the numbers are stored in.
    name : str
        Name of the array in messages.
    n_features : int, optional
        Number of columns that `X` must have.

    Returns
    -------
    ndarray or csr_array, shape (n_samples, n_features)
        CSR indices are int32, sorted and unique in each row, duplicates summed.

    Raises
    ------
    DataError
        If the array is empty, not two-dimensional, not numeric, not finite (in `X`
        or after conversion to `dtype`), of another width, or has invalid indices.
    MemoryLimitError
        If sparse features have more rows than CSR has memory for.
    UsageError
        If `dtype` is not accepted.

    Examples
    --------
    >>> from truesparse.datasets import check_features
    >>> check_features([[1, 2], [3, 4]]).dtype
    dtype('float32')
    >>> check_features([[1.0, float("nan")]])
    Traceback (most recent call last):
      ...
    truesparse.errors.DataError: X has 1 NaN and 0 infinite values: column 1 holds 1 \
(columns count from 0); drop those rows or fill the gaps
    """
    target = None if dtype is None else np.dtype(float_type(dtype))
    checked = _check_csr(X, name) if sparse.issparse(X) else _check_dense(X, name)
    n_rows, n_columns = checked.shape
    if n_rows == 0 or n_columns == 0:
        raise DataError(
            f"{name} is empty: {n_rows} rows x {n_columns} columns; "
            "give at least 1 row and 1 column"
        )
    if n_features is not None and n_columns != n_features:
        raise DataError(f"{name} has {n_columns} columns; give {n_features}")
    check_finite(checked, name)
    return checked if target is None else cast_features(checked, target, name)


def cast_features(X: Features, dtype: np.dtype, name: str) -> Features:
    """Convert checked features to float32 or float64; no copy if they have it."""
    if X.dtype == dtype:
        return X
    with np.errstate(over="ignore"):
        converted = X.astype(dtype)
    if X.dtype.kind == "f" and X.dtype.itemsize > dtype.itemsize:
        check_finite(converted, f"{name} as {dtype}", TOO_LARGE)
    return converted


def check_finite(X: Features, name: str, advice: str = GAPS) -> None:
    """Raise a DataError that counts NaN and infinities by column, if there are any."""
    if X.dtype.kind != "f":
        return
    if isinstance(X, sparse.csr_array):
        if not np.isfinite(X.data).all():
            _refuse_nonfinite(X, name, advice)
        return
    for rows in row_blocks(X.shape):
        if not np.isfinite(X[rows]).all():
            _refuse_nonfinite(X, name, advice)


def _refuse_nonfinite(X: Features, name: str, advice: str) -> NoReturn:
    n_nan = np.zeros(X.shape[1], dtype=np.int64)
    n_inf = np.zeros(X.shape[1], dtype=np.int64)
    if isinstance(X, sparse.csr_array):
        np.add.at(n_nan, X.indices[np.isnan(X.data)], 1)
        np.add.at(n_inf, X.indices[np.isinf(X.data)], 1)
    else:
        for rows in row_blocks(X.shape):
            n_nan += np.isnan(X[rows]).sum(axis=0)
            n_inf += np.isinf(X[rows]).sum(axis=0)
    count = n_nan + n_inf
    columns = np.flatnonzero(count)
    shown = ", ".join(f"column {c} holds {count[c]}" for c in columns[:5])
    more = f" and {len(columns) - 5} more columns" if len(columns) > 5 else ""
    raise DataError(
        f"{name} has {n_nan.sum()} NaN and {n_inf.sum()} infinite values: "
        f"{shown}{more} (columns count from 0); {advice}"
    )


def _check_dense(X: object, name: str) -> np.ndarray:
    array = as_dense(X, name)
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{name} holds values that are not numbers; give real numbers"
            ) from error
    _check_real(array.dtype, name)
    if array.ndim != 2:
        raise DataError(
            f"{name} has shape {array.shape}, but needs 2 dimensions, rows of samples "
            "and columns of features; reshape it, e.g. X.reshape(len(X), -1)"
        )
    return np.ascontiguousarray(array)


def _check_real(dtype: np.dtype, name: str) -> None:
    if dtype.kind not in "biuf":
        what = "Complex data not supported" if dtype.kind == "c" else "not numbers"
        raise DataError(f"{name} holds {dtype} values ({what}); give real numbers")


def _check_csr(X: sparse.sparray, name: str) -> sparse.csr_array:
    if X.ndim != 2:
        raise DataError(f"{name} has shape {X.shape}, but needs 2 dimensions")
    _check_real(X.dtype, name)
    if X.shape[1] > MAX_INDEX:
        raise DataError(
            f"{name} has {X.shape[1]} columns, but 32-bit indices count at most "
            f"{MAX_INDEX}"
        )
    if X.format != "csr":
        require_room_for_rows(X.shape[0])
    try:
        csr = _rebuild(X).tocsr()
    except ValueError as error:
        raise DataError(f"{name} has invalid index arrays: {error}") from error
    if csr.nnz > MAX_INDEX:
        raise DataError(
            f"{name} stores {csr.nnz} values, but at most {MAX_INDEX} fit; give fewer "
            "rows"
        )
    # SciPy keeps int64 indices even where int32 would do.
    indices, indptr = (
        a.astype(np.int32, copy=False) for a in (csr.indices, csr.indptr)
    )
    csr = sparse.csr_array((csr.data, indices, indptr), shape=csr.shape)
    if not csr.has_canonical_format:
        # Sums of duplicates can wrap around in a narrow integer type.
        csr = csr.astype(np.float64 if csr.dtype.kind in "biu" else csr.dtype)
        csr.sum_duplicates()
    return csr


def _rebuild(X: sparse.sparray) -> sparse.sparray:
    """Return a new sparse object on the same arrays, with every index checked."""
    if X.format in ("csr", "csc", "bsr"):
        if {X.indices.dtype.kind, X.indptr.dtype.kind} - {"i", "u"}:
            raise ValueError("indices and indptr must be whole numbers")
        rebuilt = type(X)((X.data, X.indices, X.indptr), shape=X.shape)
        check_compressed(rebuilt)
        return rebuilt
    if X.dtype.kind in "biu":
        # Conversion to CSR sums duplicates, in the type of the values.
        X = X.astype(np.float64)
    if X.format == "coo":
        return sparse.coo_array((X.data, (X.row, X.col)), shape=X.shape)
    return X
