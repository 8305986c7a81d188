"""The largest products of two numbers, beside a sort of all of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.strategies import SEEDS

from truesparse.kernels.arrays import Pattern
from truesparse.kernels.products import Factors, Heap, largest_products


def find(mask, dropped, rows, columns, count):
    """Return the cells that the kernel finds, largest product first."""
    n_in = len(rows)
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))])
    pattern = Pattern(indptr, np.nonzero(mask)[1].astype(np.int32), dropped[mask])
    orders = [np.argsort(-sizes, kind="stable") for sizes in (rows, columns)]
    heap = Heap(np.empty(n_in, np.int64), np.empty(n_in), np.zeros(n_in, np.int64))
    keys = np.empty(count, np.int64)
    n_cells = largest_products(pattern, Factors(rows, columns, *orders), heap, keys)
    return keys[:n_cells]


@settings(max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0.0, 1.0),
    st.integers(0, 90),
    st.booleans(),
    SEEDS,
)
def test_they_are_those_of_a_sort(n_in, n_out, density, count, has_ties, seed):
    draw = np.random.default_rng(seed)
    rows, columns = draw.random(n_in), draw.random(n_out)
    if has_ties:
        rows, columns = np.floor(3 * rows), np.floor(3 * columns)
    mask = draw.random((n_in, n_out)) < density
    dropped = mask & (draw.random(mask.shape) < 0.3)
    keys = find(mask, dropped, rows, columns, count)
    products = np.outer(rows, columns)
    is_open = ~mask | dropped
    assert len(set(keys.tolist())) == keys.size
    assert is_open.flat[keys].all()
    wanted = np.sort(products[is_open & (products > 0)])[::-1][:count]
    np.testing.assert_array_equal(products.flat[keys], wanted)


def test_golden_cells():
    """Products 6 and 3 of the first row, 4 and 2 of the second; 6 is connected."""
    mask = np.array([[True, False], [False, False]])
    rows, columns = np.array([3.0, 2.0]), np.array([2.0, 1.0])
    none = np.zeros((2, 2), bool)
    assert find(mask, none, rows, columns, 2).tolist() == [2, 1]
    assert find(mask, mask, rows, columns, 3).tolist() == [0, 2, 1]
