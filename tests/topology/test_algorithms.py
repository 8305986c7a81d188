"""The contract of topology algorithms: every one of them keeps these promises."""

import copy
import dataclasses

import numpy as np
import pytest
from support import naive
from support.network import mask_of
from support.strategies import layer, make_connections, to_dense
from support.training import Recorder, arrays_of, make_problem, make_trainer

from truesparse import topology
from truesparse.common import rng
from truesparse.drawing.cells import INITIALIZERS, draw_weights
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.sparse.connections import Connections
from truesparse.topology import ALGORITHMS, Batches, UpdateContext, UpdateSchedule

SIZES = (12, 20, 15, 4)


def having(*options, among=ALGORITHMS):
    """Return the names of the algorithms that take all these options."""
    return [name for name in among if {*options} <= {*ALGORITHMS[name].options()}]


# Others choose connections once, or never; see topology/test_pruning.py.
EVOLVING = having("schedule")
# Signs or magnitudes decide how many connections the others replace.
FRACTIONAL = having("zeta", among=EVOLVING)
CONSERVING = [name for name in [*EVOLVING, "static"] if ALGORITHMS[name].conserves]
SHRINKING = having("final_share", among=CONSERVING)
RANDOM = [name for name in EVOLVING if ALGORITHMS[name].is_random]

each_algorithm = pytest.mark.parametrize("name", [*EVOLVING, "static"])
each_evolving = pytest.mark.parametrize("name", EVOLVING)
each_fractional = pytest.mark.parametrize("name", FRACTIONAL)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])


def make(name, model=None, **options):
    """Return an algorithm that has seen the model, by default a conserving one."""
    defaults = {"final_share": 1.0, "sample_every": 2}
    taken = {*ALGORITHMS[name].options()} if name in EVOLVING else {}
    defaults = {option: defaults[option] for option in defaults if option in taken}
    algorithm = topology.make(name, **defaults | options)
    if model is not None:
        algorithm.begin(model)
        flip_signs(model)
    return algorithm


def flip_signs(model):
    """Change a quarter of the signs, and let weights differ in size, as steps do."""
    for each in model.layers:
        values = each.connections.values
        values[::4] *= -1
        values[::3] *= 1e-4


def make_model(dtype="float32", optimizer="sgd", epsilon=2, seed=0):
    """Return a model whose weights and optimiser state look trained."""
    model = SparseMLP(SIZES, epsilon=epsilon, dtype=dtype, seed=seed)
    model.allocate_moments(Optimizer(optimizer))
    draw = np.random.default_rng(5)
    for each in model.layers:
        connections = each.connections
        for array in (connections.values, *connections.moments):
            array[:] = draw.standard_normal(array.size)
        np.abs(connections.moments.second, out=connections.moments.second)
    return model


def batches_of(model, n=40, batch_size=16):
    """Return training data of the model, which is prepared for them."""
    draw = np.random.default_rng(6)
    data = draw.standard_normal((n, SIZES[0])).astype(model.dtype)
    targets = draw.integers(0, SIZES[-1], n).astype(np.int32)
    model.prepare(batch_size, data)
    return Batches(model, data, targets, np.arange(n), batch_size)


def context(step=10, seed=0, n_steps=100):
    where = seed, step, step // 2, n_steps, n_steps // 2
    return UpdateContext(*where, lr=0.1, score=0.5)


def update(algorithm, model, where=None):
    return algorithm.update(model, where or context(), batches_of(model))


@pytest.fixture
def rewired(monkeypatch):
    """List of the arguments of each Connections.rewire, and the layer before."""
    calls, rewire = [], Connections.rewire

    def spy(self, dropped, keys, new_values):
        before = mask_of(self), dense_arrays(self)
        rewire(self, dropped.copy(), keys.copy(), new_values.copy())
        calls.append((self, before, dropped, keys, new_values))

    monkeypatch.setattr(Connections, "rewire", spy)
    return calls


def dense_arrays(connections):
    moments = [m for m in connections.moments if m.size]
    return [to_dense(connections), *(to_dense(connections, m) for m in moments)]


def with_seed(name, seed, step):
    model = make_model()
    update(make(name, model), model, context(step=step, seed=seed))
    return arrays_of(model)


# Every algorithm ---------------------------------------------------------------------


