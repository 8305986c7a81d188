"""Input data as the kernels take them: a matrix, or the arrays of a CSR matrix."""

import numpy as np
import scipy.sparse

from truesparse.errors import DataError
from truesparse.kernels.arrays import Csr
from truesparse.sparse.connections import canonical_csr


def is_finite(array: np.ndarray) -> bool:
    """Whether an array holds neither NaN nor infinity; allocates nothing."""
    # Smallest and largest are NaN if any number is.
    return array.size == 0 or bool(np.isfinite(array.min()) & np.isfinite(array.max()))


def n_samples(data: np.ndarray | Csr) -> int:
    """Return how many samples dense or sparse data hold."""
    return data.indptr.size - 1 if isinstance(data, Csr) else len(data)


def batch_room(data: Csr, batch_size: int) -> int:
    """Return the most non-zeros that a batch of sparse data can have."""
    counts = np.diff(data.indptr)
    largest = np.partition(counts, max(counts.size - batch_size, 0))
    return max(1, int(largest[-batch_size:].sum()))


def as_source_data(data, dtype, n_features: int) -> np.ndarray | Csr:
    """Return data as the kernels take them, checking shape and index arrays.

    Raises
    ------
    DataError
        For a wrong number of features, or sparse data with an invalid index.
    """
    if isinstance(data, Csr):
        return data
    sparse = scipy.sparse.issparse(data)
    if not sparse:
        data = np.asarray(data)
    if data.ndim != 2 or data.shape[1] != n_features:
        raise DataError(
            f"data must have shape (n, {n_features}), got {tuple(data.shape)}"
        )
    if not sparse:
        return np.ascontiguousarray(data, dtype)
    try:
        csr = canonical_csr(data)
    except ValueError as error:
        raise DataError(f"the sparse data are not valid: {error}") from None
    return Csr(
        np.ascontiguousarray(csr.indptr, np.int64),
        np.ascontiguousarray(csr.indices, np.int32),
        np.ascontiguousarray(csr.data, dtype),
    )


def take_samples(data: np.ndarray | Csr, samples: np.ndarray) -> np.ndarray | Csr:
    """Return the chosen samples of dense or sparse data."""
    if not isinstance(data, Csr):
        return data[samples]
    counts = np.diff(data.indptr)[samples]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    # Position of each entry: its place in the result, moved to its sample's start.
    shift = np.repeat(data.indptr[:-1][samples] - indptr[:-1], counts)
    entries = np.arange(indptr[-1]) + shift
    return Csr(indptr, data.indices[entries], data.values[entries])
