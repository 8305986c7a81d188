"""truesparse as a peer: the same pattern, weights and batch as the others get.

    Worker("benchmarks.peers.truesparse_step:Truesparse", net, batch)

`Rounded` does the same with activations in bfloat16. They are not in ``PEERS``, which
lists what they are compared with.
"""

import numpy as np

from truesparse.activations import layer_activation
from truesparse.commands.shell import limit_spinning
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

from .common import LEARNING_RATE, MOMENTUM, Peer, Task


class Truesparse(Peer):
    """SparseMLP on the layers of the task, SGD with momentum."""

    name = "truesparse"
    activation_dtype = "float32"

    def __init__(self, task: Task) -> None:
        limit_spinning()  # as the commands do
        self._x, labels = task.data()
        drawn = task.layers()
        self.nnz = sum(layer.nnz for layer in drawn)
        layers = []
        for index, layer in enumerate(drawn):
            connections = Connections(
                layer.n_in, layer.n_out, layer.indptr, layer.indices, layer.weights
            )
            name = "identity" if index == len(drawn) - 1 else "relu"
            layers.append(SparseLayer(connections, layer_activation(name, index)))
        how = "softmax", task.seed, self.activation_dtype
        self._model = SparseMLP.from_layers(layers, *how)
        self._optimizer = Optimizer("sgd", momentum=MOMENTUM)
        self._targets = labels.astype(np.int32)
        self._samples = np.arange(task.batch)
        self._model.allocate_moments(self._optimizer)
        self._model.prepare(task.batch)

    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""
        return self._model.train_batch(
            self._x, self._targets, self._samples, self._optimizer, LEARNING_RATE
        )


class Rounded(Truesparse):
    """The same with activations in bfloat16."""

    name = "truesparse_bfloat16"
    activation_dtype = "bfloat16"
