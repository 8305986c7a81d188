"""The column view is a stable sort of the connections by column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.strategies import cases

from truesparse.kernels.arrays import Csc
from truesparse.kernels.transpose import build_view
from truesparse.sparse.balance import balance
from truesparse.sparse.connections import position_dtype


@given(cases())
def test_view(case):
    view = case.connections.view
    for got, want in zip(view, naive.column_view(case.mask), strict=True):
        np.testing.assert_array_equal(got, want)
    case.connections.check()
    # Reached through the permutation, the values are those of the transposed matrix.
    np.testing.assert_array_equal(
        case.connections.values[view.permutation], case.dense.T[case.mask.T]
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_any_number_of_tasks_gives_the_same_view(dtype):
    @given(cases(), st.integers(1, 70))
    def compare(case, n_tasks):
        connections = case.connections
        view = Csc(
            np.full(connections.n_out + 1, -1),
            np.full(connections.nnz, -1, np.int32),
            np.full(connections.nnz, -1, dtype),
        )
        tasks = balance(connections.indptr, n_tasks)
        cursors = np.full((tasks.size - 1, connections.n_out), -1)
        build_view(tasks, connections.indptr, connections.indices, cursors, view)
        for got, want in zip(view, naive.column_view(case.mask), strict=True):
            np.testing.assert_array_equal(got, want)

    compare()


def test_positions_take_the_smaller_type_that_holds_them():
    assert position_dtype(2**31 - 1) is np.int32
    assert position_dtype(2**31) is np.int64


@given(cases(), st.integers(1, 70))
def test_balance_covers_all_rows_in_equal_parts(case, n_tasks):
    connections = case.connections
    tasks = balance(connections.indptr, n_tasks)
    assert tasks[0] == 0
    assert tasks[-1] == connections.n_in
    assert (np.diff(tasks) > 0).all()
    assert tasks.size <= n_tasks + 1
    # A row counts as four connections beside its own; no part has a row too many.
    work = np.diff(connections.indptr[tasks]) + 4 * np.diff(tasks)
    largest_row = connections.longest_row + 4
    assert (
        work.max() <= (connections.nnz + 4 * connections.n_in) / n_tasks + largest_row
    )
