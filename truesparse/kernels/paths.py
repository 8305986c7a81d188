"""Paths of three connections between an input and an output neuron without one.

Let P[u,z2] be the number of outputs that inputs u and z2 share, Q[z1,v] the number of
inputs that outputs z1 and v share, and d the degrees. A path u - z1 - z2 - v weighs
f(d_z1, Q) f(d_z2, P). P and Q are counted while the paths of one u are walked; nothing
is as large as the matrix. Kernels that draw paths are in path_draws.py.
"""

from typing import NamedTuple

import numpy as np

from truesparse.kernels.jit import inlined_kernel, inner_kernel, parallel_kernel, prange

CH3_L3P, CH2_L3P, RA_L3, CH3_L3N, CH2_L3N = range(5)

# Columns of the table of cells: the output neuron, the number of paths through the
# present z1 that lead there, the sum of their factors for z2, the score so far. A cell
# has 32 bytes: a path touches one cache line.
_KEY, _SHARED, _PART, _SCORE = range(4)


class Graph(NamedTuple):
    """The pattern of connections from both sides; swap the halves to transpose."""

    indptr: np.ndarray  # (n_in + 1,) int64
    columns: np.ndarray  # (nnz,) int32, ascending within a row
    column_indptr: np.ndarray  # (n_out + 1,) int64
    rows: np.ndarray  # (nnz,) int32, ascending within a column


class Scratch(NamedTuple):
    """Counters for the tasks of `score_rows`, which reset them when done."""

    shared: np.ndarray  # (n_tasks, n_in) int32, zero
    table: np.ndarray  # (n_tasks, room, 4) float64, -1, 0, 0, 0
    slots: np.ndarray  # (n_tasks, 2, room) int32, anything


class Found(NamedTuple):
    """Cells and their scores, task by task."""

    starts: np.ndarray  # (n_tasks + 1,) int64, room of each task
    counts: np.ndarray  # (n_tasks,) int64, cells that each wrote
    keys: np.ndarray  # (room,) int64
    scores: np.ndarray  # (room,) float64


class Proposal(NamedTuple):
    """The distribution of proposed paths, which are then accepted or rejected."""

    row_external: np.ndarray  # (n_in,) int64, at least 1, at most any d - P
    column_external: np.ndarray  # (n_out,) int64, at least 1, at most any d - Q
    totals: np.ndarray  # (nnz + 1,) float64, running total over middle connections
    row_totals: np.ndarray  # (n_in + 1,) float64, the same at the ends of rows
    row_bounds: np.ndarray  # (n_in,) float64, at least any part of a row in a path
    column_bounds: np.ndarray  # (n_out,) float64, the same of a column
    # P and Q, int32 of shape (n, n) with n the neurons of the side; (0, 0) where these
    # are more numbers than there are connections.
    row_shared: np.ndarray
    column_shared: np.ndarray


@inlined_kernel
def _factor(rule, degree, shared, inverse_roots):
    """Return the factor of a neuron of `degree`, with `shared` internal neighbours.

    `inverse_roots` holds 0 and then 1 / sqrt(k). Only a connected cell leaves no
    external neighbour, and its value does not matter.
    """
    external = degree - shared
    if rule == CH3_L3P:
        return inverse_roots[external]
    if rule == CH2_L3P:
        return inverse_roots[external] / inverse_roots[1 + shared]
    if rule == RA_L3:
        return inverse_roots[degree]
    numerator = 1.0 if rule == CH3_L3N else 1.0 + shared
    return numerator / max(external, 1)


@inlined_kernel
def _find(table, key, shift):
    """Return the slot of a key, or the free slot to put it in."""
    # A negative shift means that there is a slot for every output neuron.
    slot = np.int64(key)
    if shift >= 0:
        slot = ((slot * 2654435769) & 0xFFFFFFFF) >> shift
    while table[slot, _KEY] != key and table[slot, _KEY] >= 0.0:
        slot += 1
        if slot == table.shape[0]:
            slot = 0
    return slot


@inner_kernel
def _count_shared(u, graph, shared):
    """Add to shared[z2] the number of outputs that rows u and z2 both have."""
    for p in range(graph.indptr[u], graph.indptr[u + 1]):
        z1 = graph.columns[p]
        for q in range(graph.column_indptr[z1], graph.column_indptr[z1 + 1]):
            shared[graph.rows[q]] += 1


@inner_kernel
def _clear_shared(u, graph, shared):
    for p in range(graph.indptr[u], graph.indptr[u + 1]):
        z1 = graph.columns[p]
        for q in range(graph.column_indptr[z1], graph.column_indptr[z1 + 1]):
            shared[graph.rows[q]] = 0


