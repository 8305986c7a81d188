"""Forward product of one sparse layer: z_j = bias_j + sum_i w_ij x_i, then f(z).

Two orders of the same sum:

* gather: one output neuron at a time reads its inputs through the column view and keeps
  its sum in registers;
* scatter: one input neuron at a time adds to its outputs, so that weights are read in
  the order of memory. Used for small batches, where fetching single weights through the
  view costs most, and for layers with few outputs, where it reads each input just once.
  A fixed number of tasks write to separate sums, which are then added in order.

This is what they do, with whole rows (a number for each sample) in place of tiles::

    for j in range(n_out):                              # gather
        sums = bias[j]
        for p in range(csc.indptr[j], csc.indptr[j + 1]):
            sums = sums + values[csc.permutation[p]] * x[csc.rows[p]]
        out[j] = f(sums)

    out = zeros((n_out, columns))                       # scatter, with one task
    for i in range(n_in):
        for p in range(csr.indptr[i], csr.indptr[i + 1]):
            out[csr.indices[p]] += csr.values[p] * x[i]
    out = f(out + bias)
"""

import numpy as np

from truesparse.kernels import awake
from truesparse.kernels.activation import activate_row, activate_rows
from truesparse.kernels.arrays import Activation, Csc, Csr, Head
from truesparse.kernels.bfloat16 import read, write
from truesparse.kernels.jit import inlined_kernel, inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import (
    add_scaled,
    ahead,
    columns,
    full,
    load,
    prefetch,
    prefetch_number,
    store,
)
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals

# Positions are unsigned and `full` takes an array for its type alone: see backward.py.


@inner_kernel
def _gather_rows(tile, csc_fields, values, x, head_fields, activation_fields, bounds):
    csc, head = Csc(*csc_fields), Head(*head_fields)
    activation = Activation(*activation_fields)
    rows, permutation = csc.rows, csc.permutation
    start, stop = bounds
    for j in range(start, stop):
        first, last = np.uint64(csc.indptr[j]), np.uint64(csc.indptr[j + 1])
        for column in range(0, x.shape[1], columns(tile)):
            sums = full(tile, x, head.bias[j])
            for p in range(first, last):
                later = ahead(p, rows)
                prefetch(tile, x, rows[later], column)
                prefetch_number(values, permutation[later])
                weight = values[np.uint64(permutation[p])]
                sums = add_scaled(sums, weight, load(tile, x, rows[p], column))
            store(head.out, j, column, sums)
        activate_row(activation, head.out, head.slope, j)


@parallel_kernel
def forward_gather(tile, starts, csc, values, x, head, activation):
    """Compute head.out = f(bias + W^T x), one output neuron at a time.

    Parameters
    ----------
    tile : tuple
        See simd.make_tile; x.shape[1] is a multiple of its columns.
    starts : (n_tasks + 1,) int64 array
        Output neurons of task t are starts[t] to starts[t + 1].
    csc : Csc
    values : (nnz,) float array, in row order
    x : (n_in, columns) array
    head : Head
        `out` is written, and `slope` if the activation keeps it.
    activation : Activation
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        bounds = starts[task], starts[task + 1]
        _gather_rows(tile, csc, values, x, head, activation, bounds)
        restore_subnormals(state)


@inlined_kernel
def _scatter_row(tile, csr, x, out, i):
    indices, values = csr.indices, csr.values
    first, last = np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])
    for column in range(0, x.shape[1], columns(tile)):
        inputs = load(tile, x, i, column)
        for p in range(first, last):
            prefetch(tile, out, indices[ahead(p, indices)], column)
            j = indices[p]
            sums = add_scaled(load(tile, out, j, column), values[p], inputs)
            store(out, j, column, sums)


@inner_kernel
def _scatter_rows(tile, csr_fields, x, out, start, stop):
    csr = Csr(*csr_fields)
    flat = out.reshape(out.size)
    for k in range(flat.size):
        flat[k] = 0
    if columns(tile) > awake.COLUMNS:
        for i in range(start, stop):
            _scatter_row(tile, csr, x, out, i)
        return
    for group in range(start, stop, awake.GROUP):
        rows, _ = awake.split(x, group, min(group + awake.GROUP, stop))
        while rows:
            k, rows = awake.first(rows)
            _scatter_row(tile, csr, x, out, group + k)


@parallel_kernel
def scatter(tile, starts, csr, x, out_partial):
    """Write the part of W^T x that the input neurons of each task contribute.

    Parameters
    ----------
    tile : tuple
    starts : (n_tasks + 1,) int64 array
        Input neurons of task t are starts[t] to starts[t + 1].
    csr : Csr
    x : (n_in, columns) array
    out_partial : (n_tasks * n_out, columns) float array
    """
    n_tasks = starts.size - 1
    n_out = out_partial.shape[0] // n_tasks
    for task in prange(n_tasks):
        state = flush_subnormals()
        out = out_partial[task * n_out : (task + 1) * n_out]
        _scatter_rows(tile, csr, x, out, starts[task], starts[task + 1])
        restore_subnormals(state)


@inner_kernel
def _count_outputs(head_fields):
    return Head(*head_fields).bias.size


@inner_kernel
def _combine_rows(tile, partial, head_fields, activation_fields, task_size, task):
    head, activation = Head(*head_fields), Activation(*activation_fields)
    out = head.out
    start = task * task_size
    stop = min(start + task_size, head.bias.size)
    width = out.shape[1]
    # Sums add up where they are, in full precision, and are rounded but once. Rows may
    # be shorter than a vector, so these loops run over all of them at once.
    for offset in range(out.size, partial.size, out.size):
        for k in range(start * width, stop * width):
            write(partial, k, read(partial, k) + read(partial, offset + k))
    # There is no sum of tiles: the bias is added as bias times 1.
    one = full(tile, partial, 1.0)
    for j in range(start, stop):
        for column in range(0, width, columns(tile)):
            sums = add_scaled(load(tile, partial, j, column), head.bias[j], one)
            store(out, j, column, sums)
    activate_rows(activation, out, head.slope, start, stop)


@parallel_kernel
def combine(tile, partial, head, activation, task_size):
    """Compute head.out = f(bias + the partial sums, added in the order of the tasks).

    Parameters
    ----------
    tile : tuple
    partial : (n_tasks * n_out, columns) float array
        Overwritten.
    head : Head
    activation : Activation
    task_size : int
        Output neurons a task.
    """
    n_out = _count_outputs(head)
    for task in prange((n_out + task_size - 1) // task_size):
        state = flush_subnormals()
        _combine_rows(tile, partial, head, activation, task_size, task)
        restore_subnormals(state)
