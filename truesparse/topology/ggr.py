"""GGR: global gradient-based redistribution.

Parger, Ertl, Eibensteiner, Mueller, Winter and Steinberger, "Gradient-based weight
density balancing for robust dynamic sparse training", ICML 2022 workshop, sections 3.1
to 3.3 (arXiv 2210.14012).

After every epoch of the first half of the run each layer loses the fraction f of its
connections of smallest magnitude, where f falls as a cosine from a tenth. A layer grows
as many connections as it holds of the k absent cells of largest gradient in all layers:
half of them where its gradient is largest, half in random cells. New weights are 1e-10:
not 0, which the next removal would take first.

Cells that the removal has just emptied are candidates like all absent ones; full layers
lose connections to others.

Departures: in a layer too large to look at all cells, gradients are taken at a uniform
sample, of 20,000 cells or more. To favour no small layers, each candidate counts as
many times as it represents cells. Gradients are those of one batch, drawn for the
purpose. Nothing takes part where all layers are full.
"""

from typing import ClassVar

import numpy as np

from truesparse.common.checks import check_share
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.guided import GuidedGrowth, largest
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.schedule import Fraction, Share
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update


class Ggr(GuidedGrowth):
    """Global gradient-based redistribution: layers gain where gradients are large.

    Parameters
    ----------
    gradient_share : float
        Share of a layer's new connections that grow where its gradient is largest; the
        rest grows in random cells. 0 and 1 are "GGR SET" and "GGR RigL" of table 3.
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults of zeta, decay and
        decay_end are those of GGR.
    """

    name = "ggr"
    new_weight: ClassVar[float] = 1e-10
    # One layer gets all or nothing where few candidates stand for its cells.
    least_candidates: ClassVar[int] = 20_000
    redistributes = True
    takes = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *("early_stop", *Share.OPTIONS, *Importance.OPTIONS, "final"),
    )
    fraction = Fraction(0.1, "cosine", end=0.5)

    def __init__(self, *, gradient_share: float = 0.5, **options):
        super().__init__(**options)
        check_share(gradient_share=gradient_share)
        self.gradient_share = gradient_share

    def open_marks(self, update: Update, index: int) -> np.ndarray:
        """Return marks of the dropped connections: their cells may grow again."""
        return update.dropped[index]

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Share out the connections by gradient; half go to random cells."""
        total = sum(self.grow_counts(update).values())
        rooms = {index: update.room(index) for index in update.connections}
        # Each layer may turn out to have the largest gradients of all.
        wanted = {index: min(total, room) for index, room in rooms.items()}
        cells = self.largest_cells(update, wanted)
        counts = share_out(total, self._cells_above(update, cells, total), rooms)
        grown = {}
        for index, (keys, sizes) in cells.items():
            best = keys[largest(sizes, self.by_gradient(counts[index]))]
            grown[index] = self.fill_at_random(update, index, best, counts[index])
        return grown

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return weights next to 0."""
        return np.full(
            keys.size, self.new_weight, update.connections[index].values.dtype
        )

    def _cells_above(self, update: Update, cells, total: int) -> dict[int, float]:
        """Return how many of the `total` largest gradients each layer has, or about."""
        stands_for = {
            index: 1.0
            if update.growth[index] == "exact"
            else update.room(index) / max(keys.size, 1)
            for index, (keys, _) in cells.items()
        }

        def cells_from(size) -> dict[int, float]:
            return {
                index: stands_for[index] * int(np.count_nonzero(sizes >= size))
                for index, (_, sizes) in cells.items()
            }

        # The largest size that enough cells reach. Numbers that are not negative are in
        # the order of their bits, so that these are bisected; nothing is sorted.
        dtype = next(iter(update.connections.values())).values.dtype
        bits = np.dtype(f"i{dtype.itemsize}")
        low, high = 1, int(np.array(np.inf, dtype).view(bits))
        while high - low > 1:
            middle = (low + high) // 2
            n_cells = cells_from(np.array(middle, bits).view(dtype))
            if sum(n_cells.values()) >= total:
                low = middle
            else:
                high = middle
        return cells_from(np.array(low, bits).view(dtype))
