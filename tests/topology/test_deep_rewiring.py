"""DeepR with one constraint for all layers, and soft-DeepR."""

import numpy as np
import pytest
from support import naive_topology
from support.topology_net import Net, at

from truesparse import datasets, topology
from truesparse.common import memory
from truesparse.errors import MemoryLimitError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import Update
from truesparse.training.trainer import Trainer

# Theta is of the order of temperature / l1 = 1, the noise of a step 0.2.
BALANCED = {"l1": 0.2, "temperature": 0.2}


def flip(connections, share):
    """Change the sign of the first weights, as steps do."""
    connections.values[: int(share * connections.nnz)] *= -1


# DeepR with a global constraint ------------------------------------------------------


def test_a_global_constraint_keeps_the_number_of_all_connections():
    net = Net()
    algorithm = topology.make("deepr", scope="global", l1=0.0, temperature=0.0)
    algorithm.begin(net.model)
    nnz = [layer.connections.nnz for layer in net.model.layers]
    # The first layer alone loses connections; both grow some.
    flip(net.model.layers[0].connections, 0.5)
    changes = net.update(algorithm)
    assert [change.removed for change in changes] == [nnz[0] // 2, 0]
    assert all(change.grown > 0 for change in changes)
    assert sum(change.grown for change in changes) == nnz[0] // 2
    assert net.model.nnz == sum(nnz)


def test_layers_grow_in_proportion_to_what_they_had_at_first():
    model = SparseMLP([300, 400, 200, 2], density=0.1, dtype="float64", seed=1)
    algorithm = topology.make("deepr", scope="global", l1=0.0, temperature=0.0)
    algorithm.begin(model)
    first = [layer.connections.nnz for layer in model.layers[:2]]
    assert first == [12000, 8000]
    grown = np.zeros(2)
    for step in (1, 2, 3):
        flip(model.layers[0].connections, 0.5)
        grown += [change.grown for change in algorithm.update(model, at(step))]
    # Thousands of draws with probability 0.6, though the first layer has shrunk.
    share = grown[0] / grown.sum()
    assert share == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / grown.sum()))


def test_what_a_layer_has_no_room_for_goes_to_others():
    model = SparseMLP([10, 10, 60, 2], density=0.5, dtype="float64")
    model.layers[0].connections = (
        SparseMLP([10, 10, 2], density=0.95, dtype="float64").layers[0].connections
    )
    algorithm = topology.make("deepr", scope="global", l1=0.0, temperature=0.0)
    algorithm.begin(model)
    flip(model.layers[1].connections, 0.5)
    nnz = model.nnz
    changes = algorithm.update(model, at(1))
    assert changes[0].nnz == 100
    assert model.nnz == nnz


# Soft-DeepR --------------------------------------------------------------------------


def soft(n_in=100, n_out=200, density=0.1, **options):
    """Return a model whose thetas are in balance, and the algorithm."""
    model = SparseMLP([n_in, n_out, 2], density=density, dtype="float64", seed=3)
    draw = np.random.default_rng(4)
    values = model.layers[0].connections.values
    values[:] = draw.exponential(size=values.size) * draw.choice([-1, 1], values.size)
    algorithm = topology.make("soft_deepr", **BALANCED | options)
    algorithm.begin(model)
    return model, algorithm


def dense_walks(n_steps, seed=5):
    """Return thetas of 20,000 cells in balance, counts by step, how many had a turn."""
    draw, lowest = np.random.default_rng(seed), -0.9 / 0.1
    theta = np.where(
        draw.random(20000) < 0.1,
        draw.exponential(size=20000),
        lowest * draw.random(20000),
    )
    counts, once = [], theta > 0
    for _ in range(n_steps):
        theta = naive_topology.soft_deepr(theta, 0.1, 0.2, 0.2, lowest, draw)
        counts.append((theta > 0).sum())
        once |= theta > 0
    return theta, np.array(counts), once.sum()


# From a window that follows few to one that follows all.
@pytest.mark.parametrize("window", [0.5, 2.0, 9.0])
def test_without_gradient_the_number_of_connections_stays_near_its_share(window):
    """As it does in the dense twin, which walks in all cells."""
    model, algorithm = soft(window=window)
    theta, wanted, _ = dense_walks(200)
    counts = []
    for step in range(1, 201):
        algorithm.update(model, at(step, n_steps=1000))
        counts.append(model.layers[0].connections.nnz)
    # Deviations of a binomial number are 42.
    assert wanted.mean() == pytest.approx(2000, abs=150)
    assert np.mean(counts) == pytest.approx(2000, abs=150)
    sizes = np.abs(model.layers[0].connections.values)
    assert sizes.mean() == pytest.approx(theta[theta > 0].mean(), rel=0.1)
    near = algorithm.state()["near"]["0"]
    assert near.size == pytest.approx(window * 2000, rel=0.1)
    assert not model.layers[0].connections.contains(near).any()
    # What anonymous cells rest on: dormant thetas stay evenly spread.
    assert theta[theta <= 0].mean() == pytest.approx(-4.5, rel=0.03)


