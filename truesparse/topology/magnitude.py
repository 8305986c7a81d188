"""Magnitude pruning: train first, then keep the largest weights.

Han, Pool, Tran and Dally, "Learning both weights and connections for efficient neural
networks", NIPS 2015, section 3, with a given number of connections in place of a
threshold. The net is usually a full one before, with density 1 in CSR storage. The
remaining connections may be trained for the rest of the run.
"""

import numpy as np

from truesparse.common.checks import check_share_above_zero, choose
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.prune import drop_smallest_of_all
from truesparse.topology.parts.schedule import Share
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update

SCOPES = ("global", "layer")


class MagnitudePruning(TopologyAlgorithm):
    """Removal of the smallest weights, without growth.

    Parameters
    ----------
    scope : {"global", "layer"}
        Whether weights are compared over all layers, or each layer keeps its share.
    **options
        See TopologyAlgorithm: `final_share` of the connections stay, and the output
        layer takes part unless `evolve_output` is False.
    """

    takes = ("final_share", *Layers.OPTIONS, "chain_removal")
    layers = Layers(evolve_output=True)
    share = Share(0.1)

    def __init__(self, *, scope: str = "global", **options):
        super().__init__(**options)
        self.scope = choose(scope, SCOPES, "scope")

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: magnitudes and their order."""
        if self.scope == "layer":
            return 1.0, float(itemsize)
        return 2.0 + 3 * itemsize, 0.0

    def share_left(self, context: UpdateContext) -> float:
        """Return the share of the connections that is left after an update now."""
        return self.share.final

    def drop(self, update: Update) -> None:
        """Mark the smallest weights."""
        sizes = {
            index: np.abs(connections.values)
            for index, connections in update.connections.items()
        }
        budgets = {index: self.budget(update, index) for index in sizes}
        if self.scope == "global":
            groups = [sizes]
        else:
            groups = [{index: each} for index, each in sizes.items()]
        for group in groups:
            surplus = sum(each.size - budgets[index] for index, each in group.items())
            update.dropped |= drop_smallest_of_all(group, max(surplus, 0))

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return 0: nothing grows."""
        return dict.fromkeys(update.connections, 0)


class Magnitude(MagnitudePruning):
    """Magnitude pruning of a trained net, once in the run.

    Parameters
    ----------
    prune_at : float
        Share of the run, in epochs, after which the net is pruned; 1 is at its end.
    **options
        See MagnitudePruning.
    """

    name = "magnitude"

    def __init__(self, *, prune_at: float = 1.0, **options):
        super().__init__(**options)
        check_share_above_zero(prune_at=prune_at)
        self.prune_at = prune_at

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Whether this is the end of the first epoch with so much of the run done."""
        epochs_past = context.epoch - self.prune_at * context.n_epochs
        return unit == "epoch" and 0.0 <= epochs_past < 1.0
