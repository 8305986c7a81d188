"""The dense net of the accuracy benchmark with torch's arithmetic, for speed alone.

Index arrays are a detour for a fully connected net: a step of 784-1000x3-10, batch 64,
takes 48 ms on one thread where torch takes 22 (EPYC, AVX2, 2026-11). Weights, momentum,
data, sample order and schedule are those of the density-1 net; only dropout draws other
numbers.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.errors import UsageError
from truesparse.model import SparseMLP

from .peers import PeerUnavailableError
from .peers.torch_peers import load_torch

if TYPE_CHECKING:
    from truesparse.optimizers import Optimizer


class TorchDense(SparseMLP):
    """A fully connected relu net whose steps torch takes, in the arrays of SparseMLP.

    Parameters
    ----------
    layer_sizes : tuple of int
    threads : int
    dropout, weight_init, seed
        As for SparseMLP.

    Raises
    ------
    UsageError
        If torch is not installed.
    """

    def __init__(
        self,
        layer_sizes: tuple[int, ...],
        *,
        threads: int,
        dropout: float = 0.0,
        **options: Any,
    ):
        super().__init__(
            layer_sizes, density=1.0, activation="relu", dropout=dropout, **options
        )
        try:
            self._torch = load_torch(threads)
        except PeerUnavailableError as error:
            raise UsageError(
                f"torch_dense: {error}; pip install '.[bench]', or use dense"
            ) from error
        self._torch.manual_seed(self.seed)
        self._drop = self._torch.nn.Dropout(dropout)
        self._weights, self._biases = [], []
        for layer in self.layers:
            links = layer.connections
            weights = links.values.reshape(links.n_in, links.n_out)
            self._weights.append(self._share(weights))
            self._biases.append(self._share(layer.bias))

    def _share(self, array: np.ndarray):
        """Return a tensor of the same memory, with a gradient."""
        return self._torch.from_numpy(array).requires_grad_()

    def _outputs(self, x, training: bool):
        last = len(self.layers) - 1
        for index, weights in enumerate(self._weights):
            x = self._torch.addmm(self._biases[index], x, weights)
            if index < last:
                x = self._torch.relu(x)
                x = self._drop(x) if training else x
        return x

    def train_batch(
        self, data, targets, samples, optimizer: "Optimizer", lr: float, **_
    ) -> float:
        """Take one step of SGD with momentum and return the loss before it."""
        if optimizer.name != "sgd" or optimizer.weight_decay:
            raise UsageError("torch_dense takes SGD without weight decay only")
        torch = self._torch
        x = torch.from_numpy(data[samples])
        labels = torch.from_numpy(targets[samples].astype(np.int64))
        loss = torch.nn.functional.cross_entropy(self._outputs(x, True), labels)
        loss.backward()
        with torch.no_grad():
            for layer, weights, bias in zip(
                self.layers, self._weights, self._biases, strict=True
            ):
                for tensor, moment in (
                    (weights, layer.connections.moments.first),
                    (bias, layer.bias_moments.first),
                ):
                    state = torch.from_numpy(moment.reshape(tensor.shape))
                    state.mul_(optimizer.momentum).sub_(tensor.grad, alpha=lr)
                    tensor.add_(state)
                    tensor.grad = None
        self.step += 1
        return loss.item()

    def decision_function(self, X, batch_size: int = 128) -> np.ndarray:
        """Return the pre-activations of the last layer, (n, n_out)."""
        with self._torch.no_grad():
            return self._outputs(self._torch.from_numpy(X), False).numpy()
