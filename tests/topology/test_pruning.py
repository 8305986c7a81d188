"""Baselines that prune, and the exploration rate."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive_topology as naive
from support.topology_net import Net
from support.training import Recorder, arrays_of, make_model, make_problem, make_trainer

from truesparse import topology
from truesparse.callbacks.exploration import Explored, uniform_rate
from truesparse.drawing.cells import erdos_renyi
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.schedules import LearningRate
from truesparse.sparse.connections import Connections
from truesparse.topology import Exploration, UpdateContext

FULL = {"density": 1.0, "epsilon": None}


def run(algorithm, model=None, epochs=6, **settings):
    """Train on the small problem; return the model and the records of the run."""
    model = model or make_model(**FULL)
    recorder = Recorder()
    trainer = make_trainer(
        model, topology=algorithm, epochs=epochs, callbacks=[recorder], **settings
    )
    trainer.fit(*make_problem())
    return model, recorder


def counts(model):
    return [layer.connections.nnz for layer in model.layers]


def dense(model):
    return [layer.connections.to_scipy().toarray() for layer in model.layers]


# Magnitude ---------------------------------------------------------------------------


@pytest.mark.parametrize(("prune_at", "epoch"), [(1.0, 6), (0.5, 3), (0.6, 4)])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_magnitude_keeps_the_largest_weights_once(prune_at, epoch, scope):
    model = make_model(**FULL)
    n = model.nnz
    options = {"final_share": 0.25, "prune_at": prune_at, "scope": scope}
    before = {}

    class Look(Recorder):
        def on_batch_end(self, run):
            # Weights at the end of the epoch that is pruned.
            if run.model.step == 3 * epoch:
                before["weights"] = dense(run.model)

    trainer = make_trainer(
        model,
        topology=topology.make("magnitude", **options),
        epochs=6,
        callbacks=[Look(), recorder := Recorder()],
    )
    trainer.fit(*make_problem())
    assert [event[:2] for event in recorder.of("topology_update")] == [
        (epoch, 3 * epoch)
    ]
    assert model.nnz == pytest.approx(n / 4, abs=2)
    wanted = naive.largest_remaining(before["weights"], 0.25, scope)
    for got, mask in zip(model.layers, wanted, strict=True):
        pattern = got.connections.to_scipy().astype(bool).toarray()
        connections = got.connections
        pattern = np.zeros((connections.n_in, connections.n_out), bool)
        pattern.flat[connections.keys(np.arange(connections.nnz))] = True
        np.testing.assert_array_equal(pattern, mask)


def test_magnitude_can_leave_the_output_layer():
    model, _ = run(topology.make("magnitude", final_share=0.1, evolve_output=False))
    assert model.layers[-1].connections.density == 1.0
    hidden = [layer.connections for layer in model.layers[:-1]]
    cells = sum(connections.n_in * connections.n_out for connections in hidden)
    assert sum(connections.nnz for connections in hidden) == round(0.1 * cells)


@pytest.mark.parametrize("value", [0.0, 1.5, -1.0, "x"])
def test_magnitude_refuses_times_outside_of_the_run(value):
    with pytest.raises(UsageError, match="prune_at"):
        topology.make("magnitude", prune_at=value)


# Lottery -----------------------------------------------------------------------------


@pytest.mark.parametrize("rewind_epoch", [0, 1])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_lottery_prunes_in_rounds_and_winds_back(rewind_epoch, optimizer):
    model = make_model(**FULL, activation="srelu")
    at_start = [layer.srelu.values.copy() for layer in model.layers[:-1]]
    n, at_first = model.nnz, dense(model)
    seen = {}

    class Look(Recorder):
        def on_epoch_end(self, run, record):
            if run.epoch == 1:
                seen[1] = dense(run.model), [b.bias.copy() for b in run.model.layers]

        def on_topology_update(self, run, changes):
            seen[run.epoch] = copy.deepcopy(run.model)

    options = {"rounds": 2, "final_share": 0.16, "rewind_epoch": rewind_epoch}
    algorithm = topology.make("lottery", scope="global", **options)
    trainer = make_trainer(
        model, topology=algorithm, epochs=9, optimizer=optimizer, callbacks=[Look()]
    )
    trainer.fit(*make_problem())
    assert sorted(seen) == [1, 3, 6]
    # The same share of what is left goes every time: 0.4, then 0.4 of that.
    assert [seen[3].nnz, seen[6].nnz] == pytest.approx([0.4 * n, 0.16 * n], abs=2)
    weights, biases = seen[1] if rewind_epoch else (at_first, [0.0] * 3)
    for pruned in (seen[3], seen[6]):
        for layer, weight, bias in zip(pruned.layers, weights, biases, strict=True):
            connections = layer.connections
            keys = connections.keys(np.arange(connections.nnz))
            np.testing.assert_array_equal(connections.values, weight.flat[keys])
            np.testing.assert_array_equal(
                layer.bias, np.broadcast_to(bias, connections.n_out)
            )
            others = () if layer.srelu is None else layer.srelu.moments
            for moment in (*connections.moments, *layer.bias_moments, *others):
                assert not moment.any()
        if rewind_epoch == 0:
            for layer, want in zip(pruned.layers, at_start, strict=False):
                np.testing.assert_array_equal(layer.srelu.values, want)
    # The last part trains what is left, which was there the round before.
    assert model.nnz == seen[6].nnz
    for layer, earlier in zip(model.layers, seen[3].layers, strict=True):
        keys = layer.connections.keys(np.arange(layer.connections.nnz))
        assert earlier.connections.contains(keys).all()


def test_lottery_prunes_each_layer_and_the_output_layer_half_as_fast():
    model, before, seen = make_model(**FULL), {}, {}
    n = counts(model)

    class Look(Recorder):
        def on_batch_end(self, run):
            before[run.model.step // 3] = dense(run.model)

        def on_topology_update(self, run, changes):
            # Values are wound back; what is left is not zero, so this is the pattern.
            seen[run.epoch] = [each != 0 for each in dense(run.model)]

    algorithm = topology.make("lottery", rounds=2, final_share=0.64)
    trainer = make_trainer(
        model, topology=algorithm, epochs=6, optimizer="sgd", callbacks=[Look()]
    )
    trainer.fit(*make_problem())
    assert sorted(seen) == [2, 4]
    for number, (epoch, masks) in enumerate(sorted(seen.items()), 1):
        for k, mask in enumerate(masks):
            rate = 0.1 if k == len(masks) - 1 else 0.2
            count = round(n[k] * (1 - rate) ** number)
            sizes = abs(before[epoch][k])
            limit = np.sort(sizes.ravel())[-count]
            np.testing.assert_array_equal(mask, sizes >= limit)


def test_lottery_resumes_from_its_state():
    def go(algorithm, model, epochs):
        for epoch in epochs:
            for layer in model.layers:
                layer.connections.values[::3] *= 0.5
                layer.bias += 0.25
            where = UpdateContext(0, 3 * epoch, epoch, 36, 12)
            algorithm.advance("epoch", model, where, None)

    model = make_model(**FULL)
    options = {"rounds": 3, "rewind_epoch": 2, "final_share": 0.1, "scope": "global"}
    algorithm = topology.make("lottery", **options)
    algorithm.begin(model)
    go(algorithm, model, range(1, 5))
    resumed, other = topology.make("lottery", **options), copy.deepcopy(model)
    resumed.begin(other)
    resumed.restore(copy.deepcopy(algorithm.state()))
    go(algorithm, model, range(5, 13))
    go(resumed, other, range(5, 13))
    for ours, theirs in zip(arrays_of(model), arrays_of(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.nnz == pytest.approx(
        0.1 * sum(np.prod(w.shape) for w in dense(model)), abs=2
    )


def test_lottery_says_if_the_run_is_too_short():
    with pytest.raises(UsageError, match="3 rounds needs at least 4 epochs, got 3"):
        run(topology.make("lottery", rounds=3), epochs=3)
    message = "lottery' ends after epoch 2, before rewind_epoch 3; lower rewind_epoch"
    with pytest.raises(UsageError, match=message):
        run(topology.make("lottery", rounds=1, rewind_epoch=3), epochs=4)


# SNIP --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [2, 3])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_snip_keeps_the_most_sensitive_cells(is_sparse, n_layers):
    net = Net(is_sparse)
    n = [layer.connections.nnz for layer in net.model.layers]
    bigger = Net(is_sparse)
    options = {} if n_layers == 3 else {"evolve_output": False}
    algorithm = topology.make("snip", gamma=100.0, gradient_batches=2, **options)
    for index in range(n_layers):
        algorithm._enlarge(bigger.model, index)
    layers = bigger.model.layers[:n_layers]
    assert {layer.connections.density for layer in layers} == {1.0}
    bigger.read()
    start = UpdateContext(bigger.model.seed, 0, 0, 1, 1)
    gradients = bigger.gradients(start, 2)
    algorithm.begin(net.model, net.batches)
    masks = naive.most_sensitive(
        bigger.weights[:n_layers], gradients[:n_layers], sum(n[:n_layers])
    )
    for layer, mask, weights in zip(
        net.model.layers, masks, bigger.weights, strict=False
    ):
        want = np.where(mask, weights, 0.0)
        got = layer.connections.to_scipy().toarray()
        np.testing.assert_allclose(got, want, rtol=1e-12)
        layer.connections.check()
    assert (net.model.layers[2].connections.nnz == n[2]) == (n_layers == 2)


@pytest.mark.parametrize("prune_biases", [True, False])
def test_biases_that_snip_prunes_stay_zero(prune_biases):
    model = make_model()
    model.layers[0].bias[3] = 0.5
    run(topology.make("snip", prune_biases=prune_biases), model, epochs=2)
    # One that is not 0 at the start learns.
    assert model.layers[0].bias[3] not in (0.0, 0.5)
    others = np.delete(model.layers[0].bias, 3), *(b.bias for b in model.layers[1:])
    for bias in others:
        assert bias.any() != prune_biases


def test_snip_without_candidates_keeps_everything():
    net = Net()
    before = arrays_of(net.model)
    topology.make("snip", gamma=0.0).begin(net.model, net.batches)
    for got, want in zip(arrays_of(net.model), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_snip_chooses_before_the_first_step_only():
    model, recorder = run("snip", make_model(), epochs=2)
    assert recorder.of("topology_update") == []
    again = copy.deepcopy(model)
    keys = [
        layer.connections.keys(np.arange(layer.connections.nnz))
        for layer in model.layers
    ]
    run("snip", again, epochs=1)
    for layer, want in zip(again.layers, keys, strict=True):
        keys = layer.connections.keys(np.arange(layer.connections.nnz))
        np.testing.assert_array_equal(keys, want)


def test_snip_says_that_it_needs_batches():
    with pytest.raises(UsageError, match=r"give begin\(\) batches"):
        topology.make("snip").begin(make_model())


# Exploration -------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.integers(2, 64))
def test_explored_cells_are_counted_exactly_while_there_is_room(seed, room):
    draw = np.random.default_rng(seed)
    masks = draw.random((3, 6, 7)) < 0.3
    masks[:, 0, 0] = True
    connections = [connections_of(mask) for mask in masks]
    explored = Explored(connections[0], room)
    for each in (*connections[1:], connections[0]):
        explored.add(each)
    union = np.count_nonzero(masks.any(axis=0))
    assert explored.is_exact == (union <= room)
    if explored.is_exact:
        assert explored.count == union
        assert explored.rate == union / 42


def connections_of(mask):
    return Connections.from_scipy(sparse.csr_array(mask.astype(np.float32)))


def test_beyond_its_room_the_count_is_an_estimate():
    draw = np.random.default_rng(3)
    layers = [erdos_renyi(300, 400, 12_000, draw) for _ in range(6)]
    exact, rough = Explored(layers[0]), Explored(layers[0], 1000)
    for connections in layers[1:]:
        exact.add(connections)
        rough.add(connections)
    assert exact.is_exact
    assert not rough.is_exact
    # Three deviations of 1 / sqrt(1000).
    assert rough.count == pytest.approx(exact.count, rel=0.095)
    # In the order of the union, not of what came first.
    backwards = Explored(layers[-1], 1000)
    for connections in layers[-2::-1]:
        backwards.add(connections)
    assert backwards.count == rough.count


def test_the_closed_form_is_what_uniform_growth_explores():
    model = SparseMLP([60, 80, 70, 5], density=0.1, seed=2)
    tracked = Exploration()
    draw = np.random.default_rng(0)
    x = draw.standard_normal((20, 60)).astype(np.float32)
    trainer = make_trainer(
        model,
        topology=topology.make("set", zeta=0.3, removal="magnitude"),
        epochs=12,
        callbacks=[tracked],
    )
    trainer.fit(x, draw.integers(0, 5, 20))
    assert len(tracked.history) == 12
    assert tracked.history == sorted(tracked.history)
    for index, explored in enumerate(tracked.layers[:2]):
        connections = model.layers[index].connections
        assert explored.is_exact
        grown = [int(0.3 * connections.nnz)] * 11
        wanted = uniform_rate(explored.cells, connections.nnz, grown)
        # The binomial's deviation is below 0.007 there.
        assert explored.rate == pytest.approx(wanted, abs=0.025)
    assert tracked.layers[2].rate == model.layers[2].connections.density


# Learning rate -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["linear", "cosine", "step", "exponential"])
def test_a_learning_rate_starts_again_with_every_cycle(name):
    once, twice = LearningRate(0.1, name, warmup=1.0), None
    twice = LearningRate(0.1, name, warmup=1.0, cycles=3)
    for epoch in (0.0, 0.5, 3.0, 9.9):
        want = once.at(epoch, 10)
        for cycle in range(3):
            assert twice.at(epoch + 10 * cycle, 30) == pytest.approx(want)


def test_adaptive_takes_no_cycles():
    with pytest.raises(UsageError, match="'adaptive' takes no cycles, got 2"):
        LearningRate(0.1, "adaptive", cycles=2)
