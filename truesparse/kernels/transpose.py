"""The column view of a CSR pattern, by a counting sort over the columns.

The view is rebuilt whenever the topology changes. The sort is stable: the rows of a
column ascend, and the view does not depend on the number of threads. Tasks own
contiguous ranges of rows, and each knows where its share of every column starts.
"""

from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange


@inner_kernel
def _place(indptr, indices, first, last, cursor, rows, permutation):
    for i in range(first, last):
        for p in range(indptr[i], indptr[i + 1]):
            q = cursor[indices[p]]
            cursor[indices[p]] = q + 1
            rows[q] = i
            permutation[q] = p


@parallel_kernel
def build_view(starts, csr_indptr, indices, cursors, csc):
    """Fill the column view.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    csr_indptr : (n_in + 1,) int64 array
    indices : (nnz,) int32 array
    cursors : (n_tasks, n_out) int64 array
        Overwritten.
    csc : Csc
        All three arrays are written.
    """
    n_tasks, n_out = cursors.shape
    for task in prange(n_tasks):
        for j in range(n_out):
            cursors[task, j] = 0
        for p in range(csr_indptr[starts[task]], csr_indptr[starts[task + 1]]):
            cursors[task, indices[p]] += 1
    total = 0
    for j in range(n_out):
        csc.indptr[j] = total
        for task in range(n_tasks):
            count = cursors[task, j]
            cursors[task, j] = total
            total += count
    csc.indptr[n_out] = total
    for task in prange(n_tasks):
        _place(
            csr_indptr,
            indices,
            starts[task],
            starts[task + 1],
            cursors[task],
            csc.rows,
            csc.permutation,
        )
