"""Which cells are absent, dropping and inserting, and what survivors keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.strategies import DTYPES, cases, to_dense

from truesparse.kernels.rewire import count_kept, ranks_to_keys
from truesparse.optimizers import Optimizer
from truesparse.sparse.balance import balance

SHARES = st.sampled_from([0.3, 0.0, 0.7, 1.0])
TASKS = st.integers(1, 70)


def dropped_from(case, share):
    return case.draw.random(case.connections.nnz) < share


def mask_without(case, dropped):
    mask = case.mask.copy()
    mask[mask] = ~dropped
    return mask


@given(cases(), SHARES, TASKS)
def test_count_kept(case, share, n_tasks):
    connections, dropped = case.connections, dropped_from(case, share)
    counts = np.full(connections.n_in + 1, -1)
    count_kept(
        balance(connections.indptr, n_tasks), connections.indptr, dropped, counts
    )
    assert counts[0] == 0
    np.testing.assert_array_equal(counts[1:], mask_without(case, dropped).sum(1))


@given(cases(), SHARES, TASKS, SHARES)
def test_ranks_to_keys(case, share, n_tasks, chosen):
    connections, dropped = case.connections, dropped_from(case, share)
    mask = mask_without(case, dropped)
    kept_indptr = np.concatenate([[0], np.cumsum(mask.sum(1))])
    ranks = np.flatnonzero(case.draw.random((~mask).sum()) <= chosen)
    want = naive.absent_keys(mask, ranks)
    tasks = balance(connections.indptr, n_tasks)
    ranks_to_keys(
        tasks, connections.csr, dropped, kept_indptr, connections.n_out, ranks
    )
    np.testing.assert_array_equal(ranks, want)


@given(cases())
def test_rows(case):
    rows = case.connections.rows()
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, np.nonzero(case.mask)[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["none", "sgd", "rmsprop", "adam"])
def test_rewire(method, dtype):
    optimizer = None if method == "none" else Optimizer(method)

    @given(cases(dtype), SHARES, SHARES)
    def compare(case, dropped_share, new_share):
        connections = case.connections
        if optimizer:
            connections.allocate_moments(optimizer.needs_first, optimizer.needs_second)
        for moment in connections.moments:
            moment[:] = case.normal(moment.size)
        assert connections.view.rows.size == connections.nnz
        dropped = dropped_from(case, dropped_share)
        mask = mask_without(case, dropped)
        ranks = np.flatnonzero(case.draw.random((~mask).sum()) < new_share)
        keys = naive.absent_keys(mask, ranks)
        new_values = case.normal(keys.size)
        change = (dropped, keys)
        want_mask, want = naive.rewire(case.mask, case.dense, *change, new_values)
        moments = [
            naive.rewire(case.mask, to_dense(connections, m), *change, 0.0)[1]
            for m in connections.moments
            if m.size
        ]
        connections.rewire(dropped, keys, new_values)
        connections.check()
        assert connections.values.dtype == dtype
        assert connections.nnz == want_mask.sum() == mask.sum() + keys.size
        np.testing.assert_array_equal(np.diff(connections.indptr), want_mask.sum(1))
        np.testing.assert_array_equal(connections.indices, np.nonzero(want_mask)[1])
        np.testing.assert_array_equal(connections.values, want[want_mask])
        present = [m for m in connections.moments if m.size]
        if connections.nnz and case.mask.any():
            assert len(present) == len(moments)
        for got, dense in zip(present, moments, strict=False):
            np.testing.assert_array_equal(got, dense[want_mask])
        # The column view and the division of work follow the new pattern.
        assert connections.view.rows.size == connections.nnz
        connections.check()
        np.testing.assert_array_equal(
            connections.row_tasks, balance(connections.indptr)
        )
        assert connections.longest_row == want_mask.sum(1).max()

    compare()


@given(cases())
def test_a_dropped_cell_may_come_back_as_a_new_one(case):
    connections = case.connections
    connections.allocate_moments(True, True)
    for moment in connections.moments:
        moment[:] = 1.0
    dropped = np.ones(connections.nnz, bool)
    connections.rewire(
        dropped, np.flatnonzero(case.mask), np.full(connections.nnz, 7.0)
    )
    np.testing.assert_array_equal(to_dense(connections), np.where(case.mask, 7.0, 0.0))
    assert not any(moment.any() for moment in connections.moments)


@given(cases())
def test_changing_nothing_keeps_every_bit(case):
    connections = case.connections
    before = [array.copy() for array in connections.csr]
    connections.rewire(
        np.zeros(connections.nnz, bool), np.empty(0, np.int64), np.empty(0)
    )
    for got, want in zip(connections.csr, before, strict=True):
        np.testing.assert_array_equal(got, want)
