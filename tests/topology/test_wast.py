"""WAST beside its dense twin, which holds all products."""

import numpy as np
import pytest
from support import naive, naive_topology
from support.strategies import to_dense
from support.topology_net import Net, at

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology import wast


def gains(net, where, error_weight):
    """Return what one batch adds to the importances of inputs and outputs."""
    deltas = {}

    def note(index, inputs, delta):
        deltas[index] = delta.copy()

    net.batches.observe(where, 1, note)
    weights = [to_dense(layer.connections) for layer in net.model.layers]
    twin = naive_topology.wast_gains
    return (
        twin(weights[0], deltas[0], error_weight)[0],
        twin(weights[2], deltas[2], error_weight)[1],
    )


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("error_weight", [0.0, 0.4, 1.0])
def test_updates_equal_the_twin(error_weight, is_sparse, monkeypatch):
    monkeypatch.setattr(wast, "_SAMPLES", 5)
    net = Net(is_sparse)
    algorithm = topology.make("wast", error_weight=error_weight, evolve_output=True)
    algorithm.begin(net.model)
    rows = columns = 0.0
    for step in (1, 2, 3):
        where = at(step)
        new = gains(net, where, error_weight)
        rows, columns = rows + new[0], columns + new[1]
        ones = [np.ones(mask.shape[0]) for mask in net.masks]
        algorithm.advance("step", net.model, where, net.batches)
        np.testing.assert_allclose(algorithm.row_importance[0], rows, rtol=1e-10)
        np.testing.assert_allclose(algorithm.column_importance[2], columns, rtol=1e-10)
        # Equal products leave a choice: of each input's cells, their number is given.
        wanted = naive_topology.wast(
            net.masks[0], net.weights[0], rows, np.ones(net.masks[0].shape[1]), 0.3
        )
        np.testing.assert_array_equal(net.new_masks()[0].sum(1), wanted.sum(1))
        wanted = naive_topology.wast(
            net.masks[2], net.weights[2], ones[2], columns, 0.3
        )
        np.testing.assert_array_equal(net.new_masks()[2].sum(0), wanted.sum(0))
        net.train(step)


def test_a_single_layer_goes_by_both_sides():
    """Its products all differ, so the very cells are those of the twin."""
    net = Net()
    algorithm = topology.make("wast", layers=[0], removal="magnitude")
    algorithm.begin(net.model)
    draw = np.random.default_rng(2)
    rows, columns = draw.random(9), draw.random(14)
    algorithm.row_importance[0] = rows
    algorithm.column_importance[0] = columns
    product = np.outer(rows, columns)
    # The most important connection is so weak that it goes, and comes back.
    values = net.model.layers[0].connections.values
    values[product[net.masks[0]].argmax()] = 1e-9
    net.read()
    change = net.update(algorithm)[0]
    mask, count = net.masks[0], int(0.3 * net.masks[0].sum())
    remaining = mask & ~naive_topology.drop_magnitude(
        mask, net.weights[0] * product, count
    )
    want = remaining | naive_topology.largest(product, ~remaining, count)
    np.testing.assert_array_equal(net.new_masks()[0], want)
    # What came back keeps its weight, what is new starts at 0.
    assert change.regrown > 0
    weights = to_dense(net.model.layers[0].connections)
    np.testing.assert_array_equal(weights, np.where(want & mask, net.weights[0], 0.0))


def test_of_equal_importances_any_may_come_first():
    sizes = np.repeat([1.0, 3.0, 2.0], 20)
    orders = [wast._falling(sizes, np.random.default_rng(seed)) for seed in (1, 2)]
    for order in orders:
        np.testing.assert_array_equal(sizes[order], np.sort(sizes)[::-1])
    assert (orders[0] != orders[1]).any()


def test_hidden_layers_are_those_of_set():
    net = Net()
    algorithm = topology.make("wast")
    algorithm.begin(net.model)
    changes = net.update(algorithm)
    assert [change.growth for change in changes] == ["importance", "random"]
    dropped = naive.set_removed(net.weights[1][net.masks[1]], 0.3)
    assert changes[1].removed == dropped.sum()


def test_inputs_without_importance_get_no_connection_before_others():
    net = Net()
    algorithm = topology.make("wast", layers=[0])
    algorithm.begin(net.model)
    importance = np.zeros(9)
    importance[[2, 5]] = 1.0
    algorithm.row_importance[0] = importance
    net.update(algorithm)
    degrees = net.new_masks()[0].sum(1)
    # Both are full: what is left to grow is drawn.
    assert degrees[2] == degrees[5] == 14


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_a_share_of_the_error_outside_0_to_1(value):
    with pytest.raises(UsageError, match="error_weight must be from 0 to 1"):
        topology.make("wast", error_weight=value)
