"""Drawing absent cells in proportion to CH3-L3p or CH2-L3n, without computing scores.

This is the soft rule of Zhang et al., "Brain network science modelling of sparse neural
networks enables Transformers and LLMs to perform as fully connected", NeurIPS 2025
(CHTs): cells are drawn one after the other, without replacement, with probabilities
in proportion to their scores. The published code computes every score of the layer.

Here paths are drawn instead of cells. CH3-L3p is a sum over paths of
1 / sqrt(e_z1 e_z2): the ends of a path drawn in proportion to its term are a cell drawn
in proportion to its score. With bounds 1 <= b <= e for each neuron, a middle connection
(z2, z1) is drawn in proportion to

    (d_z1 - 1) (d_z2 - 1) / sqrt(b_z1 b_z2),

the ends u and v uniformly among the other neighbours, and the path is accepted with
probability sqrt(b_z1 b_z2 / (e_z1 e_z2)), unless (u, v) is connected. With b = 1 about
one path in d is accepted. With b the degree less the most neighbours that the neuron
shares with any other, nearly every path is, in a sparse random layer. Cells that were
accepted before are passed over, which makes the draws ones without replacement.

CH2-L3n is a sum over neurons, and as one over paths it is that of

    a_z1 + a_z2,    a_z1 = (1 + Q) / (Q e_z1),    a_z2 = (1 + P) / (P e_z2),

since z1 lies on Q[z1,v] of the paths, z2 on P[z2,u]. A middle connection is drawn
in proportion to (d_z1 - 1) (d_z2 - 1) (b_z1 + b_z2), where b >= a, and the path taken
with probability (a_z1 + a_z2) / (b_z1 + b_z2). As a is convex in Q, its bound is the
larger of its values for Q = 1 and for the most neighbours shared.
"""

import numpy as np
import scipy.sparse

from truesparse.common.checks import check_whole, choose
from truesparse.kernels import paths as kernels
from truesparse.kernels.path_draws import draw_pairs
from truesparse.kernels.paths import Graph, Proposal
from truesparse.sparse.balance import balance
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.paths import (
    RULES,
    n_tasks_for,
    neighbour_sums,
    remaining_pattern,
    transposed,
)

# Rules of RULES by which cells can be drawn.
DRAWN = ("ch3_l3p", "ch2_l3n")
# Walks of two connections spent on the bounds: about a second, or so many for each
# connection if that is more. Neurons that need more than their share have the bound 1.
_WALKS = 1 << 30
_WALKS_PER_CONNECTION = 1024
_FEWEST_DRAWS, _MOST_DRAWS = 1 << 8, 1 << 18  # of a round
_TASK_SIZE = 1 << 13  # draws a task
# Draws that find no new cell before the search ends, as a multiple of the draws that
# find the least probable cell once on average; it is missed with chance exp(-20).
_PATIENCE = 20
# Such draws in a row, and draws per cell, after which the search ends in any case: such
# rare cells cost more than they are worth.
_MOST_BARREN = 1 << 20
_MOST_DRAWS_PER_CELL = 64


