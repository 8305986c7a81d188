"""All of a net in torch but the products with its weights, on any device.

Arrays are feature-major, A (n, batch). There is no autograd: the backward pass is
written out, so that a gradient is taken where there is a connection and nowhere else.

    Z = W^T A + b,   dW = A D^T at the connections,   D' = (W D) * f'(Z)
"""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch

from benchmarks.reference.cells import PART
from benchmarks.reference.driven import Arrays
from benchmarks.reference.replay import stays
from truesparse.reference.protocol import Description

Moments = list[torch.Tensor | None]


class Layer(abc.ABC):
    """One layer: its weights in the form of a subclass, biases, moments.

    Parameters
    ----------
    shape : tuple of int
        (n_in, n_out).
    keys : (nnz,) int64 tensor
        Connected cells ``row * n_out + column``, ascending.
    weights : (nnz,) tensor
    moments : list of (nnz,) tensors
        First and second moment; None where the optimiser has none.
    bias : (n_out, 1) tensor
    bias_moments : list of (n_out, 1) tensors
    """

    def __init__(
        self,
        shape: tuple[int, int],
        keys: torch.Tensor,
        weights: torch.Tensor,
        moments: Moments,
        bias: torch.Tensor,
        bias_moments: Moments,
    ):
        self.shape, self.bias, self.bias_moments = shape, bias, bias_moments
        self.connect(keys)
        self.weights = self.spread(weights)
        self.moments = [m if m is None else self.spread(m) for m in moments]
        self.follow_weights()

    @abc.abstractmethod
    def connect(self, keys: torch.Tensor) -> None:
        """Take these cells as the connected ones."""

    @abc.abstractmethod
    def keys(self) -> torch.Tensor:
        """Return the connected cells, ascending."""

    @abc.abstractmethod
    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (nnz,), in the order of `keys`, in the form of the weights."""

    @abc.abstractmethod
    def values(self, array: torch.Tensor) -> torch.Tensor:
        """Return what `spread` was given."""

    @abc.abstractmethod
    def multiply(self, a: torch.Tensor) -> torch.Tensor:
        """Return W^T A + b, (n_out, batch)."""

    @abc.abstractmethod
    def weight_gradient(self, a: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Return A D^T at the connections, in the form of the weights."""

    @abc.abstractmethod
    def input_gradient(self, delta: torch.Tensor) -> torch.Tensor:
        """Return W D, (n_in, batch)."""

    @abc.abstractmethod
    def follow_weights(self) -> None:
        """Adapt what is derived from the weights after these have changed."""

    def rewire(
        self, keys: torch.Tensor, move: Callable[[torch.Tensor, bool], torch.Tensor]
    ) -> None:
        """Replace the connections.

        Parameters
        ----------
        keys : (nnz,) int64 tensor
        move : callable
            Takes values (nnz,) of the old connections, and whether they are weights;
            returns those of the new ones.
        """
        weights = move(self.values(self.weights), True)
        moments = [
            m if m is None else move(self.values(m), False) for m in self.moments
        ]
        self.connect(keys)
        self.weights = self.spread(weights)
        self.moments = [m if m is None else self.spread(m) for m in moments]
        self.follow_weights()


