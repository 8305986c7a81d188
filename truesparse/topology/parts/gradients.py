"""Gradients for topology updates: batches to take them on, cells to take them at.

The gradient of the loss at cell (i, j), connected or not, is sum_b x_ib delta_jb. It is
taken at a list of cells, or at all absent cells of a layer one after the other, where
only the largest gradients are held.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from truesparse.common import rng
from truesparse.drawing.cells import sample_ranks
from truesparse.errors import DivergedError
from truesparse.kernels.arrays import Csr, Pattern, SparseBatch
from truesparse.kernels.candidates import (
    Bins,
    Listing,
    candidate_gradients,
    candidate_gradients_sparse,
    count_gradients,
    list_gradients,
)
from truesparse.kernels.simd import make_tile
from truesparse.network.backprop import Collector, Observer
from truesparse.network.buffers import padded_columns
from truesparse.network.hessian import Samples
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.balance import balance
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.prune import drop_smallest

# Candidates a task.
_TASK_SIZE = 1 << 12
# Each task of a scan holds 2**14 counters.
_SCAN_TASKS = 16
# Magnitudes, as the 31 bits of a float32, fall into bins by their upper 14 bits: eight
# of the exponent and six of the mantissa. One bin is divided by the next 14 bits, and
# one of its parts by the last three. Listed are the shift and the number of bits.
_BINS = ((17, 14), (3, 14), (0, 3))
# A list may hold twice as many cells as are wanted, and so many more: a megabyte.
_SLACK = 1 << 16


class Batches:
    """Training data, of which an update sees random batches without taking a step.

    Parameters
    ----------
    model : SparseMLP
        Prepared for this batch size.
    data, targets : arrays
        As `SparseMLP.train_batch` takes them.
    samples : (n,) int64 array
        Rows of data to train on.
    batch_size : int
    sample_weight : (n,) float64 array, optional
    """

    def __init__(
        self,
        model: SparseMLP,
        data: np.ndarray | Csr,
        targets: np.ndarray,
        samples: np.ndarray,
        batch_size: int,
        sample_weight: np.ndarray | None = None,
    ):
        self.data, self.targets, self.samples = data, targets, samples
        self.sample_weight = sample_weight
        self._model, self.batch_size = model, batch_size

    @property
    def size(self) -> int:
        """Samples of a batch: all there are, if they are fewer than `batch_size`."""
        return min(self.batch_size, self.samples.size)

    def available(self, count: int) -> int:
        """Return how many batches there are, at most `count`, that share no sample."""
        return min(count, self.samples.size // self.size)

    def draw(self, context: UpdateContext, count: int) -> Iterator[np.ndarray]:
        """Yield the samples of `count` batches, or of all if there are fewer.

        They depend on seed and step alone: another call in the same update yields the
        same ones.
        """
        n, size = self.samples.size, self.size
        draw = rng.stream(context.seed, rng.Purpose.GRADIENT_BATCH, context.step)
        chosen = draw.permutation(sample_ranks(n, min(count * size, n), draw))
        for start in range(0, self.available(count) * size, size):
            yield self.samples[chosen[start : start + size]]

    def samples_of(self, samples: np.ndarray) -> Samples:
        """Return one batch in float64, with weights that add up to 1."""
        weights = np.full(samples.size, 1.0 / samples.size)
        if self.sample_weight is not None:
            weights = self.sample_weight[samples]
            weights = weights / max(weights.sum(), np.finfo(float).tiny)
        if isinstance(self.data, Csr):
            parts = self.data.values, self.data.indices, self.data.indptr
            shape = self.data.indptr.size - 1, self._model.layer_sizes[0]
            rows = sparse.csr_array(parts, shape=shape, copy=False)[samples]
        else:
            rows = self.data[samples]
        return Samples(rows.astype(np.float64), self.targets[samples], weights)

    def observe(
        self,
        context: UpdateContext,
        count: int = 1,
        observer: Observer | None = None,
        collector: Collector | None = None,
    ) -> None:
        """Show the gradients of `count` batches, or of all if there are fewer.

        They are those of `draw`.

        Raises
        ------
        DivergedError
            If the loss is NaN or infinite.
        """
        for samples in self.draw(context, count):
            loss = self._model.observe_batch(
                self.data,
                self.targets,
                samples,
                sample_weight=self.sample_weight,
                observer=observer,
                collector=collector,
            )
            if not np.isfinite(loss):
                place = self._model.describe_fault()
                raise DivergedError(
                    f"the loss became {loss} after step {context.step}, where the "
                    f"topology is updated{f' ({place})' if place else ''}; lower the "
                    "learning rate or clip gradients"
                )

    def connection_gradients(
        self, context: UpdateContext, connections: Mapping[int, Connections], count: int
    ) -> dict[int, np.ndarray]:
        """Return the gradients of layers' connections, summed over `count` batches.

        Returns
        -------
        dict of int to (nnz,) float array
        """
        sums = {i: np.zeros_like(each.values) for i, each in connections.items()}

        def collect(index, gradient):
            if index in sums:
                sums[index] += gradient

        self.observe(context, count, collector=collect)
        return sums


class CellGradients:
    """Sums of the gradients at lists of cells, over the batches that are observed.

    Parameters
    ----------
    connections : dict of int to Connections
    keys : dict of int to (k,) int64 array
        Cells ``row * n_out + column`` of each layer, in any order.

    Attributes
    ----------
    sums : dict of int to (k,) float array
    """

    def __init__(
        self, connections: dict[int, Connections], keys: dict[int, np.ndarray]
    ):
        self._keys = keys
        self.sums = {
            index: np.zeros(cells.size, connections[index].values.dtype)
            for index, cells in keys.items()
        }

    def __call__(
        self, index: int, inputs: np.ndarray | SparseBatch, delta: np.ndarray
    ) -> None:
        """Add the gradients of one batch; this is an Observer."""
        if index not in self.sums:
            return
        rest = delta, _TASK_SIZE, self.sums[index]
        if isinstance(inputs, SparseBatch):
            candidate_gradients_sparse(self._keys[index], inputs, *rest)
        else:
            candidate_gradients(_tile(delta), self._keys[index], inputs, *rest)


def largest_gradients(
    connections: Connections,
    dropped: np.ndarray,
    count: int,
    inputs: np.ndarray | SparseBatch,
    delta: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the absent cells of largest absolute gradient among all of a layer.

    The first pass over all cells counts the magnitudes by bin, which gives the
    `count`-th largest to 2 %; the last one lists the cells from there on. Where many
    more than `count` cells are that large, up to two passes between them narrow the bin
    down to one number. A pass takes n_in n_out columns multiplications; memory is
    O(count + n_in + n_out). Only those features of a sparse batch that occur in it take
    part, and are held densely.

    Parameters
    ----------
    connections : Connections
    dropped : (nnz,) bool array
        Connections that count as absent.
    count : int
    inputs, delta
        Arguments of an Observer.

    Returns
    -------
    keys : (k,) int64 array
        Ascending; fewer than `count` if fewer gradients are above 1e-38. Of equal
        magnitudes (in float32, if more than twice `count` are equal) the last cells.
    sizes : (k,) float array
        Absolute gradients.
    """
    if count <= 0:
        return np.empty(0, np.int64), np.empty(0, delta.dtype)
    pattern = Pattern(connections.indptr, connections.indices, dropped)
    rows: np.ndarray | None = None
    if isinstance(inputs, SparseBatch):
        rows = np.flatnonzero(np.diff(inputs.indptr))
        pattern, inputs = _of_rows(pattern, rows), _as_dense(inputs, rows, delta)
    keys, sizes = _largest(pattern, count, inputs, delta)
    if rows is not None:
        left_out = rows - np.arange(rows.size)
        keys += left_out[keys // connections.n_out] * connections.n_out
    return keys, sizes


def _largest(
    pattern: Pattern, count: int, inputs, delta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and sizes of the largest absolute gradients of a dense batch."""
    tasks = balance(np.arange(len(inputs) + 1), _SCAN_TASKS)
    cells = _tile(delta), tasks, pattern, inputs, delta
    n_tasks = tasks.size - 1
    lowest, above = 0, np.zeros(n_tasks, np.int64)
    for shift, n_bits in _BINS:
        counts = np.zeros((n_tasks, 1 << n_bits), np.int64)
        count_gradients(*cells, Bins(lowest, shift), counts)
        at_least = above.sum() + counts.sum(axis=0)[::-1].cumsum()[::-1]
        # The very first bin is for zero and numbers that are as good as zero.
        best = max(int(lowest == 0), int(np.count_nonzero(at_least >= count)) - 1)
        lowest += best << shift
        above += counts[:, best + 1 :].sum(axis=1)
        equal = counts[:, best]
        if at_least[best] <= 2 * count + _SLACK:
            break
    surplus = int(at_least[best]) - count if shift == 0 else 0
    skipped = np.clip(surplus - equal.cumsum() + equal, 0, equal)
    lengths = above + equal - skipped
    starts, n_cells = lengths.cumsum() - lengths, int(lengths.sum())
    keys, sizes = np.empty(n_cells, np.int64), np.empty(n_cells, delta.dtype)
    list_gradients(*cells, lowest, Listing(starts, skipped, keys, sizes))
    is_best = ~drop_smallest(sizes, n_cells - count)
    return keys[is_best], sizes[is_best]


def _tile(delta: np.ndarray) -> tuple:
    return make_tile(padded_columns(delta.shape[1], delta.dtype)[1])


def _of_rows(pattern: Pattern, rows: np.ndarray) -> Pattern:
    """Return the pattern of some rows alone."""
    degrees = np.diff(pattern.indptr)[rows]
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    places = np.repeat(pattern.indptr[rows] - indptr[:-1], degrees)
    places += np.arange(places.size)
    return Pattern(indptr, pattern.indices[places], pattern.dropped[places])


def _as_dense(batch: SparseBatch, rows: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Return the features of one batch that occur in it as dense inputs."""
    nnz = int(batch.indptr[-1])
    dense = np.zeros((rows.size, delta.shape[1]), delta.dtype)
    places = np.repeat(np.arange(rows.size), np.diff(batch.indptr)[rows])
    dense[places, batch.positions[:nnz]] = batch.values[:nnz]
    return dense
