"""Changing a CSR pattern: which cells are absent, dropping, and merging new cells in.

Nothing here is of the size of the matrix. Tasks own contiguous ranges of rows.
"""

import numpy as np

from truesparse.jit import kernel, parallel_kernel, prange


@parallel_kernel
def count_kept(starts, indptr, dropped, out_counts):
    """Write how many connections each row keeps to out_counts[row + 1].

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    indptr : (n_in + 1,) int64 array
    dropped : (nnz,) bool array
    out_counts : (n_in + 1,) int64 array
    """
    out_counts[0] = 0
    for task in prange(starts.size - 1):
        for i in range(starts[task], starts[task + 1]):
            kept = 0
            for p in range(indptr[i], indptr[i + 1]):
                kept += not dropped[p]
            out_counts[i + 1] = kept


@kernel
def _absent_rows(csr, dropped, kept_indptr, n_out, rows, ranks, first_rank):
    """Turn the ranks of the absent cells of some rows into keys, in place."""
    q = first_rank
    for i in range(rows[0], rows[1]):
        absent_before = i * n_out - kept_indptr[i]
        absent_after = (i + 1) * n_out - kept_indptr[i + 1]
        p, stop = csr.indptr[i], csr.indptr[i + 1]
        passed = 0  # connections of this row at or below the cell
        while q < ranks.size and ranks[q] < absent_after:
            column = ranks[q] - absent_before + passed
            while p < stop and (dropped[p] or csr.indices[p] <= column):
                if not dropped[p]:
                    passed += 1
                    column += 1
                p += 1
            ranks[q] = i * n_out + column
            q += 1


@parallel_kernel
def ranks_to_keys(starts, csr, dropped, kept_indptr, n_out, ranks):
    """Turn ranks among the absent cells into keys row * n_out + column, in place.

    Rank r is the r-th cell, in row-major order, that is not connected. Dropped
    connections count as absent.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    csr : Csr
        Only the index is read.
    dropped : (nnz,) bool array
    kept_indptr : (n_in + 1,) int64 array
        Running total of the connections that rows keep.
    n_out : int
    ranks : (k,) int64 array
        Ascending and distinct on entry; ascending keys on return.
    """
    n_tasks = starts.size - 1
    first_ranks = np.empty(n_tasks, np.int64)
    for task in range(n_tasks):
        # All searches come first: tasks overwrite the ranks.
        i = starts[task]
        first_ranks[task] = np.searchsorted(ranks, i * n_out - kept_indptr[i])
    for task in prange(n_tasks):
        rows = (starts[task], starts[task + 1])
        _absent_rows(csr, dropped, kept_indptr, n_out, rows, ranks, first_ranks[task])


@kernel
def _merge_rows(csr, dropped, keys, new_values, n_out, rows, out, origin):
    q = np.searchsorted(keys, np.int64(rows[0]) * n_out)
    for i in range(rows[0], rows[1]):
        position = out.indptr[i]
        p, stop = csr.indptr[i], csr.indptr[i + 1]
        row_end = (i + 1) * n_out
        while True:
            while p < stop and dropped[p]:
                p += 1
            has_new = q < keys.size and keys[q] < row_end
            if p >= stop and not has_new:
                break
            if has_new and (p >= stop or keys[q] - i * n_out < csr.indices[p]):
                out.indices[position] = keys[q] - i * n_out
                out.values[position] = new_values[q]
                origin[position] = -1
                q += 1
            else:
                out.indices[position] = csr.indices[p]
                out.values[position] = csr.values[p]
                is_taken = has_new and keys[q] - i * n_out == csr.indices[p]
                origin[position] = -2 if is_taken else p
                p += 1
            position += 1


@parallel_kernel
def merge(starts, csr, dropped, keys, new_values, n_out, out, origin):
    """Write the connections without the dropped ones and with the new cells.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
    csr : Csr
        The old connections.
    dropped : (nnz,) bool array
    keys : (k,) int64 array
        New cells as row * n_out + column, ascending, absent from the old index
        or dropped.
    new_values : (k,) array
        Their weights.
    n_out : int
    out : Csr
        `indptr` is given, `indices` and `values` are written.
    origin : (new nnz,) int array
        Written: old position of each connection, -1 for the new ones, -2 where a new
        cell is connected already.
    """
    for task in prange(starts.size - 1):
        rows = (starts[task], starts[task + 1])
        _merge_rows(csr, dropped, keys, new_values, n_out, rows, out, origin)


@parallel_kernel
def carry_over(origin, old, new, task_size):
    """Write new[q] = old[origin[q]], leaving new connections (-1) as they are."""
    for task in prange((origin.size + task_size - 1) // task_size):
        start = task * task_size
        for q in range(start, min(start + task_size, origin.size)):
            if origin[q] >= 0:
                new[q] = old[origin[q]]


@parallel_kernel
def expand_rows(starts, indptr, out_rows):
    """Write the row of every connection."""
    for task in prange(starts.size - 1):
        for i in range(starts[task], starts[task + 1]):
            for p in range(indptr[i], indptr[i + 1]):
                out_rows[p] = i


@parallel_kernel
def split_keys(keys, n_out, task_size, out_rows, out_cols):
    """Write row and column of each key row * n_out + column."""
    for task in prange((keys.size + task_size - 1) // task_size):
        start = task * task_size
        for p in range(start, min(start + task_size, keys.size)):
            row = keys[p] // n_out
            out_rows[p] = row
            out_cols[p] = keys[p] - row * n_out
