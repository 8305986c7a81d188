"""The memory that a run takes, estimated by arithmetic before anything is allocated.

The estimate counts what a run holds at its peak: connections with their column view
and optimiser state; activations; data; the marks and new arrays of a topology update,
or what drawing a layer takes if that is more; Python with its libraries and compiled
kernels. The first run of a kind on a machine compiles kernels, and what that takes is
not given back: an estimate says both totals.
"""

import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse

from truesparse.activations import layer_activation
from truesparse.common.memory import human
from truesparse.drawing.draw_layers import count_connections
from truesparse.drawing.patterns import pattern_of
from truesparse.network.buffers import padded_columns
from truesparse.network.hessian import PASS_SAMPLES
from truesparse.network.inputs import batch_room
from truesparse.network.precision import choose_activation_dtype, stored_dtype
from truesparse.optimizers import Optimizer
from truesparse.sparse.connections import VIEW_TASKS, position_dtype
from truesparse.sparse.layer import scatter_tasks, scatters

# Measured by benchmarks/memory.py: Python 3.11 with NumPy, SciPy, Numba and kernels
# loaded from the cache, and what compiling them takes more, 2026-11.
RUNTIME_BYTES = 188_000_000
# The part of it that a process takes between reading its data and its first update.
TRAINING_BYTES = 62_000_000
COMPILER_BYTES = 123_000_000
# More of it for kernels with activations in bfloat16, and for trained activations.
BFLOAT16_COMPILER_BYTES = 40_000_000
SRELU_COMPILER_BYTES = 28_000_000


@dataclass(frozen=True)
class Estimate:
    """Bytes by purpose.

    `compiler` counts in a run that has kernels to compile, as the first one has.
    `dense` is what the weights and optimiser state of a fully connected network of
    the same shape would take.
    """

    weights: int
    indices: int
    column_view: int
    optimizer: int
    activations: int
    data: int
    rewiring: int
    runtime: int
    compiler: int
    dense: int

    @property
    def total(self) -> int:
        """Bytes of the run at its peak, with kernels compiled before."""
        return self.first_total - self.compiler

    @property
    def first_total(self) -> int:
        """Bytes at its peak of a run that compiles its kernels."""
        return sum(asdict(self).values()) - self.dense

    def table(self) -> str:
        """Return the estimate as aligned lines."""
        rows = [(name.replace("_", " "), size) for name, size in asdict(self).items()]
        rows[-2:] = [
            ("total", self.total),
            ("first, while compiling", self.first_total),
            ("dense network instead", self.dense),
        ]
        return "\n".join(f"{name:<22} {human(size):>10}" for name, size in rows)


@dataclass(frozen=True)
class NetPlan:
    """A network that is yet to be drawn, as SparseMLP takes it.

    Attributes
    ----------
    layer_sizes : tuple of int
        Features, hidden layers, outputs.
    epsilon, density, init_topology, distribution
        See drawing.draw_layers.count_connections.
    activation, dropout, dtype, activation_dtype
    """

    layer_sizes: tuple[int, ...]
    epsilon: float | None = None
    density: float | None = None
    init_topology: str = "erdos_renyi"
    distribution: str | None = None
    activation: str = "relu"
    dropout: float = 0.0
    dtype: str = "float32"
    activation_dtype: str | None = None

    @property
    def activation_bytes(self) -> int:
        """Bytes of a number in the outputs and deltas of hidden layers."""
        name = choose_activation_dtype(self.activation_dtype, self.dtype)
        return stored_dtype(name).itemsize

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer."""
        return list(itertools.pairwise(self.layer_sizes))

    def connections(self) -> list[int]:
        """Return how many connections each layer gets."""
        return count_connections(
            self.layer_sizes,
            self.init_topology,
            epsilon=self.epsilon,
            density=self.density,
            distribution=self.distribution,
        )


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is to be trained, as far as it takes memory.

    Attributes
    ----------
    optimizer : Optimizer
    batch_size : int
    evolves : bool
        Whether the topology changes.
    update_bytes : (float, float)
        Memory of an update besides a layer's new arrays, in bytes a connection: of all
        layers, and of one at a time. See topology/parts/topology_update.py; the
        default is enough for SET with zeta 0.3.
    scratch_bytes : int
        Memory of an update whatever the size of the net.
    sample_numbers : int
        Float64 numbers of an update for each neuron and sample of a pass.
    visited : float
        Cells that lose their connection in the run, for each connection.
    visited_bytes : (float, float)
        Memory that an update takes for each of these cells.
    growth : float
        Connections that a layer can have at most, as a multiple of those at first.
    clips : bool
        Whether gradients are stored for clipping.
    needs_batches : bool
        Whether updates look at inputs and deltas.
    compiler_bytes : int
        Memory that compiling the kernels of updates takes beyond that of SET's.
    """

    optimizer: Optimizer
    batch_size: int = 128
    evolves: bool = True
    update_bytes: tuple[float, float] = (4.0, 2.0)
    scratch_bytes: int = 0
    sample_numbers: int = 0
    visited: float = 0.0
    visited_bytes: tuple[float, float] = (0.0, 0.0)
    growth: float = 1.0
    clips: bool = False
    needs_batches: bool = False
    compiler_bytes: int = 0

    @property
    def n_moments(self) -> int:
        """Numbers that the optimiser keeps for each weight."""
        return self.optimizer.needs_first + self.optimizer.needs_second


