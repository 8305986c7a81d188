"""Checks of the arrays in an algorithm's state, which was read from a file.

Kernels check no bounds, so nothing from a damaged file may reach them.
"""

from typing import Any

import numpy as np

from truesparse.network.sparse_mlp import SparseMLP

# Entries of `state` that name cells of each layer, and the entries with their values.
_OF_CELLS = {
    **{"pool": "momentum", "keys": "weights"},
    **{"visited": "visits", "near": "theta", "fired": None},
}
# Entries with a number of each input neuron of a layer, or of each output neuron.
_OF_NEURONS = {"row_importance": "n_in", "column_importance": "n_out"}
KNOWN = {*_OF_CELLS, *_OF_CELLS.values(), *_OF_NEURONS, "noted", "signs"} - {None}


def check_state(state: dict[str, Any], model: SparseMLP) -> None:
    """Raise ValueError unless the arrays of a state fit the layers of a model.

    Parameters
    ----------
    state : dict
        As TopologyAlgorithm.state returns it.
    model : SparseMLP
        Model of the same time.
    """
    for name, other in _OF_CELLS.items():
        cells = state.get(name, {})
        if other is not None and set(cells) != set(state.get(other, {})):
            raise ValueError(f"{name} and {other} are of different layers")
        for index, keys in cells.items():
            connections = _layer(model, index).connections
            _check(keys, np.int64, f"{name} of layer {index}")
            is_sorted = bool((keys[1:] > keys[:-1]).all())
            if keys.size and not (
                is_sorted
                and keys[0] >= 0
                and keys[-1] < connections.n_in * connections.n_out
            ):
                raise ValueError(f"{name} of layer {index} are not cells of it")
            if other is None:
                continue
            values = state[other][index]
            _check(
                values, connections.values.dtype, f"{other} of layer {index}", keys.size
            )
    for name, side in _OF_NEURONS.items():
        for index, numbers in state.get(name, {}).items():
            size = getattr(_layer(model, index).connections, side)
            _check(numbers, np.float64, f"{name} of layer {index}", size)
            if not (numbers >= 0.0).all():
                raise ValueError(f"{name} of layer {index} holds a number below 0")
    for index, bits in state.get("signs", {}).items():
        size = -(-_layer(model, index).connections.nnz // 8)
        _check(bits, np.uint8, f"signs of layer {index}", size)
    for index, arrays in state.get("noted", {}).items():
        layer = _layer(model, index)
        wanted = [layer.connections.values, *layer.neuron_parameters()]
        given = [(each.shape, each.dtype) for each in arrays]
        if given != [(each.shape, each.dtype) for each in wanted]:
            raise ValueError(f"noted weights of layer {index} do not fit it")


def _layer(model: SparseMLP, index: str):
    number = int(index)
    if not 0 <= number < len(model.layers):
        raise ValueError(f"there is no layer {index}")
    return model.layers[number]


def _check(array: np.ndarray, dtype, what: str, size: int | None = None) -> None:
    is_right = array.dtype == dtype and array.ndim == 1
    if not is_right or (size is not None and array.size != size):
        raise ValueError(f"{what} are {array.dtype} of shape {array.shape}")
