"""Options that prune neurons for good, and what starts anew after such a removal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from support import naive_topology as naive
from support.strategies import to_dense
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology import ALGORITHMS, Update, UpdateContext
from truesparse.topology.parts.importance import drop_neurons


def counts(model):
    return [layer.connections.nnz for layer in model.layers]


@pytest.mark.parametrize("name", ["set", "rigl", "mest", "chts", "accset"])
def test_unimportant_neurons_lose_their_inputs_for_good(name):
    net = Net()
    before = counts(net.model)
    algorithm = topology.make(
        name, importance=0.4, importance_start=0.0, importance_every=5, zeta=0.2
    )
    algorithm.begin(net.model)
    where = UpdateContext(0, 10, 1, 100, 10, lr=0.1, score=0.0)
    changes = net.update(algorithm, where)
    lost = [b - c.nnz for b, c in zip(before, changes, strict=False)]
    assert all(count > 0 for count in lost)
    for index, change in enumerate(changes):
        remaining = naive.important(net.weights[index], 0.4)
        assert lost[index] == np.count_nonzero(net.masks[index][:, ~remaining])
        assert change.removed > lost[index]
    # Not again before so many epochs have gone by, and what is lost stays lost.
    after = counts(net.model)
    net.update(algorithm, UpdateContext(0, 20, 5, 100, 10, lr=0.1, score=0.0))
    assert counts(net.model) == after
    net.read()
    net.update(algorithm, UpdateContext(0, 30, 6, 100, 10, lr=0.1, score=0.0))
    for index, count in enumerate(after[:2]):
        remaining = naive.important(net.weights[index], 0.4)
        lost = np.count_nonzero(net.masks[index][:, ~remaining])
        assert counts(net.model)[index] == count - lost
    assert counts(net.model)[2] == before[2]


def test_neurons_without_inputs_count_for_the_percentile():
    # Half have no inputs: the percentile is 0, and nothing goes.
    weights = np.zeros((3, 8))
    weights[:, 4:] = np.arange(1.0, 13.0).reshape(3, 4)
    model = SparseMLP([3, 8, 2])
    for share, lost in ((0.3, 0), (0.5, 0), (0.6, 3), (0.8, 6), (0.99, 9)):
        model.layers[0].connections = Connections.from_scipy(sparse.csr_array(weights))
        update = Update(model, at(), [0])
        drop_neurons(update, share)
        assert update.lost == {0: lost}
    # Where all neurons are equally important, none goes.
    weights = sparse.csr_array(np.ones((3, 8)))
    model.layers[0].connections = Connections.from_scipy(weights)
    update = Update(model, at(), [0])
    drop_neurons(update, 0.3)
    assert update.lost == {0: 0}
    assert not update.dropped[0].any()


@given(
    st.integers(0, 2**31), st.floats(0.0, 0.99), st.integers(1, 9), st.integers(1, 9)
)
def test_the_least_important_neurons_are_those_of_the_twin(seed, share, n_in, n_out):
    draw = np.random.default_rng(seed)
    mask = draw.random((n_in, n_out)) < 0.5
    mask[0, 0] = True
    weights = np.where(mask, draw.integers(1, 4, mask.shape) * 1.0, 0.0)
    model = SparseMLP([n_in, n_out, 2])
    connections = Connections.from_scipy(sparse.csr_array(weights))
    model.layers[0].connections = connections
    update = Update(model, at(), [0, 1])
    drop_neurons(update, share)
    wanted = mask & ~naive.important(weights, share)
    got = np.zeros(mask.shape, bool)
    got.flat[update.dropped_keys(0)] = True
    np.testing.assert_array_equal(got, wanted)
    assert update.lost == {0: wanted.sum()}
    assert not update.dropped[1].any()


def test_importance_pruning_starts_late_and_is_remembered():
    def go(algorithm, steps):
        return [net.update(algorithm, UpdateContext(0, s, s, 10, 10)) for s in steps]

    net = Net()
    options = {"importance": 0.3, "importance_start": 0.5, "importance_every": 2}
    algorithm = topology.make("set", **options)
    algorithm.begin(net.model)
    at_first = counts(net.model)
    go(algorithm, range(1, 6))
    assert counts(net.model) == at_first
    go(algorithm, [6])
    after = counts(net.model)
    assert after[0] < at_first[0]
    resumed = topology.make("set", **options)
    resumed.begin(net.model)
    resumed.restore(algorithm.state())
    go(resumed, [7])
    assert counts(net.model) == after


@pytest.mark.parametrize(
    ("name", "value"), [("", 1.0), ("", -0.1), ("_every", 0), ("_start", 2.0)]
)
def test_bad_options_of_importance_pruning(name, value):
    with pytest.raises(UsageError, match="importance" + name):
        topology.make("set", **{"importance" + name: value})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("granet", {"final_share": 0.5}),
        ("rigl", {"importance": 0.3, "importance_start": 0.0}),
    ],
)
def test_what_went_for_good_starts_at_zero_where_it_grows_again(name, options):
    net, pruned, dropped = Net(), {}, {}

    class Watched(ALGORITHMS[name]):
        def grow(self, update):
            pruned.update(update.pruned)
            dropped.update({i: each.copy() for i, each in update.dropped.items()})
            return super().grow(update)

    connections = net.model.layers[1].connections
    before = to_dense(connections, connections.moments.first)
    algorithm = Watched(zeta=0.7, decay="constant", layers=[1], **options)
    algorithm.begin(net.model, net.batches)
    net.update(algorithm, at(40))
    anew, back = (np.zeros(net.masks[1].shape, bool) for _ in range(2))
    anew[net.masks[1]] = pruned[1]
    back[net.masks[1]] = dropped[1] & ~pruned[1]
    anew &= net.new_masks()[1]
    back &= net.new_masks()[1]
    assert anew.any()
    assert back.any()
    moments = to_dense(connections, connections.moments.first)
    for after, want in ((to_dense(connections), net.weights[1]), (moments, before)):
        np.testing.assert_array_equal(after[anew], 0.0)
        np.testing.assert_array_equal(after[back], want[back])
