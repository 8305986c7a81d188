"""Scaling of features, with statistics of the training part only.

    x' = (x - mean) / scale        standard   mean and standard deviation of the column
                                   range      least x of the column, and the largest
                                              less that: x' is in [0, 1]
                                   maxabs     0 and the largest |x| of the column
                                   unit       0 and the largest |x| of all columns

A column without spread has scale 1, so that it becomes 0. Statistics are float64, and
so is the arithmetic on each block of rows: values are rounded to the result's dtype
once, after scaling, which keeps small differences of large numbers (time stamps).
Sparse features are never centred, because that would fill them in.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from truesparse.common.checks import choose
from truesparse.datasets.encoded_rows import EncodedRows
from truesparse.datasets.features import (
    TOO_LARGE,
    Features,
    check_finite,
    row_blocks,
    take_blocks,
)
from truesparse.datasets.shrinking import Shrinking
from truesparse.errors import DataError, UsageError

SCALES = ("auto", "standard", "range", "maxabs", "unit", "none")


class Scaler(NamedTuple):
    """Values subtracted from each column, and divisors; None for nothing.

    Both are float64 of shape (n_features,).
    """

    mean: np.ndarray | None
    scale: np.ndarray | None


def fit_scaler(
    X: Features,
    scale: str = "auto",
    name: str = "X_train",
    *,
    rows: np.ndarray | None = None,
) -> Scaler:
    """Measure the columns of the training part.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, n_features)
        Checked features of any real dtype.
    scale : {"auto", "standard", "range", "maxabs", "unit", "none"}
        ``"auto"`` is maxabs for sparse features, unit for grey values (see
        `is_grey`) and standard otherwise.
    name : str
        Name of the array in messages.
    rows : ndarray of int, shape (n_train,), optional
        Rows of `X` that are the training part; all if left out.

    Returns
    -------
    Scaler
        Statistics for `apply_scaler`.

    Raises
    ------
    UsageError
        If `scale` is unknown, or is standard or range for sparse features.
    DataError
        If values are so large that their variance or range overflows float64.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.scaling import fit_scaler
    >>> fit_scaler(np.array([[1.0, 5.0], [3.0, 5.0]]), "standard")
    Scaler(mean=array([2., 5.]), scale=array([1., 1.]))
    """
    choose(scale, SCALES, "scale")
    is_sparse = isinstance(X, sparse.csr_array)
    if scale == "auto":
        scale = "maxabs" if is_sparse else "unit" if is_grey(X, rows) else "standard"
    if scale == "none":
        return Scaler(None, None)
    if scale in ("standard", "range"):
        if is_sparse:
            raise UsageError(
                f"scale {scale!r} would fill in the zeros of sparse features; use "
                "'maxabs', 'unit' or 'none'"
            )
        return (_standard if scale == "standard" else _range)(X, rows, name)
    largest = _largest(X, rows)
    if scale == "unit":
        largest[:] = largest.max()
    return Scaler(None, np.where(largest > 0, largest, 1.0))


def is_grey(X: np.ndarray, rows: np.ndarray | None = None) -> bool:
    """Whether the features are pixels: uint8, or whole numbers from 0 to 255 alike.

    Pixels share one scale: dividing each by its own deviation would blow up the noise
    of those that hardly vary, such as the corners of an image. Columns are alike if
    most of those that vary come up to half of the largest value; yes-or-no columns
    beside one of counts are not.
    """
    if X.dtype == np.uint8:
        return True
    lowest, highest = np.full(X.shape[1], np.inf), np.zeros(X.shape[1])
    for _, block in take_blocks(X, rows):
        if block.min() < 0 or block.max() > 255 or (block != np.floor(block)).any():
            return False
        lowest = np.minimum(lowest, block.min(axis=0))
        highest = np.maximum(highest, block.max(axis=0))
    high = highest[highest > lowest]
    n_alike = np.count_nonzero(high >= 0.5 * high.max(initial=0.0))
    return high.size == 0 or bool(2 * n_alike > high.size)


def _standard(X: np.ndarray, rows: np.ndarray | None, name: str) -> Scaler:
    """Return mean and deviation by merging blocks of rows.

    The formula is eq. 2.1 of Chan, Golub and LeVeque 1983.

    Values are taken relative to the first row: a constant column then has a deviation
    of exactly 0, where summing the values themselves would leave rounding errors.
    """
    _, first = next(take_blocks(X, rows))
    origin = first[0].astype(np.float64)
    mean = np.zeros(X.shape[1])
    squares = np.zeros(X.shape[1])
    n_seen = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for _, taken in take_blocks(X, rows):
            block = taken - origin
            n_rows = len(block)
            block_mean = block.sum(axis=0) / n_rows
            block -= block_mean
            np.square(block, out=block)
            gap = block_mean - mean
            squares += block.sum(axis=0)
            squares += gap * gap * (n_seen * n_rows / (n_seen + n_rows))
            n_seen += n_rows
            mean += gap * (n_rows / n_seen)
        deviation = np.sqrt(squares / n_seen)
        mean += origin
    return _scaler(mean, deviation, name)


def _range(X: np.ndarray, rows: np.ndarray | None, name: str) -> Scaler:
    """Return the least value of each column, and the largest less that."""
    least, highest = _extremes(X, rows)
    with np.errstate(over="ignore"):
        span = highest - least
    return _scaler(least, span, name)


def _extremes(X: np.ndarray, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest value of each column as float64."""
    least, highest = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    for _, block in take_blocks(X, rows):
        np.minimum(least, block.min(axis=0), out=least)
        np.maximum(highest, block.max(axis=0), out=highest)
    return least, highest