@each_dtype
@each_optimizer
@each_algorithm
def test_an_update_equals_its_dense_twin_bit_for_bit(name, optimizer, dtype, rewired):
    model = make_model(dtype, optimizer)
    biases = [each.bias.copy() for each in model.layers]
    update(make(name, model), model)
    for connections, (mask, arrays), dropped, keys, weights in rewired:
        assert not mask.flat[keys[~np.isin(keys, np.flatnonzero(mask)[dropped])]].any()
        # Survivors keep value and state; new connections have no state.
        new_mask, want = naive.rewire(mask, arrays[0], dropped, keys, weights)
        wanted = [
            want,
            *(naive.rewire(mask, a, dropped, keys, 0)[1] for a in arrays[1:]),
        ]
        np.testing.assert_array_equal(mask_of(connections), new_mask)
        for got, want in zip(dense_arrays(connections), wanted, strict=True):
            np.testing.assert_array_equal(got, want)
    for each, bias in zip(model.layers, biases, strict=True):
        each.connections.check()
        assert each.connections.values.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(each.bias, bias)


@pytest.mark.parametrize("name", CONSERVING)
def test_the_number_of_connections_stays(name):
    model = make_model()
    algorithm = make(name, model)
    nnz = model.nnz
    for step in range(1, 20):
        before = [each.connections.nnz for each in model.layers]
        changes = update(algorithm, model, context(step))
        for change in changes:
            wanted = before[change.layer] - change.removed + change.grown
            assert model.layers[change.layer].connections.nnz == change.nnz == wanted
            assert algorithm.redistributes or wanted == before[change.layer]
        assert model.nnz == nnz


@pytest.mark.parametrize("name", SHRINKING)
@pytest.mark.parametrize("shape", ["cubic", "sigmoid"])
def test_the_number_of_connections_falls_if_asked(name, shape):
    model = make_model()
    options = {"final_share": 0.5, "share_shape": shape, "share_end": 0.6}
    algorithm = topology.make(name, **options)
    algorithm.begin(model)
    start = sum(each.connections.nnz for each in model.layers[:2])
    counts = []
    for step in (10, 30, 60, 70):
        flip_signs(model)
        update(algorithm, model, context(step))
        counts.append(sum(each.connections.nnz for each in model.layers[:2]))
    share = algorithm.share
    wanted = [round(start * share.at(step / 100)) for step in (10, 30, 60, 70)]
    assert wanted[0] > wanted[1] > wanted[2] == wanted[3] == start // 2
    # Each layer is rounded; SET rounds each sign of it.
    np.testing.assert_allclose(counts, wanted, atol=1 + (name == "set"))


@each_evolving
@pytest.mark.parametrize("regrow_init", INITIALIZERS)
def test_new_connections_get_their_initial_weight(name, regrow_init, rewired):
    model = make_model()
    olds = [each.connections for each in model.layers]
    before = [
        make_connections(mask_of(connections), np.float32) for connections in olds
    ]
    has_option = "regrow_init" in ALGORITHMS[name].options()
    options = {"regrow_init": regrow_init} if has_option else {}
    update(make(name, model, **options), model)
    assert rewired
    for connections, _, _, keys, weights in rewired:
        assert weights.dtype == np.float32
        assert keys.size > 0
        if not has_option:
            # A constant, or learned before.
            new_weight = getattr(ALGORITHMS[name], "new_weight", None)
            assert (weights != 0).any()
            assert new_weight is None or set(abs(weights)) == {np.float32(new_weight)}
            continue
        index = olds.index(connections)
        draw = rng.stream(0, rng.Purpose.REGROWN_WEIGHTS, 10, index)
        want = draw_weights(regrow_init, before[index], keys.size, draw)
        np.testing.assert_array_equal(weights, want)