def sample_by_paths(
    connections: Connections,
    dropped: np.ndarray,
    count: int,
    generator: np.random.Generator,
    rule: str = "ch3_l3p",
) -> np.ndarray:
    """Draw absent cells without replacement, in proportion to a score.

    Parameters
    ----------
    connections : Connections
    dropped : (nnz,) bool array
        Connections that count as absent: they form no paths, and their cells can be
        drawn.
    count : int
    generator : numpy Generator
    rule : {"ch3_l3p", "ch2_l3n"}

    Returns
    -------
    (k,) int64 array
        Keys ``row * n_out + column``, ascending. Fewer than `count` if no more have a
        score above 0, or if the others are too improbable: after 2**20 draws in a row
        without a new cell, or 64 `count` + 2**20 draws in all.

    Raises
    ------
    UsageError
        For an unknown rule, a negative count or marks that are not one bool a
        connection.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from truesparse.sparse.connections import Connections
    >>> chain = Connections.from_scipy(sparse.csr_array([[1.0, 0.0], [1.0, 1.0]]))
    >>> sample_by_paths(chain, np.zeros(3, bool), 5, np.random.default_rng(0))
    array([1])
    """
    code = RULES[choose(rule, DRAWN, "rule to draw cells by")]
    check_whole("count", count, 0)
    graph = remaining_pattern(connections, dropped)
    keys = np.empty(0, np.int64)
    proposal = _proposal(graph, code)
    weight = float(proposal.row_totals[-1])
    if count == 0 or weight == 0.0:
        return keys
    # A cell is drawn at least with the probability of one path of the largest degrees:
    # a path weighs 1 / sqrt(d_z1 d_z2) or 1 / d_z1 + 1 / d_z2, or more.
    row_degree = float(np.diff(graph.indptr).max())
    column_degree = float(np.diff(graph.column_indptr).max())
    rarest = weight * np.sqrt(row_degree * column_degree)
    if code == kernels.CH2_L3N:
        rarest = weight / (1.0 / row_degree + 1.0 / column_degree)
    patience = min(_PATIENCE * rarest, _MOST_BARREN)
    size, most = count, max(_MOST_DRAWS, count // 4)
    n_draws = n_barren = 0
    while n_draws < _MOST_DRAWS_PER_CELL * count + _MOST_BARREN:
        size = int(np.clip(size, _FEWEST_DRAWS, most))
        uniforms = generator.random((size, 4))
        drawn = np.empty(size, np.int64)
        draw_pairs(graph, proposal, code, uniforms, _TASK_SIZE, drawn)
        new = _new_in_order(drawn, keys)[: count - keys.size]
        keys = np.sort(np.concatenate([keys, new]), kind="stable")
        n_draws += size
        n_barren = 0 if new.size else n_barren + size
        left = count - keys.size
        if left == 0 or n_barren >= patience:
            break
        # So many that they suffice at this rate; twice as many if no cell was new.
        size = (
            min(2 * size, int(1.1 * left * size / new.size)) if new.size else 2 * size
        )
    return keys


def _new_in_order(drawn: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return accepted cells that `keys` lacks, each once, in the order of draws."""
    accepted = drawn[drawn >= 0]
    distinct, first = np.unique(accepted, return_index=True)
    if keys.size:
        places = np.minimum(np.searchsorted(keys, distinct), keys.size - 1)
        first = first[keys[places] != distinct]
    first.sort()
    return accepted[first]


def _proposal(graph: Graph, code: int) -> Proposal:
    row_external = _least_external(graph)
    column_external = _least_external(transposed(graph))
    degrees, column_degrees = np.diff(graph.indptr), np.diff(graph.column_indptr)
    shared = _shared(graph), _shared(transposed(graph))
    is_node_rule = code == kernels.CH2_L3N
    row_factors, column_factors = degrees - 1.0, column_degrees - 1.0
    row_bounds = column_bounds = np.empty(0)
    if is_node_rule:
        row_bounds = _node_bounds(degrees, row_external)
        column_bounds = _node_bounds(column_degrees, column_external)
    else:
        row_factors /= np.sqrt(row_external)
        column_factors /= np.sqrt(column_external)
    totals = np.zeros(graph.columns.size + 1)
    np.take(column_factors, graph.columns, out=totals[1:], mode="clip")
    totals[1:] *= np.repeat(row_factors, degrees)
    if is_node_rule:
        bounds = column_bounds[graph.columns]
        bounds += np.repeat(row_bounds, degrees)
        totals[1:] *= bounds
    np.cumsum(totals, out=totals)
    return Proposal(
        row_external,
        column_external,
        totals,
        totals[graph.indptr],
        row_bounds,
        column_bounds,
        *shared,
    )


def _node_bounds(degrees: np.ndarray, external: np.ndarray) -> np.ndarray:
    """Return bounds from above on a neuron's part of a path in CH2-L3n."""
    # Neurons of fewer than two neighbours are on no path.
    degrees = np.maximum(degrees, 2).astype(float)
    most = np.clip(degrees - external, 1.0, degrees - 1.0)
    return np.maximum(2.0 / (degrees - 1.0), (1.0 + most) / (most * (degrees - most)))


def _shared(graph: Graph) -> np.ndarray:
    """Return how many columns any two rows share, where that is no large matrix.

    Where rows are few, they are long: draws from 64 x 500,000 cells would intersect
    lists of 39,000 columns over and over, though there are only 64 x 64 answers.
    """
    n, nnz = graph.indptr.size - 1, graph.columns.size
    none = np.zeros((0, 0), np.int32)
    if n * n > nnz:
        return none
    walks = neighbour_sums(graph.indptr, graph.columns, np.diff(graph.column_indptr))
    if int(walks.sum()) > max(_WALKS, _WALKS_PER_CONNECTION * nnz):
        return none
    shape = n, graph.column_indptr.size - 1
    ones = np.ones(nnz, np.int32)
    matrix = scipy.sparse.csr_array((ones, graph.columns, graph.indptr), shape=shape)
    return (matrix @ matrix.T).toarray()


def _least_external(graph: Graph) -> np.ndarray:
    """Return a bound from below, at least 1, on d_z2 - P[z2,u] for all u, by row z2."""
    n = graph.indptr.size - 1
    degrees = np.diff(graph.indptr)
    walks = neighbour_sums(graph.indptr, graph.columns, np.diff(graph.column_indptr))
    limit = max(_WALKS, _WALKS_PER_CONNECTION * graph.columns.size) // n
    starts = balance(
        np.concatenate([[0], np.cumsum(np.minimum(walks, limit))]),
        n_tasks_for(graph, n),
    )
    shared = np.zeros((starts.size - 1, n), np.int32)
    most = np.empty(n, np.int64)
    kernels.most_shared(starts, graph, limit, shared, most)
    return np.maximum(degrees - most, 1)
