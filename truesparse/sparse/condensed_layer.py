"""A layer for prediction alone, its connections by output neuron.

Every active neuron i, which is one that has connections, is computed by::

    y_i = f(b_i + sum_k weights[k] x[inputs[k]])    for indptr[i] <= k < indptr[i + 1]

Layers of constant fan-in need no padding: SRigL makes such (Lasby et al., Dynamic
Sparse Training with Structured Sparsity, ICLR 2024, the "condensed" matrix product).
"""

import functools

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.common.checks import check_whole, first_fall
from truesparse.errors import UsageError
from truesparse.kernels import jit
from truesparse.kernels.condensed import (
    many_samples,
    pack_blocks,
    sort_by_fan_in,
    unpack_blocks,
)
from truesparse.kernels.condensed_net import LayerRow
from truesparse.kernels.simd import LANES, make_tile
from truesparse.kernels.windows import (
    NARROW,
    NEURONS,
    STEP_BYTES,
    WIDE,
    pack_windows,
)
from truesparse.sparse.connections import LARGEST_SIDE
from truesparse.sparse.one_by_one import OneByOne
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
    """A layer z = W^T x + bias, a = f(z), for prediction.

    Parameters
    ----------
    n_in : int
    indptr : (n_active + 1,) int64 array
        Connections of neuron i are indptr[i] to indptr[i + 1].
    inputs : (nnz,) int32 array
        Input neurons, ascending for each neuron.
    weights : (nnz,) float32 or float64 array
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
    >>> from truesparse.sparse.condensed_layer import CondensedLayer
    >>> indptr, inputs = np.array([0, 2]), np.array([0, 2], np.int32)
    >>> weights, bias = np.array([2.0, 1.0]), np.array([0.5])
    >>> outputs = np.array([1], np.int32), bias, LayerActivation("relu")
    >>> layer = CondensedLayer(3, indptr, inputs, weights, *outputs)
    >>> layer.forward(np.array([1.0, 9.0, 4.0])).tolist()
    [6.5]
    """

    def __init__(
        self,
        n_in: int,
        indptr: np.ndarray,
        inputs: np.ndarray,
        weights: np.ndarray,
        neurons: np.ndarray,
        bias: np.ndarray,
        activation: LayerActivation,
        srelu: np.ndarray | None = None,
    ):
        self.n_in = check_whole("n_in", n_in, 0, LARGEST_SIDE)
        _check_arrays(self.n_in, indptr, inputs, weights, neurons, bias)
        self.n_active, self.nnz = bias.size, weights.size
        self.neurons, self.activation = neurons, activation
        self.srelu = given_units(activation, srelu, bias)
        order = sort_by_fan_in(indptr)
        self.blocks = pack_blocks(indptr, inputs, weights, bias, order)
        self.cache_share = 1.0  # less in a model, see CondensedChain
        self.is_large = self.nnz >= _PARALLEL_NNZ
        self._task_size = max(1, -(-len(self.blocks.bias) // _MOST_TASKS))

    @functools.cached_property
    def windows(self) -> tuple | None:
        """A copy of the connections in the order that AVX-512 takes for one sample.

        The tile of a window and the fields of Windows, made for the current number of
        threads; None where windows do not pay off.
        """
        if self.blocks.bias.dtype != np.float32 or self.nnz < _WINDOWS_NNZ:
            return None
        layer = *self.by_output(), self.bias, self.blocks.order, self.n_in
        threads = jit.thread_count() if self.is_large else 1
        cache = _CACHE_BYTES * threads * self.cache_share
        fit = int(cache) // STEP_BYTES * NEURONS
        for width, (inside, outside) in _MOST_WEIGHTS.items():
            most = max(min(fit, inside * self.nnz), outside * self.nnz)
            windows = pack_windows(*layer, width, int(most))
            if windows is not None:
                return make_tile(width), *windows
        return None

    @functools.cached_property
    def _alone(self) -> OneByOne:
        return OneByOne([self])

    def __reduce__(self) -> tuple:
        """Leave out what is made again; a pickle is checked as arguments are."""
        units = None if self.srelu is None else self.srelu.values
        arrays = (*self.by_output(), self.neurons, self.bias)
        how = {"cache_share": self.cache_share}
        return CondensedLayer, (self.n_in, *arrays, self.activation, units), how

    @property
    def bias(self) -> np.ndarray:
        """The biases as a read-only (n_active,) array."""
        flat = self.blocks.bias.reshape(-1)
        if self.blocks.order.size:
            sorted_bias, flat = flat, np.empty_like(flat)
            flat[self.blocks.order] = sorted_bias
        view = flat[: self.n_active]
        view.flags.writeable = False
        return view

    @property
    def fan_ins(self) -> np.ndarray:
        """The number of connections of every neuron, (n_active,)."""
        return np.diff(self.by_output()[0])

    def by_output(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return indptr, inputs and weights, copied."""
        return unpack_blocks(self.blocks, self.n_active)

    @property
    def nbytes(self) -> int:
        """Bytes held by the connections, those of `windows` included if it is made."""
        arrays = [*self.blocks]
        windows = vars(self).get("windows") or ()
        arrays += [part for part in windows if isinstance(part, np.ndarray)]
        return sum(array.nbytes for array in arrays)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (n_active,) of one sample x, (n_in,) of the same dtype."""
        dtype = self.blocks.bias.dtype
        plain = isinstance(x, np.ndarray) and x.flags.c_contiguous
        if not plain or x.shape != (self.n_in,) or x.dtype != dtype:
            raise UsageError(
                f"x must be a contiguous {dtype} array of {self.n_in} numbers"
            )
        out = np.empty((1, self.n_active), dtype)
        self._alone.run(x.reshape(1, self.n_in), out)
        return out[0]

    @property
    def room(self) -> int:
        """Numbers that the kernels need for the outputs for one sample."""
        n_groups = -(-self.n_active // NEURONS)
        return n_groups * NEURONS * (2 if self.blocks.order.size else 1)

    def describe(self, start: int, with_windows: bool) -> tuple[LayerRow, tuple]:
        """Describe the layer to the kernels of condensed_net.

        Parameters
        ----------
        start : int
            Numbers before its outputs in the room of all layers.
        with_windows : bool
            Whether to take `windows`, and make them, where they pay off.

        Returns
        -------
        LayerRow
        tuple
            What must live as long as the addresses in the row.
        """
        how = self.activation.for_inference()
        windows = self.windows if with_windows else None
        tile, *steps = windows or ((), *[np.empty(0)] * 5)
        units = None if self.srelu is None else self.srelu.values
        numbers = (
            self.n_in,
            self.n_active,
            how.code,
            int(np.float64(how.parameter).view(np.int64)),
            self.is_large,
            self.blocks.order.size > 0,
            start,
            0 if units is None else units.ctypes.data,
            *(array.ctypes.data for array in self.blocks),
            len(tile) * LANES,
            *(array.ctypes.data for array in steps[:5]),
        )
        return LayerRow._make(numbers), (self.blocks, windows, units)

    def run_batch(self, tile: tuple, x: np.ndarray, out: np.ndarray) -> None:
        """Compute a batch, feature by feature.

        Parameters
        ----------
        tile : tuple
            See simd.make_tile.
        x : (n_in or more, columns) array
        out : (n, columns) array
            n is the number of neurons, rounded up to a multiple of 16.
        """
        how = self.activation.for_inference()
        many_samples(tile, self.blocks, x, out, how, self._task_size)
        if self.srelu is not None:
            self.srelu.predict(out)


def _check_arrays(n_in: int, indptr, inputs, weights, neurons, bias) -> None:
    if weights.ndim != 1 or weights.dtype not in (np.float32, np.float64):
        raise UsageError(
            "weights must be float32 or float64 of shape (nnz,), got "
            f"{weights.dtype} of shape {weights.shape}"
        )
    if inputs.shape != weights.shape or inputs.dtype != np.int32:
        raise UsageError(
            f"inputs must be int32 of the shape of weights, {weights.shape}, got "
            f"{inputs.dtype} of shape {inputs.shape}"
        )
    check_bias(bias, bias.size, weights.dtype)
    _check_neurons(neurons, bias.size)
    if indptr.dtype != np.int64 or indptr.shape != (bias.size + 1,):
        raise UsageError(
            f"indptr must be {bias.size + 1} int64 numbers, one more than there are "
            f"neurons, got {indptr.dtype} of shape {indptr.shape}"
        )
    if indptr[0] != 0 or indptr[-1] != weights.size or (np.diff(indptr) < 0).any():
        raise UsageError(
            f"indptr must rise from 0 to nnz = {weights.size}; it starts at "
            f"{indptr[0]} and ends at {indptr[-1]}"
        )
    if inputs.size and (inputs.min() < 0 or inputs.max() >= n_in):
        raise UsageError(
            f"inputs must be from 0 to n_in - 1 = {n_in - 1}, got {inputs.min()} to "
            f"{inputs.max()}"
        )
    if first_fall(inputs, indptr, strictly=False) is not None:
        raise UsageError("inputs must ascend for each neuron")


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
