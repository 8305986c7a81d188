"""The first layer when the input is sparse: forward and backward, never densified.

The batch comes feature by feature (see batch.py). Work is proportional to the number of
weights plus the number of products that are not zero.
"""

import numpy as np

from truesparse.kernels.activation import activate_row
from truesparse.kernels.bfloat16 import read, write
from truesparse.kernels.jit import get_thread_id, inner_kernel, parallel_kernel, prange
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals
from truesparse.kernels.update import step_weight


@inner_kernel
def _forward_sparse_rows(csc, values, batch, head, activation, task):
    (start, stop), sums = task
    out = head.out
    width = out.shape[1]
    for j in range(start, stop):
        for b in range(width):
            sums[b] = head.bias[j]
        for p in range(csc.indptr[j], csc.indptr[j + 1]):
            i = csc.rows[p]
            first, last = batch.indptr[i], batch.indptr[i + 1]
            if first < last:
                weight = values[csc.permutation[p]]
                for q in range(first, last):
                    sums[batch.positions[q]] += weight * batch.values[q]
        for b in range(width):
            write(out, j * width + b, sums[b])
        activate_row(activation, out, head.slope, j)


@parallel_kernel
def forward_sparse(starts, csc, values, batch, head, activation, scratch):
    """Compute head.out = f(bias + W^T x) for a sparse batch x.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Output neurons of task t are starts[t] to starts[t + 1].
    csc : Csc
    values : (nnz,) float array, in row order
    batch : SparseBatch
    head : Head
        `out` is written, and `slope` if the activation keeps it.
    activation : Activation
    scratch : (n_threads, columns or more) float array
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        bounds = (starts[task], starts[task + 1])
        sums = scratch[get_thread_id()]
        _forward_sparse_rows(csc, values, batch, head, activation, (bounds, sums))
        restore_subnormals(state)


@inner_kernel
def _backward_sparse_rows(csr, moments, rule, batch, delta, start, stop):
    width = delta.shape[1]
    for i in range(start, stop):
        first, last = batch.indptr[i], batch.indptr[i + 1]
        for p in range(np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])):
            place = csr.indices[p] * width
            g = csr.values.dtype.type(0.0)
            for q in range(first, last):
                change = read(delta, place + batch.positions[q])
                g += batch.values[q] * change
            step_weight(rule, csr.values, moments.first, moments.second, p, g)


@parallel_kernel
def backward_sparse(starts, csr, moments, rule, batch, delta):
    """Update the weights of the first layer from a sparse batch.

    Weights of absent features are updated as well: momentum and decay still act.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Features of task t are starts[t] to starts[t + 1].
    csr, moments, rule
        See backward.backward.
    batch : SparseBatch
    delta : (n_out, columns) array
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        start, stop = starts[task], starts[task + 1]
        _backward_sparse_rows(csr, moments, rule, batch, delta, start, stop)
        restore_subnormals(state)
