"""One topology update in progress: its layers, and the connections it drops."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from truesparse.common import rng
from truesparse.drawing.cells import is_among
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches

NewWeights = Callable[["Update", int, np.ndarray], np.ndarray]


def update_bytes(zeta: float, itemsize: int) -> tuple[float, float]:
    """Return the memory that every update takes for a moment, in bytes a connection.

    Parameters
    ----------
    zeta : float
        Share of the connections that an update replaces.
    itemsize : int
        Bytes of a weight.

    Returns
    -------
    of_all : float
        Bytes for each connection of all layers: marks, and the keys of new cells.
    of_one : float
        Bytes for each connection of the largest layer, besides its new arrays: new
        weights.
    """
    return 1.0 + 8.0 * zeta, itemsize * zeta


class Update:
    """State that the steps of an update share; it ends with the update.

    Parameters
    ----------
    model : SparseMLP
    context : UpdateContext
    layers : iterable of int
        Numbers of the layers that take part.
    batches : Batches, optional
        Training data, for algorithms that look at gradients.

    Attributes
    ----------
    connections : dict of int to Connections
        Connections of each layer that takes part, unchanged until the update ends.
    dropped : dict of int to (nnz,) bool array
        Marks of the connections to remove.
    pruned : dict of int to (nnz,) bool array
        Marks of dropped connections that do not return: one that grows in the cell of
        such a one, in the same update, is new. Layers without them may be missing.
    lost : dict of int to int
        Number of connections that a layer loses for good, see importance.drop_neurons.
    new_weights : dict of int to (k,) array
        Weights of a layer's new connections, in the order of their keys, where growth
        decides them; others are drawn.
    notes : dict of int to object
        Notes of one step of the update on a layer, for a later step.
    growth : dict of int to str
        How a layer's new cells were chosen, for LayerChange.
    """

    def __init__(
        self,
        model: SparseMLP,
        context: UpdateContext,
        layers: Iterable[int],
        batches: Batches | None = None,
    ):
        self.model, self.context, self._batches = model, context, batches
        self.connections = {index: model.layers[index].connections for index in layers}
        self.growth: dict[int, str] = {}
        self.pruned: dict[int, np.ndarray] = {}
        self.lost: dict[int, int] = {}
        self.new_weights: dict[int, np.ndarray] = {}
        self.notes: dict[int, Any] = {}
        self.dropped = {
            index: np.zeros(connections.nnz, bool)
            for index, connections in self.connections.items()
        }

    @property
    def batches(self) -> Batches:
        """Training data; UsageError if there are none."""
        if self._batches is None:
            raise UsageError("this topology looks at gradients: give update() batches")
        return self._batches

    @functools.cached_property
    def gradients(self) -> dict[int, np.ndarray]:
        """Gradients of each layer's connections, (nnz,), of one batch."""
        return self.batches.connection_gradients(self.context, self.connections, 1)

    def removed(self, index: int) -> int:
        """Return how many connections a layer loses."""
        return int(np.count_nonzero(self.dropped[index]))

    def remaining(self, index: int) -> int:
        """Return how many connections a layer keeps."""
        return self.connections[index].nnz - self.removed(index)

    def room(self, index: int) -> int:
        """Return how many connections can grow in a layer, dropped ones included."""
        connections = self.connections[index]
        return connections.n_in * connections.n_out - self.remaining(index)

    def stream(self, purpose: rng.Purpose, index: int) -> np.random.Generator:
        """Return the random numbers of one purpose for one layer in this update."""
        return rng.stream(self.context.seed, purpose, self.context.step, index)

    def dropped_keys(self, index: int) -> np.ndarray:
        """Return the cells of the dropped connections, ascending int64 keys."""
        return self.connections[index].keys(np.flatnonzero(self.dropped[index]))

    def rewire(
        self,
        index: int,
        keys: np.ndarray,
        new_weights: NewWeights,
        keeps_regrown: bool,
        counts_regrown: bool = False,
    ) -> LayerChange:
        """Remove the dropped connections of a layer and connect other cells.

        Parameters
        ----------
        index : int
            The layer; its marks of dropped connections are used up.
        keys : (k,) int64 array
            Cells to connect, ascending and distinct.
        new_weights : callable
            Returns the weights of new connections, where `new_weights` has none; takes
            the update, the layer and the cells.
        keeps_regrown : bool
            Whether a connection that is dropped but not pruned, and whose cell is among
            `keys`, keeps its weight and state.
        counts_regrown : bool
            Whether to count those cells in any case.
        """
        connections, dropped = self.connections[index], self.dropped.pop(index)
        removed, grown, regrown = int(np.count_nonzero(dropped)), keys.size, 0
        if keeps_regrown or counts_regrown:
            again = np.flatnonzero(dropped)
            again = again[is_among(connections.keys(again), keys)]
            regrown = again.size
            if keeps_regrown:
                again = again[~self.pruned.get(index, ~dropped)[again]]
                keys = keys[~is_among(keys, connections.keys(again))]
                dropped[again] = False
        weights = self.new_weights.pop(index, None)
        if weights is None:
            weights = new_weights(self, index, keys)
        connections.rewire(dropped, keys, weights)
        growth = self.growth.get(index, "random" if grown else "")
        return LayerChange(index, removed, grown, connections.nnz, regrown, growth)
