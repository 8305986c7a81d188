"""The arrays a model works in: allocated once for a batch size, reused every step.

Training needs only one output buffer a layer: the delta of a layer overwrites its
output (see kernels/backward.py).
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.kernels.aligned import aligned_zeros
from truesparse.kernels.arrays import Csr, SparseBatch
from truesparse.kernels.batch import gather_csr, gather_dense
from truesparse.kernels.simd import LANES, make_tile, max_vectors
from truesparse.losses import Loss
from truesparse.network.inputs import as_weights, check_source, n_samples
from truesparse.network.precision import stored_dtype
from truesparse.sparse.layer import SparseLayer


def tile_columns(dtype) -> int:
    """Return the columns of the widest tile that the registers hold."""
    return LANES * max_vectors() * 4 // np.dtype(dtype).itemsize


def padded_columns(batch_size: int, dtype) -> tuple[int, int]:
    """Return the columns of the buffers and of a tile for a batch size.

    Small batches are padded to 1, 2, 4 or 8 columns; larger ones to a multiple of 16,
    or of the tile if they need several tiles.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.network.buffers import padded_columns
    >>> padded_columns(3, np.float32), padded_columns(20, np.float32)
    ((4, 4), (32, 32))
    """
    if batch_size < LANES // 2 + 1:
        columns = 1 << (batch_size - 1).bit_length()
        return columns, columns
    blocks = -(-batch_size // tile_columns(dtype))
    tile = -(-batch_size // (blocks * LANES)) * LANES
    return blocks * tile, tile


class Buffers:
    """Everything a step writes to, for one batch size.

    Parameters
    ----------
    layers : sequence of SparseLayer
    batch_size : int
    sparse_room : int, optional
        Largest number of non-zeros in a batch of sparse input; None for dense input.
    training : bool
        Whether to allocate slopes, targets and scratch for the backward pass.
    activation_dtype : str, optional
        How outputs, slopes and deltas are stored; by default as the weights are. Data
        and the outputs of the last layer always are: the first layer, the loss and
        predictions take them unrounded.

    Attributes
    ----------
    outputs, slopes : list of (n_out, columns) array
        One for each layer; a slope that is not stored is (0, 0).
    deltas : list of (n_out, columns) array
        In place of the outputs, except for the last layer's if it is to be rounded.
    bias_gradients : list of (n_out,) array
        Room of all layers but the last, in the same memory: each is read in the pass
        that writes it.
    """

    def __init__(
        self,
        layers: Sequence[SparseLayer],
        batch_size: int,
        sparse_room: int | None = None,
        training: bool = True,
        activation_dtype: str | None = None,
    ):
        dtype = layers[0].bias.dtype
        stored = stored_dtype(activation_dtype or dtype.name)
        self.batch_size = batch_size
        self.columns, tile = padded_columns(batch_size, dtype)
        self.tile = make_tile(tile)
        self.training = training
        n_features, n_out = layers[0].connections.n_in, layers[-1].connections.n_out
        self.sparse_input: SparseBatch | None = None
        self.x = aligned_zeros((0, 0), dtype)
        if sparse_room is None:
            self.x = aligned_zeros((n_features, self.columns), dtype)
        else:
            self.sparse_input = SparseBatch(
                np.zeros(n_features + 1, np.int64),
                np.zeros(sparse_room, np.int32),
                np.zeros(sparse_room, dtype),
            )
        self.outputs, self.slopes = [], []
        for layer in layers:
            shape = (layer.connections.n_out, self.columns)
            keeps = training and layer.activation.keeps_slope
            kind = dtype if layer is layers[-1] else stored
            self.outputs.append(aligned_zeros(shape, kind))
            self.slopes.append(aligned_zeros(shape if keeps else (0, 0), stored))
        self.deltas = list(self.outputs)
        if training and stored != dtype:
            self.deltas[-1] = aligned_zeros((n_out, self.columns), stored)
        self.bias_gradients: list[np.ndarray] = []
        if training:
            widths = [layer.connections.n_out for layer in layers[:-1]]
            room = np.zeros(max(widths, default=0), dtype)
            self.bias_gradients = [room[:width] for width in widths]
        self.loss_scratch = np.zeros((4, self.columns))
        self.weights = np.zeros(batch_size)
        self.labels = np.zeros(batch_size if training else 0, np.int32)
        target_shape = (n_out, self.columns) if training else (0, 0)
        self.targets = aligned_zeros(target_shape, dtype)
        self.partial = np.zeros(0, dtype)
        self.scratch = np.zeros((jit.most_threads(), 0), dtype)
        self._is_wide = self.columns > tile
        # Held by the thread that predicts in these buffers.
        self.in_use = threading.Lock()
        self.forget_data()
        self.fit(layers)

    def fit(self, layers: Sequence[SparseLayer]) -> None:
        """Enlarge or drop the arrays that do not fit the topology any more."""
        dtype = layers[0].bias.dtype
        # Of all weights; allocated by the first step that clips them.
        self.gradients: list[np.ndarray] = []
        takes_sparse = self.sparse_input is not None
        size = max(
            layer.partial_size(self.columns, takes_sparse and layer is layers[0])
            for layer in layers
        )
        if self.partial.size < size:
            self.partial = aligned_zeros((size,), dtype)
        if self.training and self._is_wide:
            n_threads, room = self.scratch.shape
            size = max(layer.connections.longest_row for layer in layers)
            if room < size:
                self.scratch = aligned_zeros((n_threads, size), dtype)

    def forget_data(self) -> None:
        """Drop the references to data, so that their memory can be freed."""
        self._checked: tuple = (None, None, None)  # data, targets, weights

    def check(
        self, data, targets, weights, samples: np.ndarray, n_features: int, loss: Loss
    ) -> None:
        """Raise UsageError unless a step on these samples can be taken.

        The contents of arrays are checked only when they are first given; later changes
        to them go unnoticed.
        """
        given = (data, targets, weights)
        if any(a is not b for a, b in zip(given, self._checked, strict=True)):
            if isinstance(data, Csr) != (self.sparse_input is not None):
                kind = "dense" if self.sparse_input is None else "sparse"
                raise UsageError(
                    f"data must be {kind}, for which `prepare` allocated the buffers"
                )
            dtype, n_out = self.targets.dtype, self.targets.shape[0]
            check_source(data, dtype, n_features)
            loss.require_prepared(targets, n_samples(data), n_out, dtype)
            if as_weights(weights, n_samples(data)) is not weights:
                raise UsageError("sample_weight must be a float64 array")
            self._checked = given
        is_vector = samples.ndim == 1 and samples.flags.c_contiguous
        if samples.dtype != np.int64 or not is_vector:
            raise UsageError("samples must be a contiguous vector of int64")
        if not 0 < samples.size <= self.batch_size:
            raise UsageError(
                f"a batch must have 1 to {self.batch_size} samples, the batch size "
                f"given to `prepare`, got {samples.size}"
            )
        n = n_samples(data)
        # As unsigned numbers, those below 0 are the largest.
        if samples.view(np.uint64).max() >= n:
            raise UsageError(f"samples must be numbers from 0 to {n - 1}")

    def serve(self, batch_size: int, sparse_room: int | None) -> bool:
        """Whether these buffers can replace new ones made with the arguments."""
        has_room = self.sparse_input is None
        if self.sparse_input is not None and sparse_room is not None:
            has_room = self.sparse_input.values.size >= sparse_room
        is_same_kind = (self.sparse_input is None) == (sparse_room is None)
        columns, _ = padded_columns(batch_size, self.targets.dtype)
        return is_same_kind and has_room and columns == self.columns

    def can_train(self, batch_size: int, sparse_room: int | None) -> bool:
        """Whether these buffers can train on batches of at most that size."""
        fits = self.training and batch_size <= self.batch_size
        return fits and self.serve(batch_size, sparse_room)

    def load_inputs(
        self, data: np.ndarray | Csr, samples: np.ndarray
    ) -> np.ndarray | SparseBatch:
        """Gather the chosen samples and return them as input of the first layer."""
        if self.sparse_input is not None:
            assert isinstance(data, Csr)
            room = self.sparse_input.values.size
            needed = int((data.indptr[samples + 1] - data.indptr[samples]).sum())
            if needed > room:
                raise UsageError(
                    f"the batch has {needed} non-zeros, more than the {room} that the "
                    "buffers hold; give each sample at most once"
                )
            gather_csr(data, samples, self.sparse_input)
            return self.sparse_input
        gather_dense(data, samples, self.x)
        return self.x

    def load_targets(self, targets: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Gather the targets of the chosen samples."""
        if targets.ndim == 1:
            return targets.take(samples, out=self.labels[: samples.size], mode="clip")
        gather_dense(targets, samples, self.targets)
        return self.targets

    def load_weights(
        self, weights: np.ndarray | None, samples: np.ndarray
    ) -> np.ndarray:
        """Return the weights of the chosen samples, divided by their sum."""
        batch = self.weights[: samples.size]
        if weights is None:
            batch.fill(1.0 / samples.size)
            return batch
        weights.take(samples, out=batch, mode="clip")
        total = batch.sum()
        if total > 0.0:
            batch /= total
        return batch


@contextlib.contextmanager
def lend(
    training_buffers: Buffers | None,
    layers: Sequence[SparseLayer],
    batch_size: int,
    n: int,
    sparse_room: int | None,
    activation_dtype: str | None = None,
) -> Iterator[Buffers]:
    """Provide one thread with buffers for predictions on `n` samples.

    To save memory these are the training buffers, if no other thread predicts in them
    and they have the columns that new ones would have: columns determine the order of
    sums.
    """
    if (
        training_buffers is not None
        and training_buffers.serve(batch_size, sparse_room)
        and training_buffers.in_use.acquire(blocking=False)
    ):
        try:
            yield training_buffers
        finally:
            training_buffers.in_use.release()
    else:
        size = min(batch_size, n)
        yield Buffers(layers, size, sparse_room, False, activation_dtype)
