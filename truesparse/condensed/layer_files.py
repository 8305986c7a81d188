"""Layers in the files of condensed models.

Files are safetensors with ``layers.N.weights``, ``inputs``, ``neurons`` and ``bias`` of
layers whose fan-ins differ by one at most: (n_active, k) arrays, in which a weight 0 of
its last input fills up a neuron that has one connection less; ``indptr``, ``indices``,
``values``, ``neurons`` and ``bias`` of others, by input neuron; and ``constants``: the
outputs without connections. Layers with srelu have an array ``activation``, too. The
preprocessing is stored as in other model files.
"""

from typing import Any

import numpy as np
import scipy.sparse

from truesparse.errors import UsageError
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.connections import Connections
from truesparse.storage.tensors import read_activation, read_tensor


def is_regular(layer: CondensedLayer) -> bool:
    """Whether a layer is stored in rectangles: its fan-ins differ by one at most."""
    counts = layer.fan_ins
    return not counts.size or bool(counts.max() - counts.min() <= 1)


def stored_arrays(layer: CondensedLayer) -> dict[str, np.ndarray]:
    """Return the arrays of a layer by their names in a file."""
    shared = {"neurons": layer.neurons, "bias": layer.bias}
    if layer.srelu is not None:
        shared["activation"] = layer.srelu.values
    indptr, inputs, weights = layer.by_output()
    if not is_regular(layer):
        shape = layer.n_in, layer.n_active
        matrix = scipy.sparse.csc_array((weights, inputs, indptr), shape=shape)
        csr = Connections.from_scipy(matrix).csr
        return dict(zip(("indptr", "indices", "values"), csr, strict=True)) | shared
    counts = np.diff(indptr)[:, None]
    shape = counts.size, int(counts.max(initial=0))
    taken = np.arange(shape[1]) < counts
    filled = np.zeros(shape, weights.dtype), np.zeros(shape, np.int32)
    filled[0][taken], filled[1][taken] = weights, inputs
    if not taken.all():
        last = np.take_along_axis(filled[1], np.maximum(counts - 1, 0), 1)
        filled[1][~taken] = np.broadcast_to(last, shape)[~taken]
    return dict(zip(("weights", "inputs"), filled, strict=True)) | shared


def load_layer(
    file: Any, index: int, spec: dict[str, Any], n_in: int
) -> CondensedLayer:
    """Read layer number `index` of a file, which `spec` describes.

    Raises
    ------
    UsageError
        If the arrays do not form a layer.
    """

    def tensor(name: str) -> np.ndarray:
        return read_tensor(file, f"layers.{index}.{name}")

    activation = read_activation(spec)
    neurons, bias = tensor("neurons"), tensor("bias")
    srelu = tensor("activation") if activation.is_trained else None
    outputs = neurons, bias, activation, srelu
    if spec["condensed"]:
        indptr, inputs, weights = _without_filling(tensor("weights"), tensor("inputs"))
    else:
        csr = tensor("indptr"), tensor("indices"), tensor("values")
        connections = Connections(n_in, neurons.size, *csr)
        view = connections.view
        indptr, inputs = view.indptr, view.rows
        weights = connections.values[view.permutation]
    return CondensedLayer(n_in, indptr, inputs, weights, *outputs)


def _without_filling(weights: np.ndarray, inputs: np.ndarray) -> tuple:
    """Return indptr, inputs and weights of (n, k) arrays."""
    if weights.ndim != 2 or inputs.shape != weights.shape:
        raise UsageError(
            "weights and inputs must be of one shape (n_active, k), got "
            f"{weights.shape} and {inputs.shape}"
        )
    is_real = np.ones(weights.shape, bool)
    is_real[:, 1:] = (inputs[:, 1:] != inputs[:, :-1]) | (weights[:, 1:] != 0)
    indptr = np.concatenate([[0], np.cumsum(is_real.sum(1), dtype=np.int64)])
    return indptr, inputs[is_real], weights[is_real]
