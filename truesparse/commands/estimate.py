"""Memory: an estimate by arithmetic before anything is allocated, and what there is.

The estimate counts what a run holds at its peak: connections with their column view
and optimiser state, activations, data, what a topology update holds and builds anew, or
what drawing a layer takes if that is more, and what Python with its libraries and
compiled kernels takes.
"""

import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse

from truesparse.activations import layer_activation
from truesparse.drawing.draw_layers import count_connections
from truesparse.memory import human
from truesparse.network.buffers import padded_columns
from truesparse.network.inputs import batch_room
from truesparse.optimizers import Optimizer
from truesparse.sparse.connections import position_dtype
from truesparse.sparse.layer import scatter_tasks, scatters

# Measured: Python 3.11 with NumPy, SciPy, Numba and compiled kernels, 2026-11.
RUNTIME_BYTES = 330_000_000

# Bytes a connection while a layer is drawn, with its own: measured on 1.5 and 2 million
# connections, 2026-11. Others are drawn as "erdos_renyi" is.
_DRAWING_BYTES = {
    **{"erdos_renyi": 18, "bsw": 34, "constant_fan_in": 34, "brf": 36, "bsf": 73},
    "csti": 75,
}

_CSTI_BYTES = 84 << 21  # its blocks, see drawing.patterns.csti


@dataclass(frozen=True)
class Estimate:
    """Bytes by purpose.

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
    dense: int

    @property
    def total(self) -> int:
        """Bytes of the run at its peak."""
        return sum(asdict(self).values()) - self.dense

    def table(self) -> str:
        """Return the estimate as aligned lines."""
        rows = [(name.replace("_", " "), size) for name, size in asdict(self).items()]
        rows[-1:] = [("total", self.total), ("dense network instead", self.dense)]
        return "\n".join(f"{name:<22} {human(size):>10}" for name, size in rows)


def estimate_run(
    layer_sizes: tuple[int, ...],
    *,
    epsilon: float | None = None,
    density: float | None = None,
    init_topology: str = "erdos_renyi",
    distribution: str | None = None,
    activation: str = "relu",
    dropout: float = 0.0,
    dtype: str = "float32",
    batch_size: int = 128,
    optimizer: Optimizer,
    evolves: bool = True,
    update_bytes: tuple[float, float] = (4.0, 2.0),
    growth: float = 1.0,
    clips: bool = False,
    data_bytes: int = 0,
    sparse_room: int | None = None,
) -> Estimate:
    """Return the bytes that a training run needs, allocating nothing.

    Parameters
    ----------
    layer_sizes : tuple of int
        Features, hidden layers, outputs.
    epsilon, density, init_topology, distribution
        See drawing.draw_layers.count_connections.
    activation, dropout, dtype, batch_size, optimizer
        As the model and the trainer take them.
    evolves : bool
        Whether the topology changes.
    update_bytes : (float, float)
        What an update holds besides a layer's new arrays, in bytes a connection: of all
        layers, and of one at a time. See topology/parts/topology_update.py; the
        default is enough for SET with zeta 0.3.
    growth : float
        Connections that a layer can have at most, as a multiple of those at first.
    clips : bool
        Whether gradients are stored for clipping.
    data_bytes : int
        Of the training and validation data.
    sparse_room : int, optional
        For sparse input: most non-zeros that a batch can have.
    """
    itemsize = np.dtype(dtype).itemsize
    columns, _ = padded_columns(batch_size, dtype)
    n_moments = optimizer.needs_first + optimizer.needs_second
    pairs = list(itertools.pairwise(layer_sizes))
    counts = count_connections(
        layer_sizes,
        init_topology,
        epsilon=epsilon,
        density=density,
        distribution=distribution,
    )
    drawing = _DRAWING_BYTES.get(init_topology, _DRAWING_BYTES["erdos_renyi"])
    drawing = drawing * max(counts) + (_CSTI_BYTES if init_topology == "csti" else 0)
    if evolves:
        counts = [
            min(n_in * n_out, int(growth * count))
            for (n_in, n_out), count in zip(pairs, counts, strict=True)
        ]
    nnz, neurons = sum(counts), sum(layer_sizes[1:])
    view = partial = marked = 0
    rebuilt = 0.0
    for index, ((n_in, n_out), count) in enumerate(zip(pairs, counts, strict=True)):
        takes_sparse = index == 0 and sparse_room is not None
        if scatters(n_in, n_out, columns, itemsize) and not takes_sparse:
            partial = max(partial, scatter_tasks(count, n_out) * n_out)
        else:
            position = np.dtype(position_dtype(count)).itemsize
            view += (4 + position) * count + 8 * (n_out + 1)
        if evolves and count < n_in * n_out:
            # For a moment one layer exists twice, beside what is held of all.
            marked += count
            per_connection = 4 + itemsize * (1 + n_moments) + update_bytes[1]
            rebuilt = max(rebuilt, per_connection * count + 32 * n_in)
    # Trained numbers of neurons: biases, and what their activations have.
    slopes, own = 0, neurons
    chosen = layer_activation(activation, 0, dropout=dropout)
    if chosen.keeps_slope:
        slopes = sum(layer_sizes[1:-1])
    if chosen.is_trained:
        own += 4 * sum(layer_sizes[1:-1])
    rows = neurons + slopes + partial + layer_sizes[-1]
    if sparse_room is None:
        inputs = itemsize * columns * layer_sizes[0]
    else:
        inputs = 8 * (layer_sizes[0] + 1) + (4 + itemsize) * sparse_room
    state = itemsize * (n_moments + clips) * (nnz + own)
    activations = inputs + itemsize * columns * rows
    # Layers are drawn when there are neither views nor state nor activations.
    drawing = max(0, drawing - view - state - activations)
    return Estimate(
        weights=itemsize * (nnz + 2 * own),
        indices=4 * nnz + 8 * sum(layer_sizes[:-1]),
        column_view=view,
        optimizer=state,
        activations=activations,
        data=data_bytes,
        rewiring=max(math.ceil(update_bytes[0] * marked + rebuilt), drawing),
        runtime=RUNTIME_BYTES,
        dense=itemsize * (1 + n_moments) * sum(a * b for a, b in pairs),
    )


def measure_data(parts, batch_size: int) -> tuple[int, int | None]:
    """Return `data_bytes` and `sparse_room` of `estimate_run`.

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
    return n_bytes, max(rooms, default=None)
