"""Growth where the gradient of the loss is largest, shared by RigL, GSE and others.

Each layer looks either at all absent cells or at a sample of candidates, gamma times as
many as it has connections; see gradients.py. Where fewer gradients differ from 0 than
connections are to grow, the rest is drawn uniformly.
"""

import math
from typing import ClassVar

import numpy as np

from truesparse.common.checks import check_positive, check_whole, choose
from truesparse.common.rng import Purpose
from truesparse.drawing.cells import sample_absent
from truesparse.errors import UsageError
from truesparse.kernels.ranks import rank_groups
from truesparse.sparse.balance import balance
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.gradients import CellGradients, largest_gradients
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.topology_update import Update, update_bytes


class SampledCells(TopologyAlgorithm):
    """Magnitude pruning; growth looks at a uniform sample of absent cells.

    Parameters
    ----------
    gamma : float
        Candidates of a sample, as a multiple of a layer's connections.
    **options
        See TopologyAlgorithm.
    """

    needs_batches = True
    # Measured, of kernels for gradients of absent cells.
    compiler_bytes = 26_000_000
    # Candidates of a layer at least, unless it has fewer absent cells.
    least_candidates: ClassVar[int] = 0

    def __init__(self, *, gamma: float = 1.0, **options):
        super().__init__(**options)
        check_positive(gamma=gamma)
        self.gamma = gamma

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: keys and gradients."""
        of_all, of_one = update_bytes(self.zeta, itemsize)
        return of_all + self.gamma * (8 + itemsize), of_one

    def draw_candidates(
        self, update: Update, layers: list[int]
    ) -> dict[int, np.ndarray]:
        """Draw absent cells uniformly, each at most once; all where they are few."""
        keys = {}
        for index in layers:
            connections = update.connections[index]
            marks = self.open_marks(update, index)
            absent = connections.n_in * connections.n_out - connections.nnz
            absent += int(np.count_nonzero(marks))
            count = int(np.ceil(self.gamma * connections.nnz))
            count = min(max(count, self.least_candidates), absent)
            draw = update.stream(Purpose.CANDIDATES, index)
            keys[index] = sample_absent(connections, marks, count, draw)
        return keys

    def open_marks(self, update: Update, index: int) -> np.ndarray:
        """Return marks of the dropped connections that may grow again, (nnz,) bool."""
        marks = update.dropped[index]
        return marks if self.keeps_regrown else np.zeros_like(marks)


class SampledGradients(SampledCells):
    """Magnitude pruning; growth looks at gradients of a sample of absent cells.

    Parameters
    ----------
    gradient_batches : int
        Batches over which gradients are summed.
    **options
        See SampledCells and TopologyAlgorithm.
    """

    def __init__(self, *, gradient_batches: int = 1, **options):
        super().__init__(**options)
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)

    def candidate_sums(
        self, update: Update, layers: list[int]
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return keys and summed gradients of each layer's candidates."""
        if not layers:
            return {}
        keys = self.draw_candidates(update, layers)
        gradients = CellGradients(update.connections, keys)
        update.batches.observe(update.context, self.gradient_batches, gradients)
        return {index: (keys[index], gradients.sums[index]) for index in layers}


