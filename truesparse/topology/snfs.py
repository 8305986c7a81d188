"""SNFS: sparse networks from scratch, by sparse momentum.

Dettmers and Zettlemoyer, "Sparse networks from scratch: faster training without losing
performance", arXiv 1907.04840 (2019), section 3; details as in the authors' code
(TimDettmers/sparse_learning).

After every epoch each layer loses the fraction of its connections of smallest
magnitude; a nearly full layer that is to gain connections loses a smaller fraction. The
layers share as many new connections in proportion to the mean magnitude of the momentum
of their connections, and grow them where the momentum of absent connections is
largest. New weights are 0.

Departures: only a pool of candidates has momentum among the absent cells. It holds
gamma times as many as a layer has connections, is drawn anew after each update, and
takes the gradients of one batch every few steps. Redistribution is exact and needs no
adjustment; new connections start with zero optimiser state; full layers take no part.
"""

from typing import Any

import numpy as np

from truesparse.checks import check_share_below_one, check_whole
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.gradients import Batches, CellGradients
from truesparse.topology.parts.guided import SampledCells, largest
from truesparse.topology.parts.schedule import Fraction, lower_floor
from truesparse.topology.parts.topology_update import Update

# Adam's momentum is divided by the root of its second moment plus this.
_ADAM_EPSILON = 1e-8
# A layer with fewer absent cells than this share, and which is to gain connections,
# loses no larger share of its connections than it has absent: cells would be too few.
_LEAST_SPARSITY = 0.2


class Snfs(SampledCells):
    """Sparse momentum: growth where momentum is largest.

    Parameters
    ----------
    pool_momentum : float
        Share of a candidate's momentum that remains from one batch to the next.
    sample_every : int
        Steps between two batches from which the pool takes gradients.
    **options
        See SampledCells and TopologyAlgorithm; the defaults of zeta, decay and
        decay_floor are those of SNFS.
    """

    name = "snfs"
    redistributes = True
    fraction = Fraction(0.5, "cosine", floor=0.005)

    def __init__(
        self, *, pool_momentum: float = 0.9, sample_every: int = 10, **options
    ):
        super().__init__(**lower_floor(self.fraction, options))
        check_share_below_one(pool_momentum=pool_momentum)
        self.pool_momentum = pool_momentum
        self.sample_every = check_whole("sample_every", sample_every, 1)
        self._pool: dict[int, np.ndarray] = {}
        self._momentum: dict[int, np.ndarray] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start without a pool; an earlier one may hold cells of another net."""
        super().begin(model, batches)
        self._pool, self._momentum = {}, {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the pool."""
        pool = {str(index): keys for index, keys in self._pool.items()}
        momentum = {str(index): each for index, each in self._momentum.items()}
        return {**super().state(), "pool": pool, "momentum": momentum}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state; its arrays are copied, since the pool is written to."""
        super().restore(state)
        self._pool = {int(i): each.copy() for i, each in state["pool"].items()}
        self._momentum = {int(i): each.copy() for i, each in state["momentum"].items()}

    def drop_count(self, update: Update, index: int) -> int:
        """Return how many connections a layer loses."""
        count = super().drop_count(update, index)
        sparsity = 1.0 - update.connections[index].density
        if sparsity < _LEAST_SPARSITY and self._gains(update, index):
            count = min(count, int(np.ceil(sparsity * update.connections[index].nnz)))
        return count

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of largest momentum in the pool, and draw a new pool."""
        if not self._pool.keys() >= update.connections.keys():
            self.look(update)
        wanted = super().grow_counts(update)
        rooms = {index: update.room(index) for index in wanted}
        counts = share_out(sum(wanted.values()), self._importance(update), rooms)
        grown = {}
        for index, count in counts.items():
            keys, sizes = self._pool[index], np.abs(self._momentum[index])
            best = keys[largest(sizes, count)]
            grown[index] = self.fill_at_random(update, index, best, count)
            update.growth[index] = "sampled"
        self._pool, self._momentum = {}, {}
        return grown

    def _gains(self, update: Update, index: int) -> bool:
        """Whether a layer is more important than layers are on average."""
        means = self._importance(update)
        return means[index] * len(means) > sum(means.values())

    def _importance(self, update: Update) -> dict[int, float]:
        """Return the mean momentum of each layer's connections before the update.

        Where the optimiser has no momentum, return their number.
        """
        means = {}
        for index, connections in update.connections.items():
            first, second = connections.moments
            if not first.size:
                means[index] = float(connections.nnz)
                continue
            sizes = np.abs(first)
            if second.size:
                sizes /= np.sqrt(second) + sizes.dtype.type(_ADAM_EPSILON)
            means[index] = float(sizes.mean(dtype=np.float64))
        return means

    def look(self, update: Update) -> None:
        """Add the gradients of one batch to the pool, drawn now if there is none."""
        new = [index for index in update.connections if index not in self._pool]
        for index, keys in self.draw_candidates(update, new).items():
            dtype = update.connections[index].values.dtype
            self._pool[index] = keys
            self._momentum[index] = np.zeros(keys.size, dtype)
        pool = {index: self._pool[index] for index in update.connections}
        gradients = CellGradients(update.connections, pool)
        update.batches.observe(update.context, 1, gradients)
        for index, gradient in gradients.sums.items():
            momentum = self._momentum[index]
            momentum *= momentum.dtype.type(self.pool_momentum)
            momentum += gradient
