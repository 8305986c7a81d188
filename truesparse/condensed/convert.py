"""How trained layers become layers for prediction.

A neuron without connections is a constant. Condensed models leave it out: its share of
the next layer becomes part of the biases there.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from truesparse.activations import LayerActivation
from truesparse.condensed.layers import CondensedLayer, RowsLayer, check_bias
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer


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
    >>> from truesparse.condensed.convert import condense
    >>> from truesparse.sparse.connections import Connections
    >>> matrix = csr_array([[1.0, 0, 0], [2, 0, 3], [0, 0, 4]])
    >>> connections = Connections.from_scipy(matrix)
    >>> layer = condense(connections, np.zeros(3), LayerActivation("identity"))
    >>> layer.neurons.tolist(), layer.inputs.tolist()
    ([0, 2], [[0, 1], [1, 2]])
    """
    columns = _Columns(connections, np.asarray(bias), activation, srelu)
    low, high = columns.fan_ins()
    if low != high:
        raise UsageError(
            "a condensed layer needs the same fan-in at all neurons with connections, "
            f"got {low} to {high}; train with SRigL, or use SparseMLP"
        )
    return columns.condensed()


class _Columns:
    """A layer on its way to a condensed model: connections by output neuron.

    Parameters
    ----------
    connections : Connections
    bias : (n_out,) array
    activation : LayerActivation
    srelu : (4, n_out) array or None
    """

    def __init__(
        self,
        connections: Connections,
        bias: np.ndarray,
        activation: LayerActivation,
        srelu: np.ndarray | None,
    ):
        check_bias(bias, connections.n_out, connections.values.dtype)
        view = connections.view
        self.n_in, self.bias, self.srelu = connections.n_in, bias, srelu
        # Dropout is for training.
        self.activation = LayerActivation(activation.name, activation.parameter)
        self.counts = np.diff(view.indptr)
        self.rows, self.values = view.rows, connections.values[view.permutation]

    def fan_ins(self) -> tuple[int, int]:
        """Return the fewest and the most connections of a neuron that has any."""
        counts = self.counts[self.counts > 0]
        return (int(counts.min()), int(counts.max())) if counts.size else (0, 0)

    def fold(self, alive: np.ndarray, constants: np.ndarray) -> None:
        """Turn constant inputs into part of the biases.

        Parameters
        ----------
        alive : (n_in,) bool array
            False for the inputs that are constant.
        constants : (n_in,) array
            Their values.
        """
        columns = np.repeat(np.arange(self.counts.size), self.counts)
        stays = alive[self.rows]
        # In float64: of many constants, only the sum is rounded.
        share = self.values[~stays].astype(np.float64) * constants[self.rows[~stays]]
        share = np.bincount(columns[~stays], share, self.counts.size)
        self.bias = (self.bias + share).astype(self.bias.dtype)
        self.counts = np.bincount(columns[stays], minlength=self.counts.size)
        position = np.cumsum(alive, dtype=np.int32) - np.int32(1)
        self.rows, self.values = position[self.rows[stays]], self.values[stays]
        self.n_in = int(alive.sum())

    def condensed(self) -> CondensedLayer:
        """Return the active neurons as a condensed layer.

        Shorter rows are filled up with weights 0 of their last input.
        """
        neurons = self._active()
        counts = self.counts[neurons, None]
        shape = (neurons.size, int(counts.max(initial=0)))
        taken = np.arange(shape[1]) < counts
        weights, inputs = np.zeros(shape, self.values.dtype), np.zeros(shape, np.int32)
        weights[taken], inputs[taken] = self.values, self.rows
        if not taken.all():
            last = np.take_along_axis(inputs, counts - 1, 1)
            inputs = np.where(taken, inputs, last)
        return CondensedLayer(self.n_in, weights, inputs, *self._outputs(neurons))

    def by_rows(self) -> RowsLayer:
        """Return the active neurons as a layer in CSR."""
        neurons = self._active()
        indptr = np.concatenate([[0], np.cumsum(self.counts[neurons])])
        arrays, shape = (self.values, self.rows, indptr), (self.n_in, neurons.size)
        matrix = scipy.sparse.csc_array(arrays, shape=shape)
        return RowsLayer(Connections.from_scipy(matrix), *self._outputs(neurons))

    def constants(self) -> np.ndarray:
        """Return what neurons give without connections, computed as the kernels do."""
        none, neurons = (self.bias.size, 0), np.arange(self.bias.size, dtype=np.int32)
        weights = np.zeros(none, self.bias.dtype)
        inputs = np.zeros(none, np.int32)
        layer = CondensedLayer(0, weights, inputs, *self._outputs(neurons))
        return layer.forward(self.bias[:0])

    def _active(self) -> np.ndarray:
        return np.flatnonzero(self.counts).astype(np.int32)

    def _outputs(self, neurons: np.ndarray) -> tuple:
        """Return what a layer of these neurons takes after its connections."""
        srelu = None if self.srelu is None else self.srelu[:, neurons]
        return neurons, self.bias[neurons], self.activation, srelu


def condense_all(
    layers: Sequence[SparseLayer],
) -> tuple[list[CondensedLayer | RowsLayer], np.ndarray]:
    """Condense a chain of layers; those of varying fan-in stay in CSR.

    Fan-ins may differ by one, as they do where a number of connections is shared out
    among neurons and leaves a remainder.

    Neurons without connections vanish: the biases of the next layer take over their
    share, and its inputs are numbered among the active neurons. A neuron with such
    inputs alone is a constant in turn.

    Returns
    -------
    list of CondensedLayer or RowsLayer
    (n_out,) array
        Outputs of the last layer's neurons, valid for those that are constant.
    """
    condensed: list[CondensedLayer | RowsLayer] = []
    alive = np.ones(layers[0].connections.n_in, bool)
    constants = np.zeros(alive.size, layers[0].bias.dtype)
    for layer in layers:
        srelu = None if layer.srelu is None else layer.srelu.values
        columns = _Columns(layer.connections, layer.bias, layer.activation, srelu)
        low, high = columns.fan_ins()
        if not alive.all():
            columns.fold(alive, constants)
        is_regular = high - low <= 1 or not columns.rows.size
        condensed.append(columns.condensed() if is_regular else columns.by_rows())
        alive, constants = columns.counts > 0, columns.constants()
    return condensed, constants
