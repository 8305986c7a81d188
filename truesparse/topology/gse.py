"""GSE: guided stochastic exploration.

Heddes, Srinivasa, Givargis and Nicolau, "Always-sparse training by growing connections
with guided stochastic exploration", arXiv 2401.06898 (2024), Algorithm 2.

Like RigL, but gradients are taken at a sample of gamma times as many cells as a layer
has connections. Cells are drawn uniformly, or their rows in proportion to f and their
columns in proportion to g, where x and d are the inputs and deltas of a batch:

    grabo     f_i = sum_b |x_ib|,        g_j = sum_b |d_jb|        a bound of its size
    graest    f_i = |sum_b s_b x_ib|,    g_j = |sum_b s_b d_jb|    its expectation

where the signs s_b are random. Cells connected before the removal are no candidates.

Departures: where the sample cannot replace all that was removed, the rest is drawn
uniformly, while the paper removes less; fractions are rounded down, not up; signs are
independent, not four-wise independent hashes; each layer has its count as in the paper,
while the authors' code counts all layers jointly.
"""

import numpy as np

from truesparse.common.checks import choose
from truesparse.common.rng import Purpose
from truesparse.kernels.arrays import SparseBatch
from truesparse.topology.parts.guided import GuidedGrowth
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule
from truesparse.topology.parts.topology_update import Update

DISTRIBUTIONS = ("uniform", "grabo", "graest")


class Gse(GuidedGrowth):
    """Guided stochastic exploration: RigL on a sample of cells.

    Parameters
    ----------
    distribution : {"uniform", "grabo", "graest"}
        How candidates are drawn, in layers where gradients are taken at a sample.
    **options
        See GuidedGrowth and TopologyAlgorithm; the defaults of zeta, decay, decay_end,
        schedule and candidates are those of GSE.
    """

    name = "gse"
    # Measured: compiling for it takes no more than for SET.
    compiler_bytes = 0
    fraction = Fraction(0.2, "cosine", end=0.6)
    schedule = UpdateSchedule(1000, "step", start=1000)

    def __init__(
        self,
        *,
        distribution: str = "uniform",
        candidates: str = "sampled",
        **options,
    ):
        super().__init__(candidates=candidates, **options)
        self.distribution = choose(distribution, DISTRIBUTIONS, "distribution")

    def draw_candidates(
        self, update: Update, layers: list[int]
    ) -> dict[int, np.ndarray]:
        """Draw cells by the distribution; connected and repeated ones are left out."""
        if self.distribution == "uniform" or not layers:
            return super().draw_candidates(update, layers)
        weights = self._weights(update, layers)
        keys = {}
        for index in layers:
            connections = update.connections[index]
            draw = update.stream(Purpose.CANDIDATES, index)
            f, g = weights[index]
            # Where all inputs or all deltas are 0, so are all gradients.
            is_silent = not (f.any() and g.any())
            count = 0 if is_silent else int(np.ceil(self.gamma * connections.nnz))
            rows, columns = _draw(f, count, draw), _draw(g, count, draw)
            cells = np.unique(rows * connections.n_out + columns)
            keys[index] = cells[~connections.contains(cells)]
        return keys

    def _weights(
        self, update: Update, layers: list[int]
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return f and g of each layer."""
        weights = {
            index: (np.zeros(connections.n_in), np.zeros(connections.n_out))
            for index, connections in update.connections.items()
            if index in layers
        }
        draw = update.stream(Purpose.SIGNS, 0)
        signs = np.empty(0)
        size = update.batches.size

        def observe(index, inputs, delta):
            nonlocal signs
            if index == len(update.model.layers) - 1:
                # The last layer comes first: this is a new batch. Its padding columns
                # get sign 0, since outputs there are not 0.
                signs = np.zeros(delta.shape[1])
                signs[:size] = draw.choice(np.array([-1.0, 1.0]), size)
            if index in weights:
                for total, array in zip(weights[index], (inputs, delta), strict=True):
                    total += self._aggregate(array, signs)

        update.batches.observe(update.context, self.gradient_batches, observe)
        return {index: (abs(f), abs(g)) for index, (f, g) in weights.items()}

    def _aggregate(self, array: np.ndarray | SparseBatch, signs) -> np.ndarray:
        """Return the sum over the batch of every neuron's sizes or signed values."""
        is_bound = self.distribution == "grabo"
        factors = abs(signs) if is_bound else signs
        if isinstance(array, SparseBatch):
            nnz = array.indptr[-1]
            values = abs(array.values[:nnz]) if is_bound else array.values[:nnz]
            sums = np.zeros(nnz + 1)
            np.cumsum(values * factors[array.positions[:nnz]], out=sums[1:])
            return np.diff(sums[array.indptr])
        # Not by BLAS, whose sums depend on the number of threads.
        return np.einsum("ib,b->i", abs(array) if is_bound else array, factors)


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator):
    """Draw positions with replacement, in proportion to weights not all 0."""
    if count == 0:
        return np.zeros(0, np.int64)
    bounds = np.cumsum(weights)
    drawn = generator.random(count) * bounds[-1]
    drawn = np.searchsorted(bounds, drawn, side="right")
    return np.minimum(drawn, np.flatnonzero(weights)[-1])
