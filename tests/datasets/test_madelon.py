"""The generator: difficulty by formula, columns by kind, memory by size."""

import math
import tracemalloc

import numpy as np
import pytest
from support.datasets_invariants import assert_sound

from truesparse.datasets import load, make_madelon
from truesparse.errors import MemoryLimitError, UsageError


def test_madelon_is_as_hard_as_its_formula_says():
    X, y = make_madelon(20_000, 30, shuffle=False, seed=1)
    best = (np.sign(X[:, :5]).prod(axis=1) < 0) == (y == 0)
    tail = 0.5 * math.erfc(2 / math.sqrt(2))
    expected = (1 + (1 - 2 * tail) ** 5) / 2
    assert abs(expected - 0.896) < 0.001
    assert abs(best.mean() - expected) < 0.01
    alone = np.abs(np.corrcoef(X, y, rowvar=False)[-1, :-1])
    assert alone.max() < 0.04
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(X.std(axis=0), 1, atol=0.04)
    combine, *_ = np.linalg.lstsq(X[:, :5], X[:, 5:20], rcond=None)
    np.testing.assert_allclose(X[:, :5] @ combine, X[:, 5:20], atol=1e-4)
    assert abs(y.mean() - 0.5) < 0.02


def test_madelon_is_seeded_and_shuffled():
    X, y = make_madelon(200, 40, seed=2)
    again, y_again = make_madelon(200, 40, seed=2)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, y_again)
    assert not np.array_equal(X, make_madelon(200, 40, seed=3)[0])
    assert not np.array_equal(X, make_madelon(200, 40, seed=2, shuffle=False)[0])


def test_madelon_noise_flips_that_share_of_labels():
    clean = make_madelon(5000, 20, seed=4)[1]
    noisy = make_madelon(5000, 20, seed=4, label_noise=0.1)[1]
    assert abs((clean != noisy).mean() - 0.1) < 0.02


def test_madelon_needs_no_more_memory_than_its_result():
    make_madelon(10, 20)
    tracemalloc.start()
    X, _ = make_madelon(2000, 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes + 2e6


@pytest.mark.parametrize(
    "sizes",
    [
        {"n_samples": -3},
        {"n_samples": 0},
        {"n_samples": 2.5},
        {"n_features": 19},
        {"n_informative": 0},
        {"n_redundant": -1},
        {"seed": -1},
        {"label_noise": 1.5},
        {"separation": 0.0},
        {"dtype": np.int32},
    ],
)
def test_madelon_refuses_sizes_out_of_range(sizes):
    with pytest.raises(UsageError):
        make_madelon(**{"n_samples": 10, "n_features": 30} | sizes)


def test_madelon_too_large_for_memory_is_refused():
    with pytest.raises(MemoryLimitError, match="GB"):
        make_madelon(10**12, 10**9)


@pytest.mark.parametrize("shape", [(30, 1), (30, 7), (200, 50)])
def test_synthetic_names_give_that_many_rows_and_features(shape):
    data = load("synthetic:{}x{}".format(*shape))
    assert_sound(data)
    assert len(data.y_train) + len(data.y_test) == shape[0]
    assert data.n_features == shape[1]
    assert data.n_outputs == 2
