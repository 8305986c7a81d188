"""The dense net of the accuracy benchmark with torch's arithmetic, for speed alone.

Index arrays are a detour for a fully connected net: a step of 784-1000x3-10, batch 64,
takes 48 ms on one thread where torch takes 22 (EPYC, AVX2, 2026-11). Weights, momentum,
data, sample order and schedule are those of the density-1 net; only dropout draws other
numbers. Times are not divided into phases.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.errors import UsageError
from truesparse.kernels.arrays import Csr
from truesparse.network.inputs import as_source_data
from truesparse.network.sparse_mlp import SparseMLP

from .peers import PeerUnavailableError
from .peers.torch_peers import load_torch

if TYPE_CHECKING:
    from truesparse.optimizers import Optimizer


def check_torch_dense(activation: str, momentum: float) -> None:
    """Raise UsageError unless torch is installed and `TorchDense` takes these."""
    if activation != "relu" or not momentum:
        raise UsageError(
            "torch_dense takes relu and SGD with momentum, got "
            f"{activation}, momentum {momentum:g}"
        )
    try:
        load_torch(1)
    except PeerUnavailableError as error:
        raise UsageError(
            f"torch_dense: {error}; pip install '.[bench]', or use dense"
        ) from error


class TorchDense(SparseMLP):
    """A fully connected relu net whose steps torch takes, in the arrays of SparseMLP.

    For a Trainer with the optimiser that `check_torch_dense` names, mean softmax
    cross-entropy and dense data; no label smoothing.

    Parameters
    ----------
    layer_sizes : tuple of int
    threads : int
    dropout, weight_init, seed
        As for SparseMLP.
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
        self._torch = load_torch(threads)
        self._torch.manual_seed(self.seed)
        self._drop = self._torch.nn.Dropout(dropout)

    def _tensors(self) -> list[tuple[Any, Any]]:
        """Return weights and biases of every layer: tensors of the same memory."""
        tensors = []
        for layer in self.layers:
            c = layer.connections
            weights = c.values.reshape(c.n_in, c.n_out)
            pair = map(self._torch.from_numpy, (weights, layer.bias))
            tensors.append(tuple(tensor.requires_grad_() for tensor in pair))
        return tensors

    def _outputs(self, tensors, x, training: bool):
        for index, (weights, bias) in enumerate(tensors):
            x = self._torch.addmm(bias, x, weights)
            if index < len(tensors) - 1:
                x = self._torch.relu(x)
                x = self._drop(x) if training else x
        return x

    def train_batch(
        self,
        data,
        targets,
        samples,
        optimizer: "Optimizer",
        lr: float,
        *,
        sample_weight=None,
        clip_norm=None,
        clock=None,
    ) -> float:
        """Take one step of SGD with momentum and return the loss before it."""
        if sample_weight is not None or clip_norm is not None:
            raise UsageError("torch_dense has no weights and no clipping")
        torch, tensors = self._torch, self._tensors()
        x = torch.from_numpy(data[samples])
        labels = torch.from_numpy(targets[samples].astype(np.int64))
        outputs = self._outputs(tensors, x, training=True)
        loss = torch.nn.functional.cross_entropy(outputs, labels)
        if not math.isfinite(loss.item()):
            return loss.item()
        loss.backward()
        with torch.no_grad():
            for layer, pair in zip(self.layers, tensors, strict=True):
                moments = layer.connections.moments.first, layer.bias_moments.first
                # L2 on weights, none on biases.
                pair[0].grad.add_(pair[0], alpha=optimizer.weight_decay)
                for tensor, moment in zip(pair, moments, strict=True):
                    state = torch.from_numpy(moment.reshape(tensor.shape))
                    state.mul_(optimizer.momentum).sub_(tensor.grad, alpha=lr)
                    tensor.add_(state)
        self.step += 1
        return loss.item()

    def decision_function(self, X, batch_size: int = 128) -> np.ndarray:
        """Return the pre-activations of the last layer, (n, n_out)."""
        data = as_source_data(X, self.dtype, self.layer_sizes[0])
        if isinstance(data, Csr):
            raise UsageError("torch_dense takes dense data only")
        with self._torch.no_grad():
            x = self._torch.tensor(data)
            return self._outputs(self._tensors(), x, training=False).numpy()
