"""Weights as matrices of scipy.sparse."""

from typing import Any

import scipy.sparse

from truesparse.common.checks import check_bools
from truesparse.errors import UsageError
from truesparse.export.by_output import is_condensed, model_of
from truesparse.sparse.connections import Connections


def to_scipy(model: Any, *, copy: bool = True) -> list[scipy.sparse.csr_array]:
    """Return the weights of every layer as a csr_array of shape (n_in, n_out).

    Parameters
    ----------
    model : SparseMLP or fitted estimator
    copy : bool
        Without a copy, matrices and model share values and indices: a change of one
        is a change of the other, until an update exchanges connections.

    Returns
    -------
    list of csr_array
        First layer first. Explicit zeros are connections, too. The biases are
        ``layer.bias`` of ``model.layers``.

    Raises
    ------
    UsageError
        For anything but such a model, a CondensedMLP too.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.export import to_scipy
    >>> model = SparseMLP([64, 100, 10], epsilon=5)
    >>> [(weights.shape, weights.nnz) for weights in to_scipy(model)]
    [((64, 100), 820), ((100, 10), 550)]
    """
    check_bools(copy=copy)
    matrices = [each.to_scipy() for each in _connections(model)]
    return [weights.copy() for weights in matrices] if copy else matrices


def to_coo(model: Any) -> list[scipy.sparse.coo_array]:
    """Return the weights of every layer as a coo_array of shape (n_in, n_out).

    Parameters
    ----------
    model : SparseMLP or fitted estimator

    Returns
    -------
    list of coo_array
        First layer first; copies, sorted by row and column: ``row`` is the input
        neuron of a connection and ``col`` its output neuron, as int32.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.export import to_coo
    >>> first, last = to_coo(SparseMLP([2, 3, 1], density=1.0))
    >>> first.row.tolist(), first.col.tolist()
    ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
    """
    matrices = []
    for connections in _connections(model):
        coords = connections.rows(), connections.indices.copy()
        shape = connections.n_in, connections.n_out
        matrix = scipy.sparse.coo_array((connections.values.copy(), coords), shape)
        matrix.has_canonical_format = True
        matrices.append(matrix)
    return matrices


def _connections(model: Any) -> list[Connections]:
    """Return the connections of every layer."""
    inner = model_of(model)
    if is_condensed(inner):
        raise UsageError(
            "a CondensedMLP has no matrices of all its neurons, for it leaves out "
            "those without connections; export the SparseMLP that it was made from"
        )
    return [layer.connections for layer in inner.layers]
