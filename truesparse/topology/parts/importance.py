"""Importance pruning: neurons with weak inputs lose all of them, for good.

Curci, Mocanu and Pechenizkiy, "Truly sparse neural networks at scale", arXiv 2102.01732
(2021), section 3.3: the importance of neuron j is I_j = sum_i |w_ij|. The least
important neurons of the hidden layers lose all incoming connections, which are not
replaced: those up to a percentile of all neurons, also those without inputs, so that a
second time takes few neurons where the first has emptied many. Random growth may
connect them again, and their outgoing connections stay unless chains are removed, as in
the authors' code (SelimaC/large-scale-sparse-neural-networks).

Departures: the update's algorithm chooses what it removes among all connections, also
those of these neurons, so that less of the rest is exchanged in such an update; where
the rule would empty a layer, since all its neurons are equally important, none loses
its inputs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truesparse.common.checks import check_share, check_share_below_one, check_whole
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.topology_update import Update


@dataclass(frozen=True)
class Importance:
    """When neurons lose their inputs, and how many.

    Parameters
    ----------
    share : float
        Share of a layer's neurons, in [0, 1); 0 for none.
    every : int
        Epochs between two such times, or more where updates are rarer.
    start : float
        Share of the run after which they begin.
    """

    OPTIONS: ClassVar = {
        "importance": "share",
        "importance_every": "every",
        "importance_start": "start",
    }

    share: float = 0.0
    every: int = 10
    start: float = 0.5

    def __post_init__(self):
        check_share_below_one(importance=self.share)
        check_share(importance_start=self.start)
        check_whole("importance_every", self.every, 1)

    def is_due(self, context: UpdateContext, next_epoch: int) -> bool:
        """Whether neurons lose their inputs now, at `next_epoch` at the earliest."""
        is_late = context.progress > self.start and context.epoch >= next_epoch
        return self.share > 0.0 and is_late


def drop_neurons(update: Update, share: float) -> None:
    """Mark all inputs of the least important neurons of each hidden layer that evolves.

    Those go whose importance is at most the percentile of all neurons of the layer;
    a neuron without inputs has importance 0.

    Parameters
    ----------
    update : Update
        Gets the marks, also as `pruned`; `lost` counts them.
    share : float
        Share of the neurons, in [0, 1).
    """
    for index, connections in update.connections.items():
        if index == len(update.model.layers) - 1:
            continue
        sizes = np.abs(connections.values)
        importance = np.bincount(
            connections.indices, sizes, minlength=connections.n_out
        )
        emptied = importance <= np.percentile(importance, 100.0 * share)
        inputs = emptied[connections.indices]
        if inputs.all():
            inputs[:] = False
        update.dropped[index] |= inputs
        update.pruned[index] = update.pruned.get(index, False) | inputs
        update.lost[index] = int(np.count_nonzero(inputs))
