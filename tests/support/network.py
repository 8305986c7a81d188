"""A network for tests of whole models, with its dense twin and its exact gradient."""

import numpy as np
from scipy import sparse
from support import naive
from support.strategies import to_dense

from truesparse.kernels.arrays import Csr
from truesparse.kernels.loss import store_delta
from truesparse.losses import Loss
from truesparse.network import backprop, feedforward
from truesparse.network.buffers import Buffers
from truesparse.network.sparse_mlp import SparseMLP

SIZES = (6, 7, 5, 3)


def make_model(sizes=SIZES, density=0.5, loss="softmax", **settings):
    """Return a float64 model with biases that are not zero.

    Of srelu every piece is used, and every parameter differs from neuron to neuron.
    """
    settings = {"dtype": "float64", "activation": "gelu", "seed": 1} | settings
    model = SparseMLP(sizes, density=density, loss=loss, **settings)
    draw = np.random.default_rng(99)
    for layer in model.layers:
        layer.bias[:] = 0.3 * draw.standard_normal(layer.bias.size)
        if layer.srelu is not None:
            middle = np.array([[-0.3], [0.3], [0.3], [1.6]])
            shape = layer.srelu.values.shape
            layer.srelu.values[:] = middle + draw.uniform(-0.2, 0.2, shape)
    return model


def make_twin(model, kind=naive.DenseMLP):
    """Return the naive network of the same weights, of this class."""
    settings = {
        "softmax": {"smoothing": model.loss.label_smoothing},
        "huber": {"threshold": model.loss.huber_threshold},
    }
    twin = kind(
        [to_dense(layer.connections) for layer in model.layers],
        [activation_of(layer) for layer in model.layers],
        model.loss.name,
        [mask_of(layer.connections) for layer in model.layers],
        **settings.get(model.loss.name, {}),
    )
    for bias, layer in zip(twin.biases, model.layers, strict=True):
        bias[:] = layer.bias
    return twin


def activation_of(layer):
    """Return name and parameter as naive.activation takes them."""
    parameter = layer.activation.parameter
    if layer.srelu is not None:
        parameter = naive.wide(layer.srelu.values).copy()
    return layer.activation.name, parameter


def mask_of(connections):
    return to_dense(connections, np.ones(connections.nnz)) > 0


def make_data(n, sizes=SIZES, loss="softmax", density=1.0, seed=5):
    """Return x (n, n_features) and targets as the loss prepares them."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, sizes[0])) * (draw.random((n, sizes[0])) < density)
    if loss == "softmax":
        targets = draw.integers(0, sizes[-1], n)
    elif loss == "logistic":
        targets = np.rint(draw.random((n, sizes[-1])))
    elif loss == "poisson":
        targets = draw.poisson(2.0, (n, sizes[-1])).astype(np.float64)
    else:
        targets = draw.standard_normal((n, sizes[-1]))
    return x, Loss(loss).prepare_targets(targets, sizes[-1], np.float64)


def as_csr(x):
    """Return dense samples as sparse data."""
    csr = sparse.csr_array(x)
    index = csr.indptr.astype(np.int64), csr.indices.astype(np.int32)
    return Csr(*index, csr.data)


def by_output(targets):
    """Return targets as the naive network takes them."""
    return targets if targets.ndim == 1 else targets.T


class Problem:
    """The loss of a model's layers on one batch, and its gradient by the kernels.

    Parameters
    ----------
    model : SparseMLP
    data : (batch, n_features) array or Csr
    targets : array
    weights : (batch,) array
        Sample weights over their sum.
    keys : sequence of int
        Dropout key of each layer.
    """

    def __init__(self, model, data, targets, weights, keys=(11, 12, 13)):
        self.layers, self.loss, self.keys = model.layers, model.loss, keys
        self.data, self.targets, self.weights = data, targets, weights
        room = data.values.size if isinstance(data, Csr) else None
        how = model.activation_dtype
        self.buffers = Buffers(self.layers, len(weights), room, activation_dtype=how)

    def value(self):
        """Return the loss; the buffers then hold what the backward pass needs."""
        buffers, samples = self.buffers, np.arange(len(self.weights))
        x = self.x = buffers.load_inputs(self.data, samples)
        activations = [
            layer.activation.for_training(self.keys[k])
            for k, layer in enumerate(self.layers)
        ]
        feedforward.forward(self.layers, buffers, x, activations)
        targets = buffers.load_targets(self.targets, samples)
        outputs, scratch = buffers.outputs[-1], buffers.loss_scratch
        return self.loss.apply(outputs, targets, self.weights, scratch)

    def gradients(self):
        """Return the gradients of all weights, then of all biases, layer by layer.

        Those of srelu's parameters are last.
        """
        self.value()
        weights = [np.full_like(k.connections.values, np.nan) for k in self.layers]
        delta, stored = self.buffers.outputs[-1], self.buffers.deltas[-1]
        if stored is not delta:
            store_delta(delta, stored)
        backprop.store_gradients(self.layers, self.buffers, self.x, weights)
        biases = [layer.bias_gradient.copy() for layer in self.layers]
        shapes = [k.srelu.gradient.reshape(-1) for k in self.layers if k.srelu]
        return weights + biases + shapes

    def parameters(self):
        """Return the arrays of weights, then of biases, then srelu's."""
        weights = [layer.connections.values for layer in self.layers]
        shapes = [k.srelu.values.reshape(-1) for k in self.layers if k.srelu]
        return weights + [layer.bias for layer in self.layers] + shapes
