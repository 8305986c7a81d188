"""Top-KAST: sparse forward and backward passes over different sets.

Jayakumar, Pascanu, Rae, Osindero and Elsen, "Top-KAST: top-K always sparse training",
NeurIPS 2020, section 2.

The forward pass uses the weights of largest magnitude, the backward pass updates a
superset of them. A weight of the superset that outgrows the smallest one in use takes
its place. All of them decay, an L2 penalty, and those that are updated but not used
faster, by one over the density D: so others are explored.

The authors start from dense weights, whose largest are in use and the next ones in the
superset. Here, too, the connections get magnitudes as of the largest D of normally
distributed weights before the first step, with the sum of squares that they had, and
cells that come into the pool magnitudes as of the next ones: just below the smallest
weight in use, with random signs.

Departures: the authors hold all weights densely. Here the superset consists of the
connections and of a pool of `extra` times as many cells, which learn by plain gradient
descent from one batch every few steps. A connection that loses its place goes to the
pool with its weight; each update draws the weaker half of the pool anew, from all
cells, where in the original cells come in as others decay below them. Updates come
every 100 steps, which the authors found as good as every step. Compared with the paper
and with the ports in A-Klass/torch_topkast and in sparseml's fork with Top-KAST, since
the authors' own code is not public.
"""

from statistics import NormalDist
from typing import Any

import numpy as np

from truesparse.common.checks import check_not_negative, check_positive, check_whole
from truesparse.common.rng import Purpose, stream
from truesparse.drawing.cells import is_among, sample_absent
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches, CellGradients
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Share, UpdateSchedule
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update, update_bytes


