"""MEST: memory-economic sparse training, with elastic mutation.

Yuan et al., "MEST: accurate and fast memory-economic sparse training framework on the
edge", NeurIPS 2021, section 3.

Details as in the authors' code (boone891214/MEST). Every five epochs the connections of
smallest |w| + lambda |gradient| are removed, and as many grow in uniformly drawn cells.
The share f that is replaced is 20 %, then 10 %, then 0: it falls after 90 and 120 of
160 epochs (elastic mutation). With a soft bound (EM&S) a layer that is to have n
connections grows to (1 + f) n, and the next removal takes it back to n: the connections
beyond the budget are all that is replaced. Lambda is 0, which looks at no gradient.

Departures: with lambda above 0, gradients are summed over batches drawn for the
purpose; nothing is replaced before the first epoch. The authors' scripts of EM&S let
irregular layers of 90 % sparsity exceed their budget by 50 %, then 25 %: give zeta 0.5.
"""

import numpy as np

from truesparse.common.checks import check_bools, check_not_negative, check_whole
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule
from truesparse.topology.parts.topology_update import Update, update_bytes


class Mest(TopologyAlgorithm):
    """Memory-economic sparse training: removal by weight and gradient.

    Parameters
    ----------
    gradient_weight : float
        Factor lambda of the gradient beside the weight.
    gradient_batches : int
        Batches over which gradients are summed.
    soft_bound : bool
        Whether a layer exceeds its budget between updates, by the share that an update
        replaces (EM&S). An update after `decay_end` takes it back for good; where the
        run has none, give final "prune_only".
    **options
        See TopologyAlgorithm; the defaults of zeta, decay, decay_end and schedule are
        those of MEST.
    """

    name = "mest"
    fraction = Fraction(0.2, "steps", end=0.75)
    schedule = UpdateSchedule(5, start=5)

    def __init__(
        self,
        *,
        gradient_weight: float = 0.0,
        gradient_batches: int = 1,
        soft_bound: bool = False,
        **options,
    ):
        super().__init__(**options)
        check_not_negative(gradient_weight=gradient_weight)
        self.gradient_weight = gradient_weight
        self.needs_batches = gradient_weight > 0.0
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)
        check_bools(soft_bound=soft_bound)
        self.soft_bound = soft_bound

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return super().growth * (1.0 + self.zeta if self.soft_bound else 1.0)

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: gradients."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        return of_all + (itemsize if self.gradient_weight else 0), of_one

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Whether to update now; with EM&S also later, as a surplus may be left."""
        if super().due(unit, context) or context.is_final or not self.soft_bound:
            return super().due(unit, context)
        count = context.epoch if unit == "epoch" else context.step
        return self.schedule.due(unit, count)

    def drop_count(self, update: Update, index: int) -> int:
        """Return how many connections a layer loses: with EM&S the surplus alone."""
        if self.soft_bound:
            budget = self.budget(update, index)
            return max(update.connections[index].nnz - budget, 0)
        return super().drop_count(update, index)

    def drop(self, update: Update) -> None:
        """Mark the connections of smallest score."""
        update.notes |= self._gradients(update)
        super().drop(update)

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Return scores by weight and gradient."""
        scores = super().drop_scores(update, index)
        if self.gradient_weight > 0.0:
            weight = scores.dtype.type(self.gradient_weight)
            scores += weight * np.abs(update.notes.pop(index))
        return scores

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows, beyond its budget with EM&S."""
        counts = super().grow_counts(update)
        if self.soft_bound:
            fraction = self.drop_fraction(update.context)
            for index in counts:
                extra = int(fraction * self.budget(update, index))
                counts[index] = min(counts[index] + extra, update.room(index))
        return counts

    def _gradients(self, update: Update) -> dict[int, np.ndarray]:
        if self.gradient_weight == 0.0:
            return {}
        return update.batches.connection_gradients(
            update.context, update.connections, self.gradient_batches
        )
