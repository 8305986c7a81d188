"""Perturbations of weights against loops over lists, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive_analysis as naive
from support.strategies import SEEDS

from truesparse.analysis.perturbations import PERTURBATIONS

FRACTIONS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
SIZES = st.integers(1, 60)


def make(name, n, seed, dtype=np.float64):
    """Return weights, some of them equal in size, and the perturbation of them."""
    values = np.random.default_rng(seed).integers(-9, 10, n).astype(dtype) + 0.5
    return values, PERTURBATIONS[name](values, np.random.default_rng(seed + 1))


def written(write, fraction, like):
    out = np.full_like(like, np.nan)
    write(fraction, out)
    return out


@pytest.mark.parametrize("name", PERTURBATIONS)
@given(n=SIZES, seed=SEEDS, fraction=FRACTIONS)
def test_a_perturbation_keeps_its_input_and_changes_nothing_at_0(
    name, n, seed, fraction
):
    for dtype in (np.float32, np.float64):
        values, write = make(name, n, seed, dtype)
        before = values.copy()
        out = written(write, fraction, values)
        assert np.isfinite(out).all()
        assert out.dtype == dtype
        np.testing.assert_array_equal(values, before)
        np.testing.assert_array_equal(written(write, 0.0, values), values)


@pytest.mark.parametrize("name", ["weight_order", "reverse_order"])
@given(n=SIZES, seed=SEEDS, fraction=FRACTIONS)
def test_orders_by_weight_match_a_sorted_list(name, n, seed, fraction):
    values, write = make(name, n, seed)
    wanted = naive.removed(values, fraction, name == "weight_order")
    np.testing.assert_array_equal(written(write, fraction, values), wanted)


@pytest.mark.parametrize("name", ["weight_order", "reverse_order", "random"])
@given(n=SIZES, seed=SEEDS, fraction=FRACTIONS, more=FRACTIONS)
def test_removals_are_nested_and_complete(name, n, seed, fraction, more):
    values, write = make(name, n, seed)
    few, many = sorted((fraction, more))
    is_few = written(write, few, values) == 0
    is_many = written(write, many, values) == 0
    assert np.count_nonzero(is_few) == round(few * n)
    assert (is_many | ~is_few).all()
    assert not written(write, 1.0, values).any()


@given(n=SIZES, seed=SEEDS, fraction=FRACTIONS)
def test_shuffling_moves_weights_within_their_bin(n, seed, fraction):
    values, write = make("shuffled", n, seed)
    out = written(write, fraction, values)
    order = np.argsort(values, kind="stable")
    size = max(round(fraction * n), 1)
    for start in range(0, n, size):
        cells = order[start : start + size]
        np.testing.assert_array_equal(np.sort(out[cells]), np.sort(values[cells]))


def test_shuffling_all_moves_most_and_depends_on_the_seed():
    values, write = make("shuffled", 200, 3)
    out = written(write, 1.0, values)
    assert np.mean(out != values) > 0.8
    _, other = make("shuffled", 200, 3)
    other = PERTURBATIONS["shuffled"](values, np.random.default_rng(9))
    assert (written(other, 1.0, values) != out).any()
    # A bin of a tenth leaves weights near where they were.
    assert np.abs(written(write, 0.1, values) - values).max() <= 4.0


def test_noise_has_the_stated_deviation_and_grows_along_one_direction():
    values, write = make("noise", 20_000, 1)
    whole = written(write, 1.0, values) - values
    assert whole.std() == pytest.approx(values.std(), rel=0.02)
    assert abs(whole.mean()) < 0.03 * values.std()
    half = written(write, 0.5, values) - values
    np.testing.assert_allclose(half, whole / 2, atol=1e-12)


def test_random_removal_treats_all_connections_alike():
    values = np.ones(10)
    counts = np.zeros(10)
    for seed in range(400):
        write = PERTURBATIONS["random"](values, np.random.default_rng(seed))
        counts += written(write, 0.3, values) == 0
    # Binomial with mean 120 and deviation 9.2.
    assert (np.abs(counts - 120) < 40).all()
