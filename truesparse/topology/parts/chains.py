"""Chain removal: connections that lead nowhere or come from nowhere go too.

Zhang et al., "Epitopological learning and Cannistraci-Hebb network shape intelligence
brain-inspired theory for ultra-sparse advantage in deep learning", ICLR 2024. As in
the authors' code there is one sweep down the layers and one up; connections that only
the second one cuts off stay.
"""

import numpy as np

from truesparse.kernels.rewire import count_kept
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.topology_update import Update


def remove_chains(update: Update) -> None:
    """Drop connections without a way to the outputs, then those from nowhere.

    Connections into a neuron that has no outgoing ones are dropped, from the last layer
    to the first; then connections out of a neuron that has no incoming ones. Only
    layers that take part in the update lose connections, in neurons that two layers
    share. O(nnz + neurons).
    """
    connections = [layer.connections for layer in update.model.layers]
    pairs = update.model.neighbours
    for low, high in reversed(pairs):
        if low in update.connections:
            above = connections[high]
            dead = _remaining_by_row(above, _marks(update, high, above)) == 0
            update.dropped[low] |= dead[connections[low].indices]
    for low, high in pairs:
        if high in update.connections:
            below = connections[low]
            columns = below.indices[~_marks(update, low, below)]
            dead = np.bincount(columns, minlength=below.n_out) == 0
            update.dropped[high] |= np.repeat(dead, np.diff(connections[high].indptr))


def _marks(update: Update, index: int, connections: Connections) -> np.ndarray:
    """Return the marks of a layer; none where it does not take part."""
    marks = update.dropped.get(index)
    return np.zeros(connections.nnz, bool) if marks is None else marks


def _remaining_by_row(connections: Connections, dropped: np.ndarray) -> np.ndarray:
    counts = np.empty(connections.n_in + 1, np.int64)
    count_kept(connections.row_tasks, connections.indptr, dropped, counts)
    return counts[1:]
