"""Contract of every algorithm of the registry, and the update sequence they share."""

import naive
import numpy as np
import pytest
from network import mask_of
from strategies import connections, layer, to_dense
from training import Recorder, arrays_of, make_problem, make_trainer

from truesparse import rng, topology
from truesparse.callbacks import Callback
from truesparse.errors import UsageError
from truesparse.model import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.sparse.connections import Connections
from truesparse.sparse.init import INITIALIZERS, draw_weights
from truesparse.topology import ALGORITHMS, UpdateContext, UpdateSchedule

SIZES = (12, 20, 15, 4)
EVOLVING = sorted(set(ALGORITHMS) - {"static"})

each_algorithm = pytest.mark.parametrize("name", sorted(ALGORITHMS))
each_evolving = pytest.mark.parametrize("name", EVOLVING)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])


def make_model(dtype="float32", optimizer="sgd", epsilon=2, seed=0):
    """Return a model whose weights and optimiser state look trained."""
    model = SparseMLP(SIZES, epsilon=epsilon, dtype=dtype, seed=seed)
    model.allocate_moments(Optimizer(optimizer))
    draw = np.random.default_rng(5)
    for each in model.layers:
        links = each.connections
        for array in (links.values, *links.moments):
            array[:] = draw.standard_normal(array.size)
    return model


