"""Drawing paths u - z1 - z2 - v whose ends are cells in proportion to a score.

With P[u,z2] the number of outputs that inputs u and z2 share, Q[z1,v] the number of
inputs that outputs z1 and v share, and d the degrees, a path weighs

    ch3_l3p    1 / sqrt((d_z1 - Q) (d_z2 - P))
    ch2_l3n    (1 + Q) / (Q (d_z1 - Q)) + (1 + P) / (P (d_z2 - P))

as the score of a cell has (1 + Q) / (d_z1 - Q) once for each z1, which lies on Q of the
cell's paths. P and Q come from tables, or from intersecting two ascending lists.
"""

import numpy as np

from truesparse.kernels.jit import inlined_kernel, inner_kernel, parallel_kernel, prange
from truesparse.kernels.paths import CH2_L3N


@inner_kernel
def _first_above(totals, low, high, value):
    """Return the first position from `low` whose total is above `value`, or `high`."""
    while low < high:
        middle = (low + high) // 2
        if totals[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@inner_kernel
def _n_common(numbers, first, first_stop, second, second_stop):
    """Return how many numbers two ascending stretches of an array have in common."""
    n_common = 0
    if first_stop - first > second_stop - second:
        first, second = second, first
        first_stop, second_stop = second_stop, first_stop
    if 8 * (first_stop - first) < second_stop - second:
        # Numbers of a short list are looked up in a long one.
        for p in range(first, first_stop):
            second = _first_above(numbers, second, second_stop, numbers[p] - 1)
            if second == second_stop:
                break
            n_common += numbers[second] == numbers[p]
        return n_common
    while first < first_stop and second < second_stop:
        x, y = numbers[first], numbers[second]
        n_common += x == y
        first += x <= y
        second += y <= x
    return n_common


@inlined_kernel
def _other(numbers, start, stop, excluded, uniform):
    """Draw one of numbers[start:stop] other than `excluded`, which is among them."""
    chosen = numbers[start + int(uniform * (stop - start - 1))]
    return numbers[stop - 1] if chosen == excluded else chosen


@inlined_kernel
def _node_part(degree, shared):
    """Return what a neuron adds to CH2-L3n, divided among its `shared` paths."""
    return (1.0 + shared) / (np.float64(shared) * (degree - shared))


@inlined_kernel
def _shared_outputs(graph, proposal, z, u):
    """Return P[z,u], how many outputs two rows share."""
    if proposal.row_shared.size > 0:
        return np.int64(proposal.row_shared[z, u])
    first, stop = graph.indptr[z], graph.indptr[z + 1]
    return _n_common(graph.columns, first, stop, graph.indptr[u], graph.indptr[u + 1])


@inlined_kernel
def _shared_inputs(graph, proposal, z, v):
    """Return Q[z,v], how many inputs two columns share."""
    if proposal.column_shared.size > 0:
        return np.int64(proposal.column_shared[z, v])
    indptr = graph.column_indptr
    return _n_common(graph.rows, indptr[z], indptr[z + 1], indptr[v], indptr[v + 1])


@inner_kernel
def _accepts_ch2_l3n(graph, proposal, path, uniform):
    """Whether to accept the path u - z1 - z2 - v, in proportion to CH2-L3n."""
    u, z1, z2, v = path
    row_degree = graph.indptr[z2 + 1] - graph.indptr[z2]
    column_degree = graph.column_indptr[z1 + 1] - graph.column_indptr[z1]
    bar = uniform * (proposal.row_bounds[z2] + proposal.column_bounds[z1])
    part = _node_part(row_degree, _shared_outputs(graph, proposal, z2, u))
    if bar < part:
        return True
    return bar < part + _node_part(
        column_degree, _shared_inputs(graph, proposal, z1, v)
    )


@inner_kernel
def _accepts_ch3_l3p(graph, proposal, path, uniform):
    """Whether to accept the path u - z1 - z2 - v, in proportion to CH3-L3p.

    The probability is sqrt(least / ((d_z1 - Q) (d_z2 - P))). As P and Q are at least 1,
    many answers are known before the lists are intersected.
    """
    u, z1, z2, v = path
    row_degree = graph.indptr[z2 + 1] - graph.indptr[z2]
    column_degree = graph.column_indptr[z1 + 1] - graph.column_indptr[z1]
    bar = uniform * uniform
    row_least = proposal.row_external[z2]
    column_least = proposal.column_external[z1]
    least = np.float64(row_least * column_least)
    if bar * (np.float64(column_degree - 1) * (row_degree - 1)) < least:
        return True
    row_external = row_degree - _shared_outputs(graph, proposal, z2, u)
    if bar * (np.float64(column_degree - 1) * row_external) < least:
        return True
    if bar * (np.float64(column_least) * row_external) >= least:
        return False
    column_external = column_degree - _shared_inputs(graph, proposal, z1, v)
    return bar * (np.float64(column_external) * row_external) < least


@inner_kernel
def _draw_pair(graph, proposal, rule, uniforms, i):
    """Return the key of the proposed cell, or -1 if it is rejected."""
    indptr, column_indptr = graph.indptr, graph.column_indptr
    n_in, n_out = indptr.size - 1, column_indptr.size - 1
    target = uniforms[i, 0] * proposal.row_totals[n_in]
    z2 = _first_above(proposal.row_totals, 1, n_in, target) - 1
    start, stop = indptr[z2], indptr[z2 + 1]
    z1 = graph.columns[_first_above(proposal.totals, start + 1, stop, target) - 1]
    up, down = column_indptr[z1], column_indptr[z1 + 1]
    u = _other(graph.rows, up, down, z2, uniforms[i, 1])
    v = _other(graph.columns, start, stop, z1, uniforms[i, 2])
    first, last = indptr[u], indptr[u + 1]
    place = _first_above(graph.columns, first, last, v - 1)
    if place < last and graph.columns[place] == v:
        return np.int64(-1)
    path = (np.int64(u), np.int64(z1), np.int64(z2), np.int64(v))
    if rule == CH2_L3N:
        accepted = _accepts_ch2_l3n(graph, proposal, path, uniforms[i, 3])
    else:
        accepted = _accepts_ch3_l3p(graph, proposal, path, uniforms[i, 3])
    return np.int64(u) * n_out + v if accepted else np.int64(-1)


@inner_kernel
def _draw_range(graph, proposal, rule, uniforms, start, stop, out_keys):
    for i in range(start, stop):
        out_keys[i] = _draw_pair(graph, proposal, rule, uniforms, i)


@parallel_kernel
def draw_pairs(graph, proposal, rule, uniforms, task_size, out_keys):
    """Draw ends of paths, in proportion to a score, with replacement.

    Parameters
    ----------
    graph : Graph
    proposal : Proposal
        A middle connection (z2, z1) is drawn by the totals, then u and v uniformly
        among the other neighbours of z1 and z2.
    rule : int
        CH3_L3P or CH2_L3N, for which the proposal was made.
    uniforms : (k, 4) float64 array
        Numbers in [0, 1) that decide the connection, u, v, and acceptance.
    task_size : int
        Draws of a task.
    out_keys : (k,) int64 array
        The cell (u, v) as u * n_out + v, or -1 if it is connected or not accepted.
    """
    for task in prange((out_keys.size + task_size - 1) // task_size):
        start = task * task_size
        stop = min(start + task_size, out_keys.size)
        _draw_range(graph, proposal, rule, uniforms, start, stop, out_keys)
