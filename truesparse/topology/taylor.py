"""Removal by a first-order Taylor expansion of the loss.

Molchanov, Mallya, Tyree, Frosio and Kautz, "Importance estimation for neural network
pruning", CVPR 2019, section 3.1: without connection (i, j) the loss changes by about
|w_ij g_ij|, where g is its gradient; "Taylor_FO" in the code of ITOP
(Shiweiliuiiiiiii/In-Time-Over-Parameterization), which extends sparse_learning.

Departures: gradients are taken after a step, on a batch drawn for the purpose, where
the code has those of the step; the number that goes is rounded down, not up.
"""

import numpy as np

from truesparse.common.checks import choose
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.topology_update import Update


class TaylorRemoval(TopologyAlgorithm):
    """Removal by magnitude, or by the product of weight and gradient.

    Parameters
    ----------
    removal : {"magnitude", "taylor"}
        Whether the connections of smallest weight go, or those of smallest product of
        weight and gradient.
    **options
        See Options.
    """

    def __init__(self, *, removal: str = "magnitude", **options):
        super().__init__(**options)
        self.removal = choose(removal, ("magnitude", "taylor"), "removal")
        self.needs_batches |= self.removal == "taylor"

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: gradients."""
        of_all, of_one = super().update_bytes(itemsize)
        return of_all + (itemsize if self.removal == "taylor" else 0), of_one

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Return magnitudes of weights, or of their products with gradients."""
        scores = super().drop_scores(update, index)
        if self.removal == "taylor":
            scores *= np.abs(update.gradients[index])
        return scores
