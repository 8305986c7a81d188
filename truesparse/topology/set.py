"""SET: sparse evolutionary training.

Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science", Nature Communications 9 (2018), Algorithm 1;
on index arrays as in Liu et al., "Sparse evolutionary deep learning with over one
million artificial neurons on commodity hardware", Neural Computing and Applications
(2021), Implementation II.

After every epoch SET removes the fraction zeta of the positive weights that are nearest
to zero, and the same fraction of the negative ones. As many connections grow in
uniformly drawn empty cells, which include those just emptied.

Departures: nothing is replaced where the rule would empty a layer (as it does with two
weights), or where a layer is fully connected; new weights start at 0 by default, which
trains better than a random value (benchmarks/SETTINGS.md); both can be chosen. Some
are still exactly 0 at the next update, because their inputs or outputs are silent. They
lie between the pivots, and the rule would remove them on top of the fraction; here they
are part of it. Otherwise ever more connections were replaced, with five layers of 200
neurons on digits 0.77 of a layer in every update, and accuracy fell from 0.98 to 0.68
within 60 epochs (2026-11). The reference code's weight decay is that of the optimiser,
decay "set", but it shrinks biases too, which do not decay here.
"""

import numpy as np

from truesparse.common.checks import choose
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.prune import drop_per_sign
from truesparse.topology.parts.topology_update import Update


class SignedRemoval(TopologyAlgorithm):
    """Removal of the weights nearest to zero, per sign, and uniform growth.

    Parameters
    ----------
    removal : {"per_sign", "magnitude"}
        Whether a fraction of each sign goes, as published, or a fraction of all
        weights by magnitude.
    **options
        See TopologyAlgorithm.
    """

    def __init__(self, *, removal: str = "per_sign", **options):
        super().__init__(**options)
        self.removal = choose(removal, ("per_sign", "magnitude"), "removal")

    def drop(self, update: Update) -> None:
        """Mark the connections to remove."""
        if self.removal == "magnitude":
            super().drop(update)
            return
        for index, connections in update.connections.items():
            fraction = self.drop_fraction(update.context)
            scores = self.signed_scores(update, index)
            pruned = self.prune_surplus(update, index)
            if pruned is not None:
                dropped = update.dropped[index] = pruned.copy()
                dropped[~pruned] = drop_zeros_first(scores[~pruned], fraction)
                continue
            if self.budget(update, index) < connections.nnz:
                fraction = self.drop_count(update, index) / connections.nnz
            update.dropped[index] = drop_zeros_first(scores, fraction)

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Return the size of each signed score."""
        return np.abs(self.signed_scores(update, index))

    def signed_scores(self, update: Update, index: int) -> np.ndarray:
        """Return a score of each connection, (nnz,): those nearest to 0 go."""
        return update.connections[index].values


class Set(SignedRemoval):
    """SET: sparse evolutionary training, with uniform growth.

    Parameters
    ----------
    **options
        See SignedRemoval and TopologyAlgorithm.
    """

    name = "set"

    @property
    def takes_turns(self) -> bool:
        """Whether no stage looks at two layers together."""
        return not (self.chain_removal or self.importance.share)

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: one layer's where it can."""
        of_all, of_one = super().update_bytes(itemsize)
        return (0.0, of_all + of_one) if self.takes_turns else (of_all, of_one)


def drop_zeros_first(values: np.ndarray, fraction: float) -> np.ndarray:
    """Mark the weights that are 0, then those nearest to 0 up to the fraction.

    Parameters
    ----------
    values : (nnz,) float array
    fraction : float
        Share of all weights; 0 drops nothing.

    Returns
    -------
    (nnz,) bool array
        The marks of drop_per_sign where no weight is 0; all False where no weight
        would be left.

    Examples
    --------
    >>> import numpy as np
    >>> weights = np.array([-3.0, 0.0, -1.0, 0.0, 0.5, 2.0, 4.0, 0.0, 5.0, -4.0])
    >>> drop_zeros_first(weights, 0.3).nonzero()[0].tolist()
    [1, 3, 7]
    """
    n_zeros = values.size - int(np.count_nonzero(values))
    missing = fraction * values.size - n_zeros
    if fraction == 0.0:
        return np.zeros(values.size, bool)
    if n_zeros > 0 and missing <= 0.0:
        dropped = values == 0.0
        return np.zeros_like(dropped) if dropped.all() else dropped
    return drop_per_sign(values, missing / max(values.size - n_zeros, 1))