def context(step=10, seed=0, n_steps=100):
    return UpdateContext(seed, step, step // 2, n_steps, n_steps // 2)


@pytest.fixture
def rewired(monkeypatch):
    """List of what every call of Connections.rewire was given."""
    calls, rewire = [], Connections.rewire

    def spy(self, dropped, keys, new_values):
        calls.append((self, dropped.copy(), keys.copy(), new_values.copy()))
        rewire(self, dropped, keys, new_values)

    monkeypatch.setattr(Connections, "rewire", spy)
    return calls


def with_seed(name, seed, step):
    model = make_model()
    topology.make(name).update(model, context(step=step, seed=seed))
    return arrays_of(model)


# Every algorithm ---------------------------------------------------------------------


@each_dtype
@each_optimizer
@each_algorithm
def test_an_update_equals_its_dense_twin_bit_for_bit(name, optimizer, dtype, rewired):
    model = make_model(dtype, optimizer)
    before = {
        each.connections: (mask_of(each.connections), *dense_arrays(each.connections))
        for each in model.layers
    }
    biases = [each.bias.copy() for each in model.layers]
    topology.make(name).update(model, context())
    for links, dropped, keys, weights in rewired:
        mask, values, *moments = before[links]
        assert not mask.flat[keys[~np.isin(keys, np.flatnonzero(mask)[dropped])]].any()
        new_mask, want = naive.rewire(mask, values, dropped, keys, weights)
        np.testing.assert_array_equal(mask_of(links), new_mask)
        got_values, *got_moments = dense_arrays(links)
        np.testing.assert_array_equal(got_values, want)
        # New connections have no state, survivors keep theirs.
        for got, old in zip(got_moments, moments, strict=True):
            want = naive.rewire(mask, old, dropped, keys, 0.0)[1]
            np.testing.assert_array_equal(got, want)
    for each, bias in zip(model.layers, biases, strict=True):
        each.connections.check()
        assert each.connections.values.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(each.bias, bias)


def dense_arrays(links):
    moments = [m for m in links.moments if m.size]
    return [to_dense(links), *(to_dense(links, m) for m in moments)]


@each_algorithm
def test_the_number_of_connections_stays(name):
    model = make_model()
    for step in range(1, 20):
        before = [each.connections.nnz for each in model.layers]
        changes = topology.make(name).update(model, context(step))
        for change in changes:
            nnz = before[change.layer] - change.removed + change.grown
            assert model.layers[change.layer].connections.nnz == change.nnz == nnz
        assert model.nnz == sum(before)


@each_evolving
@pytest.mark.parametrize("regrow_init", INITIALIZERS)
def test_new_connections_get_the_initialiser(name, regrow_init, rewired):
    model = make_model()
    olds = [each.connections for each in model.layers]
    before = [connections(mask_of(links), np.float32) for links in olds]
    topology.make(name, regrow_init=regrow_init).update(model, context())
    assert rewired
    for links, _, keys, weights in rewired:
        assert weights.dtype == np.float32
        assert keys.size > 0
        index = olds.index(links)
        draw = rng.stream(0, rng.Purpose.REGROWN_WEIGHTS, 10, index)
        want = draw_weights(regrow_init, before[index], keys.size, draw)
        np.testing.assert_array_equal(weights, want)


@each_evolving
def test_zeta_0_changes_nothing(name):
    model = make_model()
    before = arrays_of(model)
    topology.make(name, zeta=0.0).update(model, context())
    for got, want in zip(arrays_of(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


@each_evolving
def test_every_update_draws_anew_and_the_seed_decides_it(name):
    first, again = with_seed(name, 3, 10), with_seed(name, 3, 10)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for seed, step in ((4, 10), (3, 11)):
        other = with_seed(name, seed, step)
        pairs = zip(first, other, strict=True)
        assert not all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@each_algorithm
def test_a_full_layer_and_by_default_the_output_layer_are_left_alone(name):
    model = make_model(epsilon=4)
    full = [each.connections.density == 1.0 for each in model.layers]
    assert full == [False, False, True]
    model.layers[0] = layer(connections(np.ones(SIZES[:2], bool), np.float32))
    changes = topology.make(name).update(model, context())
    assert [change.layer for change in changes if change.removed] == (
        [1] if name in EVOLVING else []
    )


@each_evolving
@pytest.mark.parametrize("evolve_output", [False, True])
def test_the_output_layer_evolves_if_asked(name, evolve_output):
    model = make_model()
    changes = topology.make(name, evolve_output=evolve_output).update(model, context())
    layers = [0, 1, 2] if evolve_output else [0, 1]
    assert [change.layer for change in changes if change.removed] == layers


@each_evolving
def test_after_the_last_step_nothing_grows(name):
    model = make_model()
    last = context(step=100, n_steps=100)
    assert last.is_final
    changes = topology.make(name, final="prune_only").update(model, last)
    assert all(change.removed and not change.grown for change in changes)
    for each in model.layers:
        each.connections.check()


# When --------------------------------------------------------------------------------


def updates_of(name, epochs=4, **options):
    """Return (epoch, step) of the updates of a run of 3 steps an epoch."""
    recorder = Recorder()
    algorithm = topology.make(name, **options)
    trainer = make_trainer(topology=algorithm, epochs=epochs, callbacks=[recorder])
    trainer.fit(*make_problem())
    return [event[:2] for event in recorder.of("topology_update")]


@each_evolving
@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        # The last epoch has no update, as in the authors' code.
        (None, [(1, 3), (2, 6), (3, 9)]),
        (UpdateSchedule(every=2), [(1, 3), (3, 9)]),
        (UpdateSchedule(start=2, end=3), [(2, 6), (3, 9)]),
        (UpdateSchedule(2, "step", start=1, end=4), [(0, 1), (0, 3)]),
        (UpdateSchedule(5, "step", start=5), [(1, 5), (3, 10)]),
    ],
    ids=str,
)
def test_updates_happen_on_schedule_only(name, schedule, wanted):
    assert updates_of(name, schedule=schedule) == wanted


@each_evolving
def test_a_final_removal_comes_after_the_last_epoch(name):
    wanted = [(1, 3), (2, 6), (3, 9), (4, 12)]
    assert updates_of(name, final="prune_only") == wanted
    by_step = UpdateSchedule(5, "step", start=5)
    assert updates_of(name, final="prune_only", schedule=by_step)[-1] == (4, 12)


def test_static_never_updates():
    assert updates_of("static") == []


def test_the_pattern_stands_still_between_updates():
    patterns = []

    class Watch(Callback):
        def on_batch_end(self, run):
            links = run.model.layers[1].connections
            patterns.append(mask_of(links).tobytes())

    schedule = UpdateSchedule(2, "step", start=1, end=4)
    algorithm = topology.make("set", schedule=schedule)
    make_trainer(topology=algorithm, callbacks=[Watch()]).fit(*make_problem())
    first, *rest = patterns
    assert first == rest[0]
    assert rest[1] != first
    assert set(rest[1:]) == {rest[1]}


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "batch"}, "'epoch' or 'step', got 'batch'"),
        ({"every": 0}, "at least 1, got 0 and 1"),
        ({"start": 0}, "at least 1, got 1 and 0"),
    ],
)
def test_bad_schedules(arguments, message):
    with pytest.raises(UsageError, match=message):
        UpdateSchedule(**arguments)
