"""SET: what it removes, to the connection; where it regrows; options."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse, stats
from support import naive
from support.strategies import DTYPES, SEEDS, make_connections, to_dense

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.kernels.jit import DISABLED
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology import Set, Update, UpdateContext
from truesparse.topology.parts.prune import drop_per_sign, drop_smallest
from truesparse.topology.set import drop_zeros_first

LEVEL = 1e-4  # of the uniformity test; the seed is fixed

ZETAS = st.sampled_from([0.3, 0.05, 0.5, 0.999]) | st.floats(0.001, 0.999)
# Few different values make ties, zeros of both signs and layers of one sign likely.
COARSE = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0, 0.5, -0.5])
FINE = st.floats(-1e3, 1e3, width=32)
WEIGHTS = st.lists(COARSE, min_size=1, max_size=30) | st.lists(
    FINE, min_size=1, max_size=60
)


def context(step=1):
    return UpdateContext(seed=0, step=step, epoch=1, n_steps=10**9, n_epochs=10**9)


def update_of(connections, step=1):
    """Return an update of one layer in the making."""
    model = SparseMLP([connections.n_in, connections.n_out, 2], density=0.5)
    model.layers[0].connections = connections
    return Update(model, context(step), [0])


def dropped_by(algorithm, connections):
    """Return what an algorithm marks in one layer."""
    update = update_of(connections)
    algorithm.drop(update)
    return update.dropped[0]


def signed(n_negative, n_positive, positive_start=1.5):
    """Return distinct weights in no order."""
    parts = -1.0 - np.arange(n_negative), positive_start + np.arange(n_positive)
    return np.random.default_rng(0).permutation(np.concatenate(parts))


# Removal -----------------------------------------------------------------------------


@given(WEIGHTS, ZETAS, st.sampled_from(DTYPES))
def test_removal_is_the_literal_formula(weights, zeta, dtype):
    weights = np.array(weights, dtype)
    removed = naive.set_removed(weights, zeta)
    # The rule would empty some tiny layers: then nothing is removed.
    want = removed & ~removed.all()
    np.testing.assert_array_equal(drop_per_sign(weights, zeta), want)


@given(st.integers(61, 3000), st.sampled_from([0.0, 0.4, 0.9]), ZETAS, SEEDS)
def test_removal_from_many_weights(n, zeros, zeta, seed):
    # Selection takes other ways for large arrays and for many equal numbers.
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal(n).astype(np.float32)
    weights[draw.random(n) < zeros] = 0.0
    removed = naive.set_removed(weights, zeta)
    want = removed & ~removed.all()
    np.testing.assert_array_equal(drop_per_sign(weights, zeta), want)


@given(st.integers(1, 300), st.floats(0, 1), ZETAS, SEEDS)
def test_zeros_count_in_the_fraction(n, share, zeta, seed):
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal(n).astype(np.float32)
    weights[draw.random(n) < share] = 0.0
    dropped = drop_zeros_first(weights, zeta)
    n_zeros = int((weights == 0).sum())
    if not dropped.any():
        # A layer is never emptied, and small ones would be, as both pivots go.
        assert n_zeros == n or n - n_zeros < 6 or zeta > 0.9
        return
    assert dropped[weights == 0].all()
    # The formula rounds in favour of removal, and removes both pivots.
    assert max(n_zeros, int(zeta * n) - 1) <= dropped.sum()
    assert dropped.sum() <= max(n_zeros, zeta * n + 4)
    if n_zeros == 0:
        np.testing.assert_array_equal(dropped, drop_per_sign(weights, zeta))


def test_a_fraction_of_0_drops_no_zeros_either():
    for values in ([0.0, 1.0], [0.0, 0.0, -1.0, 2.0], [0.0]):
        assert not drop_zeros_first(np.array(values), 0.0).any()


def test_updates_replace_zeta_of_a_layer_though_new_weights_stay_zero():
    values = np.random.default_rng(0).standard_normal((50, 20))
    connections = Connections.from_scipy(sparse.csr_array(values))
    silent = Set(zeta=0.3)
    for _ in range(6):
        dropped = dropped_by(silent, connections)
        assert 0.3 <= dropped.mean() < 0.31
        connections.values[dropped] = 0.0


def test_nothing_is_removed_beside_nan():
    assert not drop_per_sign(np.array([1.0, -2.0, np.nan, 3.0, -4.0]), 0.3).any()


@given(WEIGHTS.map(np.abs) | WEIGHTS.map(lambda w: -np.abs(w)), ZETAS)
def test_removal_from_weights_of_one_sign(weights, zeta):
    weights = np.asarray(weights, np.float32)
    removed = naive.set_removed(weights, zeta)
    want = removed & ~removed.all()
    np.testing.assert_array_equal(drop_per_sign(weights, zeta), want)


@pytest.mark.parametrize(
    ("n_negative", "n_positive", "positive_start", "n_removed"),
    [
        (7, 5, 1.5, 5),
        (0, 10, 1.5, 4),
        (10, 0, 1.5, 4),
        # Magnitudes that occur with both signs.
        (500, 500, 1.0, 302),
        (2, 2, 1.5, 3),
        # Emptied by the rule.
        (1, 1, 1.5, 0),
        (1, 0, 1.5, 0),
        (0, 1, 1.5, 0),
    ],
)
def test_known_counts(n_negative, n_positive, positive_start, n_removed):
    weights = signed(n_negative, n_positive, positive_start)
    dropped = drop_per_sign(weights, 0.3)
    assert dropped.sum() == n_removed
    if n_removed:
        # Of each sign the ones nearest to zero.
        for sign in (-1, 1):
            side = weights * sign > 0
            remaining = np.abs(weights[side & ~dropped])
            gone = np.abs(weights[side & dropped])
            assert not gone.size or not remaining.size or gone.max() < remaining.min()


@pytest.mark.parametrize("weights", [[], [0.0], [3.0], [0.0, 0.0, 0.0], [2.0, 2.0]])
def test_a_layer_is_never_emptied(weights):
    weights = np.array(weights)
    assert drop_per_sign(weights, 0.3).shape == weights.shape
    assert not drop_per_sign(weights, 0.3).any()


def test_zeta_0_removes_nothing_though_the_formula_removes_the_pivots():
    weights = signed(5, 5)
    assert naive.set_removed(weights, 0.0).any()
    assert not drop_per_sign(weights, 0.0).any()


@given(WEIGHTS, st.floats(0, 1), st.sampled_from(DTYPES))
def test_the_smallest_scores(scores, share, dtype):
    scores = np.array(scores, dtype)
    count = round(share * scores.size)
    want = naive.smallest(scores, count)
    np.testing.assert_array_equal(drop_smallest(scores, count), want)


@given(WEIGHTS, st.floats(0, 0.999))
def test_joint_removal_by_magnitude(weights, zeta):
    connections = make_connections(np.ones((1, len(weights)), bool), np.float32)
    connections.values[:] = weights
    dropped = dropped_by(Set(zeta=zeta, removal="magnitude"), connections)
    count = int(zeta * len(weights))
    want = naive.smallest(np.abs(connections.values), count)
    np.testing.assert_array_equal(dropped, want)
    assert dropped.sum() == count


def test_the_two_removals_differ():
    connections = make_connections(np.ones((1, 12), bool), np.float32)
    connections.values[:] = [-9, -8, -7, -6, -5, -4, 1, 2, 3, 1.5, 2.5, 3.5]
    per_sign = dropped_by(Set(zeta=0.4), connections)
    jointly = dropped_by(Set(zeta=0.4, removal="magnitude"), connections)
    assert connections.values[per_sign].tolist() == [-6, -5, -4, 1, 2, 1.5, 2.5]
    assert connections.values[jointly].tolist() == [1, 2, 1.5, 2.5]


# Regrowth ----------------------------------------------------------------------------


@pytest.mark.parametrize("removal", ["per_sign", "magnitude"])
def test_regrown_cells_are_uniform_over_absent_ones(removal):
    mask = np.zeros((6, 7), bool)
    mask.flat[::3] = True
    connections = make_connections(mask, np.float32, np.random.default_rng(3))
    algorithm = Set(zeta=0.5, removal=removal)
    dropped = dropped_by(algorithm, connections)
    removed = np.zeros(mask.shape, bool)
    removed[mask] = dropped
    free = ~mask | removed
    count, n_updates = int(dropped.sum()), 300 if DISABLED else 3000
    assert 0 < count < free.sum()
    hits = np.zeros(mask.size)
    for step in range(n_updates):
        update = update_of(connections, step)
        update.dropped[0] = dropped
        (keys,) = algorithm.grow(update).values()
        assert keys.size == np.unique(keys).size == count
        hits[keys] += 1
    assert not hits.reshape(mask.shape)[~free].any()
    # Just emptied cells count as absent, so all free ones are equally likely.
    observed = hits.reshape(mask.shape)[free]
    expected = n_updates * count / free.sum()
    # Cells of one update are distinct, which makes counts more even than independent
    # draws: their covariance is that of a multinomial times (F - k) / (F - 1).
    even = (free.sum() - count) / (free.sum() - 1)
    statistic = ((observed - expected) ** 2).sum() / expected / even
    assert stats.chi2.sf(statistic, free.sum() - 1) > LEVEL


def test_a_nearly_full_layer_regrows_what_it_lost():
    mask = np.ones((5, 6), bool)
    mask[2, 3] = False
    connections = make_connections(mask, np.float32)
    model = SparseMLP([5, 6, 2], density=0.5)
    model.layers[0].connections = connections
    for step in range(1, 30):
        Set(zeta=0.9).update(model, context(step))
        connections.check()
        assert connections.nnz == 29


def test_weights_start_at_zero_unless_drawn():
    for regrow_init, deviation in (("zero", 0.0), ("set_normal", 0.1)):
        model = SparseMLP([60, 200, 3], epsilon=6)
        connections = model.layers[0].connections
        connections.values += np.where(connections.values < 0, -5, 5).astype(np.float32)
        dropped = dropped_by(Set(regrow_init=regrow_init), connections).sum()
        assert dropped > 300
        Set(regrow_init=regrow_init).update(model, context())
        new = connections.values[np.abs(connections.values) < 1]
        assert new.size == dropped
        assert new.std() == pytest.approx(deviation, rel=0.1)


def test_the_final_removal_keeps_the_rest():
    model = SparseMLP([60, 200, 3], epsilon=6)
    connections = model.layers[0].connections
    before, remaining = to_dense(connections), ~dropped_by(Set(), connections)
    last = UpdateContext(seed=0, step=5, epoch=1, n_steps=5, n_epochs=1)
    (change,) = Set(final="prune_only").update(model, last)
    assert change.grown == 0
    assert (
        connections.nnz
        == remaining.sum()
        == remaining.size - change.removed
        == change.nnz
    )
    after = to_dense(connections)
    np.testing.assert_array_equal(after[after != 0], before[after != 0])


# Options -----------------------------------------------------------------------------


def test_make_takes_names_and_algorithms():
    algorithm = topology.make("set", zeta=0.1, removal="magnitude", evolve_output=True)
    assert isinstance(algorithm, Set)
    assert (algorithm.zeta, algorithm.removal) == (0.1, "magnitude")
    assert algorithm.evolve_output
    assert topology.make(algorithm) is algorithm
    assert topology.make("static").zeta == 0.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sett", {}, "unknown topology 'sett'; use one of .*Did you mean 'set'"),
        ("set", {"zetta": 0.3}, "option 'zetta' of topology 'set'.*mean 'zeta'"),
        ("static", {"zeta": 0.3}, "'static' takes no options, got 'zeta'"),
        ("set", {"zeta": 1.0}, "zeta must be from 0 up to but not 1, got 1.0"),
        ("set", {"zeta": -0.1}, "zeta must be .* got -0.1"),
        ("set", {"zeta": "a"}, "zeta must be a number, got 'a'"),
        ("set", {"zeta": float("nan")}, "zeta must be .* got nan"),
        ("set", {"removal": "per-sign"}, "unknown removal.*mean 'per_sign'"),
        ("set", {"final": "prune"}, "unknown final update.*mean 'prune_only'"),
        ("set", {"regrow_init": "zeros"}, "unknown weight init.*mean 'zero'"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        topology.make(name, **options)
