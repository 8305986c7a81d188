"""Measures of network science on the bipartite graph of a layer's connections.

    clustering      share of the paths of 3 connections whose ends are connected too,
                    4 C4 / L3 (Robins and Alexander, Comput. Math. Organ. Theory, 2004)
    path length     mean number of steps between two neurons, over pairs that a path
                    connects
    modularity      Q = sum over communities (e/N - K D/N^2), with e connections inside,
                    K and D the degrees of its inputs and outputs, N connections in all
                    (Barber, Phys. Rev. E 76, 066102, 2007)
    small world     (clustering / path length) over that of a random layer of the same
                    density (Humphries and Gurney, PLoS ONE, 2008)

Directions and weights do not count. What would take long is sampled, with its standard
error. The communities are those of Barber's algorithm BRIM from random starts: Q is a
lower bound of the largest one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from truesparse.analysis.chosen import connected_layers, finite_model
from truesparse.common import rng
from truesparse.common.checks import check_whole
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import in_degrees, out_degrees
from truesparse.sparse.connections import Connections

# Pairs of connections of one neuron, up to which all 4-cycles are counted.
_MOST_PAIRS = 5_000_000
_N_PATHS = 200_000
_N_SOURCES = 64
# Sources whose distances are computed together: a column of flags each.
_SOURCES = 16
_COMMUNITIES = (2, 4, 8, 16)
# Starts of BRIM for each number of communities, and for large layers.
_STARTS, _FEW_STARTS, _LARGE = 6, 1, 100_000


class GraphMeasures(NamedTuple):
    """Measures of one layer; errors are standard errors, 0 where all was counted."""

    layer: int
    clustering: float  # NaN without a path of 3 connections
    clustering_error: float
    path_length: float
    path_length_error: float
    modularity: float
    n_communities: int
    small_world: float  # NaN if the random layer has no closed path
    random_clustering: float  # of a random layer of the same size and density
    random_path_length: float


def graph_measures(
    model: Any, layers: Any = None, *, seed: int = 0
) -> list[GraphMeasures]:
    """Measure the graph of each layer, in O(connections) memory.

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path
    layers : int or list of int, optional
        Numbers from 0; by default all layers but the read-out.
    seed : int
        Decides samples, starts and the random layers for comparison.

    Raises
    ------
    DataError
        If a weight is not finite.
    UsageError
        If a layer has no connections, or an argument is not accepted.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import graph_measures
    >>> [measures] = graph_measures(SparseMLP([6, 5], density=1.0))
    >>> measures.clustering, round(measures.path_length, 3)
    (1.0, 1.455)
    """
    model = finite_model(model)
    rng.check_seed(seed)
    results = []
    for index in connected_layers(model, layers):
        connections = model.layers[index].connections
        draw = rng.stream(seed, rng.Purpose.GRAPH_SAMPLES, layer=index)
        sides = [connections.n_in, connections.n_out]
        twin = SparseMLP(sides, density=connections.density, seed=seed)
        random = twin.layers[0].connections
        closed, closed_error = clustering(connections, draw)
        length, length_error = path_length(connections, draw)
        random_closed, _ = clustering(random, draw)
        random_length, _ = path_length(random, draw)
        ratio = math.nan
        if random_closed > 0:
            ratio = (closed / random_closed) / (length / random_length)
        quality, n_communities = modularity(connections, draw)
        results.append(
            GraphMeasures(
                index,
                closed,
                closed_error,
                length,
                length_error,
                quality,
                n_communities,
                ratio,
                random_closed,
                random_length,
            )
        )
    return results


def clustering(
    connections: Connections,
    draw: np.random.Generator,
    n_paths: int | None = None,
) -> tuple[float, float]:
    """Return the share of closed paths of 3 connections, and its standard error.

    Parameters
    ----------
    connections : Connections
    draw : numpy.random.Generator
    n_paths : int, optional
        Number of paths to sample; by default all 4-cycles are counted where that is
        quick, and else 200,000 paths are sampled.

    Returns
    -------
    share, error : float
        NaN and 0 if there is no such path.
    """
    outwards, inwards = out_degrees(connections), in_degrees(connections)
    rows = connections.rows()
    # Paths whose middle connection is this one.
    paths = (outwards[rows] - 1) * (inwards[connections.indices] - 1)
    if not paths.any():
        return math.nan, 0.0
    by_row = float(outwards @ outwards) >= float(inwards @ inwards)
    n_pairs = min(float(outwards @ outwards), float(inwards @ inwards))
    if n_paths is None and n_pairs <= _MOST_PAIRS:
        pattern = _pattern(connections, np.int64)
        # Common neighbours of every pair of neurons on one side, each pair twice.
        common = (pattern @ pattern.T if by_row else pattern.T @ pattern).tocoo()
        counts = common.data[common.row != common.col]
        return float((counts * (counts - 1)).sum() / paths.sum()), 0.0
    size = _N_PATHS if n_paths is None else check_whole("n_paths", n_paths, 1)
    share = _closed_share(connections, np.cumsum(paths), size, draw)
    return share, math.sqrt(share * (1 - share) / size)


def path_length(
    connections: Connections,
    draw: np.random.Generator,
    n_sources: int | None = None,
) -> tuple[float, float]:
    """Return the mean distance between neurons, and its standard error.

    Parameters
    ----------
    connections : Connections
        At least one.
    draw : numpy.random.Generator
    n_sources : int, optional
        Number of neurons to measure distances from, 64 by default, at most all that
        are connected.

    Returns
    -------
    mean, error : float
        Over pairs that a path connects.
    """
    pattern = _pattern(connections, np.float32)
    transposed = pattern.T.tocsr()
    n_in, n_out = connections.n_in, connections.n_out
    degrees = np.concatenate([out_degrees(connections), in_degrees(connections)])
    connected = np.flatnonzero(degrees)
    size = _N_SOURCES if n_sources is None else check_whole("n_sources", n_sources, 1)
    size = min(size, connected.size)
    sources = draw.choice(connected, size, replace=False)
    sums, counts = np.zeros(size), np.zeros(size)
    for start in range(0, size, _SOURCES):
        part = slice(start, start + _SOURCES)
        sums[part], counts[part] = _distances(
            pattern, transposed, n_in, n_out, sources[part]
        )
    mean = float(sums.sum() / counts.sum())
    if size == connected.size:
        return mean, 0.0
    # Error of a ratio of sums, by its residuals.
    residuals = sums - mean * counts
    error = math.sqrt(size * float(residuals.var()) / max(size - 1, 1))
    error /= float(counts.mean()) * math.sqrt(size)
    return mean, error * math.sqrt(1 - size / connected.size)


def modularity(
    connections: Connections, draw: np.random.Generator
) -> tuple[float, int]:
    """Return the largest modularity that is seen, and its number of communities.

    Parameters
    ----------
    connections : Connections
        At least one.
    draw : numpy.random.Generator
    """
    pattern = _pattern(connections, np.float32)
    transposed = pattern.T.tocsr()
    outwards = out_degrees(connections).astype(np.float64)
    inwards = in_degrees(connections).astype(np.float64)
    best = 0.0, 1
    n_starts = _STARTS if connections.nnz <= _LARGE else _FEW_STARTS
    for n_communities in _COMMUNITIES:
        for _ in range(n_starts):
            labels = draw.integers(0, n_communities, connections.n_out)
            last = -1.0
            while True:
                rows, _ = _assign(pattern, outwards, labels, inwards, n_communities)
                labels, quality = _assign(
                    transposed, inwards, rows, outwards, n_communities
                )
                if quality <= last + 1e-9:
                    break
                last = quality
            if last > best[0] + 1e-9:
                used = np.unique(
                    np.concatenate([rows[outwards > 0], labels[inwards > 0]])
                )
                best = last, int(used.size)
    return best


def _assign(
    pattern: scipy.sparse.csr_array,
    degrees: np.ndarray,
    labels: np.ndarray,
    other_degrees: np.ndarray,
    n_communities: int,
) -> tuple[np.ndarray, float]:
    """Return the best community of every row, given those of columns, and Q.

    Parameters
    ----------
    pattern : (n, n_other) csr_array of ones
    degrees : (n,) float64 array
    labels : (n_other,) integer array
        Communities of the columns.
    other_degrees : (n_other,) float64 array
    n_communities : int
    """
    nnz = degrees.sum()
    members = scipy.sparse.csr_array(
        (
            np.ones(labels.size, np.float32),
            labels.astype(np.int32),
            np.arange(labels.size + 1, dtype=np.int32),
        ),
        shape=(labels.size, n_communities),
    )
    weights = np.bincount(labels, other_degrees, n_communities)
    gains = (pattern @ members).toarray() - np.outer(degrees, weights / nnz)
    best = gains.argmax(axis=1)
    quality = gains[np.arange(best.size), best].sum(dtype=np.float64) / nnz
    return best, float(quality)


def _closed_share(
    connections: Connections, ends: np.ndarray, size: int, draw: np.random.Generator
) -> float:
    """Sample paths u' - v - u - v' and return the share with u' - v' connected.

    Parameters
    ----------
    connections : Connections
    ends : (nnz,) int64 array
        Running sum of the paths through each connection u - v.
    size : int
    draw : numpy.random.Generator
    """
    middle = np.searchsorted(ends, draw.integers(0, ends[-1], size), side="right")
    rows, columns = connections.rows()[middle], connections.indices[middle]
    view = connections.view
    others_in = _others(view.indptr, view.rows, columns, rows, draw)
    others_out = _others(connections.indptr, connections.indices, rows, columns, draw)
    keys = others_in.astype(np.int64) * connections.n_out + others_out
    return float(connections.contains(keys).mean())


def _others(
    indptr: np.ndarray,
    neighbours: np.ndarray,
    neurons: np.ndarray,
    excluded: np.ndarray,
    draw: np.random.Generator,
) -> np.ndarray:
    """Return a random neighbour of each neuron, but not the excluded one."""
    starts, degrees = indptr[neurons], np.diff(indptr)[neurons]
    chosen = neighbours[starts + draw.integers(0, degrees)]
    while (again := np.flatnonzero(chosen == excluded)).size:
        offsets = draw.integers(0, degrees[again])
        chosen[again] = neighbours[starts[again] + offsets]
    return chosen


def _distances(
    pattern: scipy.sparse.csr_array,
    transposed: scipy.sparse.csr_array,
    n_in: int,
    n_out: int,
    sources: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and number of the distances from each source to all it reaches."""
    columns = np.arange(sources.size)
    seen = np.zeros((n_in + n_out, sources.size), bool)
    seen[sources, columns] = True
    front = seen.astype(np.float32)
    sums, counts, level = np.zeros(sources.size), np.zeros(sources.size), 0
    while front.any():
        level += 1
        front = np.concatenate([pattern @ front[n_in:], transposed @ front[:n_in]])
        is_new = (front > 0) & ~seen
        seen |= is_new
        front = is_new.astype(np.float32)
        n_new = is_new.sum(axis=0)
        sums += level * n_new
        counts += n_new
    return sums, counts


def _pattern(connections: Connections, dtype: type) -> scipy.sparse.csr_array:
    """Return the connections as a matrix of ones."""
    weights = connections.to_scipy()
    ones: np.ndarray = np.ones(connections.nnz, dtype)
    parts = ones, weights.indices, weights.indptr
    return scipy.sparse.csr_array(parts, shape=weights.shape)
