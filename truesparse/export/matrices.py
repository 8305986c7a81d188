"""Weights as matrices of scipy.sparse."""

from typing import Any

import scipy.sparse

from truesparse.checks import check_bools
from truesparse.errors import UsageError
from truesparse.export.by_output import unwrap


def to_scipy(model: Any, *, copy: bool = True) -> list[scipy.sparse.csr_array]:
    """Return the weights of every layer as a csr_array of shape (n_in, n_out).

    Parameters
    ----------
    model : SparseMLP or fitted estimator
    copy : bool
        Without a copy, values and indices are the model's own: what changes one
        changes the other, until connections are exchanged.

    Returns
    -------
    list of csr_array
        First layer first. Explicit zeros are connections, too. The biases are
        ``layer.bias`` of ``model.layers``.

    Raises
    ------
    UsageError
        If it is not such a model.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.export import to_scipy
    >>> model = SparseMLP([64, 100, 10], epsilon=5)
    >>> [(weights.shape, weights.nnz) for weights in to_scipy(model)]
    [((64, 100), 820), ((100, 10), 550)]
    """
    check_bools(copy=copy)
    found = [each.to_scipy() for each in _connections(model)]
    return [weights.copy() for weights in found] if copy else found


def to_coo(model: Any) -> list[scipy.sparse.coo_array]:
    """Return the weights of every layer as a coo_array of shape (n_in, n_out).

    Parameters
    ----------
    model : SparseMLP or fitted estimator

    Returns
    -------
    list of coo_array
        First layer first, copied, sorted by row and column: ``row`` is the input
        neuron of a connection and ``col`` its output neuron, as int32.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.export import to_coo
    >>> first, last = to_coo(SparseMLP([2, 3, 1], density=1.0))
    >>> first.row.tolist(), first.col.tolist()
    ([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
    """
    found = []
    for links in _connections(model):
        coords = links.rows(), links.indices.copy()
        shape = links.n_in, links.n_out
        matrix = scipy.sparse.coo_array((links.values.copy(), coords), shape=shape)
        matrix.has_canonical_format = True
        found.append(matrix)
    return found


def _connections(model: Any) -> list[Any]:
    found = unwrap(model)
    if hasattr(found, "constants"):
        raise UsageError(
            "a CondensedMLP has neither rows nor columns of its neurons without "
            "connections; export the SparseMLP that it was made from"
        )
    return [layer.connections for layer in found.layers]
