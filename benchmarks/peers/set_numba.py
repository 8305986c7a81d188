"""The published way of truly sparse SET on CPUs: SciPy objects and one Numba loop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .common import (
    LEARNING_RATE,
    MOMENTUM,
    Peer,
    Task,
    momentum_step,
    softmax_cross_entropy,
)
from .numpy_peers import load

# On one fixed batch many gradients are exactly zero for ever, and SciPy drops zeros
# from its results, so that weights and velocities would differ in pattern, which real
# training does not show and which doubles the time of their sums at batch 2. A first
# velocity this small changes no float32 weight.
_FIRST_VELOCITY = 1e-9


def _compile_coo_gradient(threads: int) -> Callable[..., None]:
    """Make the loop over COO entries; Numba is not imported at module level."""
    numba = load("numba", "numba")
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    @numba.njit(parallel=True, fastmath=True)
    def coo_gradient(activations, delta, rows, columns, out):
        """Sum activation times delta over the batch for each entry (row, column)."""
        batch = activations.shape[0]
        for entry in numba.prange(rows.size):
            row, column = rows[entry], columns[entry]
            total = np.float32(0)
            for sample in range(batch):
                total += activations[sample, row] * delta[sample, column]
            out[entry] = total

    return coo_gradient


class SetNumba(Peer):
    """Truly sparse SET as published, written anew from its description.

    Curci et al. 2021 ("Truly Sparse Neural Networks at Scale") keep weights and
    velocities as SciPy matrices, multiply sample-major activations with them, and take
    the weight gradient in a parallel Numba loop over COO entries; the update is
    arithmetic on the SciPy objects. Departures: float32 throughout, the fan-in of He
    initialisation is the sparse one, and weight decay is zero, to agree with the other
    peers. The published figures come from the tutorial code, not from this one.
    """

    name = "set_numba"
    _WEIGHT_DECAY = np.float32(0)

    def __init__(self, task: Task) -> None:
        self._sparse = load("scipy.sparse", "scipy")
        self._gradient = _compile_coo_gradient(task.threads)
        self._x, self._labels = task.data()
        layers = task.layers()
        self.nnz = sum(layer.nnz for layer in layers)
        self._weights = [
            self._sparse.csr_matrix(
                (layer.weights, layer.indices, layer.indptr.astype(np.int32)),
                shape=(layer.n_in, layer.n_out),
            )
            for layer in layers
        ]
        self._velocities = [
            self._sparse.csr_matrix(
                (
                    np.full_like(weights.data, _FIRST_VELOCITY),
                    weights.indices,
                    weights.indptr,
                ),
                shape=weights.shape,
            )
            for weights in self._weights
        ]
        self._biases = [np.zeros(layer.n_out, np.float32) for layer in layers]
        self._bias_velocities = [np.zeros_like(bias) for bias in self._biases]

    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""
        activations = [self._x]
        for index, (weights, bias) in enumerate(
            zip(self._weights, self._biases, strict=True), start=1
        ):
            z = activations[-1] @ weights + bias
            is_hidden = index < len(self._weights)
            activations.append(np.maximum(z, 0) if is_hidden else z)
        loss, delta = softmax_cross_entropy(activations.pop(), self._labels)
        for layer in reversed(range(len(self._weights))):
            weights, a = self._weights[layer], activations[layer]
            entries = weights.tocoo()
            gradient = np.empty(entries.nnz, dtype=np.float32)
            self._gradient(a, delta, entries.row, entries.col, gradient)
            bias_gradient = delta.sum(axis=0)
            if layer:
                delta = (delta @ weights.T) * (a > 0)
            self._update(layer, entries, gradient, bias_gradient)
        return loss

    def _update(
        self,
        layer: int,
        entries: Any,
        gradient: np.ndarray,
        bias_gradient: np.ndarray,
    ) -> None:
        index = (entries.row, entries.col)
        step = self._sparse.coo_matrix((gradient, index), shape=entries.shape)
        momentum, rate = np.float32(MOMENTUM), np.float32(LEARNING_RATE)
        self._velocities[layer] = momentum * self._velocities[layer] - rate * step
        self._weights[layer] += (
            self._velocities[layer] - self._WEIGHT_DECAY * self._weights[layer]
        )
        momentum_step(self._biases[layer], self._bias_velocities[layer], bias_gradient)
