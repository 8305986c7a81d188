"""One network that outputs the mean of several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truesparse import SparseMLP
from truesparse.errors import UsageError
from truesparse.losses import Loss
from truesparse.network.averaging import average


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 9), max_size=3),
    st.sampled_from(["relu", "all_relu", "tanh", "srelu", "elu"]),
    st.integers(0, 99),
)
def test_outputs_are_the_mean(n_nets, hidden, activation, seed):
    draw = np.random.default_rng(seed)
    nets = [
        SparseMLP(
            [5, *hidden, 3],
            density=0.6,
            activation=activation,
            dropout=0.5,
            dtype="float64",
            seed=seed + place,
        )
        for place in range(n_nets)
    ]
    for net in nets:
        for array in (a for layer in net.layers for a in layer.neuron_parameters()):
            array += draw.normal(size=array.shape)
    X = draw.normal(size=(7, 5))
    joined = average(nets)
    mean = np.mean([net.decision_function(X) for net in nets], axis=0)
    np.testing.assert_allclose(
        joined.decision_function(X), mean, rtol=1e-12, atol=1e-12
    )
    assert joined.layer_sizes == (5, *(n_nets * width for width in hidden), 3)
    if hidden:
        assert joined.nnz == sum(net.nnz for net in nets)


def test_the_mean_of_one_net_is_that_net():
    net = SparseMLP([6, 9, 9, 2], epsilon=2, seed=3)
    X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    joined = average([net])
    assert joined.loss == net.loss
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined.decision_function(X), net.decision_function(X))


def test_nets_of_their_own_widths():
    nets = [SparseMLP([6, width, 2], seed=0, dtype="float64") for width in (3, 8)]
    X = np.eye(6)
    mean = np.mean([net.decision_function(X) for net in nets], axis=0)
    np.testing.assert_allclose(average(nets).decision_function(X), mean, atol=1e-15)


def test_neither_shares_memory_with_the_other():
    net = SparseMLP([6, 9, 2], seed=3)
    joined = average([net])
    for old, new in zip(net.layers, joined.layers, strict=True):
        assert not np.shares_memory(old.connections.values, new.connections.values)
        assert not np.shares_memory(old.bias, new.bias)


@pytest.mark.parametrize(
    "others",
    [
        {"activation": "tanh"},
        {"dtype": "float64"},
        {"loss": Loss("softmax", label_smoothing=0.1)},
        {"layer_sizes": [6, 4, 3]},
        {"layer_sizes": [5, 4, 2]},
        {"layer_sizes": [6, 4, 4, 2]},
    ],
)
def test_networks_that_differ_are_refused(others):
    like = {"layer_sizes": [6, 4, 2]}
    with pytest.raises(UsageError, match="average needs networks of one kind"):
        average([SparseMLP(**like), SparseMLP(**like | others)])
    with pytest.raises(UsageError, match="average needs networks at least one"):
        average([])
