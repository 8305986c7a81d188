"""The largest products of a row's and a column's number among absent cells."""

from typing import NamedTuple

import numpy as np

from truesparse.kernels.jit import inner_kernel, kernel


class Factors(NamedTuple):
    """Numbers of rows and columns, and the order in which they fall."""

    rows: np.ndarray  # (n_in,) float64, not negative
    columns: np.ndarray  # (n_out,) float64, not negative
    row_order: np.ndarray  # (n_in,) int64
    column_order: np.ndarray  # (n_out,) int64


class Heap(NamedTuple):
    """Rows that wait, each with its largest product that has not been taken."""

    rows: np.ndarray  # (n_in,) int64
    products: np.ndarray  # (n_in,) float64, those of the children are no larger
    taken: np.ndarray  # (n_in,) int64, products that a row has given, at first 0


@inner_kernel
def _is_open(pattern, row, column):
    """Return whether a cell is absent, or connected and marked as dropped."""
    low, stop = pattern.indptr[row], pattern.indptr[row + 1]
    high = stop
    while low < high:
        middle = (low + high) // 2
        if pattern.indices[middle] < column:
            low = middle + 1
        else:
            high = middle
    return low == stop or pattern.indices[low] != column or pattern.dropped[low]


@inner_kernel
def _rise(heap, place, row, product):
    """Add a row to a heap of `place` rows."""
    while place > 0:
        parent = (place - 1) // 2
        if heap.products[parent] >= product:
            break
        heap.rows[place] = heap.rows[parent]
        heap.products[place] = heap.products[parent]
        place = parent
    heap.rows[place], heap.products[place] = row, product


@inner_kernel
def _sink(heap, size, row, product):
    """Replace the first row of a heap of `size` rows."""
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and heap.products[child + 1] > heap.products[child]:
            child += 1
        if heap.products[child] <= product:
            break
        heap.rows[place] = heap.rows[child]
        heap.products[place] = heap.products[child]
        place = child
    heap.rows[place], heap.products[place] = row, product


@kernel
def largest_products(pattern, factors, heap, out_keys):
    """Write the open cells of largest product, largest first, and return their number.

    The first product of a row is no larger than that of the row before it in their
    order, so it enters the heap once that one has been taken. Each turn takes the
    largest product of all rows that wait.

    Parameters
    ----------
    pattern : Pattern
        A cell is open if it is absent or marked as dropped.
    factors : Factors
    heap : Heap
        Overwritten.
    out_keys : (count,) int64 array
        Cells ``row * n_out + column``; filled as far as products are above 0.

    Returns
    -------
    int
    """
    rows, columns, row_order, column_order = factors
    size, n_entered, n_written = 0, 0, 0
    while n_written < out_keys.size:
        previous = n_entered - 1
        if previous < 0 or (
            n_entered < rows.size and heap.taken[row_order[previous]] > 0
        ):
            row = row_order[n_entered]
            _rise(heap, size, row, rows[row] * columns[column_order[0]])
            size += 1
            n_entered += 1
        if size == 0 or heap.products[0] <= 0.0:
            break
        row = heap.rows[0]
        column = column_order[heap.taken[row]]
        if _is_open(pattern, row, column):
            out_keys[n_written] = row * columns.size + column
            n_written += 1
        heap.taken[row] += 1
        if heap.taken[row] < columns.size:
            product = rows[row] * columns[column_order[heap.taken[row]]]
            _sink(heap, size, row, product)
        else:
            size -= 1
            _sink(heap, size, heap.rows[size], heap.products[size])
    return n_written
