"""Gradients of connections that do not exist: g_ij = sum_b x_ib delta_jb.

They are taken at a list of cells, or at all absent cells, whose magnitudes are first
counted and then listed from a threshold on. Every method that grows by gradient scores
its candidates with these; a dense gradient is never held.
"""

from typing import NamedTuple

import numpy as np

from truesparse.kernels.jit import inlined_kernel, inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import columns, dot, load
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals


class Bins(NamedTuple):
    """Ranges of magnitudes, as the bits of float32 numbers, which have their order."""

    lowest: int  # bits of the least magnitude that counts
    shift: int  # each bin holds 2**shift numbers, the first begins at lowest


class Listing(NamedTuple):
    """Cells and magnitudes, ascending by key within a task."""

    starts: np.ndarray  # (n_tasks,) int64, where the cells of each task begin
    skipped: np.ndarray  # (n_tasks,) int64, first cells of least magnitude to leave out
    keys: np.ndarray  # (k,) int64
    sizes: np.ndarray  # (k,) float


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


@inlined_kernel
def _bits(gradient):
    """Return the bits of a magnitude in float32, which have the same order."""
    return np.int64(np.float32(abs(gradient)).view(np.int32))


@inlined_kernel
def _next_connection(pattern, p, stop, j):
    """Return the first place from p on of a connection to column j or beyond."""
    while p < stop and (pattern.dropped[p] or pattern.indices[p] < j):
        p += 1
    return p


@inner_kernel
def _count_range(tile, rows, pattern, x, delta, bins, out_counts):
    n_bins = out_counts.shape[0]
    for i in range(rows[0], rows[1]):
        p, stop = pattern.indptr[i], pattern.indptr[i + 1]
        for j in range(delta.shape[0]):
            p = _next_connection(pattern, p, stop, j)
            if p < stop and pattern.indices[p] == j:
                continue
            bits = _bits(_gradient(tile, x, i, delta, j))
            if bits < bins.lowest:
                continue
            bin_ = (bits - bins.lowest) >> bins.shift
            if bin_ < n_bins:
                out_counts[bin_] += 1


@parallel_kernel
def count_gradients(tile, starts, pattern, x, delta, bins, out_counts):
    """Count the magnitudes of all absent cells of a layer by bin.

    Goes over the layer cell by cell: cost n_in n_out columns.

    Parameters
    ----------
    tile : tuple
        See simd.make_tile.
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    pattern : Pattern
    x : (n_in, columns) float array
    delta : (n_out, columns) float array
    bins : Bins
    out_counts : (n_tasks, n_bins) int64 array
        Added to. Magnitudes beyond the last bin are not counted.
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        rows = (starts[task], starts[task + 1])
        _count_range(tile, rows, pattern, x, delta, bins, out_counts[task])
        restore_subnormals(state)


@inner_kernel
def _list_range(tile, task, starts, pattern, x, delta, lowest, out):
    n_out = delta.shape[0]
    position, n_skipped = out.starts[task], out.skipped[task]
    for i in range(starts[task], starts[task + 1]):
        p, stop = pattern.indptr[i], pattern.indptr[i + 1]
        for j in range(n_out):
            p = _next_connection(pattern, p, stop, j)
            if p < stop and pattern.indices[p] == j:
                continue
            gradient = _gradient(tile, x, i, delta, j)
            bits = _bits(gradient)
            if bits < lowest:
                continue
            if bits == lowest and n_skipped > 0:
                n_skipped -= 1
                continue
            out.keys[position] = np.int64(i) * n_out + j
            out.sizes[position] = abs(gradient)
            position += 1


@parallel_kernel
def list_gradients(tile, starts, pattern, x, delta, lowest, out):
    """List the absent cells of a layer whose magnitude is large enough.

    Goes over the layer cell by cell: cost n_in n_out columns.

    Parameters
    ----------
    tile, starts, pattern, x, delta
        See count_gradients.
    lowest : int
        Bits of the least magnitude to list, in float32.
    out : Listing
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        _list_range(tile, task, starts, pattern, x, delta, lowest, out)
        restore_subnormals(state)