def test_as_many_cells_have_their_turn_as_in_the_dense_twin():
    _, _, wanted = dense_walks(60)
    turns = {}
    for window in (0.5, 9.0):
        model, algorithm = soft(window=window)
        connections = model.layers[0].connections
        once = set(connections.keys(np.arange(connections.nnz)).tolist())
        for step in range(1, 61):
            algorithm.update(model, at(step, n_steps=1000))
            once |= set(connections.keys(np.arange(connections.nnz)).tolist())
        turns[window] = len(once)
    assert turns[9.0] == pytest.approx(wanted, rel=0.05)
    # Cells that are forgotten make way for others.
    assert turns[0.5] > 1.2 * wanted


def test_a_connection_returns_where_and_as_it_was():
    model, algorithm = soft()
    connections = model.layers[0].connections
    signs = np.sign(connections.values)
    # Just beyond 0, where noise of 0.2 brings many back.
    connections.values[:] = -0.05 * signs
    cells = connections.keys(np.arange(connections.nnz))
    algorithm.update(model, at(1))
    gone = ~connections.contains(cells)
    assert 0.5 < gone.mean() < 0.7  # the normal distribution at a quarter: 0.6
    algorithm.update(model, at(2))
    back = gone & connections.contains(cells)
    # The dormant ones are 0.19 deep on average.
    assert 0.1 < back.sum() / gone.sum() < 0.3
    now = connections.to_scipy().tocoo()
    keys = now.row.astype(np.int64) * now.shape[1] + now.col
    places = np.searchsorted(keys, cells[back])
    np.testing.assert_array_equal(np.sign(now.data[places]), signs[back])


def test_cells_that_come_from_the_deep_are_as_many_as_the_noise_raises():
    """From evenly spread thetas one jump leads there, in number and in depth."""
    model, algorithm = soft(300, 400, window=1.0)
    update = Update(model, at(1), [0])
    edge, lowest = 1.0, 9.0
    draw = np.random.default_rng(6)
    theta = -edge - (lowest - edge) * draw.random(10**6)
    share = (theta + 0.2 * draw.standard_normal(10**6) > -edge).mean()
    anonymous = 300 * 400 * 0.9 * (1 - edge / lowest)
    algorithm._begin_walks(update, 0)
    raised = algorithm._raise(update, 0, 0.2, lowest - edge)
    wanted = anonymous * share
    assert raised.size == pytest.approx(wanted, abs=4 * np.sqrt(wanted))
    assert not np.isin(raised, algorithm.state()["near"]["0"]).any()


def test_noise_without_bounds_is_refused():
    model, algorithm = soft(300, 400, density=0.02, temperature=1e-6, window=1.0)
    with pytest.raises(UsageError, match=r"would raise .* dormant cells in layer 0"):
        algorithm.update(model, at(10))


@pytest.mark.compiled
def test_a_run_has_no_more_connections_than_the_estimate_counts():
    digits = datasets.load("digits")
    model = SparseMLP([64, 100, 100, 10], density=0.05, seed=1)
    first, algorithm = model.nnz, topology.make("soft_deepr")
    trainer = Trainer(model, epochs=8, lr=0.05, batch_size=64, topology=algorithm)
    trainer.fit(digits.X_train, digits.y_train)
    assert 2.5 < model.nnz / first < algorithm.growth
    assert all(layer.connections.density < 1.0 for layer in model.layers)


def test_connections_that_do_not_fit_in_memory_are_refused(monkeypatch):
    """But only those that no estimate counts; nothing is asked at other updates."""
    model, algorithm = soft()
    monkeypatch.setattr(memory, "available", lambda: (1000, "a small machine"))
    algorithm.update(model, at(1))
    monkeypatch.setattr("truesparse.topology.soft_deepr._USUAL_GROWTH", 0.5)
    nnz = model.layers[0].connections.nnz
    with pytest.raises(MemoryLimitError, match=r"a small machine.*layer 0 from 2,000"):
        algorithm.update(model, at(2))
    assert model.layers[0].connections.nnz == nnz


def test_a_window_of_nothing_is_refused():
    with pytest.raises(UsageError, match="window must be above 0"):
        topology.make("soft_deepr", window=0.0)


@pytest.mark.parametrize("options", [{"l1": 0.0}, {"temperature": 0.0}])
def test_penalty_and_noise_of_soft_deepr_must_be_above_0(options):
    with pytest.raises(UsageError, match="must be above 0 for soft_deepr"):
        topology.make("soft_deepr", **options)
