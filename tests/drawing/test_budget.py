"""Splitting a budget over layers: exact totals, known values, a bisection beside it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import naive_patterns

from truesparse.drawing.budget import DISTRIBUTIONS, allocate, erk_densities
from truesparse.drawing.cells import connection_count
from truesparse.errors import UsageError

SIZES = st.lists(st.integers(1, 50), min_size=2, max_size=6)
POWERS = st.sampled_from([0.0, 0.5, 1.0, 2.0])
THREE = [(2, 4), (3, 6), (2, 4, 6)]


def shapes_of(sizes):
    return list(itertools.pairwise(sizes))


# Expected sparsities of jaxpruner's tests, to two digits as there.
@pytest.mark.parametrize(
    ("shapes", "density", "options", "sparsities"),
    [
        ([(2, 4)], 0.5, {}, [0.5]),
        (THREE, 0.5, {}, [0.0, 0.31, 0.655]),
        (THREE, 0.2, {}, [0.556, 0.70, 0.85]),
        (THREE, 0.5, {"kernel": False}, [0.21, 0.47, 0.56]),
        (THREE, 0.5, {"power": 2.0}, [0.0, 0.033, 0.758]),
        ([(2, 4), (3, 6, 7), (7, 4)], 0.5, {}, [0.0, 0.64, 0.0]),
        ([(2, 4), (3, 6, 7)], 0.5, {}, [0.0, 0.53]),
    ],
)
def test_golden_values(shapes, density, options, sparsities):
    got = 1 - np.array(erk_densities(shapes, density, **options))
    np.testing.assert_allclose(got, sparsities, rtol=0, atol=0.005)


def test_golden_values_as_counts():
    # 13 of 26 cells; 8 + 18 + 48 cells cannot be layers of one network.
    assert allocate([2, 4, 6], "erk", density=0.5) == [6, 10]
    assert allocate([2, 3, 4, 6], "erk", density=0.8) == [6, 12, 16]


@given(st.lists(st.integers(1, 30), min_size=2, max_size=4), st.floats(0.01, 1), POWERS)
def test_densities_are_those_of_one_scale(sides, density, power):
    shapes = [(side, 31 - side, 1 + side % 3) for side in sides]
    got = erk_densities(shapes, density, power)
    cells = [math.prod(shape) for shape in shapes]
    total = np.dot(got, cells)
    assert abs(total - density * sum(cells)) < len(shapes) + 1e-6
    want = naive_patterns.erk_densities(shapes, total, power)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=0)


@given(SIZES, st.floats(0.001, 1), POWERS)
def test_erk_by_density(sizes, density, power):
    cells = [a * b for a, b in shapes_of(sizes)]
    counts = allocate(sizes, "erk", density=density, power=power)
    assert all(1 <= k <= n for k, n in zip(counts, cells, strict=True))
    assert sum(counts) == max(len(cells), round(density * sum(cells)))
    exact = naive_patterns.erk_densities(shapes_of(sizes), sum(counts), power) * cells
    # Where the minimum of one does not shift the rest, rounding moves less than one.
    assume((exact >= 1).all())
    assert np.abs(counts - exact).max() < 1 + 1e-6


@given(SIZES, st.floats(0.01, 30))
def test_by_epsilon(sizes, epsilon):
    each = [connection_count(a, b, epsilon=epsilon) for a, b in shapes_of(sizes)]
    assert allocate(sizes, "layerwise", epsilon=epsilon) == each
    assert sum(allocate(sizes, "erk", epsilon=epsilon)) == sum(each)


def test_erk_is_erdos_renyi_where_no_layer_is_full():
    sizes = [784, 1000, 500, 300]
    assert allocate(sizes, "erk", epsilon=7) == allocate(sizes, "layerwise", epsilon=7)


@given(SIZES, st.floats(0.001, 1))
def test_uniform(sizes, density):
    want = [connection_count(a, b, density=density) for a, b in shapes_of(sizes)]
    for distribution in ("uniform", "layerwise"):
        assert allocate(sizes, distribution, density=density) == want


def test_totals_are_exact_where_floats_are_not():
    sizes = [2**31 - 1, 2**31 - 1, 2**31 - 1, 7]
    cells = [a * b for a, b in shapes_of(sizes)]
    assert allocate(sizes, "erk", density=1.0) == cells
    counts = allocate(sizes, "erk", density=0.1, power=0.9)
    assert sum(counts) == round(0.1 * sum(cells))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_full_layers(distribution):
    assert allocate([3, 4, 1], distribution, density=1.0) == [12, 4]
    if distribution != "uniform":
        assert allocate([3, 4, 1], distribution, epsilon=1e9) == [12, 4]


@pytest.mark.parametrize(
    ("arguments", "how", "message"),
    [
        (([3, 4], "unifrom"), {"density": 1}, "Did you mean 'uniform'"),
        (([3], "uniform"), {"density": 0.1}, "at least features and outputs"),
        (([3, 0], "uniform"), {"density": 0.1}, "layer size must be a whole number"),
        (([3, 4.0], "uniform"), {"density": 0.1}, "layer size must be a whole number"),
        (([3, 4], "uniform"), {"epsilon": 1}, "needs density"),
        (([3, 4], "layerwise"), {}, "either epsilon or density"),
        (([3, 4], "erk"), {}, "either epsilon or density"),
        (([3, 4], "erk"), {"density": 0.1, "epsilon": 1}, "either epsilon or density"),
        (([3, 4], "erk"), {"density": 1.1}, "density must be above 0"),
        (([3, 4], "erk"), {"density": 0.1, "power": "1"}, "power must be a number"),
        (([3, 4], "erk"), {"density": 0.1, "power": 1e9}, "moderate number"),
    ],
)
def test_bad_allocations(arguments, how, message):
    with pytest.raises(UsageError, match=message):
        allocate(*arguments, **how)


@pytest.mark.parametrize(
    ("shapes", "density", "message"),
    [
        ([], 0.5, "at least one"),
        ([(3,)], 0.5, "two dimensions"),
        ([(3, 0)], 0.5, "at least 1"),
        ([(3, 4)], 0.0, "density must be above 0"),
        ([(3, 4)], math.nan, "density must be above 0"),
    ],
)
def test_bad_densities(shapes, density, message):
    with pytest.raises(UsageError, match=message):
        erk_densities(shapes, density)
