"""Tensors that follow their connections when a layer is rewired.

Whatever an optimiser keeps for each connection moves with it: momentum, Adam's moments,
the maximum of amsgrad. So does the gradient, which may not have been used up. New
connections start at zero.
"""

from typing import Any

import numpy as np
import torch

from truesparse.drawing.cells import is_among
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections
from truesparse.torch.sparse_linear import SparseLinear


class TrackedConnections(Connections):
    """Connections that remember which of them survived.

    Attributes
    ----------
    moves : list of ((nnz before,) bool array, (nnz after,) bool array)
        For each rewiring, which connections survived it and which places they have.
    """

    moves: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, layer: SparseLinear) -> "TrackedConnections":
        """Return the connections of a layer, which share its memory until rewired."""
        shared = layer.connections()
        arrays = shared.indptr, shared.indices, shared.values
        self = cls.unchecked(shared.n_in, shared.n_out, *arrays)
        assert isinstance(self, TrackedConnections)
        self.moves = []
        return self

    def rewire(
        self, dropped: np.ndarray, keys: np.ndarray, new_values: np.ndarray
    ) -> None:
        """Remove connections and insert others, see Connections.rewire."""
        stays = ~dropped
        super().rewire(dropped, keys, new_values)
        is_old = ~is_among(self.keys(np.arange(self.nnz)), keys)
        self.moves.append((stays, is_old))


def rewire(
    layer: SparseLinear,
    connections: TrackedConnections,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Give a layer its new connections; gradient and optimiser state follow.

    Raises
    ------
    UsageError
        If the optimiser keeps a tensor for the weights that is not of their size.
    """
    weight, gradient = layer.weight, layer.weight.grad
    state = optimizer.state.get(weight, {})
    moved = {key: _follow(each, weight, connections) for key, each in state.items()}
    if gradient is not None:
        followed = _follow(gradient, weight, connections)
        if followed.shape == gradient.shape:
            gradient.copy_(followed)
            gradient = None
        else:
            weight.grad, gradient = None, followed
    layer.rewire(connections)
    if gradient is not None:
        weight.grad = gradient
    state.update(moved)


def _follow(item: Any, weight: torch.Tensor, connections: TrackedConnections) -> Any:
    """Return what an optimiser keeps, with tensors in the new order."""
    if isinstance(item, dict):
        return {key: _follow(each, weight, connections) for key, each in item.items()}
    if isinstance(item, list | tuple):
        return type(item)(_follow(each, weight, connections) for each in item)
    if not isinstance(item, torch.Tensor) or item.ndim == 0:
        return item
    if item.shape != weight.shape:
        raise UsageError(
            f"the optimiser keeps a tensor of shape {tuple(item.shape)} for weights of "
            f"shape {tuple(weight.shape)}: it cannot follow the connections; take an "
            "optimiser whose state has the shape of its parameters"
        )
    for stays, places in connections.moves:
        moved = item.new_zeros(places.size)
        moved[torch.from_numpy(places)] = item[torch.from_numpy(stays)]
        item = moved
    return item
