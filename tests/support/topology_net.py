"""A small trained-looking net for tests of topology algorithms, and its gradients."""

import numpy as np
from support import naive
from support.network import as_csr, mask_of
from support.strategies import make_connections, to_dense

from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.topology import Batches, UpdateContext

SIZES = (9, 14, 11, 4)
BATCH = 16


class Net:
    """A trained-looking float64 model, its data, and what its dense twin would see."""

    def __init__(self, is_sparse=False, seed=1, **settings):
        settings = {"epsilon": 2, "activation": "tanh"} | settings
        self.model = SparseMLP(SIZES, dtype="float64", seed=seed, **settings)
        self.model.allocate_moments(Optimizer())
        draw = np.random.default_rng(seed)
        for layer in self.model.layers:
            connections = layer.connections
            connections.values[:] = draw.standard_normal(connections.nnz)
            connections.moments.first[:] = draw.standard_normal(connections.nnz)
        x = draw.standard_normal((40, SIZES[0]))
        x[draw.random(x.shape) < 0.4] = 0.0
        data = as_csr(x) if is_sparse else x
        targets = draw.integers(0, SIZES[-1], 40).astype(np.int32)
        self.model.prepare(BATCH, data)
        rest = targets, np.arange(40), BATCH
        self.batches = Batches(self.model, data, *rest)
        self.read()

    def connect(self, masks, draw):
        """Give the first layers these connections, with drawn weights."""
        for layer, mask in zip(self.model.layers, masks, strict=False):
            connections = layer.connections = make_connections(mask, np.float64)
            connections.values[:] = draw.standard_normal(connections.nnz)
            connections.allocate_moments(True, False)
        self.model.prepare(BATCH, self.batches.data)
        self.read()

    def read(self):
        """Take the model as it is now for the state before an update."""
        self.masks = self.new_masks()
        self.weights = [to_dense(layer.connections) for layer in self.model.layers]

    def gradients(self, where, count=1):
        """Return all gradients, of existing and absent connections."""
        sums = [np.zeros(mask.shape) for mask in self.masks]

        def add(index, inputs, delta):
            if isinstance(inputs, tuple):
                inputs = naive.dense_batch(inputs, delta.shape[1])
            sums[index] += naive.weight_gradient(inputs, delta)

        self.batches.observe(where, count, add)
        return sums

    def train(self, seed):
        """Move weights off 0, as steps do, and take the model as it is now."""
        draw = np.random.default_rng(seed)
        for layer in self.model.layers:
            values = layer.connections.values
            new = values == 0.0
            values[new] = draw.standard_normal(np.count_nonzero(new))
        self.read()

    def update(self, algorithm, where=None):
        return algorithm.update(self.model, where or at(), self.batches)

    def new_masks(self):
        return [mask_of(layer.connections) for layer in self.model.layers]


def at(step=10, n_steps=100, seed=0):
    return UpdateContext(seed, step, 1, n_steps, 10, lr=0.1)
