"""Correlated inputs: the largest correlations of the data, or a draw of them."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from support import naive_patterns
from support.naive_patterns import agree, is_uniform
from support.patterns import build, csti_module, data_for, mask_of
from support.strategies import SEEDS

from truesparse.drawing.patterns import csti


@pytest.mark.parametrize("block", [1, 40, 1 << 21])
@pytest.mark.parametrize("kind", ["float64", "float32", "integers", "csr", "csc"])
@given(st.integers(1, 10), st.integers(1, 25), st.floats(0, 1), SEEDS)
def test_largest_correlations(block, kind, n_in, n_out, share, seed):
    nnz = max(1, round(share * n_in * n_out))
    X = data_for(n_in, seed)
    X = np.rint(3 * X).clip(0, 5) if kind in ("integers", "csr", "csc") else X
    dense = X.astype({"integers": np.int64, "float32": np.float32}.get(kind, float))
    X = scipy.sparse.csr_array(dense).asformat(kind) if kind[:2] == "cs" else dense
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csti_module, "BLOCK_CELLS", block)
        mask = mask_of(csti(n_in, n_out, nnz, np.random.default_rng(0), X=X))
    dense = dense.astype(float)
    dense[:, np.ptp(dense, 0) == 0] = 0  # corrcoef sees the rounding of 0.1
    correlations = naive_patterns.correlations(dense, n_out)
    want = np.sort(correlations, axis=None)[::-1][:nnz]
    got = np.sort(correlations[mask])[::-1]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_entries_of_one_cell_are_added():
    X = scipy.sparse.csr_array(np.rint(3 * data_for(7, 2)))
    halves = np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr
    twice = scipy.sparse.csr_array(halves, shape=X.shape)
    got, want = (build("csti", {"X": each}, 7, 7, 9) for each in (twice, X))
    np.testing.assert_array_equal(mask_of(got), mask_of(want))
    assert twice.nnz == 2 * X.nnz  # what was given is left as it was


def test_equal_correlations_are_taken_row_by_row():
    X = np.random.default_rng(0).standard_normal((6, 1)) * np.ones(4)
    mask = mask_of(csti(4, 6, 5, np.random.default_rng(0), X=X))
    assert np.flatnonzero(mask).tolist() == [1, 2, 3, 5, 6]  # 0 and 4 are itself


def test_data_far_from_zero_and_data_without_correlation():
    X = data_for(6, 1)
    shifted, constant = X + 1e6, np.full((9, 6), 1e6 / 3)
    nnz, draw = 7, np.random.default_rng(0)
    got = mask_of(csti(6, 6, nnz, draw, X=shifted))
    np.testing.assert_array_equal(got, mask_of(csti(6, 6, nnz, draw, X=X)))
    masks = [mask_of(csti(6, 6, nnz, draw, X=constant)) for _ in range(150)]
    assert is_uniform(sum(masks))


@pytest.mark.parametrize("nnz", [1, 2])
def test_soft_correlations_are_drawn_without_replacement(nnz):
    X = np.random.default_rng(5).standard_normal((6, 3))
    weights = naive_patterns.correlations(X, 4)
    cells = np.flatnonzero(weights)
    want = naive_patterns.subset_probabilities(weights.ravel()[cells].tolist(), nnz)
    draw, drawn = np.random.default_rng(0), []
    for _ in range(800):
        mask = mask_of(csti(3, 4, nnz, draw, X=X, soft=True))
        drawn.append(tuple(np.searchsorted(cells, np.flatnonzero(mask))))
    assert agree(drawn, want)
