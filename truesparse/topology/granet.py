"""GraNet: gradual pruning with neuroregeneration.

Liu, Chen, Chen, Atashgahi, Yin, Kou, Shen, Pechenizkiy, Wang and Mocanu, "Sparse
training via boosting pruning plasticity with neuroregeneration", NeurIPS 2021,
section 4 (sparse-to-sparse).

The share of connections that is left falls as a cubic. The surplus is removed from all
layers jointly, smallest magnitudes first. Then each layer exchanges a fraction of its
connections as RigL does: those of smallest magnitude for those of largest gradient. A
connection that is exchanged for itself keeps weight and state; one that was pruned and
grows again in the same update starts at zero, as in the authors' code
(VITA-Group/GraNet).

Departures: training starts with the density of the net and ends with `final_share` of
its connections, where the authors give both densities; the number to exchange is
rounded down, not up, and of equally small weights only as many go as are to go; updates
come every 100 steps, where the authors' come every 1000 (CIFAR) or 4000 (ImageNet); the
rest as in rigl.py.
"""

import numpy as np

from truesparse.topology.parts.prune import drop_smallest, drop_smallest_of_all
from truesparse.topology.parts.schedule import Fraction, Share, lower_floor
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.rigl import Rigl


class Granet(Rigl):
    """Gradual pruning with neuroregeneration: RigL with fewer and fewer connections.

    Parameters
    ----------
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults of final_share, share_end,
        zeta, decay and decay_floor are those of GraNet.
    """

    name = "granet"
    redistributes = True
    # Magnitude decides what is pruned.
    takes = tuple(option for option in Rigl.takes if option != "surplus")
    fraction = Fraction(0.5, "cosine", floor=0.005)
    share = Share(0.2, end=0.7)

    def __init__(self, **options):
        super().__init__(**lower_floor(self.fraction, options))

    def drop(self, update: Update) -> None:
        """Prune all layers jointly, then a fraction of what is left of each."""
        sizes = {
            i: np.abs(connections.values)
            for i, connections in update.connections.items()
        }
        budget = sum(self.budget(update, index) for index in sizes)
        surplus = sum(each.size for each in sizes.values()) - budget
        pruned = drop_smallest_of_all(sizes, surplus)
        fraction = self.drop_fraction(update.context)
        for index, each in sizes.items():
            n_pruned = int(np.count_nonzero(pruned[index]))
            count = int(fraction * (each.size - n_pruned))
            each[pruned[index]] = -1.0
            update.dropped[index] = drop_smallest(each, n_pruned + count)
            update.notes[index] = n_pruned
            update.pruned[index] = pruned[index]

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return what each layer has lost, less what was pruned or lost for good."""
        counts = {}
        for index in update.connections:
            for_good = update.notes[index] + update.lost.get(index, 0)
            count = max(update.removed(index) - for_good, 0)
            counts[index] = min(count, update.room(index))
        return counts