class GuidedGrowth(SampledGradients):
    """Magnitude pruning, and growth where the gradient is largest.

    Parameters
    ----------
    candidates : {"auto", "exact", "sampled"}
        Whether gradients are taken at all absent cells or at a uniform sample; "auto"
        decides for each layer, by the work. LayerChange.growth says which it was.
    **options
        See SampledGradients and TopologyAlgorithm; "exact" takes one of
        gradient_batches only.
    """

    # With "auto", a layer looks at all cells if this takes at most so many products of
    # a cell and a sample: some seconds (EPYC 7003, 2 cores, 2026-11).
    most_products: ClassVar[float] = 2e10
    # Share of what grows that grows by gradient; the rest is drawn.
    gradient_share: float = 1.0

    def __init__(self, *, candidates: str = "auto", **options):
        super().__init__(**options)
        accepted = ("auto", "exact", "sampled")
        self.candidates = choose(candidates, accepted, "choice of candidates")
        if candidates == "exact" and self.gradient_batches > 1:
            raise UsageError(
                "candidates 'exact' looks at one batch only, got gradient_batches "
                f"{self.gradient_batches}; give candidates 'sampled'"
            )

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells of largest gradient."""
        counts = self.grow_counts(update)
        grown = {}
        for index, (keys, sizes) in self.largest_cells(update, counts).items():
            best = keys[largest(sizes, self.by_gradient(counts[index]))]
            grown[index] = self.fill_at_random(update, index, best, counts[index])
        return grown

    def by_gradient(self, count: int) -> int:
        """Return how many of `count` new connections grow by gradient, rounded up."""
        return math.ceil(self.gradient_share * count)

    def largest_cells(
        self, update: Update, counts: dict[int, int]
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return absent cells of large gradient, and notes in `growth` how they came.

        Parameters
        ----------
        update : Update
        counts : dict of int to int
            Cells that are wanted of each layer.

        Returns
        -------
        dict of int to ((k,) int64 array, (k,) float array)
            Keys, ascending, and absolute gradients: of the `counts` largest where a
            layer looks at all its cells, else of all candidates.
        """
        whole = {index for index in counts if self._is_exact(update, index)}
        keys = self.draw_candidates(update, [i for i in counts if i not in whole])
        gradients = CellGradients(update.connections, keys)
        cells: dict[int, tuple[np.ndarray, np.ndarray]] = {}

        def observe(index, inputs, delta):
            if index in whole:
                marks = self.open_marks(update, index)
                pattern = update.connections[index], marks
                cells[index] = largest_gradients(*pattern, counts[index], inputs, delta)
            else:
                gradients(index, inputs, delta)

        # Both kinds of layers see the same pass. There are several batches only where
        # no layer looks at all its cells.
        update.batches.observe(update.context, self.gradient_batches, observe)
        for index in counts:
            if index not in whole:
                cells[index] = keys.pop(index), np.abs(gradients.sums.pop(index))
            update.growth[index] = "exact" if index in whole else "sampled"
        return {index: cells[index] for index in counts}

    def _is_exact(self, update: Update, index: int) -> bool:
        if self.candidates != "auto":
            return self.candidates == "exact"
        connections = update.connections[index]
        products = connections.n_in * connections.n_out * update.batches.batch_size
        return self.gradient_batches == 1 and products <= self.most_products


def largest(sizes: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the `count` largest sizes, ascending, none of them 0."""
    count = min(count, int(np.count_nonzero(sizes)))
    return np.flatnonzero(~drop_smallest(sizes, sizes.size - count))


def largest_weighted(
    sizes: np.ndarray, stand_for: np.ndarray, count: int
) -> np.ndarray:
    """Return the positions of the largest sizes that stand for about `count` cells.

    Parameters
    ----------
    sizes : (k,) float array
        Sizes of 0 are left out.
    stand_for : (k,) float array
        Number of cells that each one stands for, at least 1.
    count : int

    Examples
    --------
    >>> import numpy as np
    >>> sizes = np.array([5.0, 3.0, 4.0, 1.0])
    >>> stand_for = np.array([1.0, 9.0, 1.0, 9.0])
    >>> largest_weighted(sizes, stand_for, 3).tolist()
    [0, 2]
    >>> largest_weighted(sizes, stand_for, 7).tolist()
    [0, 2, 1]
    """
    best = largest(sizes, count)
    best = best[np.argsort(-sizes[best], kind="stable")]
    # The last one counts if at least half of its cells do.
    return best[np.cumsum(stand_for[best]) <= count + stand_for[best] / 2.0]


def ranks_by_group(groups: np.ndarray, sizes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return each entry's rank by size within its group, the largest being 0.

    Parameters
    ----------
    groups : (k,) int array
        Ascending.
    sizes : (k,) float array
        Among equal sizes the first has the lower rank.
    n_groups : int

    Returns
    -------
    (k,) int32 array

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.topology.parts.guided import ranks_by_group
    >>> ranks_by_group(np.array([1, 3, 3, 3]), np.array([0.1, 0.2, 0.5, 0.3]), 4)
    array([0, 2, 0, 1], dtype=int32)
    """
    bounds = np.zeros(n_groups + 1, np.int64)
    np.cumsum(np.bincount(groups, minlength=n_groups), out=bounds[1:])
    ranks = np.empty(groups.size, np.int32)
    rank_groups(balance(bounds), bounds, sizes, ranks)
    return ranks
