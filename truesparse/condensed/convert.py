"""How trained layers become layers for prediction.

Neurons without connections are constants. A condensed chain of layers holds none of
them: their share of the next layer is part of its biases.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from truesparse.activations import LayerActivation
from truesparse.condensed.layers import CondensedLayer, RowsLayer
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

        Shorter rows are filled with weights 0 of their last input.
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

    Fan-ins may differ by one, as where neurons share out a number of connections that
    they do not divide.

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
        if high - low <= 1 or not part.rows.size:
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
