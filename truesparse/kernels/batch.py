"""Gathering a batch: chosen samples of a data set, transposed to a row a feature."""

from truesparse.kernels.jit import inner_kernel, kernel, parallel_kernel, prange
from truesparse.kernels.simd import LANES, copy_transposed

# Features a task copies of each sample: 256 bytes in a row for the prefetcher.
FEATURES = 64


@inner_kernel
def _gather_features(data, samples, first, last, out):
    batch, width = samples.size, out.shape[1]
    full_columns = batch - batch % LANES
    full_last = last - (last - first) % LANES
    for column in range(0, full_columns, LANES):
        for feature in range(first, full_last, LANES):
            copy_transposed(data, samples, column, out, feature)
        for feature in range(full_last, last):
            for b in range(column, column + LANES):
                out[feature, b] = data[samples[b], feature]
    for b in range(full_columns, batch):
        for feature in range(first, last):
            out[feature, b] = data[samples[b], feature]
    for feature in range(first, last):
        for b in range(batch, width):
            out[feature, b] = 0


@parallel_kernel
def gather_dense(data, samples, out):
    """Write out[f, b] = data[samples[b], f], and 0 in the padded columns.

    Parameters
    ----------
    data : (n_samples, n_features) float array
    samples : (batch,) int64 array
    out : (n_features, columns) float array, columns >= batch
    """
    n_features = out.shape[0]
    for task in prange((n_features + FEATURES - 1) // FEATURES):
        first = task * FEATURES
        last = min(first + FEATURES, n_features)
        _gather_features(data, samples, first, last, out)


@kernel
def gather_csr(data, samples, out):
    """Write the chosen samples of sparse data, feature by feature.

    A counting sort: O(n_features + non-zeros of the batch).

    Parameters
    ----------
    data : Csr
        Samples by features.
    samples : (batch,) int64 array
    out : SparseBatch
        Written; `positions` and `values` have room for every non-zero of the batch.
    """
    counts = out.indptr
    for f in range(counts.size):
        counts[f] = 0
    for sample in samples:
        for p in range(data.indptr[sample], data.indptr[sample + 1]):
            counts[data.indices[p] + 1] += 1
    for f in range(counts.size - 1):
        counts[f + 1] += counts[f]
    # Filling moves each feature's pointer to its end, which is the next one's start;
    # the shift below puts the pointers back.
    for b in range(samples.size):
        for p in range(data.indptr[samples[b]], data.indptr[samples[b] + 1]):
            f = data.indices[p]
            out.positions[counts[f]] = b
            out.values[counts[f]] = data.values[p]
            counts[f] += 1
    for f in range(counts.size - 1, 0, -1):
        counts[f] = counts[f - 1]
    counts[0] = 0
