"""MEST: memory-economic sparse training, with elastic mutation.

Yuan et al., "MEST: accurate and fast memory-economic sparse training framework on the
edge", NeurIPS 2021, section 3.

The connections of smallest |w| + lambda |gradient| are removed, and as many grow in
uniformly drawn cells. The share that is replaced falls over the run (elastic mutation).
With a soft bound (EM&S) a layer holds up to that share more connections than its budget
between updates: it grows so many more, and the next removal first takes the surplus.

Departures: the share falls as a cosine, not in two steps; gradients are summed over
batches drawn for the purpose; lambda is 0.01, as in the code of CHT's authors.
"""

import numpy as np

from truesparse.checks import check_bools, check_not_negative, check_whole
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.schedule import Fraction
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
        replaces (EM&S); that must fall to 0 for the budget to be met at the end.
    **options
        See TopologyAlgorithm; the defaults of zeta and decay are those of MEST.
    """

    name = "mest"
    needs_batches = True
    fraction = Fraction(0.3, "cosine")

    def __init__(
        self,
        *,
        gradient_weight: float = 0.01,
        gradient_batches: int = 1,
        soft_bound: bool = False,
        **options,
    ):
        super().__init__(**options)
        check_not_negative(gradient_weight=gradient_weight)
        self.gradient_weight = gradient_weight
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)
        check_bools(soft_bound=soft_bound)
        self.soft_bound = soft_bound

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return 1.0 + self.zeta if self.soft_bound else 1.0

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: gradients."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        return of_all + (itemsize if self.gradient_weight else 0), of_one

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
        sums = {
            index: np.zeros_like(connections.values)
            for index, connections in update.connections.items()
        }

        def collect(index, gradient):
            if index in sums:
                sums[index] += gradient

        update.batches.observe(update.context, self.gradient_batches, collector=collect)
        return sums
