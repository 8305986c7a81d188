"""DSR: dynamic sparse reparameterization.

Mostafa and Wang, "Parameter efficient training of deep convolutional neural networks by
dynamic sparse reparameterization", ICML 2019, Algorithm 1; details as in the authors'
code (IntelAI/dynamic-reparameterization).

Weights below a threshold, the same for all layers, are removed. The threshold is halved
or doubled when their number misses its target by more than a tenth. As many connections
grow as were removed. The layers share them in proportion to the connections they have
left, and draw cells uniformly among those that were empty before. New weights are 0.

Departures: the target is a share of all connections, not a number; shares of layers are
rounded by largest remainders, not at random; new connections start with zero optimiser
state, where the code restores that of the cell. Nothing takes part where all layers are
full, since nothing could grow.
"""

from typing import Any

import numpy as np

from truesparse.common.checks import check_positive
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.prune import drop_smallest_of_all
from truesparse.topology.parts.schedule import Fraction, Share
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update

_TOLERANCE = 0.1


class Dsr(TopologyAlgorithm):
    """Dynamic sparse reparameterization: one threshold for all layers.

    Parameters
    ----------
    zeta : float
        Share of all connections that an update should replace.
    threshold : float
        Magnitude below which the first update removes weights.
    **options
        See TopologyAlgorithm.
    """

    name = "dsr"
    redistributes = True
    # Nothing comes back in the update that removed it: no early stop.
    takes = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *(*Share.OPTIONS, *Importance.OPTIONS, "final", "regrow_init"),
    )
    fraction = Fraction(0.1)

    def __init__(self, *, threshold: float = 1e-3, **options):
        super().__init__(**options)
        check_positive(threshold=threshold)
        self.threshold = self._first_threshold = threshold

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start from the initial threshold, not from that of an earlier run."""
        super().begin(model, batches)
        self.threshold = self._first_threshold

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the threshold."""
        return {**super().state(), "threshold": self.threshold}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self.threshold = float(state["threshold"])

    def drop(self, update: Update) -> None:
        """Mark all weights below the threshold, and adapt it."""
        target = self.drop_fraction(update.context)
        if target > 0.0:
            self._drop_below_threshold(update, target)
        if not self.share.is_one:
            self._drop_surplus(update)

    def _drop_below_threshold(self, update: Update, target: float) -> None:
        removed = n_connections = 0
        for index, connections in update.connections.items():
            sizes = np.abs(connections.values)
            dropped = sizes < self.threshold
            if dropped.all() and connections.nnz:
                dropped[sizes.argmax()] = False
            update.dropped[index] = dropped
            removed += int(np.count_nonzero(dropped))
            n_connections += connections.nnz
        target *= n_connections
        if removed > (1.0 + _TOLERANCE) * target:
            self.threshold /= 2.0
        elif removed < (1.0 - _TOLERANCE) * target:
            self.threshold *= 2.0

    def _drop_surplus(self, update: Update) -> None:
        """Mark the smallest weights too, where more are left than the budget allows."""
        sizes = {
            index: np.abs(connections.values)
            for index, connections in update.connections.items()
        }
        for index, each in sizes.items():
            each[update.dropped[index]] = -1.0
        budget = sum(self.budget(update, index) for index in sizes)
        surplus = sum(each.size for each in sizes.values()) - budget
        removed = sum(update.removed(index) for index in sizes)
        update.dropped |= drop_smallest_of_all(sizes, max(surplus, removed))

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows."""
        removed = {index: update.removed(index) for index in update.connections}
        budget = sum(self.budget(update, index) for index in update.connections)
        left = {index: float(update.remaining(index)) for index in update.connections}
        # Cells that have just been emptied stay empty until the next update.
        rooms = {
            index: update.room(index) - removed[index] for index in update.connections
        }
        return share_out(max(budget - int(sum(left.values())), 0), left, rooms)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Draw cells uniformly among those that were empty before."""
        counts = self.grow_counts(update)
        return {
            index: self.grow_at_random(update, index, count, besides_dropped=True)
            for index, count in counts.items()
        }