@dataclass(frozen=True)
class DataSize:
    """The size of training and validation data.

    Attributes
    ----------
    n_bytes : int
        Bytes of features and targets.
    sparse_room : int or None
        For sparse input: most non-zeros that a batch can have.
    """

    n_bytes: int = 0
    sparse_room: int | None = None


def estimate_run(
    net: NetPlan,
    training: TrainingPlan,
    data: DataSize | None = None,
    runtime: int = RUNTIME_BYTES,
) -> Estimate:
    """Return the bytes that a training run needs, allocating nothing.

    Parameters
    ----------
    net : NetPlan
    training : TrainingPlan
    data : DataSize, optional
        By default dense data that take no memory themselves.
    runtime : int
        Bytes of Python with its libraries and compiled kernels.
    """
    data = DataSize() if data is None else data
    itemsize = np.dtype(net.dtype).itemsize
    columns, _ = padded_columns(training.batch_size, net.dtype)
    counts = net.connections()
    drawing = pattern_of(net.init_topology).drawing_bytes(max(counts))
    if training.evolves:
        counts = [
            min(n_in * n_out, int(training.growth * count))
            for (n_in, n_out), count in zip(net.shapes, counts, strict=True)
        ]
    nnz, n_inputs = sum(counts), net.layer_sizes[0]
    views, partial = _view_sizes(net, counts, columns, data)
    n_slopes, n_parameters = _count_of_neurons(net)
    n_out, stored = net.layer_sizes[-1], net.activation_bytes
    hidden = sum(net.layer_sizes[1:-1]) + n_slopes
    # Outputs and targets; the delta of the outputs is in their place, unless rounded.
    last = 2 * itemsize + (stored if stored != itemsize else 0)
    if data.sparse_room is None:
        inputs = itemsize * columns * n_inputs
    else:
        inputs = 8 * (n_inputs + 1) + (4 + itemsize) * data.sparse_room
    state = itemsize * (training.n_moments + training.clips) * (nnz + n_parameters)
    activations = inputs + columns * (stored * hidden + last * n_out)
    activations += itemsize * columns * partial
    # Layers are drawn when there are neither views nor state nor activations.
    drawing -= sum(views) + state + activations
    rewiring = _rewiring_bytes(net, training, counts, views, columns)
    cells = sum(n_in * n_out for n_in, n_out in net.shapes)
    return Estimate(
        weights=itemsize * (nnz + n_parameters + _gradient_numbers(net, training)),
        indices=4 * nnz + 8 * sum(net.layer_sizes[:-1]),
        column_view=sum(views),
        optimizer=state,
        activations=activations,
        data=data.n_bytes,
        rewiring=max(rewiring, _view_building_bytes(net, views), drawing, 0),
        runtime=runtime,
        compiler=_compiler_bytes(net, training),
        dense=itemsize * (1 + training.n_moments) * cells,
    )


def _view_sizes(
    net: NetPlan, counts: list[int], columns: int, data: DataSize
) -> tuple[list[int], int]:
    """Return the bytes of each column view, and the rows of partial sums."""
    itemsize = np.dtype(net.dtype).itemsize
    views, partial = [], 0
    for index, ((n_in, n_out), count) in enumerate(
        zip(net.shapes, counts, strict=True)
    ):
        takes_sparse = index == 0 and data.sparse_room is not None
        if scatters(n_in, n_out, columns, itemsize) and not takes_sparse:
            partial = max(partial, scatter_tasks(count, n_out) * n_out)
            views.append(0)
        else:
            position = np.dtype(position_dtype(count)).itemsize
            views.append((4 + position) * count + 8 * (n_out + 1))
    return views, partial


