"""Ranks of known matrices, against dense ones, and how far estimates are off."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given
from hypothesis import strategies as st
from support import naive_analysis as naive
from support.strategies import cases, layer

from truesparse import SparseMLP
from truesparse.analysis import layer_ranks
from truesparse.analysis.spectra import total
from truesparse.errors import DataError, UsageError


def rank_of(matrix, **options):
    sparse = scipy.sparse.csr_array(matrix)
    model = SparseMLP.from_sparse([sparse], dtype="float64")
    [rank] = layer_ranks(model, **options)
    return rank


METHODS = st.sampled_from(["exact", "estimate"])


@given(case=cases(), method=METHODS)
def test_ranks_match_a_dense_decomposition(case, method):
    assume(case.connections.nnz)
    model = SparseMLP.from_layers([layer(case.connections)])
    [got] = layer_ranks(model, method=method)
    wanted = naive.effective_rank(case.dense)
    if method == "exact":
        assert got.effective_error == got.stable_error == 0.0
        assert got.effective == pytest.approx(wanted, rel=1e-5)
    else:
        # Four probes of a few signs may agree by chance.
        assert got.effective == pytest.approx(wanted, rel=0.15)
    assert got.stable == pytest.approx(naive.stable_rank(case.dense), rel=2e-3)
    assert 1 - 1e-6 <= got.stable <= got.bound * (1 + 1e-6)


@pytest.mark.parametrize("method", ["exact", "estimate"])
def test_ranks_of_known_matrices(method):
    def check(matrix, effective, stable):
        got = rank_of(matrix, method=method)
        assert got.effective == pytest.approx(effective, rel=1e-6)
        assert got.stable == pytest.approx(stable, rel=1e-6)

    check(np.eye(7), 7, 7)
    check(np.outer(np.arange(1, 6), np.arange(1, 9)), 1, 1)
    # Orthogonal blocks of rank one, of equal size: their number.
    block = scipy.sparse.block_diag([np.ones((3, 4))] * 5).toarray()
    check(block, 5, 5)
    # Singular values 3 and 1: p = 3/4 and 1/4.
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    if method == "exact":
        check(np.diag([3.0, 1.0]), np.exp(entropy), 10 / 9)


def test_empty_rows_and_columns_and_the_scale_do_not_matter():
    small = np.random.default_rng(3).standard_normal((5, 8))
    wide = np.zeros((20, 30))
    wide[3:8, 11:19] = small
    ranks = [rank_of(each) for each in (small, wide, small.T, small * 1e200)]
    for each in ranks:
        assert each.effective == pytest.approx(ranks[0].effective)
        assert each.stable == pytest.approx(ranks[0].stable)
        assert each.bound == 5


def test_estimates_say_how_far_off_they_are():
    offs = []
    for seed in range(8):
        model = SparseMLP([120 + 10 * seed, 250], epsilon=4, seed=seed)
        [exact] = layer_ranks(model, method="exact")
        [estimate] = layer_ranks(model, method="estimate", seed=seed)
        assert estimate.effective_error < 0.02 * exact.effective
        offs.append((estimate.effective - exact.effective) / estimate.effective_error)
        assert estimate.stable == pytest.approx(exact.stable, rel=0.01)
        assert estimate.stable >= exact.stable * (1 - 1e-9)  # the norm is from below
    # Standard errors: nearly all within two of them, and not ten times too large.
    assert np.mean(np.abs(offs) < 2) > 0.7
    assert 0.2 < np.sqrt(np.mean(np.square(offs))) < 2.0


def test_the_seed_decides_an_estimate():
    model = SparseMLP([200, 200], epsilon=3)
    ranks = [layer_ranks(model, method="estimate", seed=s)[0] for s in (1, 1, 2)]
    assert ranks[0] == ranks[1] != ranks[2]


def test_layers_are_those_before_the_read_out_and_add_up():
    model = SparseMLP([30, 20, 10, 3], density=0.5)
    ranks = layer_ranks(model)
    assert [each.layer for each in ranks] == [0, 1]
    summed = total(ranks)
    assert summed.effective == pytest.approx(sum(each.effective for each in ranks))
    assert summed.stable == pytest.approx(sum(each.stable for each in ranks))
    assert [each.layer for each in layer_ranks(model, layers=[2, 0])] == [0, 2]


def test_layers_without_a_rank_are_refused():
    empty = SparseMLP.from_sparse([scipy.sparse.csr_array((4, 3))])
    with pytest.raises(UsageError, match="layer 0, counted from 0, has no connections"):
        layer_ranks(empty)
    zero = SparseMLP([4, 3], weight_init="zero", density=1.0)
    with pytest.raises(DataError, match="are all 0"):
        layer_ranks(zero)
    with pytest.raises(UsageError, match="method"):
        layer_ranks(zero, method="lanczos")