@each_fractional
def test_zeta_0_changes_nothing(name):
    model = make_model()
    algorithm = make(name, model, zeta=0.0)
    before = arrays_of(model)
    update(algorithm, model)
    for got, want in zip(arrays_of(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", RANDOM)
def test_every_update_draws_anew_and_the_seed_decides_it(name):
    first, again = with_seed(name, 3, 10), with_seed(name, 3, 10)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for seed, step in ((4, 10), (3, 11)):
        other = with_seed(name, seed, step)
        pairs = zip(first, other, strict=True)
        assert not all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@each_evolving
def test_the_number_of_threads_changes_nothing(name):
    results = []
    for n_threads in range(1, min(jit.most_threads(), 4) + 1):
        jit.set_threads(n_threads)
        results.append(with_seed(name, 3, 10))
    for result in results[1:]:
        for ours, theirs in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@each_evolving
def test_an_algorithm_resumes_from_its_state(name):
    schedule = UpdateSchedule(5, "step", start=5)
    model = make_model()
    algorithm = make(name, model, schedule=schedule)

    def run(algorithm, model, steps):
        changes = []
        for model.step in steps:
            flip_signs(model)
            batches, where = batches_of(model), context(model.step)
            changes += algorithm.advance("step", model, where, batches) or []
        return changes

    assert run(algorithm, model, range(1, 9))
    resumed, other = make(name, schedule=schedule), copy.deepcopy(model)
    resumed.begin(other)
    resumed.restore(copy.deepcopy(algorithm.state()))
    steps = range(9, 22)
    assert run(algorithm, model, steps) == run(resumed, other, steps)
    for ours, theirs in zip(arrays_of(model), arrays_of(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@each_algorithm
def test_a_full_layer_loses_to_others_at_most_and_the_output_layer_is_left_alone(name):
    model = make_model(epsilon=4)
    full = [each.connections.density == 1.0 for each in model.layers]
    assert full == [False, False, True]
    model.layers[0] = layer(make_connections(np.ones(SIZES[:2], bool), np.float32))
    model.layers[0].allocate_moments(True, False)
    changes = update(make(name, model), model)
    changed = [each.layer for each in changes if each.removed or each.grown]
    wanted = [0, 1] if ALGORITHMS[name].redistributes else [1]
    assert changed == (wanted if name in EVOLVING else [])


@each_algorithm
def test_a_net_of_full_layers_is_left_alone(name):
    model = SparseMLP(SIZES, density=1.0)
    model.allocate_moments(Optimizer())
    before = arrays_of(model)
    assert update(make(name), model) == []
    for got, want in zip(arrays_of(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


@each_evolving
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [0, 1]),
        ({"evolve_output": True}, [0, 1, 2]),
        ({"layers": (1,)}, [1]),
        ({"layers": [2, 0]}, [0, 2]),
    ],
)
def test_layers_evolve_as_asked(name, options, wanted):
    model = make_model()
    changes = update(make(name, model, **options), model)
    changed = [each.layer for each in changes if each.removed or each.grown]
    assert changed == wanted


def test_a_layer_that_does_not_exist():
    with pytest.raises(UsageError, match=r"layers must be from 0 to 2, got \[1, 3\]"):
        topology.make("set", layers=(1, 3)).begin(make_model())


@each_evolving
def test_after_the_last_step_nothing_grows(name):
    model = make_model()
    last = context(step=100, n_steps=100)
    assert last.is_final
    algorithm = make(name, model, final="prune_only")
    changes = update(algorithm, model, last)
    assert all(not change.grown for change in changes)
    for each in model.layers:
        each.connections.check()


@each_evolving
def test_an_algorithm_that_needs_batches_says_so(name):
    algorithm = ALGORITHMS[name]
    if not algorithm.needs_batches:
        assert make(name).update(make_model(), context())
        return
    with pytest.raises(UsageError, match="looks at gradients: give update"):
        make(name).update(make_model(), context())


@each_evolving
def test_an_algorithm_that_needs_a_score_says_so(name):
    model = make_model()
    where = dataclasses.replace(context(), score=None)
    if not ALGORITHMS[name].needs_score:
        assert update(make(name, model), model, where)
        return
    with pytest.raises(UsageError, match="give X_val and y_val"):
        update(make(name, model), model, where)


# When --------------------------------------------------------------------------------


def updates_of(name, epochs=4, **options):
    """Return (epoch, step) of the updates of a run of 3 steps an epoch."""
    recorder = Recorder()
    # A small layer may regrow all it lost, and stand still.
    defaults = {"early_stop": None} if name in having("early_stop") else {}
    algorithm = make(name, **{"decay_end": 1.0} | defaults | options)
    trainer = make_trainer(topology=algorithm, epochs=epochs, callbacks=[recorder])
    problem = make_problem()
    trainer.fit(*problem, X_val=problem[0], y_val=problem[1])
    return [event[:2] for event in recorder.of("topology_update")]


@each_evolving
@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        # The last epoch has no update, as in the authors' code.
        (UpdateSchedule(), [(1, 3), (2, 6), (3, 9)]),
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
    every = UpdateSchedule()
    assert updates_of(name, final="prune_only", schedule=every) == wanted
    by_step = UpdateSchedule(5, "step", start=5)
    assert updates_of(name, final="prune_only", schedule=by_step)[-1] == (4, 12)


@each_fractional
def test_no_update_after_the_end_of_the_decay(name):
    schedule = UpdateSchedule()
    assert updates_of(name, schedule=schedule, decay_end=0.5) == [(1, 3), (2, 6)]


def test_static_never_updates():
    recorder = Recorder()
    trainer = make_trainer(topology="static", epochs=4, callbacks=[recorder])
    trainer.fit(*make_problem())
    assert recorder.of("topology_update") == []
