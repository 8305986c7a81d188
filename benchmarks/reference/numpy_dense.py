"""Masked dense NumPy in float64: sparse training in the fewest lines.

    Z = A W + b,   W = 0 wherever the mask is
    dW = mask * (A^T D),   D' = (D W^T) * f'(Z)

A is (batch, n_in), W (n_in, n_out). It is written from the formulas and shares no
arithmetic with the engine: read it first, and compare with it last.
"""

import numpy as np
import scipy.sparse
from scipy import special

from benchmarks.reference import rules
from benchmarks.reference.replay import stays
from truesparse.reference.protocol import (
    TRAINED,
    Batch,
    Description,
    Tensors,
    TopologyDraws,
    keys_of,
    n_layers_of,
    name,
)


class NumpyDense:
    """A net of masked dense layers, as protocol.Implementation has it.

    Parameters
    ----------
    case : dict
        Description of a case.

    Attributes
    ----------
    masks : list of (n_in, n_out) bool arrays
    layers : list of dict of str to array
        By name of protocol.TRAINED: weights and their moments (n_in, n_out), biases and
        theirs (n_out,).
    """

    def __init__(self, case: Description):
        self.case = case
        self.masks: list[np.ndarray] = []
        self.layers: list[Tensors] = []

    def load(self, state: Tensors) -> None:
        """Replace topology, weights, biases and optimiser state."""
        self.masks, self.layers = [], []
        for number in range(n_layers_of(state)):
            arrays = {part: state[name(number, part)] for part in TRAINED}
            shape = state[name(number, "indptr")].size - 1, arrays["bias"].size
            mask = np.zeros(shape, bool)
            mask.flat[keys_of(state, number)] = True
            layer = {
                part: np.zeros(shape[part.startswith("bias") :]) for part in TRAINED
            }
            for part, values in arrays.items():
                if values.size:  # an optimiser may have no such moment
                    where = ... if part.startswith("bias") else mask
                    layer[part][where] = values
            self.masks.append(mask)
            self.layers.append(layer)

    def state(self) -> Tensors:
        """Return the present state."""
        state: Tensors = {}
        for number, (mask, layer) in enumerate(
            zip(self.masks, self.layers, strict=True)
        ):
            counts = np.append(0, mask.sum(axis=1).cumsum())
            state[name(number, "indptr")] = counts.astype(np.int64)
            state[name(number, "indices")] = mask.nonzero()[1].astype(np.int32)
            for part, array in layer.items():
                values = array if part.startswith("bias") else array[mask]
                if part.endswith(rules.unused_moments(self.case)):
                    values = values[:0]
                state[name(number, part)] = values.astype(self.case["dtype"])
        return state

    def step(self, batch: Batch) -> Tensors:
        """Take one optimiser step, and return what was before it."""
        result, gradients = self._backward(batch)
        for number, (layer, pair) in enumerate(
            zip(self.layers, gradients, strict=True)
        ):
            result[name(number, "gradient")] = pair[0][self.masks[number]]
            result[name(number, "bias_gradient")] = pair[1]
            pair[0][~self.masks[number]] = 0.0
            decay = self.case["weight_decay"]
            weights = layer["weights"], layer["first"], layer["second"]
            self._descend(*weights, pair[0], decay, batch.step + 1)
            bias = layer["bias"], layer["bias_first"], layer["bias_second"]
            self._descend(*bias, pair[1], 0.0, batch.step + 1)
            if self.case["frozen_biases"]:
                layer["bias"][:] = 0.0
        return result

    def update_topology(self, update: TopologyDraws) -> Tensors:
        """Update the topology, and return layer.l.dropped and layer.l.grown."""
        return rules.update_topology(self, self.case, update)

    def _backward(self, batch: Batch) -> tuple[Tensors, list]:
        """Return loss and outputs, and all gradients, of absent cells too."""
        x, case = batch.inputs, self.case
        inputs = [x.toarray() if scipy.sparse.issparse(x) else x.astype(float)]
        result, slopes = {}, [0.0]  # nobody needs the gradient of the data
        for number, layer in enumerate(self.layers):
            z = inputs[-1] @ layer["weights"] + layer["bias"]
            if number < len(self.layers) - 1:
                z, slope = activate(case["activation"], z, case["parameters"][number])
                if case["dropout"]:
                    samples, neurons = np.indices(z.shape)
                    key = int(batch.keys[number])
                    scale = stays(key, neurons, samples, case["dropout"])
                    scale = scale / (1 - case["dropout"])
                    z, slope = z * scale, slope * scale
                inputs.append(z)
                slopes.append(slope)
            result[name(number, "output")] = z
        result["loss"], delta = loss_and_delta(case["loss"], z, batch.targets)
        gradients: list = []
        for number in range(len(self.layers) - 1, -1, -1):
            gradients.insert(0, (inputs[number].T @ delta, delta.sum(axis=0)))
            delta = (delta @ self.layers[number]["weights"].T) * slopes[number]
        return result, gradients

    def _descend(self, w, m, s, g, amount: float, t: int) -> None:
        """Take optimiser step t on w, in place."""
        case = self.case
        lr, kind = case["lr"], case["decay"]
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

    # What rules.py asks for -----------------------------------------------------------

    def keys(self, number: int) -> np.ndarray:
        """Return the connected cells ``row * n_out + column``, ascending."""
        return np.flatnonzero(self.masks[number])

    def weights(self, number: int) -> np.ndarray:
        """Return the weights in the order of `keys`."""
        return self.layers[number]["weights"][self.masks[number]]

    def shape(self, number: int) -> tuple[int, int]:
        """Return (n_in, n_out)."""
        return self.masks[number].shape

    def gradients(self, batch: Batch) -> list:
        """Return a function of each layer: the gradients of cells, by their keys."""
        return [
            of_weights.reshape(-1).take for of_weights, _ in self._backward(batch)[1]
        ]

    def rewire(self, number: int, new: rules.NewPattern) -> None:
        """Replace the connections of a layer."""
        mask = self.masks[number].reshape(-1)
        mask[new.dropped] = False
        mask[new.grown] = True
        for part in ("weights", "first", "second"):
            flat = self.layers[number][part].reshape(-1)
            flat[np.setdiff1d(new.dropped, new.returning)] = 0.0
            fresh = ~np.isin(new.grown, new.returning)
            flat[new.grown[fresh]] = new.weights[fresh] if part == "weights" else 0.0


def factory(case: Description) -> NumpyDense:
    """Return the implementation for a case."""
    return NumpyDense(case)


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
