"""How trained layers become layers for prediction.

A neuron without connections is a constant. Condensed layers leave it out: its share of
the next layer becomes part of the biases there.
"""

from collections.abc import Sequence

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.sparse.condensed_layer import CondensedLayer, check_bias
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer


def condense(
    connections: Connections,
    bias: np.ndarray,
    activation: LayerActivation,
    srelu: np.ndarray | None = None,
    *,
    whole: bool = False,
) -> CondensedLayer:
    """Return a layer without its neurons that have no connections, or the whole.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from truesparse.activations import LayerActivation
    >>> from truesparse.sparse.condensing import condense
    >>> from truesparse.sparse.connections import Connections
    >>> matrix = csr_array([[1.0, 0, 0], [2, 0, 3], [0, 0, 4]])
    >>> connections = Connections.from_scipy(matrix)
    >>> layer = condense(connections, np.zeros(3), LayerActivation("identity"))
    >>> layer.neurons.tolist(), layer.fan_ins.tolist()
    ([0, 2], [2, 2])
    """
    columns = _Columns(connections, np.asarray(bias), activation, srelu)
    return columns.condensed(whole)


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

    def condensed(self, whole: bool = False) -> CondensedLayer:
        """Return the active neurons as a layer, or all."""
        neurons = np.arange(self.counts.size, dtype=np.int32)
        if not whole:
            neurons = neurons[self.counts > 0]
        indptr = np.concatenate([[0], np.cumsum(self.counts[neurons], dtype=np.int64)])
        connections = indptr, self.rows, self.values
        return CondensedLayer(self.n_in, *connections, *self._outputs(neurons))

    def constants(self) -> np.ndarray:
        """Return what neurons give without connections, computed as the kernels do."""
        neurons = np.arange(self.bias.size, dtype=np.int32)
        indptr = np.zeros(self.bias.size + 1, np.int64)
        none = np.empty(0, np.int32), np.empty(0, self.bias.dtype)
        layer = CondensedLayer(0, indptr, *none, *self._outputs(neurons))
        return layer.forward(self.bias[:0])

    def _outputs(self, neurons: np.ndarray) -> tuple:
        """Return what a layer of these neurons takes after its connections."""
        srelu = None if self.srelu is None else self.srelu[:, neurons]
        return neurons, self.bias[neurons], self.activation, srelu


def condense_all(
    layers: Sequence[SparseLayer],
) -> tuple[list[CondensedLayer], np.ndarray]:
    """Condense a chain of layers.

    Neurons without connections vanish: the biases of the next layer take over their
    share, and its inputs are numbered among the active neurons. A neuron with such
    inputs alone is a constant in turn.

    Returns
    -------
    list of CondensedLayer
    (n_out,) array
        Outputs of the last layer's neurons, valid for those that are constant.
    """
    condensed: list[CondensedLayer] = []
    alive = np.ones(layers[0].connections.n_in, bool)
    constants = np.zeros(alive.size, layers[0].bias.dtype)
    for layer in layers:
        srelu = None if layer.srelu is None else layer.srelu.values
        columns = _Columns(layer.connections, layer.bias, layer.activation, srelu)
        if not alive.all():
            columns.fold(alive, constants)
        condensed.append(columns.condensed())
        alive, constants = columns.counts > 0, columns.constants()
    return condensed, constants
