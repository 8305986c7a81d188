"""Layers for prediction: condensed ones, of constant fan-in, and others in CSR.

Every active neuron i of a condensed layer has k inputs; it is computed from two
rectangular arrays::

    y_i = f(b_i + sum_j weights[i, j] x[inputs[i, j]])

(SRigL: Lasby et al., Dynamic Sparse Training with Structured Sparsity, ICLR 2024, the
"condensed" matrix product.)
"""

import functools
from typing import Any

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.common.checks import check_whole
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.kernels.arrays import Head
from truesparse.kernels.condensed import (
    Blocks,
    many_samples,
    one_sample,
    one_sample_parallel,
    pack_blocks,
    unpack_blocks,
)
from truesparse.kernels.simd import LANES, make_tile
from truesparse.kernels.windows import (
    NARROW,
    NEURONS,
    STEP_BYTES,
    WIDE,
    one_sample_by_windows,
    one_sample_by_windows_parallel,
    pack_windows,
)
from truesparse.sparse.connections import LARGEST_SIDE, Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.sparse.srelu import given_units

# With fewer connections, one thread is done before others have begun.
_PARALLEL_NNZ = 60_000
_MOST_TASKS = 32
# Windows pay off from this many connections (3300: 1.6 instead of 1.7 us, 2000: 1.4
# either way), and up to so many weights for each connection: first in the cache
# (narrow 3.2: 19 instead of 24 us, 4.6: 2.7 instead of 2.4; wide 2.3: 16 instead of 24,
# 3.0: 2.7 instead of 2.4), then outside it, where bytes count: 5 for a weight, 8 for a
# connection (1.57: 0.14 instead of 0.26 ns a connection, 1.61: equal). All on a Xeon
# with AVX-512 FP16, 2026-11.
_WINDOWS_NNZ = 3000
_MOST_WEIGHTS = {NARROW: (3.5, 0.0), WIDE: (2.5, 1.6)}
_CACHE_BYTES = 1_500_000  # of the 2 MB that a core of that Xeon has


