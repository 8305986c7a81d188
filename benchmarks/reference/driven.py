"""A net, driven as the checker does: what the three implementations share.

A net computes; this names what goes in and comes out, as protocol.Implementation has
it, and moves values where the pattern changes. It asks a net for what `Net` lists.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.reference import rules
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

# Arrays of a layer by name of protocol.TRAINED: those of weights in the order of keys;
# None where the optimiser has no such moment.
Arrays = dict[str, np.ndarray | None]


class Net(Protocol):
    """What computes. Its arrays are of its own kind, and wherever it likes.

    Attributes
    ----------
    case : dict
        Description of a case.
    layers : list
        Each has `shape` (n_in, n_out), `weights`, `bias`, `moments` and `bias_moments`,
        pairs with None for a moment that there is not; ``keys()`` returns the connected
        cells ``row * n_out + column``, ascending, and ``values(array)`` what an array
        of the form of the weights holds there.
    """

    case: Description
    layers: list[Any]

    def make_layer(
        self, shape: tuple[int, int], keys: np.ndarray, arrays: Arrays
    ) -> Any:
        """Return a layer."""

    def put(self, inputs: Any, targets: np.ndarray) -> tuple[Any, Any]:
        """Return inputs, dense or CSR, and targets as arrays of its own."""

    def take(self, array: Any) -> np.ndarray:
        """Return an array of its own as NumPy's, samples first."""

    def train(self, x: Any, targets: Any, step: int, keys: Sequence[int]) -> tuple:
        """Take a step; return loss, outputs and (weights', bias's) gradients before."""

    def predict(self, x: Any) -> Any:
        """Return the outputs of the last layer, without dropout."""

    def cell_gradients(
        self, x: Any, targets: Any, keys: Sequence[int]
    ) -> list[Callable]:
        """Return a function of each layer: the gradients of cells, by their keys."""


class Driven:
    """A net, as protocol.Implementation has it.

    Parameters
    ----------
    net : Net
    """

    def __init__(self, net: Net):
        self.net, self.case = net, net.case

    def load(self, state: Tensors) -> None:
        """Replace topology, weights, biases and optimiser state."""
        self.net.layers = layers = []  # the old ones first make room
        for number in range(n_layers_of(state)):
            arrays: Arrays = {part: state[name(number, part)] for part in TRAINED}
            if not self.case["optimizer"].startswith("adam"):
                arrays |= {"second": None, "bias_second": None}
            shape = state[name(number, "indptr")].size - 1, len(arrays["bias"])
            layers.append(self.net.make_layer(shape, keys_of(state, number), arrays))

    def state(self) -> Tensors:
        """Return the present state."""
        state: Tensors = {}
        for number in range(len(self.net.layers)):
            keys, (n_in, n_out) = self.keys(number), self.shape(number)
            counts = np.bincount(keys // n_out, minlength=n_in)
            state[name(number, "indptr")] = np.append(0, counts.cumsum())
            state[name(number, "indices")] = (keys % n_out).astype(np.int32)
            for part, array in self._arrays(number).items():
                values = np.empty(0) if array is None else array
                state[name(number, part)] = values.astype(self.case["dtype"])
        return state

    def step(self, batch: Batch) -> Tensors:
        """Take one optimiser step, and return what was before it."""
        net = self.net
        data = net.put(batch.inputs, batch.targets)
        loss, outputs, gradients = net.train(*data, batch.step, batch.keys)
        result = {"loss": net.take(loss)}
        for number, layer in enumerate(net.layers):
            of_weights, of_bias = gradients[number]
            result[name(number, "output")] = net.take(outputs[number])
            result[name(number, "gradient")] = net.take(layer.values(of_weights))
            result[name(number, "bias_gradient")] = net.take(of_bias).reshape(-1)
        return result

    def evaluate(self, inputs: Any, targets: np.ndarray) -> Tensors:
        """Return the outputs for samples, and the share that is right."""
        x, _ = self.net.put(inputs, targets)
        output = self.net.take(self.net.predict(x))
        if self.case["loss"] == "softmax":
            is_right = output.argmax(axis=1) == targets
        else:
            is_right = (output > 0) == (targets > 0.5)
        return {"output": output, "accuracy": is_right.mean()}

    def update_topology(self, update: TopologyDraws) -> Tensors:
        """Update the topology, and return layer.l.dropped and layer.l.grown."""
        return rules.update_topology(self, self.case, update)

    # What rules.py asks for -----------------------------------------------------------

    def keys(self, number: int) -> np.ndarray:
        """Return the connected cells ``row * n_out + column``, ascending."""
        return self.net.take(self.net.layers[number].keys())

    def weights(self, number: int) -> np.ndarray:
        """Return the weights in the order of `keys`."""
        layer = self.net.layers[number]
        return self.net.take(layer.values(layer.weights))

    def shape(self, number: int) -> tuple[int, int]:
        """Return (n_in, n_out)."""
        return self.net.layers[number].shape

    def gradients(self, batch: Batch) -> list[Callable[[np.ndarray], np.ndarray]]:
        """Return a function of each layer: the gradients of cells, by their keys."""
        data = self.net.put(batch.inputs, batch.targets)
        return self.net.cell_gradients(*data, batch.keys)

    def rewire(self, number: int, new: rules.NewPattern) -> None:
        """Replace the connections of a layer."""
        before, fresh = self.keys(number), np.setdiff1d(new.grown, new.returning)
        after = np.union1d(np.setdiff1d(before, new.dropped), new.grown)
        stays = np.isin(before, np.setdiff1d(after, fresh))
        is_new = np.isin(after, fresh)
        arrays = self._arrays(number)
        for part in ("weights", "first", "second"):
            values = arrays[part]
            if values is not None:
                moved = np.zeros(after.size, values.dtype)
                moved[~is_new] = values[stays]
                arrays[part] = moved
                if part == "weights":
                    moved[is_new] = new.weights[np.isin(new.grown, fresh)]
        layer = self.net.make_layer(self.shape(number), after, arrays)
        self.net.layers[number] = layer

    def _arrays(self, number: int) -> Arrays:
        """Return what is trained in a layer."""
        take, layer = self.net.take, self.net.layers[number]
        arrays: Arrays = {
            "weights": self.weights(number),
            "bias": take(layer.bias).reshape(-1),
        }
        both = zip(layer.moments, layer.bias_moments, strict=True)
        for part, (m, of_bias) in zip(("first", "second"), both, strict=True):
            has_it = m is not None
            arrays[part] = take(layer.values(m)) if has_it else None
            arrays[f"bias_{part}"] = take(of_bias).reshape(-1) if has_it else None
        return arrays
