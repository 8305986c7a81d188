"""Sparse training with dense arrays and masks in NumPy: the step, in few lines.

    Z = A W + b,   W = 0 wherever the mask is
    dW = mask * (A^T D),   D' = (D W^T) * f'(Z)

A is (batch, n_in), W (n_in, n_out). It is written from the formulas of FORMAT.md and
shares no arithmetic with the engine: read it first, and compare with it last.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from benchmarks.reference.replay import stays
from truesparse.reference.protocol import Description

# First and second moment; None where the optimiser has no such one.
Moments = tuple[np.ndarray | None, np.ndarray | None]


class Layer(NamedTuple):
    """Arrays of a layer; a step changes them in place.

    Parameters
    ----------
    mask : (n_in, n_out) bool array
    weights : (n_in, n_out) array
    moments : pair of (n_in, n_out) arrays or None
    bias : (n_out,) array
    bias_moments : pair of (n_out,) arrays or None
    """

    mask: np.ndarray
    weights: np.ndarray
    moments: Moments
    bias: np.ndarray
    bias_moments: Moments

    @property
    def shape(self) -> tuple[int, int]:
        """Return (n_in, n_out)."""
        return self.mask.shape

    def keys(self) -> np.ndarray:
        """Return the connected cells ``row * n_out + column``, ascending."""
        return np.flatnonzero(self.mask)

    def values(self, array: np.ndarray) -> np.ndarray:
        """Return what a dense array holds at the connected cells."""
        return array[self.mask]


def train(
    case: Description,
    layers: list[Layer],
    x: np.ndarray,
    targets: np.ndarray,
    step: int,
    keys: Sequence[int],
) -> tuple:
    """Take a step; return loss, outputs and gradients, of absent cells too."""
    loss, outputs, gradients = backward(case, layers, x, targets, keys)
    for layer, (of_weights, of_bias) in zip(layers, gradients, strict=True):
        decay, t = case["weight_decay"], step + 1
        descend(case, layer.weights, layer.moments, of_weights * layer.mask, decay, t)
        descend(case, layer.bias, layer.bias_moments, of_bias, 0.0, t)
        if case["frozen_biases"]:
            layer.bias[:] = 0.0
    return loss, outputs, gradients


def backward(case, layers, x, targets, keys) -> tuple:
    """Return loss, outputs, and the gradients of each layer's weights and biases."""
    outputs, slopes = forward(case, layers, x, keys)
    loss, delta = loss_and_delta(case["loss"], outputs[-1], targets)
    gradients: list = []
    for number in reversed(range(len(layers))):
        below = outputs[number - 1] if number else x
        gradients.insert(0, (below.T @ delta, delta.sum(axis=0)))
        if number:
            delta = (delta @ layers[number].weights.T) * slopes[number - 1]
    return loss, outputs, gradients


def forward(case, layers, x, keys=None) -> tuple[list, list]:
    """Return outputs, and hidden layers' derivatives; without keys, no dropout."""
    outputs, slopes = [], []
    for number, layer in enumerate(layers):
        x = x @ layer.weights + layer.bias
        if number < len(layers) - 1:
            x, slope = activate(case["activation"], x, case["parameters"][number])
            if keys is not None and case["dropout"]:
                samples, neurons = np.indices(x.shape)
                mask = stays(int(keys[number]), neurons, samples, case["dropout"])
                factor = mask / (1 - case["dropout"])
                x, slope = x * factor, slope * factor
            slopes.append(slope)
        outputs.append(x)
    return outputs, slopes


def descend(case, w, moments: Moments, g, amount: float, t: int) -> None:
    """Take optimiser step t on w, in place; `amount` is the weight decay."""
    (m, s), lr, kind = moments, case["lr"], case["decay"]
    shrink = {"l2": 0.0, "decoupled": lr * amount, "set": amount}[kind] * w
    g = g + amount * w if kind == "l2" else g
    if case["optimizer"] in ("sgd", "nesterov"):
        m[:] = case["momentum"] * m - lr * g
        is_nesterov = case["optimizer"] == "nesterov"
        change = case["momentum"] * m - lr * g if is_nesterov else m
    else:
        m[:] = case["beta1"] * m + (1 - case["beta1"]) * g
        s[:] = case["beta2"] * s + (1 - case["beta2"]) * g**2
        size = np.sqrt(s / (1 - case["beta2"] ** t)) + case["epsilon"]
        change = -lr * m / (1 - case["beta1"] ** t) / size
    w += change - shrink


def activate(kind: str, z: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the activation and its derivative; at 0 that of the negative side."""
    if kind == "gelu":
        share = special.ndtr(z)
        return z * share, share + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    derivative = np.where(z > 0, 1.0, {"relu": 0.0, "all_relu": slope}[kind])
    return z * derivative, derivative


def loss_and_delta(kind: str, z: np.ndarray, targets: np.ndarray) -> tuple:
    """Return the mean loss over the samples and its gradient by z."""
    if kind == "softmax":
        wanted = np.eye(z.shape[1])[targets]
        losses = special.logsumexp(z, axis=1) - (z * wanted).sum(axis=1)
        return losses.mean(), (special.softmax(z, axis=1) - wanted) / len(z)
    losses = (np.logaddexp(0, z) - z * targets).sum(axis=1)
    return losses.mean(), (special.expit(z) - targets) / len(z)
