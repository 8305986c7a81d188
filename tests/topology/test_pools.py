"""Algorithms that hold a pool of candidates: SNFS and Top-KAST; and NeST, AccSET."""

import numpy as np
import pytest
from support import naive_topology
from support.strategies import make_connections
from support.topology_net import SIZES, Net, at
from support.training import Recorder, make_problem, make_trainer

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.topology import Batches, Update, UpdateContext, UpdateSchedule
from truesparse.topology.top_kast import draw_next
from truesparse.training.trainer import Trainer

LR = 0.1


def begun(name, net, **options):
    algorithm = topology.make(name, **options)
    algorithm.begin(net.model)
    return algorithm


# SNFS --------------------------------------------------------------------------------


def test_the_pool_of_snfs_averages_gradients():
    net = Net()
    algorithm = begun("snfs", net, sample_every=2, pool_momentum=0.5)
    want = [np.zeros(mask.shape) for mask in net.masks]
    for step in range(1, 8):
        assert algorithm.advance("step", net.model, at(step), net.batches) in (None, [])
        if step % 2 == 0:
            for sums, gradient in zip(want, net.gradients(at(step)), strict=True):
                sums *= 0.5
                sums += gradient
    state = algorithm.state()
    for k in range(2):
        keys = state["pool"][str(k)]
        # gamma 1: all connections, and as many candidates that are not connected.
        assert np.unique(keys).size == keys.size == 2 * net.masks[k].sum()
        assert net.masks[k].flat[keys].sum() == net.masks[k].sum()
        got = state["momentum"][str(k)]
        np.testing.assert_allclose(got, want[k].flat[keys], atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_snfs_grows_where_momentum_is_largest(optimizer):
    net = Net()
    net.model.allocate_moments(Optimizer(optimizer))
    gradients = net.gradients(at())
    options = {"zeta": 0.4, "decay": "constant", "gamma": 100.0}
    changes = net.update(begun("snfs", net, **options))
    removed = [int(0.4 * mask.sum()) for mask in net.masks[:2]]
    assert [change.removed for change in changes] == removed
    for k, change in enumerate(changes):
        pruned = naive_topology.drop_magnitude(
            net.masks[k], net.weights[k], change.removed
        )
        left = net.masks[k] & ~pruned
        want = naive_topology.largest(abs(gradients[k]), ~left, change.grown)
        np.testing.assert_array_equal(net.new_masks()[k], left | want)
    assert algorithm_pool_is_empty(net)


def algorithm_pool_is_empty(net):
    """After an update the next pool is drawn at the next look, from what is absent."""
    algorithm = begun("snfs", net, sample_every=1)
    net.update(algorithm)
    return algorithm.state()["pool"] == {}


def test_a_nearly_full_layer_loses_less_only_if_it_is_to_gain():
    for momentum, share in ((2.0, 1 / 9), (0.5, 0.4)):
        net = Net()
        mask = np.ones(SIZES[:2], bool)
        mask.flat[::9] = False
        connections = make_connections(mask)
        connections.allocate_moments(True, False)
        net.model.layers[0].connections = connections
        net.model.prepare(16, net.batches.data)
        algorithm = begun("snfs", net, zeta=0.4, decay="constant", sample_every=1)
        algorithm.advance("step", net.model, at(1), net.batches)
        for index, size in (("0", momentum), ("1", 1.0)):
            algorithm.state()["momentum"][index][:] = size
        update = Update(net.model, at(), [0, 1], net.batches)
        algorithm.drop(update)
        assert update.removed(0) == pytest.approx(share * connections.nnz, abs=1)
        assert update.removed(1) == int(0.4 * update.connections[1].nnz)


# Top-KAST ----------------------------------------------------------------------------


def pools(algorithm):
    state = algorithm.state()
    return [(state["keys"][str(k)], state["weights"][str(k)]) for k in range(2)]


def test_the_pool_and_the_connections_of_top_kast_learn_and_decay():
    net = Net()
    algorithm = begun("top_kast", net, sample_every=3, penalty=0.01)
    net.read()
    for step in range(1, 10):
        gradients = net.gradients(at(step))
        before = (
            [] if step <= 3 else [weights.copy() for _, weights in pools(algorithm)]
        )
        algorithm.advance("step", net.model, at(step), net.batches)
        for k, weights in enumerate(before if step % 3 == 0 else []):
            keys, got = pools(algorithm)[k]
            density = net.masks[k].mean()
            want = (1 - 3 * LR * 0.01 / density) * weights
            want -= 3 * LR * gradients[k].flat[keys]
            np.testing.assert_allclose(got, want, atol=1e-12)
    # Three looks after three steps each.
    for weights, layer in zip(net.weights[:2], net.model.layers, strict=False):
        got = layer.connections.to_scipy().toarray()
        np.testing.assert_allclose(got, (1 - 3 * LR * 0.01) ** 3 * weights)


def test_the_pool_of_top_kast_starts_just_below_the_smallest_connection():
    model = SparseMLP((300, 200, 10), density=0.1, seed=3)
    before = [layer.connections.values.copy() for layer in model.layers]
    algorithm = topology.make("top_kast", extra=0.5)
    algorithm.begin(model)
    values, old = model.layers[0].connections.values, before[0]
    np.testing.assert_array_equal(np.sign(values), np.sign(old))
    assert np.sum(values**2) == pytest.approx(np.sum(old**2), rel=1e-5)
    # Standard normal: a tenth is above 1.645, a hundredth above 2.576.
    sizes = np.sort(abs(values))
    assert sizes[0] == pytest.approx(sizes[-600] * 1.645 / 2.576, rel=0.02)
    np.testing.assert_array_equal(model.layers[1].connections.values, before[1])
    draw = np.random.default_rng(0)
    next_ones = draw_next(model.layers[0].connections, 0.5, 20_000, draw)
    # 0.15 are above 1.4395.
    assert abs(next_ones).max() == pytest.approx(sizes[0], rel=1e-3)
    assert abs(next_ones).max() <= sizes[0]
    want = sizes[0] * 1.4395 / 1.6449
    assert abs(next_ones).min() == pytest.approx(want, rel=1e-3)
    assert (next_ones > 0).mean() == pytest.approx(0.5, abs=0.02)
    full = SparseMLP((4, 3, 2), density=1.0).layers[0].connections
    assert draw_next(full, 0.5, 0, draw).size == 0
    # A model that has been trained keeps its weights.
    model.step = 1
    values[:] = old
    algorithm.begin(model)
    np.testing.assert_array_equal(values, old)


def test_top_kast_exchanges_as_much_as_the_dense_original():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((600, 40))
    y = np.argmax(x[:, :4] + 0.5 * x[:, 4:8], axis=1).astype(np.int32)
    want = naive_topology.top_kast_exchange(x, y, width=100, density=0.1, extra=0.5)

    got = []

    class Exchanged(Recorder):
        def on_topology_update(self, run, changes):
            if run.model.step % 100 == 0:
                got.append(changes[0].grown / changes[0].nnz)

    model = SparseMLP((40, 100, 4), density=0.1, seed=0)
    trainer = Trainer(
        model,
        topology="top_kast",
        optimizer=Optimizer("sgd", momentum=0.0),
        epochs=26,
        batch_size=50,
        lr=0.1,
        callbacks=[Exchanged()],
    )
    trainer.fit(x.astype(np.float32), y)
    assert len(got) == len(want) == 3
    assert want[0] / 3 < got[0] < 3 * want[0]
    assert sum(want) / 3 < sum(got) < 3 * sum(want)
    # Pools that start at 0 exchanged next to nothing.
    assert min(got) > 0.01


def test_top_kast_uses_the_largest_of_connections_and_pool():
    net = Net()
    algorithm = begun("top_kast", net, sample_every=1, penalty=0.0)
    net.read()
    algorithm.advance("step", net.model, at(1), net.batches)
    state = algorithm.state()
    for weights in state["weights"].values():
        weights *= 30.0
    changes = net.update(algorithm)
    for k, change in enumerate(changes):
        assert change.growth == "sampled"
        both = net.weights[k].copy()
        keys = state["keys"][str(k)]
        both.flat[keys] = state["weights"][str(k)]
        limit = np.sort(abs(both).ravel())[-net.masks[k].sum()]
        np.testing.assert_array_equal(net.new_masks()[k], abs(both) >= limit)
        assert change.grown == change.removed > 0
        # What lost its place is in the pool, with its weight.
        lost = np.flatnonzero(net.masks[k] & ~net.new_masks()[k])
        after = algorithm.state()
        pool = dict(zip(after["keys"][str(k)], after["weights"][str(k)], strict=True))
        strongest = lost[np.argsort(-abs(net.weights[k].flat[lost]))[:3]]
        for key in strongest:
            assert pool[key] == net.weights[k].flat[key]
        assert not net.new_masks()[k].flat[after["keys"][str(k)]].any()


@pytest.mark.parametrize("name", ["snfs", "top_kast"])
def test_a_pool_is_not_taken_to_another_net(name):
    net, algorithm = Net(), topology.make(name, sample_every=1)
    wide = SparseMLP((60, 70, 50, 4), dtype="float64", epsilon=2)
    wide.allocate_moments(Optimizer())
    data = np.ones((40, 60))
    wide.prepare(16, data)
    targets = np.zeros(40, np.int32)
    batches = Batches(wide, data, targets, np.arange(40), 16)
    algorithm.begin(wide)
    algorithm.advance("step", wide, at(1), batches)
    algorithm.begin(net.model)
    algorithm.advance("step", net.model, at(2), net.batches)
    pool = algorithm.state()["pool" if name == "snfs" else "keys"]
    for k in range(2):
        assert pool[str(k)].max() < net.masks[k].size
    assert net.update(algorithm)


# NeST --------------------------------------------------------------------------------


def test_nest_grows_by_a_step_of_descent_then_prunes():
    net = Net()
    options = {"zeta": 0.25, "gamma": 100.0, "gradient_batches": 2}
    algorithm = begun("nest", net, most_growth=1.5, **options)
    gradients = net.gradients(at(), 2)
    changes = net.update(algorithm)
    for k, change in enumerate(changes):
        assert change.removed == 0
        assert change.grown == int(0.25 * net.masks[k].sum())
        connections = net.model.layers[k].connections
        grown = net.new_masks()[k] & ~net.masks[k]
        want = -LR / 2 * gradients[k][grown]
        np.testing.assert_allclose(
            connections.values[~net.masks[k][net.new_masks()[k]]], want
        )
        absent = np.sort(abs(gradients[k][~net.masks[k]]))
        assert abs(gradients[k][grown]).min() == absent[-change.grown]
    for step in (20, 30, 40):
        net.update(algorithm, at(step))
    most = [int(1.5 * mask.sum()) for mask in net.masks[:2]]
    assert [layer.connections.nnz for layer in net.model.layers[:2]] == most
    before = [layer.connections.values.copy() for layer in net.model.layers[:2]]
    for change, values in zip(net.update(algorithm, at(51)), before, strict=True):
        small = abs(values) < 0.1 * np.sqrt(np.mean(values**2))
        assert (change.removed, change.grown) == (small.sum(), 0)
        assert change.removed > 0


def test_nest_averages_over_the_batches_that_there_are():
    net = Net()
    gradients = net.gradients(at(), 4)
    # 40 samples hold two batches of 16.
    net.update(begun("nest", net, gamma=100.0, gradient_batches=4))
    for k in range(2):
        new, connections = net.new_masks()[k], net.model.layers[k].connections
        grown = new & ~net.masks[k]
        assert grown.any()
        np.testing.assert_allclose(
            connections.values[~net.masks[k][new]], -LR / 2 * gradients[k][grown]
        )


# AccSET ------------------------------------------------------------------------------


def test_accset_holds_fewer_connections_the_better_the_best_score():
    net = Net()
    at_first = [mask.sum() for mask in net.masks[:2]]
    algorithm = begun("accset", net)
    # A third of 0.3 of the way from 0.4 to 1 leaves 0.8 of the connections; a worse
    # score than one before changes nothing, and 0.4 is the least.
    for score, left in ((0.4, 1.0), (0.3, 1.0), (0.46, 0.8), (0.4, 0.8), (0.99, 0.4)):
        where = UpdateContext(0, 10, 1, 100, 10, score=score)
        changes = net.update(algorithm, where)
        assert [each.nnz for each in changes] == [round(left * n) for n in at_first]
        assert all(each.removed > 0 for each in changes)


def test_accset_needs_no_score_before_the_end_of_the_first_epoch():
    net = Net()
    algorithm = begun("accset", net)
    changes = net.update(algorithm, UpdateContext(0, 3, 0, 100, 10))
    assert [each.nnz for each in changes] == [mask.sum() for mask in net.masks[:2]]
    with pytest.raises(UsageError, match="needs a score"):
        net.update(algorithm, UpdateContext(0, 10, 1, 100, 10))


def test_accset_starts_no_run_with_a_score_of_another():
    net = Net()
    algorithm = begun("accset", net)
    for _ in range(2):
        algorithm.begin(net.model)
        assert algorithm.share_left(at()) == 1.0
        net.update(algorithm, UpdateContext(0, 10, 1, 100, 10, score=0.2))
        net.update(algorithm, UpdateContext(0, 20, 2, 100, 10, score=0.9))
        assert algorithm.share_left(at()) == pytest.approx(0.4)


def test_a_state_of_the_former_accset_is_refused():
    net = Net()
    state = begun("accset", net).state()
    old = {name: value for name, value in state.items() if name != "scores"}
    with pytest.raises(UsageError, match="accset had another rule; start a new one"):
        begun("accset", net).restore(old | {"first_score": 0.5})


@pytest.mark.compiled
def test_accset_does_not_collapse_on_digits():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x, y = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    train, test = slice(0, 1400), slice(1400, None)
    model = SparseMLP((64, 300, 300, 10), density=0.1, seed=0)
    n = model.nnz
    trainer = Trainer(model, topology="accset", epochs=30, batch_size=50, lr=0.1)
    history = trainer.fit(x[train], y[train], X_val=x[test], y_val=y[test])
    # SET reaches 0.90; removal without a floor went down to 0.80.
    assert history[-1].val_score > 0.87
    # 60 % fewer, but for the output layer, which keeps its connections.
    assert 0.4 < model.nnz / n < 0.45


def test_accset_needs_validation_data():
    trainer = make_trainer(topology="accset")
    with pytest.raises(UsageError, match="give X_val and y_val"):
        trainer.fit(*make_problem())
    history = make_trainer(topology="accset", epochs=6).fit(
        *make_problem(), validation_fraction=0.3
    )
    counts = [record.nnz for record in history]
    assert counts[-1] < counts[0]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("snfs", {"pool_momentum": 1.0}, "pool_momentum must be from 0 up to"),
        ("snfs", {"sample_every": 0}, "sample_every must be a whole number"),
        ("top_kast", {"extra": 0}, "extra must be above 0"),
        ("top_kast", {"penalty": -1}, "penalty must be at least 0"),
        ("nest", {"most_growth": 0.5}, "most_growth must be at least 1"),
        ("nest", {"grow_until": 2}, "grow_until must be from 0 to 1"),
        ("nest", {"prune_threshold": -1}, "prune_threshold must be at least 0"),
        ("srigl", {"gamma_salience": -1}, "gamma_salience must be at least 0"),
        ("accset", {"final_share": 0.5}, "unknown option"),
        ("accset", {"least_share": 0}, "least_share must be"),
        ("set", {"schedule": 3}, "schedule must be an UpdateSchedule, got 3"),
        ("set", {"layers": "all"}, "layers must be a list of numbers, got 'all'"),
        ("set", {"layers": [-1]}, "layers must be a whole number of at least 0"),
        ("set", {"evolve_output": 1}, "evolve_output must be true or false, got 1"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(UsageError, match=message):
        topology.make(name, **options)


@pytest.mark.parametrize("name", ["snfs", "top_kast"])
def test_a_run_feeds_the_pool(name):
    algorithm = topology.make(name, schedule=UpdateSchedule(), sample_every=1)
    trainer = make_trainer(topology=algorithm)
    history = trainer.fit(*make_problem())
    assert history[-1].nnz == trainer.model.nnz
    assert history[-1].train_loss < history[0].train_loss