class TorchNet:
    """A net on one device, as driven.Net has it.

    Parameters
    ----------
    kind : type
        Subclass of Layer.
    case : dict
        Description of a case.
    device : str
    """

    def __init__(self, kind: type[Layer], case: Description, device: str = "cpu"):
        self._kind, self.case = kind, case
        self.device, self.dtype = torch.device(device), getattr(torch, case["dtype"])
        self.layers: list[Layer] = []

    def make_layer(
        self, shape: tuple[int, int], keys: np.ndarray, arrays: Arrays
    ) -> Layer:
        """Return a layer on the device."""
        column = len(arrays["bias"]), 1

        def pair(*parts: str, shape=(-1,)) -> Moments:
            given = [arrays[part] for part in parts]
            return [m if m is None else self._tensor(m).reshape(shape) for m in given]

        cells = torch.as_tensor(keys, device=self.device)
        weights = self._tensor(arrays["weights"]), pair("first", "second")
        bias = self._tensor(arrays["bias"]).reshape(column)
        of_bias = pair("bias_first", "bias_second", shape=column)
        return self._kind(shape, cells, *weights, bias, of_bias)

    def put(
        self, inputs: Any, targets: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets on the device, feature-major."""
        x = inputs.toarray() if scipy.sparse.issparse(inputs) else inputs
        if self.case["loss"] == "softmax":
            return self._tensor(x).t(), torch.as_tensor(targets).long().to(self.device)
        return self._tensor(x).t(), self._tensor(targets).t()

    def take(self, tensor: torch.Tensor) -> np.ndarray:
        """Return a copy on the host, transposed: samples first."""
        return tensor.detach().cpu().numpy().T.copy()

    @torch.no_grad()
    def train(
        self, a: torch.Tensor, targets: torch.Tensor, step: int, keys: Any = ()
    ) -> tuple[torch.Tensor, list, list]:
        """Take one step; return loss, outputs and gradients from before it.

        Parameters
        ----------
        a, targets
            Return values of `put`.
        step : int
            Steps done before.
        keys : sequence of int
            Dropout's key of each layer.
        """
        loss, outputs, deltas, inputs = self._backward(a, targets, keys)
        gradients = [
            (layer.weight_gradient(x, delta), delta.sum(1, keepdim=True))
            for layer, x, delta in zip(self.layers, inputs, deltas, strict=True)
        ]
        decay = self.case["weight_decay"]
        for layer, (of_weights, of_bias) in zip(self.layers, gradients, strict=True):
            self._descend(layer.weights, layer.moments, of_weights, decay, step + 1)
            layer.follow_weights()
            self._descend(layer.bias, layer.bias_moments, of_bias, 0.0, step + 1)
            if self.case["frozen_biases"]:
                layer.bias.zero_()
        return loss, outputs, gradients

    @torch.no_grad()
    def predict(self, a: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the last layer for inputs (n, batch)."""
        for number, layer in enumerate(self.layers):
            a = layer.multiply(a)
            if number < len(self.layers) - 1:
                a, _ = self._activate(number, a)
        return a

    def _backward(self, a: torch.Tensor, targets: torch.Tensor, keys: Any) -> tuple:
        """Return loss and outputs, and each layer's delta and input."""
        inputs, slopes, rate = [a], [a], self.case["dropout"]
        for number, layer in enumerate(self.layers):
            z = layer.multiply(inputs[-1])
            if number == len(self.layers) - 1:
                break
            a, slope = self._activate(number, z)
            if rate:
                neurons, samples = (torch.arange(n, device=z.device) for n in z.shape)
                places = neurons[:, None], samples[None, :]
                scale = stays(int(keys[number]), *places, rate).to(z.dtype)
                scale = scale / (1 - rate)
                a, slope = a * scale, slope * scale
            inputs.append(a)
            slopes.append(slope)
        loss, delta = loss_and_delta(self.case["loss"], z, targets)
        deltas = [delta]
        for number in range(len(self.layers) - 1, 0, -1):
            delta = self.layers[number].input_gradient(delta) * slopes[number]
            deltas.insert(0, delta)
        return loss, [*inputs[1:], z], deltas, inputs

    def _activate(self, number: int, z: torch.Tensor) -> tuple:
        """Return the activation and its derivative; at 0 that of the negative side."""
        kind, slope = self.case["activation"], self.case["parameters"][number]
        is_positive = z > 0
        if kind == "relu":
            return z * is_positive, is_positive
        if kind == "all_relu":
            derivative = torch.where(is_positive, torch.ones_like(z), slope)
            return z * derivative, derivative
        share = torch.special.ndtr(z)
        density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return {"gelu": (z * share, share + z * density)}[kind]

    def _descend(self, w, moments: Moments, g, amount: float, t: int) -> None:
        """Take optimiser step t on w, in place."""
        case, (m, s) = self.case, moments
        lr, kind = case["lr"], case["decay"]
        shrink = {"l2": 0.0, "decoupled": lr * amount, "set": amount}[kind]
        if kind == "l2" and amount:
            g = g.add(w, alpha=amount)
        if s is None:
            m.mul_(case["momentum"]).sub_(g, alpha=lr)
            is_nesterov = case["optimizer"] == "nesterov"
            change = (case["momentum"] * m).sub_(g, alpha=lr) if is_nesterov else m
        else:
            m.mul_(case["beta1"]).add_(g, alpha=1 - case["beta1"])
            s.mul_(case["beta2"]).addcmul_(g, g, value=1 - case["beta2"])
            size = s.sqrt() / math.sqrt(1 - case["beta2"] ** t) + case["epsilon"]
            change = m / size * (-lr / (1 - case["beta1"] ** t))
        if shrink:
            w.mul_(1 - shrink)
        w.add_(change)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """Return a copy on the device in the dtype of the case."""
        return torch.tensor(array, dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def cell_gradients(
        self, a: torch.Tensor, targets: torch.Tensor, keys: Sequence[int]
    ) -> list[Callable[[np.ndarray], np.ndarray]]:
        """Return a function of each layer: the gradients of cells, by their keys."""
        _, _, deltas, inputs = self._backward(a, targets, keys)

        def at_cells(x: torch.Tensor, delta: torch.Tensor) -> Callable:
            def gradients(keys: np.ndarray) -> np.ndarray:
                parts = []
                for start in range(0, keys.size, PART):
                    part = torch.as_tensor(keys[start : start + PART]).to(self.device)
                    rows, columns = part // len(delta), part % len(delta)
                    parts.append((x[rows] * delta[columns]).sum(1))
                return self.take(torch.cat(parts)) if parts else np.empty(0)

            return gradients

        return [at_cells(*pair) for pair in zip(inputs, deltas, strict=True)]


def loss_and_delta(kind: str, z: torch.Tensor, targets: torch.Tensor) -> tuple:
    """Return the mean loss over the samples and its gradient by z, (n_out, batch)."""
    batch = z.shape[1]
    if kind == "softmax":
        logs = torch.log_softmax(z, 0)
        delta = logs.exp()
        delta[targets, torch.arange(batch, device=z.device)] -= 1
        return -logs.gather(0, targets[None]).sum() / batch, delta / batch
    losses = torch.nn.functional.softplus(z, threshold=40.0) - z * targets
    return losses.sum() / batch, (torch.sigmoid(z) - targets) / batch
