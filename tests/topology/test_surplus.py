"""Fewer connections by relative importance, as an option of any algorithm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import naive
from support import naive_topology as twin
from support.network import mask_of
from support.strategies import make_connections
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import ALGORITHMS, Update
from truesparse.topology.set import drop_zeros_first

TAKING = [name for name in ALGORITHMS if "surplus" in ALGORITHMS[name].options()]
each_name = pytest.mark.parametrize("name", TAKING)
# Half-way, a cubic share of 0.5 at the end leaves 0.5 + 0.5 / 8.
SHARE = {"final_share": 0.5, "share_shape": "cubic", "share_end": 1.0}


def dropped_by(name, net, **options):
    """Return the update after the removal, half-way through the run."""
    algorithm = topology.make(name, surplus="relative", **SHARE | options)
    algorithm.begin(net.model)
    update = Update(net.model, at(50), [0, 1], net.batches)
    algorithm.drop(update)
    return update


def test_who_takes_it():
    others = {"cht", "chts", "gse", "mest", "rigl", "snfs"}
    assert {*TAKING} >= {"set", "chtss", *others}


@each_name
def test_the_least_relative_importance_goes(name):
    # Importances 1.75, 0.583 and 1.667: never the 1, by sign, magnitude or chance.
    model = SparseMLP([2, 2, 2], density=1.0)
    mask = np.array([[True, True], [False, True]])
    connections = model.layers[0].connections = make_connections(mask, np.float32)
    connections.values[:] = 3, 1, 2
    net = Net()
    net.model = model
    options = {"final_share": 2 / 3, "share_end": 0.5, "zeta": 0.0, "layers": [0]}
    algorithm = topology.make(name, surplus="relative", **options)
    algorithm.begin(model)
    update = Update(model, at(50), [0], batches_of(model))
    algorithm.drop(update)
    assert update.dropped[0].tolist() == [False, True, False]
    assert update.pruned[0].tolist() == [False, True, False]


def batches_of(model):
    data, targets = np.ones((4, 2), np.float32), np.zeros(4, np.int32)
    model.prepare(2, data)
    return topology.Batches(model, data, targets, np.arange(4), 2)


@each_name
def test_it_goes_before_the_exchange(name):
    net = Net()
    update = dropped_by(name, net, zeta=0.0)
    for k, connections in update.connections.items():
        nnz = connections.nnz
        importance = twin.relative_importance(net.weights[k])[net.masks[k]]
        want = naive.smallest(importance, nnz - round(0.5625 * nnz))
        np.testing.assert_array_equal(update.dropped[k], want)
        np.testing.assert_array_equal(update.pruned[k], want)


def test_set_exchanges_a_fraction_of_each_sign_of_the_rest():
    net = Net()
    update = dropped_by("set", net, zeta=0.3)
    for k, connections in update.connections.items():
        pruned, dropped = update.pruned[k], update.dropped[k]
        assert pruned.any()
        assert dropped[pruned].all()
        rest = connections.values[~pruned]
        np.testing.assert_array_equal(dropped[~pruned], drop_zeros_first(rest, 0.3))


@pytest.mark.parametrize("name", ["rigl", "mest", "snfs"])
def test_others_exchange_the_smallest_of_the_rest(name):
    net = Net()
    update = dropped_by(name, net, zeta=0.3, decay="constant", decay_floor=0.0)
    for k, connections in update.connections.items():
        pruned, dropped = update.pruned[k], update.dropped[k]
        left = ~pruned
        sizes = abs(connections.values[left])
        want = naive.smallest(sizes, int(0.3 * left.sum()))
        np.testing.assert_array_equal(dropped[left], want)


@settings(max_examples=20)
@given(st.sampled_from(TAKING), st.integers(0, 99))
def test_as_many_are_left_as_by_score(name, seed):
    counts = []
    for surplus in ("score", "relative"):
        net = Net(seed=seed)
        algorithm = topology.make(name, surplus=surplus, **SHARE)
        algorithm.begin(net.model)
        net.update(algorithm, at(50))
        counts.append(sum(mask.sum() for mask in net.new_masks()))
    assert abs(counts[0] - counts[1]) <= 2  # a rounding of SET by sign


def test_without_a_surplus_nothing_is_pruned():
    net = Net()
    masks = []
    for surplus in ("score", "relative"):
        net = Net()
        algorithm = topology.make("rigl", surplus=surplus)
        algorithm.begin(net.model)
        net.update(algorithm)
        masks.append([mask_of(layer.connections) for layer in net.model.layers])
    for one, other in zip(*masks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bad_choice():
    with pytest.raises(UsageError, match="unknown choice of the surplus 'random'"):
        topology.make("set", surplus="random")
