"""Initial topologies: exact counts for every shape, and what defines each pattern."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from support import naive, naive_patterns
from support.naive_patterns import LEVEL, agree, is_uniform
from support.patterns import build, csti_module, data_for, mask_of
from support.strategies import DTYPES, SEEDS

from truesparse.drawing.patterns import PATTERNS
from truesparse.drawing.patterns.brf import _draw_places
from truesparse.drawing.patterns.bsf import _by_degree
from truesparse.drawing.patterns.placing import fill_up
from truesparse.errors import UsageError
from truesparse.kernels.jit import DISABLED
from truesparse.kernels.patterns import attach_by_degree, draw_by_tail

VARIANTS = [
    ("erdos_renyi", {}),
    ("constant_fan_in", {}),
    ("bsf", {}),
    *(("bsw", {"beta": beta}) for beta in (0.0, 0.3, 1.0)),
    *(("brf", {"r": r}) for r in (0.0, 1e-5, 0.1, 0.5, 1.0)),
    *(("brf", {"r": r, "degree": "uniform"}) for r in (0.0, 0.5, 1.0)),
    ("csti", {"soft": False}),
    ("csti", {"soft": True}),
]
NAMES = [" ".join(map(str, [name, *options.values()])) for name, options in VARIANTS]
SIDES = st.integers(1, 12)


def broken_csr():
    matrix = scipy.sparse.csr_array(np.ones((2, 3)))
    matrix.indices[0] = 7
    return matrix


def fans(connections):
    """Return the degrees of inputs and of outputs."""
    return np.diff(connections.indptr), np.bincount(
        connections.indices, minlength=connections.n_out
    )


# What holds for all ------------------------------------------------------------------


def test_every_pattern_is_tested():
    assert {name for name, _ in VARIANTS} == set(PATTERNS)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
@given(SIDES, SIDES, st.floats(0, 1), SEEDS, st.sampled_from(DTYPES))
def test_counts_are_exact(name, options, n_in, n_out, share, seed, dtype):
    nnz = max(1, round(share * n_in * n_out))
    connections = build(name, options, n_in, n_out, nnz, seed, dtype)
    connections.check()
    assert (connections.n_in, connections.n_out, connections.nnz) == (n_in, n_out, nnz)
    assert type(connections.nnz) is int
    assert connections.indptr.dtype == np.int64
    assert connections.indices.dtype == np.int32
    assert connections.values.dtype == dtype
    assert not connections.values.any()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (6, 6), (3, 20), (20, 3)])
def test_every_count_is_possible(name, options, shape):
    cells = shape[0] * shape[1]
    for nnz in range(1, cells + 1, 7 if DISABLED else 1):
        connections = build(name, options, *shape, nnz)
        connections.check()
        assert connections.nnz == nnz
    assert build(name, options, *shape, cells).density == 1.0


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_same_seed_same_layer(name, options):
    X = {"X": data_for(40)} if name == "csti" else {}
    first, again, other = (
        build(name, {**options, **X}, 40, 30, 250, seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(mask_of(first), mask_of(again))
    is_fixed = name == "csti" and not options["soft"]
    assert np.array_equal(mask_of(first), mask_of(other)) == is_fixed


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=NAMES)
def test_memory_is_of_the_order_of_the_connections(name, options):
    n, nnz = (400, 2_000) if DISABLED else (30_000, 150_000)
    if name == "csti":
        n, nnz = 3000, 3000  # of 3000 x 3000 correlations, blocks of a quarter
    build(name, options, 20, 20, 40)
    tracemalloc.start()
    build(name, options, n, n, nnz)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if name == "csti":
        assert peak < 64 * csti_module.BLOCK_CELLS
    else:
        assert peak < 100 * nnz + 100 * n


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("bsf", (3, 4, 13), {}, "nnz must be a whole number from 1 to 12"),
        ("bsf", (3, 4, 0), {}, "nnz must be a whole number"),
        ("bsw", (0, 4, 1), {}, "n_in must be a whole number"),
        ("bsw", (3, 4, 5), {"beta": 1.1}, "beta must be from 0 to 1"),
        ("bsw", (3, 4, 5), {"beta": None}, "beta must be from 0 to 1"),
        ("brf", (3, 4, 5), {"r": -0.1}, "r must be from 0 to 1"),
        ("brf", (3, 4, 5), {"r": "0"}, "r must be a number"),
        ("brf", (3, 4, 5), {"degree": "fix"}, "Did you mean 'fixed'"),
        ("csti", (3, 4, 5), {"X": np.ones((5, 4))}, "of n_in = 3 features"),
        ("csti", (3, 4, 5), {"X": np.ones((1, 3))}, "two samples or more"),
        ("csti", (3, 4, 5), {"X": np.full((2, 3), np.nan)}, "NaN"),
        ("csti", (3, 4, 5), {"X": np.full((2, 3), 1j)}, "real numbers"),
        ("csti", (1, 4, 3), {"X": np.array([[np.inf], [-np.inf]])}, "infinity"),
        ("csti", (1, 4, 3), {"X": np.array([[1.7e308], [1.7e308]])}, "above 1e150"),
        # Numbers, and their mean, but not their squares.
        ("csti", (1, 4, 3), {"X": np.array([[1e200], [-1e200]])}, "above 1e150"),
        ("csti", (3, 4, 5), {"X": broken_csr()}, "not a valid matrix"),
    ],
)
def test_bad_options(name, arguments, options, message):
    with pytest.raises(UsageError, match=message):
        PATTERNS[name].draw(*arguments, np.random.default_rng(0), **options)


@given(SIDES, SIDES, st.floats(0, 1), st.floats(0, 1), SEEDS)
def test_filling_up(n_in, n_out, share, more, seed):
    draw = np.random.default_rng(seed)
    mask = draw.random((n_in, n_out)) < share
    keys = np.flatnonzero(mask)
    nnz = keys.size + round(more * (mask.size - keys.size))
    got = fill_up(keys, mask.size, nnz, np.random.default_rng(0))
    ranks = fill_up(
        keys[:0], mask.size - keys.size, nnz - keys.size, np.random.default_rng(0)
    )
    want = np.concatenate([keys, naive.absent_keys(mask, ranks)])
    np.testing.assert_array_equal(got, np.sort(want))


@pytest.mark.parametrize(
    "name", ["erdos_renyi", "constant_fan_in", "bsf", "bsw", "brf"]
)
def test_sizes_of_32_bits_do_not_overflow(name):
    n = np.int32(50_000)
    build(name, {}, n, n, np.int32(1000)).check()


# Constant fan-in ---------------------------------------------------------------------


@given(SIDES, SIDES, st.floats(0, 1), SEEDS)
def test_fan_in_is_constant(n_in, n_out, share, seed):
    nnz = max(1, round(share * n_in * n_out))
    connections = build("constant_fan_in", {}, n_in, n_out, nnz, seed)
    low, rest = divmod(nnz, n_out)
    want = [low] * (n_out - rest) + [low + 1] * rest
    assert sorted(fans(connections)[1]) == want


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_inputs_of_a_neuron_are_uniform(fan_in):
    n_draws = 3000
    connections = build("constant_fan_in", {}, 5, n_draws, fan_in * n_draws)
    subsets = [tuple(np.flatnonzero(column)) for column in mask_of(connections).T]
    assert agree(subsets, naive_patterns.subset_probabilities([1] * 5, fan_in))


def test_the_rest_goes_to_uniform_neurons():
    layers = [build("constant_fan_in", {}, 9, 6, 20, seed) for seed in range(600)]
    assert is_uniform(sum(fans(each)[1] == 4 for each in layers))


# Scale-free --------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 8), st.integers(1, 5), SEEDS)
def test_growth_by_degree(n_clique, n_new, most, seed):
    clique = [(i, j) for i in range(n_clique) for j in range(i)]
    nodes = np.arange(n_clique, n_clique + n_new)
    sources = np.repeat(nodes, min(most, n_clique))
    draws = np.random.default_rng(seed).random(4000)
    want = naive_patterns.attach_by_degree(draws, clique, sources.tolist())
    ends = np.full((len(want), 2), -1)
    ends[: len(clique)] = np.reshape(clique, (-1, 2))
    ends[len(clique) :, 0] = sources
    state = np.full(2, len(clique))
    taken = np.full(n_clique + n_new, -1)
    for part in np.split(draws, [3, 4, 20]):
        attach_by_degree(part, state, taken, ends.ravel())
    assert ends.tolist() == [list(edge) for edge in want]


def test_partners_are_drawn_by_a_degree_that_rises():
    draw = np.random.default_rng(0)
    drawn = [tuple(_by_degree(np.array([0, 0, 1]), 3, draw)) for _ in range(3000)]
    want = {}
    for first, second, third in np.ndindex(2, 2, 2):
        degrees, probability = np.array([2.0, 1.0]), 1.0
        for partner in (first, second, third):
            probability *= degrees[partner] / degrees.sum()
            degrees[partner] += 1
        want[first, second, third] = probability
    assert agree(drawn, want)


@pytest.mark.parametrize("shape", [(600, 600), (200, 1000), (1000, 200)])
def test_scale_free_degrees_have_heavier_tails(shape):
    scale_free = fans(build("bsf", {}, *shape, 6000))
    uniform = fans(build("erdos_renyi", {}, *shape, 6000))
    for side in (0, 1):
        assert scale_free[side].max() > 1.5 * uniform[side].max(), side
        assert scale_free[side].var() > 4 * uniform[side].var(), side


# Small world -------------------------------------------------------------------------


@given(SIDES, SIDES, st.floats(0, 1), SEEDS)
def test_without_rewiring_it_is_the_ring_lattice(n_in, n_out, share, seed):
    nnz = max(1, round(share * n_in * n_out))
    mask = mask_of(build("bsw", {"beta": 0.0}, n_in, n_out, nnz, seed))
    mask = mask.T if n_out >= n_in else mask  # the larger side first
    counts = mask.sum(1)
    assert counts.max() - counts.min() <= 1
    want = naive_patterns.ring_lattice(mask.shape[1], mask.shape[0], counts)
    np.testing.assert_array_equal(mask, want)


def test_a_share_of_the_lattice_is_rewired_uniformly():
    n, nnz, beta = 200, 2000, 0.3
    lattice = mask_of(build("bsw", {"beta": 0.0}, n, n, nnz))
    mask = mask_of(build("bsw", {"beta": beta}, n, n, nnz))
    # A rewired connection comes back to the lattice with the probability of any cell.
    same = int((mask & lattice).sum())
    away = 1 - beta * (1 - beta * nnz / (n * n))
    assert scipy.stats.binomtest(same, nnz, away).pvalue > LEVEL
    new = (mask & ~lattice).reshape(4, 50, 4, 50).sum((1, 3))
    free = (~lattice).reshape(4, 50, 4, 50).sum((1, 3))
    expected = new.sum() * free / free.sum()
    assert scipy.stats.chisquare(new.ravel(), expected.ravel()).pvalue > LEVEL


def test_all_rewired_is_uniform():
    mask = mask_of(build("bsw", {"beta": 1.0}, 200, 200, 4000))
    assert is_uniform(mask.reshape(8, 25, 8, 25).sum((1, 3)))


# Receptive fields --------------------------------------------------------------------


@pytest.mark.parametrize("degree", ["fixed", "uniform"])
@given(SIDES, SIDES, st.floats(0, 1), SEEDS)
def test_the_nearest_are_taken(degree, n_in, n_out, share, seed):
    nnz = max(1, round(share * n_in * n_out))
    options = {"r": 0.0, "degree": degree}
    mask = mask_of(build("brf", options, n_in, n_out, nnz, seed))
    mask = mask if n_out >= n_in else mask.T  # the smaller side first
    distances = naive_patterns.ring_distances(*mask.shape)
    for row, distance in zip(mask, distances, strict=True):
        assert sorted(distance[row]) == sorted(distance)[: row.sum()]
    counts = mask.sum(1)
    if degree == "fixed":
        assert counts.max() - counts.min() <= 1
    elif nnz >= len(mask):
        assert counts.min() >= 1


def test_uniform_degrees_vary_like_uniform_draws():
    counts = fans(build("brf", {"degree": "uniform"}, 500, 600, 10_500))[0]
    assert is_uniform(counts - 1)
    assert counts.var() > 10  # 20 of a uniform draw, 0 of fixed degrees


@pytest.mark.parametrize(("n_in", "n_out"), [(300, 300), (300, 450)])
def test_fields_without_a_centre_are_uniform(n_in, n_out):
    mask = mask_of(build("brf", {"r": 1.0}, n_in, n_out, 9000))
    assert is_uniform(mask.reshape(6, n_in // 6, 6, n_out // 6).sum((1, 3)))
    # Neither do they keep to their diagonal.
    distances = naive_patterns.ring_distances(n_in, n_out)
    near = mask[distances <= 20].sum() / mask.sum()
    share = (distances <= 20).mean()
    assert abs(near - share) < 4 * np.sqrt(share / mask.sum())


@pytest.mark.parametrize("alpha", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("n_places", [5, 6])
def test_places_are_drawn_by_distance_without_replacement(alpha, n_places):
    weights = [(1.0 + distance) ** -alpha for distance in (0, 1, 1, 2, 2, 3)]
    want = naive_patterns.subset_probabilities(weights[:n_places], 3)
    n_draws, draw = 2000 if DISABLED else 20_000, np.random.default_rng(0)
    places = _draw_places(np.full(n_draws, 3), n_places, alpha, draw)
    assert agree([tuple(row) for row in np.sort(places.reshape(-1, 3))], want)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.floats(0, 6), SEEDS)
def test_drawing_by_tails(counts, alpha, seed):
    weights = np.array([1, 2, 2, 3, 3, 4, 4, 5]) ** -alpha
    draws = np.random.default_rng(seed).standard_exponential(3000)
    want = naive_patterns.draw_places(draws, counts, weights.tolist())
    tails = np.log(np.cumsum(weights[::-1])[::-1])
    places, state = np.full(sum(counts), -1), np.zeros(3, np.int64)
    indptr, taken = np.concatenate([[0], np.cumsum(counts)]), np.full(8, -1)
    for part in np.split(draws, [1, 5, 20]):
        draw_by_tail(part, state, indptr, tails, taken, places)
    assert places.tolist() == want


def test_steep_fields_are_drawn_where_their_weights_underflow():
    n, fan = (300, 150) if DISABLED else (3000, 1500)
    mask = mask_of(build("brf", {"r": 0.002}, 2, n, 2 * fan))
    distance = naive_patterns.ring_distances(2, n)
    # Far out 500 powers more or less differ little: a few of the nearest are missed.
    edge = fan // 2
    assert mask[distance < edge // 2].all()
    assert not mask[distance > 2 * edge].any()
    if not DISABLED:
        assert (mask & (distance > edge)).sum() > 0


@pytest.mark.parametrize("r", [1e-13, 1e-16, 1e-100])
def test_next_to_no_randomness_is_none(r):
    # Weights of equal distances are lost in the logarithms of their sums.
    got, want = (build("brf", {"r": each}, 2, 500, 998) for each in (r, 0.0))
    np.testing.assert_array_equal(mask_of(got), mask_of(want))


@pytest.mark.parametrize("r", [1e-12, 1e-11])
def test_the_steepest_fields_take_the_nearest(r):
    mask = mask_of(build("brf", {"r": r}, 2, 1001, 2 * 501))
    distance = naive_patterns.ring_distances(2, 1001)
    assert (mask == (distance <= 250)).all()
