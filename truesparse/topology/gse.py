"""GSE: guided stochastic exploration.

Heddes, Srinivasa, Givargis and Nicolau, "Always-sparse training by growing connections
with guided stochastic exploration", arXiv 2401.06898 (2024), Algorithm 2.

As RigL, but the gradient is taken at a sample of gamma times as many cells as a layer
has connections. They are drawn uniformly, or with rows drawn in proportion to f and
columns to g, with a batch's inputs x and deltas d:

    grabo     f_i = sum_b |x_ib|,        g_j = sum_b |d_jb|        a bound of its size
    graest    f_i = |sum_b s_b x_ib|,    g_j = |sum_b s_b d_jb|    its expectation

where the signs s_b are random. What was connected before removal is no candidate.

Departures: what the sample lacks to replace all that was removed is drawn uniformly,
where the paper removes less; signs are independent, not four-wise independent hashes;
layers are counted one by one as in the paper, not jointly as in the authors' code.
"""

import numpy as np

from truesparse.errors import choose
from truesparse.kernels.arrays import SparseBatch
from truesparse.rng import Purpose
from truesparse.topology.guided import GuidedGrowth
from truesparse.topology.schedule import UpdateSchedule
from truesparse.topology.update import Update

DISTRIBUTIONS = ("uniform", "grabo", "graest")


class Gse(GuidedGrowth):
    """Guided stochastic exploration.

    Parameters
    ----------
    distribution : {"uniform", "grabo", "graest"}
        How candidates are drawn.
    zeta, decay, decay_end, schedule
        See TopologyAlgorithm; the defaults are those of GSE.
    **options
        See GuidedGrowth and TopologyAlgorithm.
    """

    name = "gse"

    def __init__(
        self,
        *,
        distribution: str = "uniform",
        zeta: float = 0.2,
        decay: str = "cosine",
        decay_end: float = 0.6,
        schedule: UpdateSchedule | None = None,
        candidates: str = "sampled",
        **options,
    ):
        schedule = schedule or UpdateSchedule(1000, "step", start=1000)
        super().__init__(
            zeta=zeta,
            decay=decay,
            decay_end=decay_end,
            schedule=schedule,
            candidates=candidates,
            **options,
        )
        self.distribution = choose(distribution, DISTRIBUTIONS, "distribution")

    def draw_candidates(
        self, update: Update, layers: list[int]
    ) -> dict[int, np.ndarray]:
        """Draw cells by the distribution, without what is connected or repeats."""
        if self.distribution == "uniform":
            return super().draw_candidates(update, layers)
        weights = self._weights(update, layers)
        keys = {}
        for index in layers:
            links = update.links[index]
            draw = update.stream(Purpose.CANDIDATES, index)
            count = int(np.ceil(self.gamma * links.nnz))
            rows, columns = (_draw(each, count, draw) for each in weights[index])
            cells = np.unique(rows * links.n_out + columns)
            keys[index] = cells[~links.contains(cells)]
        return keys

    def _weights(
        self, update: Update, layers: list[int]
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return f and g of each layer."""
        weights = {
            index: (np.zeros(links.n_in), np.zeros(links.n_out))
            for index, links in update.links.items()
            if index in layers
        }
        draw = update.stream(Purpose.SIGNS, 0)
        signs: np.ndarray | None = None

        def observe(index, inputs, delta):
            nonlocal signs
            if index == len(update.model.layers) - 1:
                # The last layer is the first to be seen: a new batch.
                signs = draw.choice(np.array([-1.0, 1.0]), delta.shape[1])
            if index in weights:
                for total, array in zip(weights[index], (inputs, delta), strict=True):
                    total += self._aggregate(array, signs)

        update.batches.observe(update.context, self.gradient_batches, observe)
        return {index: (abs(f), abs(g)) for index, (f, g) in weights.items()}

    def _aggregate(self, array: np.ndarray | SparseBatch, signs) -> np.ndarray:
        """Return the sum over the batch of every neuron's sizes or signed values."""
        is_bound = self.distribution == "grabo"
        if isinstance(array, SparseBatch):
            values = array.values
            signed = values * signs[array.positions]
            return _row_sums(array, abs(values) if is_bound else signed)
        if is_bound:
            return np.abs(array).sum(axis=1, dtype=np.float64)
        # Not by BLAS, whose sums depend on the number of threads.
        return np.einsum("ib,b->i", array, signs)


def _row_sums(batch: SparseBatch, values: np.ndarray) -> np.ndarray:
    """Return the sums of some values of a sparse batch by feature."""
    sums = np.concatenate([[0.0], np.cumsum(values[: batch.indptr[-1]], dtype=float)])
    return np.diff(sums[batch.indptr])


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator):
    """Draw positions with replacement in proportion to weights, or of none if all 0."""
    bounds = np.cumsum(weights)
    if not bounds[-1] > 0.0:
        return np.zeros(0, np.int64)
    drawn = generator.random(count) * bounds[-1]
    drawn = np.searchsorted(bounds, drawn, side="right")
    return np.minimum(drawn, np.flatnonzero(weights)[-1])
