"""SNFS: sparse networks from scratch, by sparse momentum.

Dettmers and Zettlemoyer, "Sparse networks from scratch: faster training without losing
performance", arXiv 1907.04840 (2019), section 3; details as in the authors' code
(TimDettmers/sparse_learning).

After every epoch each layer loses the fraction of its connections of smallest
magnitude; a nearly full layer that is to gain connections loses a smaller fraction. The
layers share as many new connections in proportion to the mean magnitude of the momentum
of their connections, and grow them where the momentum of the others is largest: absent
ones and those just removed, which then keep weight and state. A layer fills at most
99 % of its cells that are open to growth. New weights are 0.

The code's other choices are options: the layers may share by the mean magnitude of
their weights, or by how many of these are not 0; and each neuron of a layer may get a
share of its own, in proportion to the mean magnitude of its momentum at all inputs
("momentum_neuron").

Departures: momentum is a moving average of gradients that this algorithm takes itself,
of one batch every few steps, at the connections and at a pool of absent cells: it holds
gamma times as many as a layer has connections, and is drawn anew after each update. So
it does not depend on the optimiser, nor on the learning rate of a layer; the authors
read the optimiser's buffer (with Adam divided by the root of the second moment).
Redistribution is exact and needs no adjustment; new connections start with zero
optimiser state. Nothing takes part where all layers are full. A neuron's share is
rounded down, as in the code; what is missing then grows where momentum is largest,
while the code leaves it out, with one connection of each share and all shares below
ten, so that it loses connections.
"""

from typing import Any

import numpy as np

from truesparse.common.checks import check_share_below_one, check_whole, choose
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.gradients import Batches, CellGradients
from truesparse.topology.parts.guided import SampledCells, largest, ranks_by_group
from truesparse.topology.parts.schedule import Fraction, lower_floor
from truesparse.topology.parts.topology_update import Update, update_bytes
from truesparse.topology.taylor import TaylorRemoval

STATISTICS = ("momentum", "magnitude", "nonzeros")
# Share of its open cells that a layer may fill in an update.
_MOST_FILLED = 0.99
# A layer with fewer absent cells than this share, and which is to gain connections,
# loses no larger share of its connections than it has absent: cells would be too few.
_LEAST_SPARSITY = 0.2


