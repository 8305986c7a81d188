"""Bipartite scale-free network (BSF): a Barabasi-Albert graph, cut into two layers.

Zhang et al., "Brain network science modelling of sparse neural networks" (CHTs, NeurIPS
2025; code: biomedical-cybernetics/Cannistraci-Hebb-training). With m = nnz / (n_in +
n_out), a clique of ceil(m) nodes grows by nodes of floor(m) or ceil(m) edges to earlier
nodes, drawn by degree. All nodes are split at random into inputs and outputs. Edges
that cross become connections. The ends of the others are paired across the layers. Of
the ends that remain, all on one side, half are dropped and half are connected to nodes
of the other side, drawn by degree.

Departures: a graph of this kind has about m^2 / 2 edges too few, and ends that only
meet partners they are connected to already remain alone after some trials: uniform
cells are added until the total is exact, many of them at high density. With m below 1
the clique has no edge, so the first edge goes to a uniform node.
"""

import numpy as np

from truesparse.drawing.cells import check_counts, from_keys, is_among
from truesparse.drawing.patterns.placing import (
    MOST_DRAWS,
    even_counts,
    fill_up,
    oriented_keys,
)
from truesparse.kernels.patterns import attach_by_degree
from truesparse.sparse.connections import Connections

# While most cells are empty, each trial at least halves the ends without a partner.
_TRIALS = 8


def bsf(
    n_in: int,
    n_out: int,
    nnz: int,
    generator: np.random.Generator,
    dtype: type = np.float32,
) -> Connections:
    """Draw a bipartite scale-free network.

    Examples
    --------
    >>> import numpy as np
    >>> connections = bsf(1000, 1000, 10_000, np.random.default_rng(0))
    >>> connections.nnz, bool(np.diff(connections.indptr).max() > 50)
    (10000, True)
    """
    n_in, n_out, nnz = check_counts(n_in, n_out, nnz)
    ends = _scale_free_graph(n_in + n_out, nnz, generator)
    ends = generator.permutation(n_in + n_out)[ends]  # from here on, inputs come first
    ends.sort(axis=1)
    is_input = ends < n_in
    crosses = is_input[:, 0] & ~is_input[:, 1]
    rows, columns = ends[crosses].T
    keys = oriented_keys(columns - n_in, rows, n_out, many_are_outputs=True)
    inputs = generator.permutation(ends[is_input[:, 1]].ravel())
    outputs = generator.permutation(ends[~is_input[:, 0]].ravel())
    outputs -= n_in
    del ends, is_input, crosses, rows, columns
    n_pairs = min(inputs.size, outputs.size)
    keys = _pair(keys, inputs[:n_pairs], outputs[:n_pairs], n_out, generator)
    left = max(inputs.size, outputs.size) - n_pairs
    left_over = slice(n_pairs, n_pairs + left // 2)
    if outputs.size > inputs.size:
        keys = _attach(keys, outputs[left_over], True, (n_in, n_out), generator)
    else:
        keys = _attach(keys, inputs[left_over], False, (n_in, n_out), generator)
    keys = fill_up(keys, n_in * n_out, nnz, generator)
    return from_keys(n_in, n_out, keys, dtype)


def _scale_free_graph(
    n_nodes: int, nnz: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the edges of a Barabasi-Albert graph with nnz / n_nodes edges a node.

    Returns
    -------
    (n_edges, 2) int64 array
        Node, earlier node.
    """
    n_clique = -(-nnz // n_nodes)
    n_new = n_nodes - n_clique
    clique = np.array(np.tril_indices(n_clique, -1), np.int64).T
    counts = even_counts(nnz * n_new // n_nodes, n_new, generator)
    ends = np.empty((len(clique) + int(counts.sum()), 2), np.int64)
    ends[: len(clique)] = clique
    ends[len(clique) :, 0] = np.repeat(np.arange(n_clique, n_nodes), counts)
    taken = np.full(n_nodes, -1, np.int64)
    state = np.array([len(clique), len(clique)])
    flat = ends.ravel()
    while state[0] < len(ends):
        n_draws = min(len(ends) - int(state[0]), MOST_DRAWS)
        attach_by_degree(generator.random(n_draws), state, taken, flat)
    return ends


def _insert(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge the cells of `wanted` that are new into ascending `keys`, and mark them."""
    order = np.argsort(wanted, kind="stable")
    ascending = wanted[order]
    fresh = np.ones(wanted.size, bool)
    fresh[1:] = ascending[1:] != ascending[:-1]
    fresh &= ~is_among(ascending, keys)
    is_new = np.empty(wanted.size, bool)
    is_new[order] = fresh
    return np.sort(np.concatenate([keys, ascending[fresh]]), kind="stable"), is_new


def _pair(keys, inputs, outputs, n_out, generator) -> np.ndarray:
    """Connect inputs[k] with outputs[k]; shuffle connected pairs and try them again."""
    for _ in range(_TRIALS):
        if not inputs.size:
            break
        keys, is_new = _insert(keys, inputs * n_out + outputs)
        inputs, outputs = inputs[~is_new], generator.permutation(outputs[~is_new])
    return keys


def _attach(keys, ends, are_outputs, shape, generator) -> np.ndarray:
    """Connect each end to a node of the other side, drawn by its degree."""
    n_in, n_out = shape
    for _ in range(_TRIALS):
        if not ends.size:
            break
        partners = keys // n_out if are_outputs else keys % n_out
        if not partners.size:
            partners = np.arange(n_in if are_outputs else n_out)
        partners = _by_degree(partners, ends.size, generator)
        rows, columns = (partners, ends) if are_outputs else (ends, partners)
        keys, is_new = _insert(keys, rows * n_out + columns)
        ends = ends[~is_new]
    return keys


def _by_degree(
    partners: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw uniform entries of a list to which each draw is appended at once.

    All draws are made first, as positions. A position of an earlier draw stands for the
    entry that this draw points at. Following all pointers at the same time takes a
    logarithmic number of rounds.

    Returns
    -------
    (count,) int64 array
    """
    n_known = partners.size
    positions = generator.integers(0, n_known + np.arange(count))
    while True:
        later = np.flatnonzero(positions >= n_known)
        if not later.size:
            return partners[positions]
        positions[later] = positions[positions[later] - n_known]
