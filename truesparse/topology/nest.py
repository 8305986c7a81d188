"""NeST: growth of connections by gradient, pruning by a threshold.

Dai, Yin and Jha, "NeST: a neural network synthesis tool based on a grow-and-prune
paradigm", IEEE Transactions on Computers 68 (2019), sections 3.2 and 3.4.

In the growth phase the absent connections of largest gradient, averaged over batches,
become active; a new weight is a step of gradient descent from 0. In the pruning phase,
the last part of the run, weights below a threshold are removed. The number of
connections changes.

Departures: neurons neither come nor go, since the shape of a net is fixed; an update
grows a share of the connections, not a quantile of all cells; the threshold, which the
paper leaves open, is a share of the root mean square weight of the layer. No code of
the authors was found to compare with.
"""

import numpy as np

from truesparse.common.checks import (
    check_at_least_one,
    check_finite,
    check_not_negative,
    check_share,
)
from truesparse.topology.parts.guided import SampledGradients, largest
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.schedule import Fraction
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update


class Nest(SampledGradients):
    """NeST: growth by gradient, then pruning by a threshold.

    Parameters
    ----------
    zeta : float
        Share of a layer's connections that an update adds.
    most_growth : float
        Most connections that a layer can have, as a multiple of those at first.
    grow_until : float
        Share of the run after which connections are pruned instead.
    prune_threshold : float
        Threshold, as a multiple of the root mean square weight of the layer.
    **options
        See SampledGradients and TopologyAlgorithm; by default there are 4
        gradient_batches.
    """

    name = "nest"
    conserves = False
    # Nothing comes back in the update that removed it: no early stop.
    takes = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *(*Importance.OPTIONS, "final"),
    )
    fraction = Fraction(0.1)

    def __init__(
        self,
        *,
        most_growth: float = 2.0,
        grow_until: float = 0.5,
        prune_threshold: float = 0.1,
        gradient_batches: int = 4,
        **options,
    ):
        super().__init__(gradient_batches=gradient_batches, **options)
        check_at_least_one(most_growth=most_growth)
        check_finite(most_growth=most_growth)
        check_share(grow_until=grow_until)
        check_not_negative(prune_threshold=prune_threshold)
        self.most_growth = most_growth
        self.grow_until = grow_until
        self.prune_threshold = prune_threshold

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return self.most_growth

    def drop(self, update: Update) -> None:
        """Mark the weights below the threshold, in the pruning phase."""
        if self.fraction.initial == 0.0 or self._grows(update):
            return
        for index, connections in update.connections.items():
            if not connections.nnz:
                continue
            sizes = np.abs(connections.values)
            scale = float(np.sqrt(np.mean(np.square(sizes, dtype=np.float64))))
            dropped = sizes < self.prune_threshold * scale
            if not dropped.all():
                update.dropped[index] = dropped

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows, in the growth phase."""
        if not self._grows(update):
            return dict.fromkeys(update.connections, 0)
        fraction = self.drop_fraction(update.context)
        counts = {}
        for index, connections in update.connections.items():
            most = int(self.most_growth * self.budgets.get(index, connections.nnz))
            free = min(update.room(index), max(most - connections.nnz, 0))
            counts[index] = min(int(fraction * connections.nnz), free)
        return counts

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of largest gradient, none of gradient 0."""
        counts = self.grow_counts(update)
        layers = [index for index, count in counts.items() if count]
        grown = dict.fromkeys(update.connections, np.empty(0, np.int64))
        sums = self.candidate_sums(update, layers)
        for index in layers:
            # Candidates are many: those of one layer after the other are freed.
            keys, gradients = sums.pop(index)
            best = largest(np.abs(gradients), counts[index])
            grown[index] = keys[best]
            update.new_weights[index] = self._descent(update, gradients[best])
            update.growth[index] = "sampled"
        return grown

    def _descent(self, update: Update, gradients: np.ndarray) -> np.ndarray:
        """Return a step of gradient descent from 0; `gradients` are sums."""
        n_batches = update.batches.available(self.gradient_batches)
        return (-update.context.lr / n_batches * gradients).astype(gradients.dtype)

    def _grows(self, update: Update) -> bool:
        return update.context.progress <= self.grow_until
