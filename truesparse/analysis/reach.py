"""Which neurons a path leads to, and which lie on a path from a feature to an output.

A neuron without incoming connections from such neurons has the same value for every
sample; one without outgoing ones affects no output. Neither is active. Two sweeps over
the layers decide, in O(connections).
"""

from typing import NamedTuple

import numpy as np

from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import row_chunks
from truesparse.sparse.connections import Connections


class Reach(NamedTuple):
    """Flags of the neurons of every layer of neurons: features, hidden, outputs."""

    from_features: list[np.ndarray]  # (n,) bool: a path from a feature leads here
    to_outputs: list[np.ndarray]  # (n,) bool: a path from here leads to an output

    @property
    def active(self) -> list[np.ndarray]:
        """Neurons on a path from a feature to an output."""
        return [a & b for a, b in zip(*self, strict=True)]


def reach_of(model: SparseMLP) -> Reach:
    """Follow the connections of a model from the features and from the outputs.

    Examples
    --------
    >>> import scipy.sparse
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.reach import reach_of
    >>> first = scipy.sparse.coo_array(([1.0], ([0], [1])), (2, 3))
    >>> second = scipy.sparse.coo_array(([1.0, 1.0], ([1, 2], [0, 1])), (3, 2))
    >>> reach = reach_of(SparseMLP.from_sparse([first, second]))
    >>> [flags.tolist() for flags in reach.active]
    [[True, False], [False, True, False], [True, False]]
    """
    connections = [layer.connections for layer in model.layers]
    down = [np.ones(connections[0].n_in, bool)]
    for each in connections:
        down.append(reached_from(each, down[-1]))
    up = [np.ones(connections[-1].n_out, bool)]
    for each in reversed(connections):
        up.insert(0, reaching(each, up[0]))
    return Reach(down, up)


def reached_from(connections: Connections, inputs: np.ndarray) -> np.ndarray:
    """Return which outputs have a connection from one of the inputs, (n_out,) bool."""
    outputs = np.zeros(connections.n_out, bool)
    for rows, positions in row_chunks(connections):
        is_used = np.repeat(inputs[rows], _degrees(connections, rows))
        outputs[connections.indices[positions][is_used]] = True
    return outputs


def reaching(connections: Connections, outputs: np.ndarray) -> np.ndarray:
    """Return which inputs have a connection to one of the outputs, (n_in,) bool."""
    inputs = np.zeros(connections.n_in, bool)
    for rows, positions in row_chunks(connections):
        is_used = outputs[connections.indices[positions]]
        degrees = _degrees(connections, rows)
        owners = np.repeat(np.arange(rows.start, rows.stop), degrees)
        inputs[owners[is_used]] = True
    return inputs


def count_between(
    connections: Connections, inputs: np.ndarray, outputs: np.ndarray
) -> int:
    """Count the connections from one of the inputs to one of the outputs."""
    count = 0
    for rows, positions in row_chunks(connections):
        is_used = np.repeat(inputs[rows], _degrees(connections, rows))
        is_used &= outputs[connections.indices[positions]]
        count += int(np.count_nonzero(is_used))
    return count


def _degrees(connections: Connections, rows: slice) -> np.ndarray:
    return np.diff(connections.indptr[rows.start : rows.stop + 1])
