"""DeepR with one constraint for all layers, and soft-DeepR."""

import numpy as np
import pytest
from support import naive_topology
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import Update

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


def test_without_gradient_the_number_of_connections_stays_near_its_share():
    """As it does in the dense twin, which walks in all cells."""
    model, algorithm = soft()
    draw = np.random.default_rng(5)
    lowest = -0.9 / 0.1
    theta = np.where(
        draw.random(20000) < 0.1,
        draw.exponential(size=20000),
        lowest * draw.random(20000),
    )
    counts, wanted = [], []
    for step in range(1, 201):
        algorithm.update(model, at(step, n_steps=1000))
        theta = naive_topology.soft_deepr(theta, 0.1, 0.2, 0.2, lowest, draw)
        counts.append(model.layers[0].connections.nnz)
        wanted.append((theta > 0).sum())
    # Deviations of a binomial number are 42.
    assert np.mean(wanted) == pytest.approx(2000, abs=150)
    assert np.mean(counts) == pytest.approx(2000, abs=150)
    sizes = np.abs(model.layers[0].connections.values)
    assert sizes.mean() == pytest.approx(theta[theta > 0].mean(), rel=0.1)
    # What the walk rests on: dormant thetas stay evenly spread.
    assert theta[theta <= 0].mean() == pytest.approx(lowest / 2, rel=0.03)


def test_as_many_become_active_as_of_a_layer_in_balance():
    """From evenly spread thetas one jump leads here, in number and in size."""
    model, algorithm = soft(300, 400)
    update = Update(model, at(1), [0])
    count = algorithm.grow_counts(update)[0]
    new = algorithm.new_weights(update, 0, np.arange(100_000))
    draw = np.random.default_rng(6)
    theta = -9.0 * draw.random(10**6) + 0.2 * draw.standard_normal(10**6)
    active = theta[theta > 0]
    dormant = 300 * 400 * 0.9
    share = active.size / theta.size
    assert count == pytest.approx(dormant * share, abs=4 * np.sqrt(dormant * share))
    for power in (1, 2):
        want = (active**power).mean()
        assert (np.abs(new) ** power).mean() == pytest.approx(want, rel=0.05)
    assert (new > 0).mean() == pytest.approx(0.5, abs=0.01)


def test_a_connection_that_goes_dormant_does_not_return_at_once():
    model, algorithm = soft()
    connections = model.layers[0].connections
    # Noise does not flip them back.
    connections.values[:] += 3.0 * np.sign(connections.values)
    flip(connections, 0.5)
    before = connections.keys(np.arange(connections.nnz))[: connections.nnz // 2]
    algorithm.update(model, at(1))
    assert not model.layers[0].connections.contains(before).any()


def test_noise_without_bounds_is_refused():
    model, algorithm = soft(300, 400, density=0.02, temperature=1e-6)
    with pytest.raises(
        UsageError, match=r"would activate .* layer 0, which is to have"
    ):
        algorithm.update(model, at(10))


@pytest.mark.parametrize("options", [{"l1": 0.0}, {"temperature": 0.0}])
def test_penalty_and_noise_of_soft_deepr_must_be_above_0(options):
    with pytest.raises(UsageError, match="must be above 0 for soft_deepr"):
        topology.make("soft_deepr", **options)