class CondensedLayer:
    """A layer z_i = bias_i + sum_j weights_ij x[inputs_ij], a = f(z), for prediction.

    Parameters
    ----------
    n_in : int
    weights : (n_active, k) float32 or float64 array
    inputs : (n_active, k) int32 array
        Input neurons, ascending in a row.
    neurons : (n_active,) int32 array
        Numbers of these neurons among all outputs, strictly ascending.
    bias : (n_active,) array of the dtype of `weights`
    activation : LayerActivation
        Dropout is ignored.
    srelu : (4, n_active) array, optional
        Parameters of the activation of that name, see sparse.srelu.Srelu.

    Raises
    ------
    UsageError
        If the arrays do not fit together or an index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.activations import LayerActivation
    >>> from truesparse.condensed.layers import CondensedLayer
    >>> weights, inputs = np.array([[2.0, 1.0]]), np.array([[0, 2]], np.int32)
    >>> neurons, bias = np.array([1], np.int32), np.array([0.5])
    >>> relu = LayerActivation("relu")
    >>> layer = CondensedLayer(3, weights, inputs, neurons, bias, relu)
    >>> layer.forward(np.array([1.0, 9.0, 4.0])).tolist()
    [6.5]
    """

    def __init__(
        self,
        n_in: int,
        weights: np.ndarray,
        inputs: np.ndarray,
        neurons: np.ndarray,
        bias: np.ndarray,
        activation: LayerActivation,
        srelu: np.ndarray | None = None,
    ):
        self.n_in = check_whole("n_in", n_in, 0, LARGEST_SIDE)
        _check_arrays(self.n_in, weights, inputs, neurons, bias)
        self.n_active, self.fan_in = weights.shape
        self.neurons, self.activation = neurons, activation
        self.srelu = given_units(activation, srelu, bias)
        self.blocks = Blocks(
            pack_blocks(weights), pack_blocks(inputs), pack_blocks(bias[:, None])
        )
        self.cache_share = 1.0  # less in a model, see CondensedMLP
        self._how = activation.for_inference()
        self._is_small = self.nnz < _PARALLEL_NNZ
        self._task_size = max(1, -(-len(self.blocks.bias) // _MOST_TASKS))

    @functools.cached_property
    def windows(self) -> tuple | None:
        """A copy of the connections in the order that `run` needs with AVX-512.

        The tile of a window and the fields of Windows, made for the current number of
        threads; None where windows do not pay off.
        """
        if self.blocks.bias.dtype != np.float32 or self.nnz < _WINDOWS_NNZ:
            return None
        layer = self.weights, self.inputs, self.bias, self.n_in
        cache = _CACHE_BYTES * self._threads() * self.cache_share
        fit = int(cache) // STEP_BYTES * NEURONS
        for width, (inside, outside) in _MOST_WEIGHTS.items():
            most = max(min(fit, inside * self.nnz), outside * self.nnz)
            windows = pack_windows(*layer, width, int(most))
            if windows is not None:
                return make_tile(width), *windows
        return None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the windows, which are made again when they are needed."""
        return {name: value for name, value in vars(self).items() if name != "windows"}

    @property
    def weights(self) -> np.ndarray:
        """The weights as an (n_active, k) array, copied."""
        return unpack_blocks(self.blocks.weights, self.n_active, self.fan_in)

    @property
    def inputs(self) -> np.ndarray:
        """The input neurons as an (n_active, k) int32 array, copied."""
        return unpack_blocks(self.blocks.inputs, self.n_active, self.fan_in)

    @property
    def bias(self) -> np.ndarray:
        """The biases as a read-only (n_active,) array."""
        view = self.blocks.bias.reshape(-1)[: self.n_active]
        view.flags.writeable = False
        return view

    @property
    def nnz(self) -> int:
        """Number of connections, including the weights 0 that fill up rows."""
        return self.n_active * self.fan_in

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (n_active,) of one sample x, (n_in,) of the same dtype."""
        dtype = self.blocks.bias.dtype
        plain = isinstance(x, np.ndarray) and x.flags.c_contiguous
        if not plain or x.shape != (self.n_in,) or x.dtype != dtype:
            raise UsageError(
                f"x must be a contiguous {dtype} array of {self.n_in} numbers"
            )
        out = np.empty(self.room(1), dtype)
        self.run(x, out)
        return out.reshape(-1)[: self.n_active]

    def room(self, columns: int) -> tuple[int, int]:
        """Return the shape of the output buffer for a number of samples."""
        if columns == 1:
            return -(-self.n_active // NEURONS), NEURONS
        return len(self.blocks.bias) * LANES, columns

    def run(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute one sample, (n_in or more,), into `out` of shape ``room(1)``.

        With AVX-512, the first call makes `windows`.
        """
        how, threads = self._how[:2], self._threads()
        if not (jit.has_avx512() and self._run_by_windows(x, out, how, threads)):
            if threads == 1:
                one_sample(x, out, *how, *self.blocks)
            else:
                one_sample_parallel(x, out, *how, self._task_size, *self.blocks)
        if self.srelu is not None:
            self.srelu.predict(out.reshape(-1, 1))

    def _threads(self) -> int:
        return 1 if self._is_small else jit.thread_count()

    def _run_by_windows(self, x, out, how: tuple, threads: int) -> bool:
        """Do what `run` does; return False if it must take the other kernels."""
        if self.windows is None:
            return False
        if threads == 1:
            return one_sample_by_windows(x, out, *how, *self.windows)
        # One task for each thread: 24 tasks would take 0.8 us more.
        size = -(-len(out) // threads)
        return one_sample_by_windows_parallel(x, out, *how, size, *self.windows)

    def run_batch(self, tile: tuple, x: np.ndarray, out: np.ndarray) -> None:
        """Compute a batch, feature by feature, into `out` of shape ``room(columns)``.

        Parameters
        ----------
        tile : tuple
            See simd.make_tile.
        x : (n_in or more, columns) array
        out : array
        """
        many_samples(tile, self.blocks, x, out, self._how, self._task_size)
        if self.srelu is not None:
            self.srelu.predict(out)


class RowsLayer:
    """A layer of varying fan-in, computed by the kernels for CSR.

    Parameters
    ----------
    connections : Connections
        Connections of the active neurons.
    neurons : (n_active,) int32 array
        Numbers of these neurons among all outputs, strictly ascending.
    bias : (n_active,) array
    activation : LayerActivation
    srelu : (4, n_active) array, optional

    Raises
    ------
    UsageError
        If the arrays do not fit together.
    """

    def __init__(
        self,
        connections: Connections,
        neurons: np.ndarray,
        bias: np.ndarray,
        activation: LayerActivation,
        srelu: np.ndarray | None = None,
    ):
        _check_neurons(neurons, connections.n_out)
        check_bias(bias, neurons.size, connections.values.dtype)
        self.connections, self.neurons = connections, neurons
        self.n_in, self.n_active = connections.n_in, connections.n_out
        self.nnz, self.activation = connections.nnz, activation
        self._layer = SparseLayer(connections, activation)
        self._layer.bias[:] = bias
        self._layer.srelu = self.srelu = given_units(activation, srelu, bias)
        self.bias = self._layer.bias
        self._how = activation.for_inference()

    def room(self, columns: int) -> tuple[int, int]:
        """Return the shape of the output buffer for a number of samples."""
        return self.n_active, columns

    def run(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute one sample as CondensedLayer does."""
        self.run_batch(make_tile(1), x[:, None], out)

    def run_batch(self, tile: tuple, x: np.ndarray, out: np.ndarray) -> None:
        """Compute a batch as CondensedLayer does."""
        head, size = Head(self.bias, out, out[:0, :0]), out.shape[1]
        partial = np.empty(self._layer.partial_size(size), out.dtype)
        self._layer.forward(tile, x[: self.n_in], head, self._how, partial)


def _check_arrays(n_in: int, weights, inputs, neurons, bias) -> None:
    if weights.ndim != 2 or weights.dtype not in (np.float32, np.float64):
        raise UsageError(
            "weights must be float32 or float64 of shape (n_active, k), got "
            f"{weights.dtype} of shape {weights.shape}"
        )
    if inputs.shape != weights.shape or inputs.dtype != np.int32:
        raise UsageError(
            f"inputs must be int32 of the shape of weights, {weights.shape}, got "
            f"{inputs.dtype} of shape {inputs.shape}"
        )
    if inputs.size and (inputs.min() < 0 or inputs.max() >= n_in):
        raise UsageError(
            f"inputs must be from 0 to n_in - 1 = {n_in - 1}, got {inputs.min()} to "
            f"{inputs.max()}"
        )
    # Equal neighbours fill up rows that lost constant inputs.
    if (inputs[:, 1:] < inputs[:, :-1]).any():
        raise UsageError("inputs must ascend within each row")
    _check_neurons(neurons, len(weights))
    check_bias(bias, len(weights), weights.dtype)


def check_bias(bias: np.ndarray, n: int, dtype: np.dtype) -> None:
    """Raise UsageError unless there are `n` biases of the dtype of the weights."""
    if bias.shape != (n,) or bias.dtype != dtype:
        raise UsageError(
            f"bias must be {n} numbers of {dtype}, got {bias.dtype} of shape "
            f"{bias.shape}"
        )


def _check_neurons(neurons: np.ndarray, n_active: int) -> None:
    """Raise UsageError unless these are the ascending numbers of `n_active` neurons."""
    fits = neurons.dtype == np.int32 and neurons.shape == (n_active,)
    if not (fits and (neurons[:1] >= 0).all() and (np.diff(neurons) > 0).all()):
        raise UsageError(
            f"neurons must be {n_active} int32 numbers of at least 0, each larger than "
            "the one before"
        )
