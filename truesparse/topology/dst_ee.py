"""DST-EE: growth by gradient, and where connections have rarely been.

Huang, Lei, Xu, Peng, Sun, Xie and Ding, "Dynamic sparse training via balancing the
exploration-exploitation trade-off", DAC 2023 (arXiv 2211.16667), section 3.

Connections of smallest magnitude go, as in RigL. A cell grows by

    |gradient| + c ln(t) / (N + epsilon)

where t is the number of steps so far and N the number of updates that found the cell
connected. The first term exploits, the second explores: with a large c all cells have
their turn before one has a second.

Only cells that have been connected have a counter: 12 bytes for each in float32, with
the cell. All others have N = 0 and share one second term, so the largest gradients
among them are the best of them, and scores are exact wherever gradients are (see
guided.py). A layer of which only a sample is looked at compares the sample with all
cells that have a counter.

Departures: a cell without gradient grows only by a uniform draw, whatever its N. The
authors' code is not public, and their figures for c, epsilon, the fraction and the time
between updates were not to be had: the last two are RigL's, and the default of c is a
small gradient's size.
"""

import math
from typing import Any

import numpy as np

from truesparse.common.checks import check_not_negative, check_positive
from truesparse.drawing.cells import is_among
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.gradients import Batches, CellGradients
from truesparse.topology.parts.guided import largest
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.rigl import Rigl


class DstEe(Rigl):
    """DST-EE: RigL with a bonus for cells that have rarely been connected.

    Parameters
    ----------
    exploration : float
        Weight c of the bonus.
    smoothing : float
        Number epsilon beside the count N, above 0.
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults are those of RigL.
    """

    name = "dst_ee"

    def __init__(self, *, exploration: float = 1e-3, smoothing: float = 1.0, **options):
        super().__init__(**options)
        check_not_negative(exploration=exploration)
        check_positive(smoothing=smoothing)
        self.exploration, self.smoothing = exploration, smoothing
        self._visited: dict[int, np.ndarray] = {}
        self._visits: dict[int, np.ndarray] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start without counts; earlier ones may be of another net."""
        super().begin(model, batches)
        self._visited, self._visits = {}, {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the counts."""
        visited = {str(index): keys for index, keys in self._visited.items()}
        visits = {str(index): counts for index, counts in self._visits.items()}
        return {**super().state(), "visited": visited, "visits": visits}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self._visited = {int(i): keys for i, keys in state["visited"].items()}
        self._visits = {int(i): counts for i, counts in state["visits"].items()}

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: counts, and gradients there.

        Cells that the update before dropped are taken to be as many as connections.
        """
        of_all, of_one = super().update_bytes(itemsize)
        counters = 2.0 * (8 + itemsize)
        return of_all + counters, of_one + 2.9 * counters

    def visited_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds of a cell that was connected before: a count."""
        return 8.0 + itemsize, 2.6 * (8.0 + itemsize)

    def drop(self, update: Update) -> None:
        """Count the connections, then mark those of smallest magnitude."""
        for index, connections in update.connections.items():
            self._count(index, connections)
        super().drop(update)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of largest gradient and bonus."""
        counts = self.grow_counts(update)
        known = {index: self._open_and_visited(update, index) for index in counts}
        # Those without a counter are the best of their kind, even if all that have one
        # are among the largest.
        wanted = {index: counts[index] + known[index].size for index in counts}
        cells = self.largest_cells(update, wanted)
        gradients = CellGradients(update.connections, known)
        update.batches.observe(update.context, self.gradient_batches, gradients)
        grown = {}
        for index, (keys, sizes) in cells.items():
            keys = np.concatenate([known.pop(index), keys])
            sizes = np.concatenate([np.abs(gradients.sums.pop(index)), sizes])
            keys, first = np.unique(keys, return_index=True)
            sizes = sizes[first]
            scores = sizes + self._bonus(index, keys, update.context.step)
            scores[sizes == 0.0] = 0.0
            best = keys[largest(scores, self.by_gradient(counts[index]))]
            grown[index] = self.fill_at_random(update, index, best, counts[index])
        return grown

    def _count(self, index: int, connections: Connections) -> None:
        """Add one to the counters of all present connections."""
        dtype = connections.values.dtype
        now = connections.keys(np.arange(connections.nnz))
        before = self._visited.get(index, now[:0])
        cells = np.union1d(before, now)
        visits = np.zeros(cells.size, dtype)
        visits[np.searchsorted(cells, before)] = self._visits.get(index, visits[:0])
        visits[np.searchsorted(cells, now)] += 1
        self._visited[index], self._visits[index] = cells, visits

    def _open_and_visited(self, update: Update, index: int) -> np.ndarray:
        """Return the cells with a counter that may grow, ascending."""
        connections, dropped = update.connections[index], update.dropped[index]
        stays = connections.keys(np.flatnonzero(~dropped))
        return np.setdiff1d(self._visited[index], stays, assume_unique=True)

    def _bonus(self, index: int, keys: np.ndarray, step: int) -> np.ndarray:
        """Return c ln(t) / (N + epsilon) of each cell."""
        cells, counts = self._visited[index], np.zeros(keys.size)
        known = is_among(keys, cells)
        counts[known] = self._visits[index][np.searchsorted(cells, keys[known])]
        return self.exploration * math.log(max(step, 1)) / (counts + self.smoothing)