def _rewiring_bytes(
    net: NetPlan,
    training: TrainingPlan,
    counts: list[int],
    views: list[int],
    columns: int,
) -> int:
    """Return what a topology update takes at its peak, beside what the run holds."""
    if not training.evolves:
        return 0
    nnz, cells = sum(counts), sum(n_in * n_out for n_in, n_out in net.shapes)
    visited = min(training.visited, cells / max(nnz, 1) - 1.0)
    of_all, of_one = (
        each + visited * more
        for each, more in zip(
            training.update_bytes, training.visited_bytes, strict=True
        )
    )
    layers = list(zip(net.shapes, counts, views, strict=True))
    marked = sum(count for (n_in, n_out), count, _ in layers if count < n_in * n_out)
    peak, gone = 0.0, 0
    itemsize = np.dtype(net.dtype).itemsize
    if training.needs_batches and net.activation_bytes != itemsize:
        # Inputs and deltas of one layer, before any is rewired; data are wide already.
        (_, first), *rest = net.shapes
        widened = max(first, *map(sum, rest)) if rest else first
        peak = of_all * marked + itemsize * columns * widened
    scratch = training.scratch_bytes + 8 * training.sample_numbers * min(
        training.batch_size, PASS_SAMPLES
    ) * sum(net.layer_sizes)
    for (n_in, n_out), count, view in layers:
        if count < n_in * n_out:
            # New indices, and the counts that lead to them. Earlier layers have given
            # up their marks and their view by then.
            layer = (4 + of_one) * count + 16 * n_in + scratch
            peak = max(peak, of_all * marked + layer - gone)
            marked -= count
            gone += view
    return math.ceil(peak)


def _view_building_bytes(net: NetPlan, views: list[int]) -> int:
    """Return what building the views takes at its peak, beside what the run holds."""
    peak, missing = 0, sum(views)
    for (_, n_out), view in zip(net.shapes, views, strict=True):
        missing -= view
        if view:
            peak = max(peak, VIEW_TASKS * 8 * n_out - missing)
    return peak


def _count_of_neurons(net: NetPlan) -> tuple[int, int]:
    """Return how many slopes are stored a sample, and how many parameters are trained.

    The latter are biases, and the parameters of trained activations.
    """
    n_hidden = sum(net.layer_sizes[1:-1])
    activation = layer_activation(net.activation, 0, dropout=net.dropout)
    n_parameters = sum(net.layer_sizes[1:]) + 4 * n_hidden * activation.is_trained
    return n_hidden * activation.keeps_slope, n_parameters


def _gradient_numbers(net: NetPlan, training: TrainingPlan) -> int:
    """Return how many gradients of biases and trained activations are held at once."""
    hidden = net.layer_sizes[1:-1]
    stored = 0
    if training.clips or training.needs_batches:
        stored = _count_of_neurons(net)[1]
    elif layer_activation(net.activation, 0).is_trained:
        stored = 5 * sum(hidden)
    return stored + max(hidden, default=0)


def _compiler_bytes(net: NetPlan, training: TrainingPlan) -> int:
    """Return what compiling all kernels takes."""
    total = COMPILER_BYTES + training.compiler_bytes
    if net.activation_bytes != np.dtype(net.dtype).itemsize:
        total += BFLOAT16_COMPILER_BYTES
    if layer_activation(net.activation, 0).is_trained:
        total += SRELU_COMPILER_BYTES
    return total


def measure_data(parts, batch_size: int) -> DataSize:
    """Return the size of data.

    Parameters
    ----------
    parts : iterable of ndarray or csr_array
        Features and targets.
    batch_size : int
    """
    n_bytes, rooms = 0, []
    for part in parts:
        if isinstance(part, scipy.sparse.csr_array):
            rooms.append(batch_room(part, batch_size))
            n_bytes += part.data.nbytes + part.indices.nbytes + part.indptr.nbytes
        else:
            n_bytes += part.nbytes
    return DataSize(n_bytes, max(rooms, default=None))
