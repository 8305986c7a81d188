"""Gradients and products with the Hessian, against a dense twin in complex numbers."""

import numpy as np
import pytest
from scipy import sparse
from support import naive_hessian
from support.strategies import to_dense
from support.topology_net import Net, at

from truesparse.activations import ACTIVATIONS
from truesparse.losses import LOSSES, Loss
from truesparse.network.hessian import Curvature, Samples
from truesparse.network.sparse_mlp import SparseMLP

SIZES = (7, 9, 8, 3)
N = 150  # samples: more than a pass takes


def problem(loss="softmax", activation="tanh", is_sparse=False, seed=0):
    """Return a net with biases, and a weighted batch."""
    draw = np.random.default_rng(seed)
    settings = {"density": 0.5, "dtype": "float64", "activation": activation}
    model = SparseMLP(SIZES, loss=loss, seed=seed, **settings)
    for layer in model.layers:
        layer.bias[:] = 0.3 * draw.standard_normal(layer.bias.size)
    x = draw.standard_normal((N, SIZES[0]))
    x[draw.random(x.shape) < 0.4] = 0.0
    y = {
        "softmax": lambda: draw.integers(0, 3, N).astype(np.int32),
        "poisson": lambda: draw.integers(0, 4, (N, 3)).astype(float),
        "logistic": lambda: draw.random((N, 3)),
    }.get(model.loss.name, lambda: draw.standard_normal((N, 3)))()
    weights = draw.random(N)
    weights /= weights.sum()
    x = sparse.csr_array(x) if is_sparse else x
    direction = [draw.standard_normal(each.connections.nnz) for each in model.layers]
    return model, Samples(x, y, weights), direction


def at_cells(model, matrices):
    masks = [to_dense(layer.connections, 1.0) != 0 for layer in model.layers]
    return [each[mask] for each, mask in zip(matrices, masks, strict=True)]


def as_matrices(model, vectors):
    pairs = zip(model.layers, vectors, strict=True)
    return [to_dense(layer.connections, each) for layer, each in pairs]


LOSS_CASES = [*LOSSES, Loss("softmax", label_smoothing=0.2)]


@pytest.mark.parametrize(
    "loss", LOSS_CASES, ids=lambda loss: getattr(loss, "name", loss)
)
@pytest.mark.parametrize("temperature", [1.0, 7.0])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_products_equal_the_twin(loss, temperature, is_sparse):
    model, batch, direction = problem(loss, is_sparse=is_sparse)
    curvature = Curvature(model.layers, model.loss, temperature)
    weights = [to_dense(layer.connections) for layer in model.layers]
    biases = [layer.bias for layer in model.layers]
    x = batch.x.toarray() if is_sparse else batch.x
    rest = x, batch.targets, batch.weights, model.loss, temperature
    moves = as_matrices(model, direction)
    gradient, product = naive_hessian.gradient_and_product(
        weights, biases, moves, *rest
    )
    for got, want in (
        (curvature.gradient(batch), gradient),
        (curvature.product(batch, direction), product),
    ):
        for ours, theirs in zip(got, at_cells(model, want), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)
            assert np.abs(ours).max() > 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_product_is_the_derivative_of_the_gradient(activation):
    model, batch, direction = problem(activation=activation)
    if activation == "srelu":
        for layer in model.layers[:-1]:
            # Both thresholds are crossed by some samples.
            layer.srelu.values[:] = [[-0.4], [0.3], [0.5], [0.6]]
    got = Curvature(model.layers, model.loss).product(batch, direction)
    ends = []
    step = 1e-7  # too little to take a sample across a bend
    for sign in (1.0, -1.0):
        for layer, each in zip(model.layers, direction, strict=True):
            layer.connections.values += sign * step * each
        ends.append(Curvature(model.layers, model.loss).gradient(batch))
        for layer, each in zip(model.layers, direction, strict=True):
            layer.connections.values -= sign * step * each
    for ours, above, below in zip(got, *ends, strict=True):
        np.testing.assert_allclose(ours, (above - below) / (2 * step), atol=1e-6)
        assert np.abs(ours).max() > 1e-3


@pytest.mark.parametrize(
    ("activation", "is_sparse"),
    [*((name, False) for name in ACTIVATIONS), ("relu", True)],
)
def test_the_gradient_is_that_of_training(activation, is_sparse):
    net = Net(is_sparse, activation=activation)
    model, batches = net.model, net.batches
    connections = {k: layer.connections for k, layer in enumerate(model.layers)}
    want = batches.connection_gradients(at(), connections, 2)
    got = [np.zeros(each.nnz) for each in connections.values()]
    curvature = Curvature(model.layers, model.loss)
    for samples in batches.draw(at(), 2):
        gradient = curvature.gradient(batches.samples_of(samples))
        for total, each in zip(got, gradient, strict=True):
            total += each
    for k, each in enumerate(got):
        np.testing.assert_allclose(each, want[k], rtol=1e-7, atol=1e-12)


def test_weights_of_samples_are_those_of_training():
    net = Net()
    draw = np.random.default_rng(0)
    net.batches.sample_weight = draw.random(40)
    connections = {0: net.model.layers[0].connections}
    want = net.batches.connection_gradients(at(), connections, 1)[0]
    (samples,) = net.batches.draw(at(), 1)
    curvature = Curvature(net.model.layers, net.model.loss)
    got = curvature.gradient(net.batches.samples_of(samples))[0]
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-12)
    net.batches.sample_weight = np.zeros(40)
    assert not net.batches.samples_of(samples).weights.any()