class TopKast(TopologyAlgorithm):
    """Top-KAST: connections compete with a pool of learning candidates.

    Parameters
    ----------
    extra : float
        Size of the pool, as a multiple of a layer's connections.
    penalty : float
        L2 penalty of the connections; that of the pool is divided by the density.
    sample_every : int
        Steps between two batches from which the pool learns.
    **options
        See TopologyAlgorithm; by default updates happen every 100 steps.
    """

    name = "top_kast"
    needs_batches = True
    # Magnitudes decide how many connections change places, and none comes back in the
    # update that removed it.
    takes = (
        *("decay_end", "schedule", *Layers.OPTIONS, *Share.OPTIONS),
        *(*Importance.OPTIONS, "final"),
    )
    schedule = UpdateSchedule(100, "step", start=100)

    def __init__(
        self,
        *,
        extra: float = 0.5,
        penalty: float = 1e-4,
        sample_every: int = 10,
        **options,
    ):
        super().__init__(**options)
        check_positive(extra=extra)
        check_not_negative(penalty=penalty)
        self.extra, self.penalty = extra, penalty
        self.sample_every = check_whole("sample_every", sample_every, 1)
        self._keys: dict[int, np.ndarray] = {}
        self._weights: dict[int, np.ndarray] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start without a pool; make the weights those of largest magnitude.

        An earlier pool may hold cells of another net.
        """
        super().begin(model, batches)
        self._keys, self._weights = {}, {}
        if model.step > 0:
            return
        for index in self.evolving_layers(model):
            connections = model.layers[index].connections
            draw = stream(model.seed, Purpose.CANDIDATES, layer=index)
            spread_as_largest(connections.values, connections.density, draw)

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: the pool."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        # A new pool is drawn, shuffled and sorted while the old one exists.
        pool = self.extra * (8 + itemsize)
        return of_all + pool, of_one + pool + self.extra * 8

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the pool."""
        keys = {str(index): each for index, each in self._keys.items()}
        weights = {str(index): each for index, each in self._weights.items()}
        return {**super().state(), "keys": keys, "weights": weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state; its arrays are copied, since the pool is written to."""
        super().restore(state)
        self._keys = {int(i): each.copy() for i, each in state["keys"].items()}
        self._weights = {int(i): each.copy() for i, each in state["weights"].items()}

    def drop(self, update: Update) -> None:
        """Mark the connections whose place a candidate takes; none at the very end."""
        if update.context.is_final:
            return
        for index in update.connections:
            if index not in self._keys:
                self.look(update)
                break
        for index, connections in update.connections.items():
            weights, candidates = connections.values, self._weights[index]
            n_out = connections.nnz + candidates.size - self.budget(update, index)
            sizes = np.abs(np.concatenate([candidates, weights]))
            # Of equal sizes candidates go first, so a tie changes nothing.
            gone = drop_smallest(sizes, n_out)
            update.dropped[index] = gone[candidates.size :]
            update.notes[index] = ~gone[: candidates.size]

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the candidates that become connections."""
        grown = {}
        for index, connections in update.connections.items():
            chosen = update.notes.pop(index)
            keys, weights = self._keys[index], self._weights[index]
            grown[index] = keys[chosen]
            update.new_weights[index] = weights[chosen]
            left = update.dropped_keys(index), connections.values[update.dropped[index]]
            rest = keys[~chosen], weights[~chosen]
            self._keys[index] = np.concatenate([left[0], rest[0]])
            self._weights[index] = np.concatenate([left[1], rest[1]])
            update.growth[index] = "sampled"
        return grown

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Exchange places, then draw the weaker half of the pool anew."""
        changes = super().update(model, context, batches)
        if context.is_final:
            return changes
        update = Update(model, context, self.evolving_layers(model), batches)
        for index in update.connections:
            self._draw(update, index)
        return changes

    def look(self, update: Update) -> None:
        """Take a step of gradient descent on the pool, drawn now if there is none."""
        for index in update.connections:
            if index not in self._keys:
                self._keys[index] = np.empty(0, np.int64)
                self._weights[index] = update.connections[index].values[:0].copy()
                self._draw(update, index)
        keys = {index: self._keys[index] for index in update.connections}
        gradients = CellGradients(update.connections, keys)
        update.batches.observe(update.context, 1, gradients)
        lr = update.context.lr * self.sample_every
        for index, connections in update.connections.items():
            if not connections.nnz:
                continue  # the pool is empty, too
            weights, number = self._weights[index], connections.values.dtype.type
            decay = min(lr * self.penalty / connections.density, 1.0)
            weights *= number(1.0 - decay)
            connections.values *= number(1.0 - min(lr * self.penalty, 1.0))
            weights -= number(lr) * gradients.sums[index]

    def _draw(self, update: Update, index: int) -> None:
        """Keep the stronger half of the pool, and fill it up with new cells."""
        connections = update.connections[index]
        absent = connections.n_in * connections.n_out - connections.nnz
        size = min(int(np.ceil(self.extra * connections.nnz)), absent)
        keys, weights = self._keys[index], self._weights[index]
        n_strong = min(keys.size, size // 2 if absent > size else size)
        is_strong = ~drop_smallest(np.abs(weights), keys.size - n_strong)
        keys, weights = keys[is_strong], weights[is_strong]
        draw = update.stream(Purpose.CANDIDATES, index)
        drawn = sample_absent(connections, np.zeros(connections.nnz, bool), size, draw)
        drawn = drawn[~is_among(drawn, np.sort(keys))]
        drawn = draw.permutation(drawn)[: size - keys.size]
        keys = np.concatenate([keys, drawn])
        new = draw_next(connections, self.extra, drawn.size, draw)
        weights = np.concatenate([weights, new])
        order = np.argsort(keys)
        self._keys[index], self._weights[index] = keys[order], weights[order]


def spread_as_largest(
    values: np.ndarray, density: float, generator: np.random.Generator
) -> None:
    """Give weights the magnitudes of the largest of normally distributed ones.

    Signs and the sum of squares stay.

    Parameters
    ----------
    values : (nnz,) float array
    density : float
        Share of all cells whose weights are the largest, in (0, 1].
    """
    from scipy.special import ndtri  # imported late: most runs do without

    if not values.any():
        return
    # Ranks among all weights, from 0 for the largest to 1 for the smallest.
    ranks = density * (1.0 - generator.random(values.size))
    sizes = -ndtri(ranks / 2.0)
    before = np.sum(np.square(values, dtype=np.float64))
    sizes *= np.sqrt(before / np.sum(np.square(sizes)))
    np.copysign(sizes, values, out=values, casting="same_kind")


def draw_next(
    connections: Connections, extra: float, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw weights just below the smallest in use, as the next of all weights are.

    Parameters
    ----------
    connections : Connections
    extra : float
        Number of the next weights, as a multiple of the connections.
    count : int

    Returns
    -------
    (count,) float array
    """
    density, dtype = connections.density, connections.values.dtype
    if connections.nnz == 0:
        return np.zeros(count, dtype)
    quantile = NormalDist().inv_cdf
    # Where the largest D and (1 + extra) D of a normal distribution end, in magnitude.
    ends = [-quantile(min(d, 1.0) / 2.0) for d in (density, (1.0 + extra) * density)]
    least = np.abs(connections.values).min()
    lowest = ends[1] / ends[0] if ends[0] > 0.0 else 1.0
    sizes = least * generator.uniform(lowest, 1.0, count)
    return (sizes * generator.choice((-1.0, 1.0), count)).astype(dtype)
