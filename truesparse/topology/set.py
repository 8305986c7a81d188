"""SET: sparse evolutionary training.

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science", Nature Communications 9 (2018), Algorithm 1;
on index arrays as in Liu et al., "Sparse evolutionary deep learning with over one
million artificial neurons on commodity hardware", Neural Computing and Applications
(2021), Implementation II.

After every epoch the fraction zeta of the positive weights nearest to zero, and the
same of the negative ones, is removed; as many connections grow in uniformly drawn empty
cells, among them those just emptied.

Departures: nothing is replaced where the rule would empty a layer (it does so with two
weights), or where a layer is fully connected; new weights start at 0 by default, which
trains better than a random value (benchmarks/README.md), and can be drawn instead.
Those that are still exactly 0 at the next update, because their inputs or outputs are
silent, lie between the pivots and go on top of the fraction; with random values that
hardly ever happens. How many depends on the net: on digits with two layers of 1000 and
epsilon 3, the first update replaces 0.30 of the connections, the 19th 0.47 and 0.59 of
them; on Fashion-MNIST with epsilon 20 it stays at 0.30 (2026-11).
"""

from truesparse.errors import choose
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.prune import drop_per_sign
from truesparse.topology.update import Update


class Set(TopologyAlgorithm):
    """Sparse evolutionary training.

    Parameters
    ----------
    removal : {"per_sign", "magnitude"}
        Remove a fraction of each sign, as published, or of all weights by magnitude.
    **options
        See TopologyAlgorithm.
    """

    name = "set"

    def __init__(self, *, removal: str = "per_sign", **options):
        super().__init__(**options)
        self.removal = choose(removal, ("per_sign", "magnitude"), "removal")

    def drop(self, update: Update) -> None:
        """Mark the connections to remove."""
        if self.removal == "magnitude":
            super().drop(update)
            return
        for index, links in update.links.items():
            fraction = self.drop_fraction(update.context)
            if self.budget(update, index) < links.nnz:
                fraction = self.drop_count(update, index) / links.nnz
            update.dropped[index] = drop_per_sign(links.values, fraction)
