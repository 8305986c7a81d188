"""Changing a CSR pattern: finding absent cells, dropping cells, merging new ones.

Nothing here is as large as the matrix. Tasks own contiguous ranges of rows.
"""

import numpy as np

from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange


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
            count = 0
            for p in range(indptr[i], indptr[i + 1]):
                count += not dropped[p]
            out_counts[i + 1] = count


@inner_kernel
def _first_at_least(ascending, value):
    """Return the position of the first number that is not below `value`."""
    # np.searchsorted does the same, but adds 0.8 s to compiling the two kernels that
    # call this (EPYC 7003, 2026-11).
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inner_kernel
def _find_range(csr, n_out, keys, out, start, stop):
    for q in range(start, stop):
        i = keys[q] // n_out
        low, high = csr.indptr[i], csr.indptr[i + 1]
        columns = csr.indices[low:high]
        place = _first_at_least(columns, keys[q] - i * n_out)
        is_found = place < columns.size
        out[q] = is_found and columns[place] == keys[q] - i * n_out


@parallel_kernel
def find(csr, n_out, keys, task_size, out):
    """Write to out[q] whether the cell keys[q] is connected.

    Parameters
    ----------
    csr : Csr
    n_out : int
    keys : (k,) int64 array
        Cells row * n_out + column of the layer, in any order.
    task_size : int
        Cells a task.
    out : (k,) bool array
    """
    for task in prange((keys.size + task_size - 1) // task_size):
        start = task * task_size
        _find_range(csr, n_out, keys, out, start, min(start + task_size, keys.size))


@inner_kernel
def _absent_rows(csr, dropped, kept_indptr, n_out, rows, ranks, first_rank):
    """Turn the ranks of the absent cells of some rows into keys, in place."""
    q = first_rank
    for i in range(rows[0], rows[1]):
        absent_before = i * n_out - kept_indptr[i]
        absent_after = (i + 1) * n_out - kept_indptr[i + 1]
        p, stop = csr.indptr[i], csr.indptr[i + 1]
        passed = 0  # connections of this row up to the cell
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
        Its values are not read.
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
        first_ranks[task] = _first_at_least(ranks, i * n_out - kept_indptr[i])
    for task in prange(n_tasks):
        rows = (starts[task], starts[task + 1])
        _absent_rows(csr, dropped, kept_indptr, n_out, rows, ranks, first_ranks[task])


@inner_kernel
def _merge_index_rows(rows, csr, dropped, keys, n_out, out_indptr, out_indices):
    q = _first_at_least(keys, np.int64(rows[0]) * n_out)
    for i in range(rows[0], rows[1]):
        position = out_indptr[i]
        p, stop = csr.indptr[i], csr.indptr[i + 1]
        row_end = (i + 1) * n_out
        while True:
            while p < stop and dropped[p]:
                p += 1
            has_new = q < keys.size and keys[q] < row_end
            if p >= stop and not has_new:
                break
            if has_new and (p >= stop or keys[q] - i * n_out < csr.indices[p]):
                out_indices[position] = keys[q] - i * n_out
                q += 1
            else:
                is_taken = has_new and keys[q] - i * n_out == csr.indices[p]
                out_indices[position] = -1 if is_taken else csr.indices[p]
                p += 1
            position += 1


@parallel_kernel
def merge_indices(starts, csr, dropped, keys, n_out, out_indptr, out_indices):
    """Write the columns of the connections without the dropped and with the new ones.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
    csr : Csr
        The old connections; their values are not read.
    dropped : (nnz,) bool array
    keys : (k,) int64 array
        New cells row * n_out + column, ascending.
    n_out : int
    out_indptr : (n_in + 1,) int64 array
        Given.
    out_indices : (new nnz,) int32 array
        -1 where a new cell is connected already.
    """
    for task in prange(starts.size - 1):
        rows = (starts[task], starts[task + 1])
        _merge_index_rows(rows, csr, dropped, keys, n_out, out_indptr, out_indices)


@inner_kernel
def _merge_value_rows(rows, old, dropped, new, n_out, out):
    has_values = new.values.size > 0
    keys = new.keys
    q = _first_at_least(keys, np.int64(rows[0]) * n_out)
    for i in range(rows[0], rows[1]):
        p = old.indptr[i]
        for position in range(out.indptr[i], out.indptr[i + 1]):
            if q < keys.size and keys[q] - i * n_out == out.indices[position]:
                out.values[position] = new.values[q] if has_values else 0
                q += 1
            else:
                while dropped[p]:
                    p += 1
                out.values[position] = old.values[p]
                p += 1


@parallel_kernel
def merge_values(starts, old, dropped, new, n_out, out):
    """Write one number for each connection: the old one, or that of a new connection.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
    old : Csr
        The old connections; their indices are not read.
    dropped : (nnz,) bool array
    new : Growth
        Without values, new connections get 0.
    n_out : int
    out : Csr
        The new connections, as `merge_indices` wrote them; `values` are written.
    """
    for task in prange(starts.size - 1):
        rows = (starts[task], starts[task + 1])
        _merge_value_rows(rows, old, dropped, new, n_out, out)