class Snfs(TaylorRemoval, SampledCells):
    """Sparse momentum: growth where momentum is largest.

    Parameters
    ----------
    redistribution : {"momentum", "magnitude", "nonzeros"}
        What layers share new connections in proportion to: the mean magnitude of their
        connections' momentum or weights, or the number of weights that are not 0.
    grow_by : {"cell", "neuron"}
        Whether the cells of largest momentum in a layer grow, or those of each neuron,
        which shares in proportion to its mean momentum.
    pool_momentum : float
        Share of a cell's momentum that remains from one batch to the next.
    sample_every : int
        Steps between two batches from which the pool takes gradients.
    **options
        See TaylorRemoval, SampledCells and Options; the defaults of zeta, decay and
        decay_floor are those of SNFS.
    """

    name = "snfs"
    redistributes = True
    keeps_regrown = True
    fraction = Fraction(0.5, "cosine", floor=0.005)

    def __init__(
        self,
        *,
        redistribution: str = "momentum",
        grow_by: str = "cell",
        pool_momentum: float = 0.9,
        sample_every: int = 10,
        **options,
    ):
        super().__init__(**lower_floor(self.fraction, options))
        self.redistribution = choose(redistribution, STATISTICS, "redistribution")
        self.grow_by = choose(grow_by, ("cell", "neuron"), "unit of growth")
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

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: keys, momentum, gradients."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        of_all += itemsize if self.removal == "taylor" else 0
        # Columns, their order and ranks of the pool's cells, for shares of neurons.
        of_one += (1.0 + self.gamma) * (32 if self.grow_by == "neuron" else 5)
        return of_all + (1.0 + self.gamma) * (8 + 2 * itemsize), of_one

    def drop(self, update: Update) -> None:
        """Mark the connections of smallest magnitude; look first where no pool is."""
        if not self._pool.keys() >= update.connections.keys():
            self.look(update)
        update.notes |= self._importance(update)
        super().drop(update)

    def drop_count(self, update: Update, index: int) -> int:
        """Return how many connections a layer loses."""
        count = super().drop_count(update, index)
        sparsity = 1.0 - update.connections[index].density
        if sparsity < _LEAST_SPARSITY and self._gains(update, index):
            count = min(count, int(np.ceil(sparsity * update.connections[index].nnz)))
        return count

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of largest momentum, and draw a new pool."""
        total = sum(super().grow_counts(update).values())
        rooms = {i: int(_MOST_FILLED * update.room(i)) for i in update.connections}
        counts = share_out(total, update.notes, rooms)
        grown = {}
        for index, count in counts.items():
            sizes = np.abs(self._momentum[index])
            shares = self._neuron_shares(update, index, sizes, count)
            # What remains is connected already.
            sizes[self._places(update, index, ~update.dropped[index])] = 0.0
            if shares is not None:
                columns = self._pool[index] % shares.size
                sizes[_is_within(shares, columns, sizes)] = np.inf
            best = self._pool[index][largest(sizes, count)]
            del sizes
            grown[index] = self.fill_at_random(update, index, best, count)
            update.growth[index] = "sampled"
        self._pool, self._momentum = {}, {}
        return grown

    def _gains(self, update: Update, index: int) -> bool:
        """Whether a layer is more important than layers are on average."""
        return update.notes[index] * len(update.notes) > sum(update.notes.values())

    def _importance(self, update: Update) -> dict[int, float]:
        """Return what each layer's share of the new connections is in proportion to."""
        weights = {}
        for index, connections in update.connections.items():
            if self.redistribution == "nonzeros":
                weights[index] = float(np.count_nonzero(connections.values))
                continue
            sizes = connections.values
            if self.redistribution == "momentum":
                everywhere = np.ones(connections.nnz, bool)
                sizes = self._momentum[index][self._places(update, index, everywhere)]
            total = np.abs(sizes).sum(dtype=np.float64)
            weights[index] = float(total) / max(sizes.size, 1)
        return weights

    def _neuron_shares(
        self, update: Update, index: int, sizes: np.ndarray, count: int
    ) -> np.ndarray | None:
        """Return how many of `count` connections each neuron grows, rounded down.

        Parameters
        ----------
        update : Update
        index : int
        sizes : (k,) float array
            Magnitudes of the momentum in the pool.
        count : int

        Returns
        -------
        (n_out,) int64 array, or None if neurons have no shares of their own
        """
        if self.grow_by == "cell":
            return None
        connections = update.connections[index]
        n_in, n_out = connections.n_in, connections.n_out
        columns = self._pool[index] % n_out
        places = self._places(update, index, np.ones(connections.nnz, bool))
        n_connected = np.bincount(connections.indices, minlength=n_out)
        n_candidates = np.bincount(columns, minlength=n_out) - n_connected
        connected = np.bincount(connections.indices, sizes[places], n_out)
        candidates = np.bincount(columns, sizes, n_out) - connected
        # Each candidate stands for as many absent cells of its neuron.
        stands_for = (n_in - n_connected) / np.maximum(n_candidates, 1)
        sums = connected + stands_for * np.maximum(candidates, 0.0)
        total = sums.sum()
        if total == 0.0:
            return np.zeros(n_out, np.int64)
        return (count * (sums / total)).astype(np.int64)

    def _places(self, update: Update, index: int, marks: np.ndarray) -> np.ndarray:
        """Return where the pool has the connections that are marked."""
        keys = update.connections[index].keys(np.flatnonzero(marks))
        return np.searchsorted(self._pool[index], keys)

    def look(self, update: Update) -> None:
        """Add the gradients of one batch to the momentum; draw a pool if there is none.

        The pool holds the cells of all connections beside those of the candidates.
        """
        new = [index for index in update.connections if index not in self._pool]
        for index, keys in self.draw_candidates(update, new).items():
            connections = update.connections[index]
            # The candidates are absent: no cell is in both lists.
            connected = connections.keys(np.arange(connections.nnz))
            cells = np.concatenate([connected, keys])
            cells.sort()
            self._pool[index] = cells
            self._momentum[index] = np.zeros(cells.size, connections.values.dtype)
        pool = {index: self._pool[index] for index in update.connections}
        gradients = CellGradients(update.connections, pool)
        update.batches.observe(update.context, 1, gradients)
        for index, gradient in gradients.sums.items():
            momentum = self._momentum[index]
            momentum *= momentum.dtype.type(self.pool_momentum)
            momentum += gradient


def _is_within(
    shares: np.ndarray, columns: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Return which cells are among the largest of their neuron, up to its share."""
    order = np.argsort(columns, kind="stable")
    ranks = np.empty(columns.size, np.int32)
    ranks[order] = ranks_by_group(columns[order], sizes[order], shares.size)
    return (ranks < shares[columns]) & (sizes > 0.0)
