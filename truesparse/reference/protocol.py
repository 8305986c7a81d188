"""What another implementation has to offer, so that the checker can drive it.

A factory takes the description of a case, the dict that case.json holds with the entry
``dtype`` added, and returns an `Implementation`. States, results and draws are dicts of
arrays by the names that FORMAT.md lists; layers count from 0:

    layer.0.indptr        (n_in + 1,) int64     layer.0.indices      (nnz,) int32
    layer.0.weights       (nnz,)                layer.0.bias         (n_out,)
    layer.0.first         (nnz,) or (0,)        layer.0.second       (nnz,) or (0,)
    layer.0.bias_first    (n_out,) or (0,)      layer.0.bias_second  (n_out,) or (0,)
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
import scipy.sparse

Tensors = dict[str, np.ndarray]

PATTERN = ("indptr", "indices")
TRAINED = ("weights", "bias", "first", "second", "bias_first", "bias_second")
OBSERVED = ("output", "gradient", "bias_gradient")


class Batch(NamedTuple):
    """Samples of one step.

    Parameters
    ----------
    inputs : (n, n_features) array or scipy.sparse.csr_array
    targets : (n,) int32 array of classes, or (n, n_out) float array
    step : int
        Steps that are done before this one.
    keys : (n_layers,) uint32 array
        The key of each layer's dropout in this step.
    """

    inputs: np.ndarray | scipy.sparse.csr_array
    targets: np.ndarray
    step: int
    keys: np.ndarray


class TopologyDraws(NamedTuple):
    """What a topology update depends on besides the state.

    Parameters
    ----------
    step : int
        Steps done.
    fraction : float
        Share of the connections to replace.
    layers : list of int
        Layers that take part.
    draws : dict of str to array
        Random draws by name, see FORMAT.md.
    batch : Batch or None
        The batch whose gradients decide, where the algorithm looks at gradients.
    """

    step: int
    fraction: float
    layers: list[int]
    draws: Tensors
    batch: Batch | None


class Implementation(Protocol):
    """A trainer that can be driven step by step."""

    def load(self, state: Tensors) -> None:
        """Replace topology, weights, biases and optimiser state."""

    def step(self, batch: Batch) -> Tensors:
        """Take one optimiser step, and return what was before it.

        Returns
        -------
        dict of str to array
            loss, and for each layer l layer.l.output (n, n_out), layer.l.gradient
            (nnz,) and layer.l.bias_gradient (n_out,).
        """

    def state(self) -> Tensors:
        """Return the present state."""

    def evaluate(self, inputs: Any, targets: np.ndarray) -> Tensors:
        """Return what the net makes of samples that it is not trained on.

        Inputs and targets are as those of a `Batch`; there is no dropout.

        Returns
        -------
        dict of str to array
            output, (n, n_out), the sums z of the last layer, and accuracy: the share
            of the samples that are right, with logistic loss of all their outputs.
        """

    def update_topology(self, update: TopologyDraws) -> Tensors:
        """Update the topology, and return layer.l.dropped and layer.l.grown.

        Both are int64 keys row * n_out + column, ascending; a cell that loses its
        connection and gets it back is in both.
        """


def name(layer: int, quantity: str) -> str:
    """Return the name of a layer's array."""
    return f"layer.{layer}.{quantity}"


def n_layers_of(state: Tensors) -> int:
    """Return how many layers a state has."""
    return sum(each.endswith(".indptr") for each in state)


def keys_of(state: Tensors, layer: int) -> np.ndarray:
    """Return the cells ``row * n_out + column`` of a layer's connections, int64."""
    indptr = state[name(layer, "indptr")]
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return rows * state[name(layer, "bias")].size + state[name(layer, "indices")]


def cast(tensors: Tensors, dtype: str) -> Tensors:
    """Return a copy whose floats are of a dtype."""
    return {
        key: each.astype(dtype) if each.dtype.kind == "f" else each.copy()
        for key, each in tensors.items()
    }


Description = dict[str, Any]
