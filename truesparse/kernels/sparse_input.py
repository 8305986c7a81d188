"""The first layer when the input is sparse: forward and backward, never densified.

The batch comes feature by feature (see batch.py). Work is proportional to the number of
weights plus the number of products that are not zero.
"""

import numpy as np

from truesparse.kernels.activation import activate_row
from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals
from truesparse.kernels.update import step_weight


@inner_kernel
def _forward_sparse_rows(csc, values, batch, head, activation, start, stop):
    out = head.out
    for j in range(start, stop):
        for b in range(out.shape[1]):
            out[j, b] = head.bias[j]
        for p in range(csc.indptr[j], csc.indptr[j + 1]):
            i = csc.rows[p]
            first, last = batch.indptr[i], batch.indptr[i + 1]
            if first < last:
                weight = values[csc.permutation[p]]
                for q in range(first, last):
                    out[j, batch.positions[q]] += weight * batch.values[q]
        activate_row(activation, out, head.slope, j)


@parallel_kernel
def forward_sparse(starts, csc, values, batch, head, activation):
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
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        start, stop = starts[task], starts[task + 1]
        _forward_sparse_rows(csc, values, batch, head, activation, start, stop)
        restore_subnormals(state)


@inner_kernel
def _backward_sparse_rows(csr, moments, rule, batch, delta, start, stop):
    for i in range(start, stop):
        first, last = batch.indptr[i], batch.indptr[i + 1]
        for p in range(np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])):
            j = csr.indices[p]
            g = delta.dtype.type(0.0)
            for q in range(first, last):
                g += batch.values[q] * delta[j, batch.positions[q]]
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
    delta : (n_out, columns) float array
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        start, stop = starts[task], starts[task + 1]
        _backward_sparse_rows(csr, moments, rule, batch, delta, start, stop)
        restore_subnormals(state)
