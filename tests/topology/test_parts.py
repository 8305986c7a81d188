"""The parts of topology algorithms: gradients of cells, chains, shares, schedules."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive, naive_topology
from support.strategies import SEEDS, make_connections, to_dense
from support.topology_net import BATCH, Net, at

from truesparse import topology
from truesparse.errors import DivergedError, UsageError
from truesparse.kernels.arrays import SparseBatch
from truesparse.kernels.jit import DISABLED
from truesparse.topology import Update, UpdateSchedule
from truesparse.topology.parts import gradients
from truesparse.topology.parts.chains import remove_chains
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.gradients import CellGradients, largest_gradients
from truesparse.topology.parts.schedule import DECAYS, Fraction, Share

each_input = pytest.mark.parametrize("is_sparse", [False, True])


# Gradients ---------------------------------------------------------------------------


@each_input
def test_batches_are_distinct_samples_and_the_same_in_one_update(is_sparse):
    net = Net(is_sparse)
    first, again = net.gradients(at(), 2), net.gradients(at(), 2)
    one, other = net.gradients(at()), net.gradients(at(11))
    for k in range(3):
        np.testing.assert_array_equal(first[k], again[k])
        assert not np.allclose(first[k], one[k])
        assert not np.allclose(other[k], one[k])
    # 40 samples hold two batches of 16.
    seen = []
    net.batches.observe(at(), 9, lambda index, *_: seen.append(index))
    assert seen == [2, 1, 0] * 2
    assert [net.batches.available(count) for count in (1, 2, 9)] == [1, 2, 2]


def test_observing_changes_nothing_and_collects_the_gradients_of_weights():
    net = Net()
    collected = {}
    net.batches.observe(
        at(), collector=lambda index, g: collected.update({index: g.copy()})
    )
    for k, gradient in enumerate(net.gradients(at())):
        np.testing.assert_allclose(collected[k], gradient[net.masks[k]], atol=1e-12)
    assert net.model.step == 0
    for layer, weights in zip(net.model.layers, net.weights, strict=True):
        np.testing.assert_array_equal(to_dense(layer.connections), weights)


def test_a_loss_that_is_not_finite_is_reported():
    net = Net()
    net.model.layers[0].bias[0] = np.nan
    # With the JIT off NumPy remarks upon NaN.
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(DivergedError, match="loss became nan after step 10"),
    ):
        net.batches.observe(at(), observer=lambda *_: None)


@each_input
def test_gradients_at_cells(is_sparse):
    net = Net(is_sparse)
    draw = np.random.default_rng(0)
    connections = {k: layer.connections for k, layer in enumerate(net.model.layers[:2])}
    keys = {k: draw.permutation(net.masks[k].size)[:50] for k in connections}
    cells = CellGradients(connections, keys)
    net.batches.observe(at(), 2, cells)
    want = net.gradients(at(), 2)
    for k in connections:
        np.testing.assert_allclose(cells.sums[k], want[k].flat[keys[k]], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("slack", [0, 1 << 16])
def test_largest_gradients_of_all_cells(dtype, slack, monkeypatch):
    monkeypatch.setattr(gradients, "_SLACK", slack)

    @given(
        st.integers(1, 9),
        st.integers(1, 12),
        st.floats(0, 1),
        st.integers(0, 40),
        # Ties and zeros, or numbers that differ in the last 3, 12 or 17 bits alone.
        st.sampled_from([(-2, 3), *((2**23, 2**23 + 2**n) for n in (3, 12, 17))]),
        SEEDS,
    )
    def compare(n_in, n_out, density, count, limits, seed):
        draw = np.random.default_rng(seed)
        mask = draw.random((n_in, n_out)) < density
        connections = make_connections(mask, dtype)
        dropped = draw.random(connections.nnz) < 0.3
        # Whole numbers, whose sums are exact.
        x = draw.integers(*limits, (n_in, BATCH)).astype(dtype)
        delta = draw.integers(-1, 2, (n_out, BATCH)).astype(dtype)
        if limits[0] > 0:
            delta[:, 1:] = 0.0
        remaining = mask.copy()
        remaining[mask] = ~dropped
        sizes = abs(naive.weight_gradient(x, delta))
        want = naive_topology.largest(sizes, ~remaining, count)
        got, their_sizes = largest_gradients(connections, dropped, count, x, delta)
        np.testing.assert_array_equal(got, np.flatnonzero(want))
        np.testing.assert_array_equal(their_sizes, sizes.flat[got])

    compare()


@pytest.mark.compiled
@pytest.mark.parametrize("count", [1, 100, 3000])
def test_equal_gradients_of_all_cells_are_not_held(count):
    n_in, n_out = 2000, 1000
    connections = make_connections(np.eye(n_in, n_out, dtype=bool), np.float32)
    dropped = np.zeros(connections.nnz, bool)
    x, delta = (np.ones((n, BATCH), np.float32) for n in (n_in, n_out))
    largest_gradients(connections, dropped, 1, x, delta)
    tracemalloc.start()
    got, _ = largest_gradients(connections, dropped, count, x, delta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    cells = np.arange(n_in * n_out)
    np.testing.assert_array_equal(got, cells[~connections.contains(cells)][-count:])
    # Of two million cells keys alone would take 16 MB; counters take 2.1 MB, twice.
    assert peak < 5e6


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_of_a_sparse_batch_only_features_that_occur_are_gone_over(count):
    n_in, n_out = 50_000, 3
    draw = np.random.default_rng(count)
    rows = np.sort(draw.permutation(n_in)[:40])
    x = np.zeros((n_in, BATCH), np.float32)
    x[rows] = draw.integers(-2, 3, (40, BATCH))
    x[rows[::9]] = 0.0
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(x, axis=1))])
    places = np.nonzero(x)
    batch = SparseBatch(indptr, places[1].astype(np.int32), x[places])
    connections = make_connections(draw.random((n_in, n_out)) < 0.3, np.float32)
    dropped = draw.random(connections.nnz) < 0.3
    delta = draw.integers(-1, 2, (n_out, BATCH)).astype(np.float32)
    want, _ = largest_gradients(connections, dropped, count, x, delta)
    tracemalloc.start()
    got, _ = largest_gradients(connections, dropped, count, batch, delta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(got, want)
    assert got.size > 0
    # The scan's counters alone take 2.1 MB.
    assert DISABLED or peak < 2.1e6 + x.nbytes / 2


# Parts -------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), SEEDS)
def test_chains_equal_the_twin(shares, seed):
    draw = np.random.default_rng(seed)
    net = Net(seed=3, epsilon=1)
    update = Update(net.model, at(), [0, 1])
    masks = [mask.copy() for mask in net.masks]
    for k in range(2):
        update.dropped[k] = draw.random(update.connections[k].nnz) < shares[k]
        masks[k][masks[k]] = ~update.dropped[k]
    remove_chains(update)
    for k, want in enumerate(naive_topology.chains(masks, [0, 1])[:2]):
        got = net.masks[k].copy()
        got[got] = ~update.dropped[k]
        np.testing.assert_array_equal(got, want)


def test_chain_removal_grows_as_much_as_went():
    net = Net(epsilon=1)
    before = net.model.nnz
    plain, chained = (
        sum(c.removed for c in Net(epsilon=1).update(topology.make("set", **options)))
        for options in ({}, {"chain_removal": True})
    )
    assert chained > plain
    net.update(topology.make("set", chain_removal=True))
    assert net.model.nnz == before


@given(
    st.integers(0, 300),
    st.lists(
        st.tuples(st.floats(0, 10) | st.just(0.0), st.integers(0, 100)),
        min_size=1,
        max_size=6,
    ),
)
def test_shares_add_up_and_fit(total, layers):
    weights = {k: weight for k, (weight, _) in enumerate(layers)}
    rooms = {k: room for k, (_, room) in enumerate(layers)}
    counts = share_out(total, weights, rooms)
    assert sum(counts.values()) == min(total, sum(rooms.values()))
    assert all(0 <= counts[k] <= rooms[k] for k in rooms)
    # Where no layer fills up, shares are right to one.
    if all(counts[k] < rooms[k] for k in rooms) and sum(weights.values()) > 0:
        for k, count in counts.items():
            assert abs(count - total * weights[k] / sum(weights.values())) < 1


FLOORED = {
    "constant": [0.5, 0.5, 0.5, 0.5, 0.5],
    "linear": [0.5, 0.37625, 0.2525, 0.12875, 0.005],
    "cosine": [0.5, 0.427508, 0.2525, 0.077492, 0.005],
    "steps": [0.5, 0.5, 0.5, 0.2525, 0.005],
}


@pytest.mark.parametrize("decay", FLOORED)
def test_values_of_a_falling_fraction(decay):
    whole = Fraction(0.5, decay, floor=0.005)
    early = Fraction(0.5, decay, end=0.6, floor=0.005)
    for quarter, value in enumerate(FLOORED[decay]):
        assert whole.at(quarter / 4) == pytest.approx(value, abs=1e-6)
        assert early.at(0.6 * (quarter / 4)) == pytest.approx(value, abs=1e-6)
    assert early.at(0.61) == 0.0


@pytest.mark.parametrize(
    ("share", "values"),
    [
        (Share(0.2, "sigmoid", end=1), [1.0, 0.963859, 0.6, 0.236141, 0.2]),
        (Share(0.2, "cubic", end=1), [1.0, 0.5375, 0.3, 0.2125, 0.2]),
        (Share(0.2, "cubic", start=0.5, end=1), [1.0, 1.0, 1.0, 0.3, 0.2]),
    ],
    ids=str,
)
def test_values_of_a_falling_share(share, values):
    got = [share.at(quarter / 4) for quarter in range(5)]
    assert got == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fraction(0.3, "cosinus"), "unknown decay of zeta 'cosinus'"),
        (lambda: Fraction(0.3, end=0.0), "decay_end must be above 0 .* got 0.0"),
        (lambda: Fraction(0.3, floor=0.4), "decay_floor must be from 0 to zeta, 0.3"),
        (lambda: Share(0.0), "final_share must be above 0 .* got 0.0"),
        (lambda: Share(0.5, "square"), "unknown shape of the share 'square'"),
        (lambda: Share(0.5, start=0.9), "share_end above it .* got 0.9 and 0.8"),
        (lambda: topology.make("rigl", gamma=0), "gamma must be above 0"),
        (
            lambda: topology.make("rigl", candidates="exact", gradient_batches=2),
            "one batch only, got gradient_batches 2; give candidates 'sampled'",
        ),
        (lambda: topology.make("gse", distribution="normal"), "unknown distribution"),
        (lambda: topology.make("dsr", threshold=0), "threshold must be above 0"),
        (lambda: topology.make("mest", gradient_weight=-1), "gradient_weight must"),
        (lambda: topology.make("deepr", l1=-1), "l1 must be at least 0 and finite"),
        (lambda: topology.make("deepr", l1=math.inf), "and finite, got inf"),
        (lambda: topology.make("deepr", l1="1"), "l1 must be a number, got '1'"),
        (lambda: topology.make("deepr", temperature=math.inf), "and finite, got"),
    ],
)
def test_bad_options(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "unit", "wanted"),
    [
        (UpdateSchedule(), "epoch", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (UpdateSchedule(), "step", []),
        (UpdateSchedule(2, "step", 1, 4), "step", [1, 3]),
        (UpdateSchedule(2, "step", 1, 4), "epoch", []),
        (UpdateSchedule(3, start=2), "epoch", [2, 5, 8]),
        (UpdateSchedule(3, start=3, end=6), "epoch", [3, 6]),
        (UpdateSchedule(start=5, end=4), "epoch", []),
    ],
    ids=str,
)
def test_schedule(schedule, unit, wanted):
    assert [n for n in range(10) if schedule.due(unit, n)] == wanted
    if unit == schedule.unit:
        assert schedule.count(9) == len(wanted)


@pytest.mark.parametrize("decay", DECAYS)
def test_the_mean_of_a_fraction_is_that_over_the_run(decay):
    fraction = Fraction(0.4, decay, end=0.8, floor=0.1)
    at_times = [fraction.at((k + 0.5) / 1000) for k in range(1000)]
    assert fraction.mean == pytest.approx(np.mean(at_times), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "batch"}, "unit 'batch' of a schedule; use one of epoch, step"),
        ({"every": 0}, "every must be a whole number of at least 1, got 0"),
        ({"start": 0.5}, "start must be a whole number of at least 1, got 0.5"),
        ({"end": -1}, "end must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_schedules(arguments, message):
    with pytest.raises(UsageError, match=message):
        UpdateSchedule(**arguments)
