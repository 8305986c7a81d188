"""Gradients of connections that do not exist: g_ij = sum_b x_ib delta_jb.

On a list of cells, or on all absent cells, of which the largest are kept: every
gradient-guided growth method scores its candidates with these, and a dense gradient is
never held.
"""

import numpy as np

from truesparse.jit import inlined_kernel, inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import columns, dot, load
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals

# Magnitudes fall into bins of the upper bits of a float32: eight of the exponent and
# six of the mantissa. Bin 0 is for zero and what is as good as zero.
BINS = 1 << 14
_SHIFT = 17


@inlined_kernel
def _gradient(tile, x, i, delta, j):
    gradient = delta.dtype.type(0.0)
    for column in range(0, delta.shape[1], columns(tile)):
        gradient += dot(load(tile, x, i, column), load(tile, delta, j, column))
    return gradient


@inner_kernel
def _candidate_range(tile, keys, x, delta, out, start, stop):
    n_out = delta.shape[0]
    for p in range(start, stop):
        i = keys[p] // n_out
        out[p] += _gradient(tile, x, i, delta, keys[p] - i * n_out)


@parallel_kernel
def candidate_gradients(tile, keys, x, delta, task_size, out):
    """Add the gradient of each candidate connection to out[p].

    Parameters
    ----------
    tile : tuple
        See simd.make_tile.
    keys : (n_candidates,) int64 array
        Cells row * n_out + column, in any order.
    x : (n_in, columns) float array
    delta : (n_out, columns) float array
    task_size : int
        Candidates a task.
    out : (n_candidates,) float array
    """
    for task in prange((keys.size + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, keys.size)
        _candidate_range(tile, keys, x, delta, out, start, stop)
        restore_subnormals(state)


@inner_kernel
def _sparse_candidate_range(keys, batch, delta, out, start, stop):
    n_out = delta.shape[0]
    for p in range(start, stop):
        i = keys[p] // n_out
        j = keys[p] - i * n_out
        gradient = delta.dtype.type(0.0)
        for q in range(batch.indptr[i], batch.indptr[i + 1]):
            gradient += batch.values[q] * delta[j, batch.positions[q]]
        out[p] += gradient


@parallel_kernel
def candidate_gradients_sparse(keys, batch, delta, task_size, out):
    """Add the gradient of each candidate to out[p], for a SparseBatch of inputs.

    Parameters
    ----------
    keys, delta, task_size, out
        See candidate_gradients.
    batch : SparseBatch
    """
    for task in prange((keys.size + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, keys.size)
        _sparse_candidate_range(keys, batch, delta, out, start, stop)
        restore_subnormals(state)


@inner_kernel
def _bin(gradient):
    """Return the bin of a magnitude; a larger one is never in a lower bin."""
    return np.float32(abs(gradient)).view(np.int32) >> _SHIFT


@inner_kernel
def _scan(tile, pattern, inputs, rows, lowest, out_counts, out, first):
    """Count all absent cells by bin, or if `lowest` > 0 list those from there on."""
    x, delta = inputs
    n_out, q = delta.shape[0], first
    for i in range(rows[0], rows[1]):
        p, stop = pattern.indptr[i], pattern.indptr[i + 1]
        for j in range(n_out):
            while p < stop and (pattern.dropped[p] or pattern.indices[p] < j):
                p += 1
            if p < stop and pattern.indices[p] == j:
                continue
            gradient = _gradient(tile, x, i, delta, j)
            bin_ = _bin(gradient)
            if lowest == 0:
                out_counts[bin_] += 1
            elif bin_ >= lowest:
                out.keys[q] = np.int64(i) * n_out + j
                out.values[q] = abs(gradient)
                q += 1


@parallel_kernel
def scan_gradients(tile, starts, pattern, inputs, lowest, out_counts, out):
    """Go over all absent cells of a layer, cell by cell: cost n_in n_out columns.

    Parameters
    ----------
    tile : tuple
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    pattern : Pattern
    inputs : tuple of (n_in, columns) and (n_out, columns) float arrays
        x and delta.
    lowest : int
        0 counts magnitudes by bin; another bin lists the cells from it upwards.
    out_counts : (n_tasks, BINS) int64 array
        Zero on entry and written if `lowest` is 0; else read, to know where the list
        of each task starts.
    out : Growth
        Keys and magnitudes, ascending by key; written if `lowest` is not 0.
    """
    n_tasks = starts.size - 1
    firsts = np.zeros(n_tasks, np.int64)
    if lowest > 0:
        for task in range(1, n_tasks):
            firsts[task] = firsts[task - 1] + out_counts[task - 1, lowest:].sum()
    for task in prange(n_tasks):
        state = flush_subnormals()
        rows = (starts[task], starts[task + 1])
        counts = out_counts[task]
        _scan(tile, pattern, inputs, rows, lowest, counts, out, firsts[task])
        restore_subnormals(state)
