"""Effective and stable rank of the weights of each layer.

With the singular values s_1 >= s_2 >= ... of W and p_i = s_i / sum s,

    effective rank   exp(-sum p_i ln p_i)      (Roy and Vetterli, EUSIPCO 2007)
    stable rank      sum s_i^2 / s_1^2 = |W|_F^2 / |W|_2^2

Both are at most the rank, and do not change if W is multiplied by a number. Up to
`EXACT` neurons on the side of a layer where fewer are connected, m of them, all s come
from the eigenvalues of the Gram matrix (m, m) of that side. Wider layers are known by
products with W and its transpose alone: with G that Gram matrix,

    Z = sum s = tr G^(1/2),   L = sum s ln s = tr G^(1/2) ln(G) / 2,
    effective rank = exp(ln Z - L / Z),

and stochastic Lanczos quadrature gives both traces (Ubaru, Chen and Saad, SIAM J.
Matrix Anal. Appl., 2017): the mean over random signs z of z' f(G) z. Both are
multiplied by tr G, which is |W|_F^2, over the mean of z' G z: that cancels most of the
noise where few singular values are large.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.special

from truesparse.analysis.chosen import connected_layers
from truesparse.analysis.lanczos import (
    Product,
    Tridiagonal,
    largest_eigenvalue,
    quadrature,
    tridiagonalise,
)
from truesparse.common import rng
from truesparse.common.checks import choose
from truesparse.errors import DataError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import as_model

# The Gram matrix of so many neurons takes 72 MB, and its eigenvalues some seconds.
EXACT = 3000
METHODS = ("auto", "exact", "estimate")
# Probes are added until the error they leave is this share of the effective rank.
_TOLERANCE = 0.005
_FEWEST_PROBES, _MOST_PROBES = 4, 40
_STEPS = 48
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
    model = as_model(model)
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
    if size == 0 or not math.isfinite(size):
        reason = "are all 0" if size == 0 else "hold NaN or infinity"
        raise DataError(
            f"the weights of layer {index}, counted from 0, {reason}: they have no rank"
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
        sizes = np.sqrt(spectrum)
        effective = _effective(sizes.sum(), scipy.special.xlogy(sizes, sizes).sum())
        return LayerRank(
            index, effective, 0.0, squares / float(spectrum.max()), 0.0, n_rows
        )
    draw = rng.stream(seed, rng.Purpose.PROBES, layer=index)
    transposed = weights.T

    def gram(vector: np.ndarray) -> np.ndarray:
        return weights @ (transposed @ vector)

    effective, error = _estimate_effective(gram, n_rows, squares, draw)
    start = draw.standard_normal(n_rows)
    norm, norm_error = largest_eigenvalue(gram, start, _NORM_STEPS, _NORM_TOLERANCE)
    stable = squares / norm
    return LayerRank(
        index, effective, error, stable, stable * norm_error / norm, n_rows
    )


def _squared_singular_values(weights: scipy.sparse.csr_array) -> np.ndarray:
    """Return the eigenvalues of the Gram matrix, those of rounding alone as 0."""
    values = scipy.linalg.eigvalsh((weights @ weights.T).toarray())
    return np.where(values > values.size * 2.0**-52 * values.max(), values, 0.0)


def _estimate_effective(
    gram: Product, n: int, trace: float, draw: np.random.Generator
) -> tuple[float, float]:
    """Return the effective rank and its standard error.

    The error has two parts: that of few probes, by the jackknife, and that of few
    steps. Half the steps would leave an error about four times as large, since the
    square root is not smooth at 0, so that a third of the difference is the error.

    Parameters
    ----------
    gram : callable
        Returns G v.
    n : int
        Length of v.
    trace : float
        The trace of G.
    draw : numpy.random.Generator
    """
    whole: list[tuple[float, ...]] = []
    half: list[tuple[float, ...]] = []
    value = error = 0.0
    while len(whole) < _MOST_PROBES:
        signs = draw.integers(0, 2, n) * 2.0 - 1.0
        process = tridiagonalise(gram, signs, _STEPS)
        whole.append(_traces(process))
        half.append(_traces(process.leading(_STEPS // 2)))
        value, error = _jackknife(np.array(whole), trace)
        if len(whole) >= _FEWEST_PROBES and error <= _TOLERANCE * value:
            break
    coarse, _ = _jackknife(np.array(half), trace)
    return value, math.hypot(error, (value - coarse) / 3)


def _traces(process: Tridiagonal) -> tuple[float, ...]:
    """Return one probe's estimates of tr G, Z and L."""
    n = process.basis.shape[1]  # the squared length of a vector of signs

    def size(square: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(square, 0.0))

    def size_log_size(square: np.ndarray) -> np.ndarray:
        return scipy.special.xlogy(size(square), size(square))

    sums = quadrature(process, size), quadrature(process, size_log_size)
    return n * float(process.diagonal[0]), n * sums[0], n * sums[1]


def _jackknife(traces: np.ndarray, trace: float) -> tuple[float, float]:
    """Return the effective rank of the mean of `_traces`, and its standard error.

    Parameters
    ----------
    traces : (n_probes, 3) float64 array
    trace : float
        The trace of G.
    """

    def rank(means: np.ndarray) -> float:
        sum_of_sizes, sum_of_logs = means[1:] * (trace / means[0])
        return _effective(sum_of_sizes, sum_of_logs)

    n = len(traces)
    if n == 1:
        return rank(traces[0]), math.inf
    without = (traces.sum(axis=0) - traces) / (n - 1)
    others = np.array([rank(each) for each in without])
    return rank(traces.mean(axis=0)), math.sqrt((n - 1) * others.var())


def _effective(sum_of_sizes: float, sum_of_logs: float) -> float:
    return math.exp(math.log(sum_of_sizes) - sum_of_logs / sum_of_sizes)
