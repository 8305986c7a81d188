"""Effective and stable rank of the weights of each layer.

With the singular values s_1 >= s_2 >= ... of W and p_i = s_i / sum s,

    effective rank   exp(-sum p_i ln p_i)      (Roy and Vetterli, EUSIPCO 2007)
    stable rank      sum s_i^2 / s_1^2 = |W|_F^2 / |W|_2^2

Both are at most the rank, and do not change if W is multiplied by a number. Up to
`EXACT` neurons on the side of a layer where fewer are connected, m of them, all s come
from the eigenvalues of the Gram matrix (m, m) of that side. Wider layers are known by
products with W and its transpose alone, see analysis/effective_rank.py and
analysis/lanczos.py.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special

from truesparse.analysis.chosen import connected_layers, finite_model
from truesparse.analysis.effective_rank import estimate, leading
from truesparse.analysis.lanczos import largest_eigenvalue
from truesparse.common import rng
from truesparse.common.checks import choose
from truesparse.errors import DataError
from truesparse.network.sparse_mlp import SparseMLP

# The Gram matrix of so many neurons takes 72 MB, and its eigenvalues some seconds.
EXACT = 3000
METHODS = ("auto", "exact", "estimate")
_NORM_STEPS, _NORM_TOLERANCE = 24, 1e-3


class LayerRank(NamedTuple):
    """Ranks of one layer; errors are standard errors, 0 where the rank is exact."""

    layer: int
    effective: float
    effective_error: float
    stable: float
    stable_error: float
    bound: int  # neurons on the side where fewer are connected: no rank is larger


def layer_ranks(
    model: Any, layers: Any = None, *, method: str = "auto", seed: int = 0
) -> list[LayerRank]:
    """Return the effective and stable rank of the weights of each layer.

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path
    layers : int or list of int, optional
        Numbers from 0; by default all layers but the read-out.
    method : {"auto", "exact", "estimate"}
        By default exact up to 3,000 neurons on the side where fewer are connected.
        "exact" takes 8 m^2 bytes and O(m^3) time for m of them.
    seed : int
        Decides the random vectors of an estimate.

    Raises
    ------
    DataError
        If the weights of a layer are all 0, or not finite.
    UsageError
        If a layer has no connections, or an argument is not accepted.

    Examples
    --------
    >>> import scipy.sparse
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import layer_ranks
    >>> identity = scipy.sparse.eye_array(8)
    >>> [rank] = layer_ranks(SparseMLP.from_sparse([identity]))
    >>> round(rank.effective, 6), round(rank.stable, 6)
    (8.0, 8.0)
    """
    model = finite_model(model)
    choose(method, METHODS, "method")
    rng.check_seed(seed)
    return [
        _rank_of(index, _compact(model, index), method, seed)
        for index in connected_layers(model, layers)
    ]


def total(ranks: Iterable[LayerRank]) -> LayerRank:
    """Return the sums over layers, with errors of independent estimates; layer -1."""
    ranks = list(ranks)
    return LayerRank(
        -1,
        sum(each.effective for each in ranks),
        math.hypot(*(each.effective_error for each in ranks)),
        sum(each.stable for each in ranks),
        math.hypot(*(each.stable_error for each in ranks)),
        sum(each.bound for each in ranks),
    )


def _compact(model: SparseMLP, index: int) -> scipy.sparse.csr_array:
    """Return the weights without empty rows and columns, the fewer ones as rows.

    They are float64, divided by the largest, so that no square overflows.
    """
    weights = model.layers[index].connections.to_scipy()
    size = float(np.abs(weights.data).max())
    if size == 0:
        raise DataError(
            f"the weights of layer {index}, counted from 0, are all 0: they have no "
            "rank; leave it out of layers"
        )
    coordinates = weights.tocoo()
    rows, columns = (
        np.unique(each, return_inverse=True)[1] for each in coordinates.coords
    )
    values = coordinates.data.astype(np.float64) / size
    if rows.max() > columns.max():
        rows, columns = columns, rows
    return scipy.sparse.csr_array((values, (rows, columns)))


def _rank_of(
    index: int, weights: scipy.sparse.csr_array, method: str, seed: int
) -> LayerRank:
    n_rows = weights.shape[0]
    squares = float(weights.data @ weights.data)
    if method == "exact" or (method == "auto" and n_rows <= EXACT):
        spectrum = _squared_singular_values(weights)
        shares = np.sqrt(spectrum) / np.sqrt(spectrum).sum()
        effective = math.exp(scipy.special.entr(shares).sum())
        return LayerRank(
            index, effective, 0.0, squares / float(spectrum.max()), 0.0, n_rows
        )
    draw = rng.stream(seed, rng.Purpose.PROBES, layer=index)
    transposed = weights.T

    def gram(vector: np.ndarray) -> np.ndarray:
        return weights @ (transposed @ vector)

    largest = leading(gram, n_rows, draw)
    norm, norm_error = largest_eigenvalue(
        gram, largest.start, _NORM_STEPS, _NORM_TOLERANCE
    )
    effective, error = estimate(gram, largest, squares, draw)
    stable = squares / norm
    return LayerRank(
        index, effective, error, stable, stable * norm_error / norm, n_rows
    )


def _squared_singular_values(weights: scipy.sparse.csr_array) -> np.ndarray:
    """Return the eigenvalues of the Gram matrix, those of rounding alone as 0."""
    values = scipy.linalg.eigvalsh((weights @ weights.T).toarray())
    return np.where(values > values.size * 2.0**-52 * values.max(), values, 0.0)