def _scaler(mean: np.ndarray, scale: np.ndarray, name: str) -> Scaler:
    """Return statistics that are finite; a column without spread has scale 1."""
    too_large = np.flatnonzero(~np.isfinite(scale) | ~np.isfinite(mean))
    if len(too_large):
        raise DataError(
            f"{name} has values too large to scale in column {too_large[0]} (columns "
            "count from 0); divide them by a constant first"
        )
    return Scaler(mean, np.where(scale > 0, scale, 1.0))


def _largest(X: Features, rows: np.ndarray | None) -> np.ndarray:
    """Return the largest absolute value of each column as float64."""
    if isinstance(X, sparse.csr_array):
        largest = np.zeros(X.shape[1])
        for _, block in take_blocks(X, rows):
            np.maximum.at(largest, block.indices, np.abs(block.data.astype(np.float64)))
        return largest
    least, highest = _extremes(X, rows)
    return np.maximum(highest, -least)


def apply_scaler(
    X: Features,
    scaler: Scaler,
    dtype: np.dtype,
    name: str,
    *,
    rows: np.ndarray | None = None,
    in_place: bool,
) -> Features:
    """Scale checked features and convert them to `dtype`.

    Parameters
    ----------
    X : ndarray or csr_array, shape (n, n_features)
        Checked features of any real dtype.
    scaler : Scaler
        Statistics of the training part.
    dtype : {float32, float64}
        Type of the result.
    name : str
        Name of the array in messages.
    rows : ndarray of int, shape (n_rows,), optional
        Rows of `X` to scale, in this order; all if left out.
    in_place : bool
        Overwrite `X` if all of it is scaled and it has that dtype already, so that
        only one array exists. In other cases the result is a second array.

    Returns
    -------
    ndarray or csr_array, shape (n_rows, n_features)

    Raises
    ------
    DataError
        If a scaled value does not fit the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.scaling import Scaler, apply_scaler
    >>> image = np.array([[0, 51, 255]], dtype=np.uint8)
    >>> scaler = Scaler(None, np.full(3, 255.0))
    >>> apply_scaler(image, scaler, np.dtype("f4"), "X", in_place=False)
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    overwrite = in_place and rows is None and X.dtype == dtype
    if overwrite and scaler.scale is None:
        return X
    if isinstance(X, sparse.csr_array):
        assert scaler.mean is None
        scaled = _scale_sparse(X, scaler.scale, dtype, rows)
        check_finite(scaled, f"{name} as {dtype}", TOO_LARGE)
        return scaled
    n_rows = X.shape[0] if rows is None else len(rows)
    overwrite = overwrite and X.flags.writeable
    out = X if overwrite else np.empty((n_rows, X.shape[1]), dtype)
    with np.errstate(over="ignore"):
        for places, block in take_blocks(X, rows):
            out[places] = _scale_block(block, scaler)
    check_finite(out, f"{name} as {dtype}", TOO_LARGE)
    return out


def scale_parts(
    source: Shrinking | EncodedRows,
    scaler: Scaler,
    dtype: np.dtype,
    parts: dict[str, np.ndarray],
) -> list[np.ndarray]:
    """Scale the rows of several parts of a dense source, which is cut short meanwhile.

    Parameters
    ----------
    source : Shrinking or EncodedRows
        Checked features; no row is left of them.
    scaler : Scaler
        Statistics of the training part.
    dtype : {float32, float64}
        Type of the results.
    parts : dict of str to ndarray of int
        Rows of each part in rising order, by the name that messages call it.

    Returns
    -------
    list of ndarray, shape (n_rows, n_features)

    Raises
    ------
    DataError
        If a scaled value does not fit the dtype.
    """
    outs = [np.empty((len(rows), source.shape[1]), dtype) for rows in parts.values()]
    with np.errstate(over="ignore"):
        for block in reversed(row_blocks(source.shape)):
            for rows, out in zip(parts.values(), outs, strict=True):
                start, stop = np.searchsorted(rows, (block.start, block.stop))
                out[start:stop] = _scale_block(source[rows[start:stop]], scaler)
            source.cut(block.start)
    for name, out in zip(parts, outs, strict=True):
        check_finite(out, f"{name} as {dtype}", TOO_LARGE)
    return outs


def _scale_block(block: np.ndarray, scaler: Scaler) -> np.ndarray:
    if scaler.mean is not None:
        block = block - scaler.mean
    return block if scaler.scale is None else block / scaler.scale


def _scale_sparse(
    X: sparse.csr_array,
    scale: np.ndarray | None,
    dtype: np.dtype,
    rows: np.ndarray | None,
) -> sparse.csr_array:
    """Return all rows, on the indices of `X`, or some, on indices of their own."""
    indices, indptr = X.indices, X.indptr
    if rows is not None:
        indptr = np.zeros(len(rows) + 1, indptr.dtype)
        np.cumsum(np.diff(X.indptr)[rows], out=indptr[1:])
        indices = np.empty(indptr[-1], indices.dtype)
    data = np.empty(indptr[-1], dtype)
    with np.errstate(over="ignore"):
        for places, block in take_blocks(X, rows):
            cells = slice(indptr[places.start], indptr[places.stop])
            data[cells] = (
                block.data if scale is None else block.data / scale[block.indices]
            )
            if rows is not None:
                indices[cells] = block.indices
    return sparse.csr_array(
        (data, indices, indptr), shape=(len(indptr) - 1, X.shape[1])
    )
