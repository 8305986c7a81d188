"""Gradients of connections that do not exist: g_ij = sum_b x_ib delta_jb.

On a list of cells, or on all absent cells, of which the largest are kept: every
gradient-guided growth method scores its candidates with these, and a dense gradient is
never held.
"""

import numpy as np

from truesparse.kernels.jit import inlined_kernel, inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import columns, dot, load
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals


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
def _bits(gradient):
    """Return the bits of a magnitude in float32, which have the same order."""
    return np.int64(np.float32(abs(gradient)).view(np.int32))


@inner_kernel
def _scan(tile, pattern, inputs, rows, bins, counts, place, out):
    """Count the absent cells of some rows by bin, or if there are none list them."""
    x, delta = inputs
    (lowest, shift), (q, skipped) = bins, place
    n_bins, n_out = counts.shape[0], delta.shape[0]
    for i in range(rows[0], rows[1]):
        p, stop = pattern.indptr[i], pattern.indptr[i + 1]
        for j in range(n_out):
            while p < stop and (pattern.dropped[p] or pattern.indices[p] < j):
                p += 1
            if p < stop and pattern.indices[p] == j:
                continue
            gradient = _gradient(tile, x, i, delta, j)
            bits = _bits(gradient)
            if bits < lowest:
                continue
            if n_bins > 0:
                bin_ = (bits - lowest) >> shift
                if bin_ < n_bins:
                    counts[bin_] += 1
            elif bits == lowest and skipped > 0:
                skipped -= 1
            else:
                out.keys[q] = np.int64(i) * n_out + j
                out.values[q] = abs(gradient)
                q += 1


@parallel_kernel
def scan_gradients(tile, starts, pattern, inputs, bins, counts, places, out):
    """Go over all absent cells of a layer, cell by cell: cost n_in n_out columns.

    Parameters
    ----------
    tile : tuple
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    pattern : Pattern
    inputs : tuple of (n_in, columns) and (n_out, columns) float arrays
        x and delta.
    bins : tuple of int
        Bits of the least magnitude that counts, in float32, and by how many of them
        the bins from there on are wide: 2**bins[1] of them fall into each.
    counts : (n_tasks, n_bins) int64 array
        Added to. Without bins, the cells are listed instead.
    places : (n_tasks, 2) int64 array
        Where the list of each task starts, and how many of its cells that have exactly
        the least magnitude, the first of them, are left out.
    out : Growth
        Keys and magnitudes, ascending by key.
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        rows, place = (
            (starts[task], starts[task + 1]),
            (places[task, 0], places[task, 1]),
        )
        _scan(tile, pattern, inputs, rows, bins, counts[task], place, out)
        restore_subnormals(state)