@inner_kernel
def _walk(u, graph, rule, inverse_roots, shared, table, shift, slots):
    """Fill the table with the scores of row u; return how many slots are taken."""
    used, passed = slots[0], slots[1]
    n_used = 0
    is_path_rule = rule <= RA_L3
    for p in range(graph.indptr[u], graph.indptr[u + 1]):
        # A score below all others marks connected cells.
        slot = _find(table, graph.columns[p], shift)
        table[slot, _KEY] = graph.columns[p]
        table[slot, _SCORE] = -np.inf
        used[n_used] = slot
        n_used += 1
    for p in range(graph.indptr[u], graph.indptr[u + 1]):
        z1 = graph.columns[p]
        start, stop = graph.column_indptr[z1], graph.column_indptr[z1 + 1]
        n_passed = 0
        for q in range(start, stop):
            z2 = graph.rows[q]
            first, last = graph.indptr[z2], graph.indptr[z2 + 1]
            if shared[z2] == last - first:
                continue  # u is connected to all that z2 leads to; so for z2 = u
            part = _factor(rule, last - first, shared[z2], inverse_roots)
            if not is_path_rule:
                # z2 counts once for a cell but is met once for each of its z1.
                part /= shared[z2]
            for r in range(first, last):
                v = graph.columns[r]
                slot = _find(table, v, shift)
                if table[slot, _KEY] < 0.0:
                    table[slot, _KEY] = v
                    used[n_used] = slot
                    n_used += 1
                if table[slot, _SHARED] == 0.0:
                    passed[n_passed] = slot
                    n_passed += 1
                table[slot, _SHARED] += 1.0
                table[slot, _PART] += part
        for k in range(n_passed):
            slot = passed[k]
            common = np.int64(table[slot, _SHARED])
            part = table[slot, _PART]
            factor = _factor(rule, stop - start, common, inverse_roots)
            table[slot, _SCORE] += part * factor if is_path_rule else part + factor
            table[slot, _SHARED] = 0.0
            table[slot, _PART] = 0.0
    return n_used


@inner_kernel
def _score_range(task, rows, graph, work, rule, threshold, scratch, out):
    code, inverse_roots = rule
    n_out = np.int64(graph.column_indptr.size - 1)
    shared, slots = scratch.shared[task], scratch.slots[task]
    position = out.starts[task]
    for u in range(rows[0], rows[1]):
        # A power of two, at most half full or with a slot for every output neuron.
        n_bits, wanted = 0, min(2 * work[u], n_out)
        while (1 << n_bits) < wanted:
            n_bits += 1
        shift = 32 - n_bits if (1 << n_bits) < n_out else -1
        table = scratch.table[task, : 1 << n_bits]
        _count_shared(u, graph, shared)
        n_used = _walk(u, graph, code, inverse_roots, shared, table, shift, slots)
        _clear_shared(u, graph, shared)
        for k in range(n_used):
            slot = slots[0, k]
            if table[slot, _SCORE] > threshold:
                out.keys[position] = u * n_out + np.int64(table[slot, _KEY])
                out.scores[position] = table[slot, _SCORE]
                position += 1
            table[slot, _KEY] = -1.0
            table[slot, _SCORE] = 0.0
    out.counts[task] = position - out.starts[task]


@parallel_kernel
def score_rows(starts, graph, work, rule, threshold, scratch, out):
    """Write every absent cell of some rows whose score is above a threshold.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Rows of task t are starts[t] to starts[t + 1].
    graph : Graph
    work : (n_in,) int64 array
        Walks of three connections that start at each row.
    rule : (int, (largest degree + 2,) float64 array)
        Code of the score, and the numbers 0, 1, 1 / sqrt(2), 1 / sqrt(3), ...
    threshold : float
        At least 0.
    scratch : Scratch
        Its room is the power of two that the row of most work needs.
    out : Found
        Cells of a row are in no order. A row has at most min(work, n_out) of them.
    """
    for task in prange(starts.size - 1):
        rows = (starts[task], starts[task + 1])
        _score_range(task, rows, graph, work, rule, threshold, scratch, out)


@inner_kernel
def _most_shared_range(rows, graph, limit, shared, out_most):
    for u in range(rows[0], rows[1]):
        most, walks = 0, 0
        for p in range(graph.indptr[u], graph.indptr[u + 1]):
            z1 = graph.columns[p]
            walks += graph.column_indptr[z1 + 1] - graph.column_indptr[z1]
        if walks > limit:
            out_most[u] = graph.indptr[u + 1] - graph.indptr[u]
            continue
        _count_shared(u, graph, shared)
        shared[u] = 0
        for p in range(graph.indptr[u], graph.indptr[u + 1]):
            z1 = graph.columns[p]
            for q in range(graph.column_indptr[z1], graph.column_indptr[z1 + 1]):
                most = max(most, np.int64(shared[graph.rows[q]]))
                shared[graph.rows[q]] = 0
        out_most[u] = most


@parallel_kernel
def most_shared(starts, graph, limit, shared, out_most):
    """Write how many outputs each row shares at most with any other row.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
    graph : Graph
    limit : int
        A row with more walks of two connections than this gets all its outputs, an
        upper bound.
    shared : (n_tasks, n_in) int32 array
        Zero on entry and on return.
    out_most : (n_in,) int64 array
    """
    for task in prange(starts.size - 1):
        rows = (starts[task], starts[task + 1])
        _most_shared_range(rows, graph, limit, shared[task], out_most)
