"""Input data in the form that kernels take: a matrix, or the arrays of a CSR matrix."""

import math
import warnings

import numpy as np
import scipy.sparse

from truesparse.datasets import Preprocessing
from truesparse.errors import DataError, UsageError
from truesparse.kernels.arrays import Csr
from truesparse.sparse.connections import canonical_csr

# The sum of the squares of so many numbers takes 0.5 us, anything else 2 us and more.
_SMALL = 4096


def is_finite(array: np.ndarray) -> bool:
    """Whether an array holds neither NaN nor infinity; allocates next to nothing."""
    if array.size < _SMALL:
        # Finite only if all of them are, though it may overflow.
        is_sure = math.isfinite(np.vdot(array, array))
        return is_sure or bool(np.isfinite(array).all())
    # Smallest and largest are NaN if any of the numbers is.
    return array.size == 0 or bool(np.isfinite(array.min()) & np.isfinite(array.max()))


def n_samples(data: np.ndarray | Csr) -> int:
    """Return the number of samples in dense or sparse data."""
    return data.indptr.size - 1 if isinstance(data, Csr) else len(data)


def batch_room(data: Csr | scipy.sparse.csr_array, batch_size: int) -> int:
    """Return the largest number of non-zeros in a batch of distinct samples."""
    counts = np.diff(data.indptr)
    largest = np.partition(counts, max(counts.size - batch_size, 0))
    return max(1, int(largest[-batch_size:].sum()))


def as_source_data(
    data, dtype, n_features: int, name: str = "data"
) -> np.ndarray | Csr:
    """Return data in the form that kernels take.

    Raises
    ------
    DataError
        If data are not real numbers, have a wrong number of features, hold NaN or
        infinity, or are sparse with an invalid index.
    """
    if isinstance(data, Csr):
        check_source(data, dtype, n_features)
        return data
    if _is_source(data, dtype, n_features) and is_finite(data):
        return data  # the commonest case, of which single samples take long
    is_sparse = scipy.sparse.issparse(data)
    if not is_sparse:
        try:
            data = np.asarray(data)
        except ValueError as error:
            raise DataError(f"{name} must be a matrix of numbers: {error}") from None
    if data.dtype.kind not in "biuf":
        raise DataError(f"{name} must be real numbers, got {data.dtype}; encode them")
    if data.ndim != 2 or data.shape[1] != n_features:
        raise DataError(
            f"{name} must have shape (n, {n_features}), got {tuple(data.shape)}"
        )
    source: np.ndarray | Csr
    # Numbers too large for the dtype become infinite, which is reported below.
    with np.errstate(over="ignore"):
        if is_sparse:
            # Cast before entries of one cell are added: their sum may overflow.
            source = _as_csr_arrays(data.astype(dtype, copy=False), name)
            values = source.values
        else:
            source = values = np.ascontiguousarray(data, dtype)
    if not is_finite(values):
        bad = int(values.size - np.isfinite(values).sum())
        raise DataError(
            f"{name} holds {bad} values that are NaN or infinite in {np.dtype(dtype)}; "
            "remove or replace them"
        )
    return source


def _is_source(data, dtype, n_features: int) -> bool:
    """Whether data are a matrix as kernels take it, whatever it holds."""
    return (
        type(data) is np.ndarray
        and data.ndim == 2
        and data.shape[1] == n_features
        and data.dtype == dtype
        and data.flags.c_contiguous
    )


def _as_csr_arrays(matrix, name: str) -> Csr:
    try:
        csr = canonical_csr(matrix)
    except ValueError as error:
        raise DataError(f"{name} are not a valid sparse matrix: {error}") from None
    return Csr(
        np.ascontiguousarray(csr.indptr, np.int64),
        np.ascontiguousarray(csr.indices, np.int32),
        np.ascontiguousarray(csr.data),
    )


def check_source(data: np.ndarray | Csr, dtype, n_features: int) -> None:
    """Raise UsageError unless data have the form that `as_source_data` returns.

    Kernels check neither bounds nor layout, so no other data may reach them.
    """
    if isinstance(data, Csr):
        indptr, indices, values = data
        types = (indptr.dtype, indices.dtype, values.dtype)
        fits = types == (np.int64, np.int32, dtype) and indptr.size > 0
        fits = fits and all(a.ndim == 1 and a.flags.c_contiguous for a in data)
        fits = fits and indptr[0] == 0 and indptr[-1] == indices.size == values.size
        fits = fits and bool((indptr[1:] >= indptr[:-1]).all())
        low, high = indices.min(initial=0), indices.max(initial=0)
        fits = fits and low >= 0 and high < n_features
    else:
        fits = _is_source(data, dtype, n_features)
    if not fits:
        raise UsageError(
            f"data must be {np.dtype(dtype)} with {n_features} features, in the form "
            "that as_source_data returns"
        )


def warn_of_scales(preprocessing: Preprocessing | None, scaled: bool) -> None:
    """Warn that a loaded model takes scaled rows, unless these are said to be."""
    if scaled or preprocessing is None:
        return
    if preprocessing.feature_scale is None and preprocessing.target_scale is None:
        return
    warnings.warn(
        "the model was trained on scaled data, and takes and returns such: for rows as "
        "they are in a file, use truesparse.load_predictor, or Predictor(model); if "
        "these are scaled (by model.preprocessing.transform, or as a Dataset's), say "
        "scaled=True",
        UserWarning,
        stacklevel=3,
    )


def as_weights(sample_weight, n: int, name: str = "sample_weight") -> np.ndarray | None:
    """Return the weights of `n` samples as float64; DataError if they are unfit."""
    if sample_weight is None:
        return None
    try:
        weights = np.ascontiguousarray(sample_weight, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be numbers, got {sample_weight!r}") from None
    if weights.shape != (n,):
        raise DataError(f"{name} must have shape ({n},), got {weights.shape}")
    if not (is_finite(weights) and (weights >= 0).all() and weights.any()):
        raise DataError(f"{name} must be finite, not negative and not all 0")
    return weights


def take_samples(data: np.ndarray | Csr, samples: np.ndarray) -> np.ndarray | Csr:
    """Return the chosen samples of dense or sparse data."""
    if not isinstance(data, Csr):
        return data[samples]
    counts = np.diff(data.indptr)[samples]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    # The entries of a sample are consecutive in data and in the result: each is as far
    # from its position in the result as the sample's first entry is.
    shift = np.repeat(data.indptr[:-1][samples] - indptr[:-1], counts)
    entries = np.arange(indptr[-1]) + shift
    return Csr(indptr, data.indices[entries], data.values[entries])
