"""The condensed layout of layers with constant fan-in, for prediction.

Every active neuron i has k inputs, and is computed from two rectangular arrays::

    y_i = f(b_i + sum_j weights[i, j] x[inputs[i, j]])

(SRigL: Lasby et al., Dynamic Sparse Training with Structured Sparsity, ICLR 2024, the
"condensed" matrix product.) Neurons without inputs are constants. A chain of condensed
layers holds none of them: their share of the next layer is part of its biases.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from truesparse import jit
from truesparse.activations import LayerActivation
from truesparse.errors import UsageError, check_whole
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
from truesparse.sparse.connections import LARGEST_SIDE, Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.sparse.srelu import given_units

# Below this, one thread is done before others have begun.
_PARALLEL_NNZ = 60_000
_MOST_TASKS = 32


class CondensedLayer:
    """A layer z_i = bias_i + sum_j weights_ij x[inputs_ij], a = f(z), for prediction.

    Parameters
    ----------
    n_in : int
    weights : (n_active, k) float32 or float64 array
    inputs : (n_active, k) int32 array
        Input neurons, ascending in a row.
    neurons : (n_active,) int32 array
        Which output neurons these are, strictly ascending.
    bias : (n_active,) array of the dtype of `weights`
    activation : LayerActivation
        Dropout is ignored.
    srelu : (4, n_active) array, optional
        Parameters of the activation of that name, see sparse.srelu.Srelu.

    Raises
    ------
    UsageError
        If the arrays do not fit together or an index is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.activations import LayerActivation
    >>> from truesparse.sparse.condensed import CondensedLayer
    >>> weights, inputs = np.array([[2.0, 1.0]]), np.array([[0, 2]], np.int32)
    >>> neurons, bias = np.array([1], np.int32), np.array([0.5])
    >>> how = LayerActivation("relu")
    >>> layer = CondensedLayer(3, weights, inputs, neurons, bias, how)
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
        self._how = activation.for_inference()
        n_blocks = len(self.blocks.bias)
        self._task_size = max(1, -(-n_blocks // _MOST_TASKS))

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
        """The biases as an (n_active,) array."""
        return self.blocks.bias.reshape(-1)[: self.n_active]

    @property
    def nnz(self) -> int:
        """Number of connections, with those of weight 0 that fill up rows."""
        return self.n_active * self.fan_in

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (n_active,) of one sample x, (n_in,) of the same dtype."""
        bias = self.blocks.bias
        plain = isinstance(x, np.ndarray) and x.flags.c_contiguous
        if not plain or x.shape != (self.n_in,) or x.dtype != bias.dtype:
            raise UsageError(
                f"x must be a contiguous {bias.dtype} array of {self.n_in} numbers"
            )
        out = np.empty_like(bias)
        self.run(x, out)
        return out.reshape(-1)[: self.n_active]

    def room(self, columns: int) -> tuple[int, int]:
        """Return the shape of the output buffer for a number of samples."""
        n_blocks = len(self.blocks.bias)
        return (n_blocks, LANES) if columns == 1 else (n_blocks * LANES, columns)

    def run(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute one sample, (n_in or more,), into `out` of shape ``room(1)``."""
        if self.nnz < _PARALLEL_NNZ or jit.set_threads(None) == 1:
            one_sample(self.blocks, x, out, self._how)
        else:
            one_sample_parallel(self.blocks, x, out, self._how, self._task_size)
        if self.srelu is not None:
            self.srelu.predict(out.reshape(-1, 1))

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
    """A layer that is not of constant fan-in, by the kernels for CSR.

    Parameters
    ----------
    connections : Connections
        Of active neurons alone.
    neurons : (n_active,) int32 array
        Which these are.
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
        check_neurons(neurons, connections.n_out)
        if bias.shape != neurons.shape or bias.dtype != connections.values.dtype:
            raise UsageError(
                f"bias must be {neurons.size} numbers of the weights' type"
            )
        self.connections, self.neurons = connections, neurons
        self.n_in, self.n_active = connections.n_in, connections.n_out
        self.nnz, self.activation = connections.nnz, activation
        self._layer = SparseLayer(connections, activation)
        self._layer.bias[:] = bias
        self._layer.srelu = self.srelu = given_units(activation, srelu, bias)
        self.bias = self._layer.bias
        self._how = activation.for_inference()
        self._partial = np.zeros(self._layer.partial_size(1), bias.dtype)

    def room(self, columns: int) -> tuple[int, int]:
        """Return the shape of the output buffer for a number of samples."""
        return self.n_active, columns

    def run(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute one sample as CondensedLayer does."""
        head = Head(self.bias, out, out[:0, :0])
        one = x[: self.n_in].reshape(-1, 1)
        self._layer.forward(make_tile(1), one, head, self._how, self._partial)

    def run_batch(self, tile: tuple, x: np.ndarray, out: np.ndarray) -> None:
        """Compute a batch as CondensedLayer does."""
        head, size = Head(self.bias, out, out[:0, :0]), out.shape[1]
        partial = np.empty(self._layer.partial_size(size), out.dtype)
        self._layer.forward(tile, x[: self.n_in], head, self._how, partial)


def condense(
    connections: Connections,
    bias: np.ndarray,
    activation: LayerActivation,
    srelu: np.ndarray | None = None,
) -> CondensedLayer:
    """Return a layer without its neurons that have no connections.

    Raises
    ------
    UsageError
        If the others differ in their number of connections.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from truesparse.activations import LayerActivation
    >>> from truesparse.sparse.condensed import condense
    >>> from truesparse.sparse.connections import Connections
    >>> links = Connections.from_scipy(csr_array([[1.0, 0, 0], [2, 0, 3], [0, 0, 4]]))
    >>> layer = condense(links, np.zeros(3), LayerActivation("identity"))
    >>> layer.neurons.tolist(), layer.inputs.tolist()
    ([0, 2], [[0, 1], [1, 2]])
    """
    part = _Part(connections, np.asarray(bias), srelu)
    low, high = part.fan_ins()
    if low != high:
        raise UsageError(
            "a condensed layer needs the same fan-in at every neuron that has any, got "
            f"{low} and {high}; train with SRigL, or use SparseMLP"
        )
    return part.condensed(activation)


class _Part:
    """The connections of a layer by output neuron, without those of dead inputs."""

    def __init__(self, links: Connections, bias: np.ndarray, srelu: np.ndarray | None):
        if bias.shape != (links.n_out,) or bias.dtype != links.values.dtype:
            raise UsageError(
                f"bias must be {links.n_out} numbers of {links.values.dtype}, got "
                f"{bias.dtype} of shape {bias.shape}"
            )
        view = links.view
        self.n_in, self.bias, self.srelu = links.n_in, bias, srelu
        self.counts = np.diff(view.indptr)
        self.rows, self.values = view.rows, links.values[view.permutation]

    def fan_ins(self) -> tuple[int, int]:
        """Return least and most connections of the neurons that have any."""
        counts = self.counts[self.counts > 0]
        return (int(counts.min()), int(counts.max())) if counts.size else (0, 0)

    def fold(self, alive: np.ndarray, constants: np.ndarray) -> None:
        """Turn inputs that are constant into part of the biases."""
        columns = np.repeat(np.arange(self.counts.size), self.counts)
        kept = alive[self.rows]
        # In float64: of many constants, only the sum is rounded.
        share = self.values[~kept].astype(np.float64) * constants[self.rows[~kept]]
        share = np.bincount(columns[~kept], share, self.counts.size)
        self.bias = (self.bias + share).astype(self.bias.dtype)
        self.counts = np.bincount(columns[kept], minlength=self.counts.size)
        position = np.cumsum(alive, dtype=np.int32) - np.int32(1)
        self.rows, self.values = position[self.rows[kept]], self.values[kept]
        self.n_in = int(alive.sum())

    def condensed(self, activation: LayerActivation) -> CondensedLayer:
        """Return the active neurons as a condensed layer.

        Rows that folding made shorter are filled with weights 0 of their last input.
        """
        neurons = np.flatnonzero(self.counts).astype(np.int32)
        counts = self.counts[neurons, None]
        shape = (neurons.size, int(counts.max(initial=0)))
        taken = np.arange(shape[1]) < counts
        weights, inputs = np.zeros(shape, self.values.dtype), np.zeros(shape, np.int32)
        weights[taken], inputs[taken] = self.values, self.rows
        if not taken.all():
            last = np.take_along_axis(inputs, counts - 1, 1)
            inputs = np.where(taken, inputs, last)
        return CondensedLayer(
            self.n_in, weights, inputs, *self._own(neurons, activation)
        )

    def by_rows(self, activation: LayerActivation) -> RowsLayer:
        """Return the active neurons as a layer in CSR."""
        neurons = np.flatnonzero(self.counts).astype(np.int32)
        indptr = np.concatenate([[0], np.cumsum(self.counts[neurons])])
        parts, shape = (self.values, self.rows, indptr), (self.n_in, neurons.size)
        links = Connections.from_scipy(scipy.sparse.csc_array(parts, shape=shape))
        return RowsLayer(links, *self._own(neurons, activation))

    def _own(self, neurons: np.ndarray, activation: LayerActivation) -> tuple:
        """Return what layers are given after their connections."""
        srelu = None if self.srelu is None else self.srelu[:, neurons]
        return neurons, self.bias[neurons], activation, srelu


def condense_all(
    layers: Sequence[SparseLayer],
) -> tuple[list[CondensedLayer | RowsLayer], np.ndarray]:
    """Condense a chain of layers; one of varying fan-in stays in CSR.

    Neurons without connections vanish: the next layer's biases take over what they
    contribute, and its inputs are counted among the active neurons. A neuron with such
    inputs alone is constant in turn.

    Returns
    -------
    list of CondensedLayer or RowsLayer
    (n_out,) array
        The outputs of the last layer, where these are constant.
    """
    found: list[CondensedLayer | RowsLayer] = []
    alive = np.ones(layers[0].connections.n_in, bool)
    constants = np.zeros(alive.size, layers[0].bias.dtype)
    for layer in layers:
        srelu = None if layer.srelu is None else layer.srelu.values
        part = _Part(layer.connections, layer.bias, srelu)
        low, high = part.fan_ins()
        if not alive.all():
            part.fold(alive, constants)
        kept = layer.activation
        activation = LayerActivation(kept.name, kept.parameter)
        if low == high or not part.rows.size:
            found.append(part.condensed(activation))
        else:
            found.append(part.by_rows(activation))
        alive = part.counts > 0
        constants = _constants(part.bias, activation, srelu)
    return found, constants


def _constants(
    bias: np.ndarray, activation: LayerActivation, srelu: np.ndarray | None
) -> np.ndarray:
    """Return f(bias), computed as the kernels do."""
    none, neurons = (bias.size, 0), np.arange(bias.size, dtype=np.int32)
    weights, inputs = np.zeros(none, bias.dtype), np.zeros(none, np.int32)
    layer = CondensedLayer(0, weights, inputs, neurons, bias, activation, srelu)
    return layer.forward(bias[:0])


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
    # Equal ones fill up rows that lost constant inputs.
    if (inputs[:, 1:] < inputs[:, :-1]).any():
        raise UsageError("inputs must ascend within each row")
    check_neurons(neurons, len(weights))
    if bias.shape != neurons.shape or bias.dtype != weights.dtype:
        raise UsageError(
            f"bias must be {len(weights)} numbers of {weights.dtype}, got {bias.dtype} "
            f"of shape {bias.shape}"
        )


def check_neurons(neurons: np.ndarray, n_active: int) -> None:
    """Raise UsageError unless these are ascending numbers of `n_active` neurons."""
    fits = neurons.dtype == np.int32 and neurons.shape == (n_active,)
    if not (fits and (neurons[:1] >= 0).all() and (np.diff(neurons) > 0).all()):
        raise UsageError(
            f"neurons must be {n_active} int32 numbers that ascend strictly from 0 or "
            "above"
        )
