"""Drawing connections one by one, where each depends on those before it.

Random numbers are drawn outside. Connections that exist already are drawn again, so
that nobody knows in advance how many numbers are needed: a kernel stops when it has
used up those it was given, and resumes from its `state` when called with more.
"""

from truesparse.kernels.jit import kernel


@kernel
def attach_by_degree(draws, state, taken, out_ends):
    """Connect new nodes to earlier ones, with probability proportional to the degree.

    A uniform entry of the list of all ends is a node drawn by degree (Barabasi and
    Albert, Science 1999). The targets of one node are distinct and older than it.

    Parameters
    ----------
    draws : (n,) float64 array
        Uniform in [0, 1).
    state : (2,) int64 array
        Number of complete edges, and the first edge of the present node; on the first
        call, both are the number of edges given.
    taken : (n_nodes,) int64 array
        The last node that was connected to each; -1 on the first call.
    out_ends : (2 * n_edges,) int64 array
        Edge e joins the nodes out_ends[2 * e], which is given, and out_ends[2 * e + 1],
        which is written. Edges of one node are neighbours.
    """
    edge, first = state[0], state[1]
    n_edges = out_ends.size // 2
    for k in range(draws.size):
        if edge == n_edges:
            break
        node = out_ends[2 * edge]
        if edge > 0 and out_ends[2 * edge - 2] != node:
            first = edge
        if first == 0:
            target = int(draws[k] * node)  # no edge yet: any earlier node
        else:
            target = out_ends[int(draws[k] * (2 * first))]
        if taken[target] != node:
            taken[target] = node
            out_ends[2 * edge + 1] = target
            edge += 1
    state[0], state[1] = edge, first


@kernel
def draw_by_tail(draws, state, indptr, log_tails, taken, out_places):
    """Draw distinct places for every row, one by one, by weights that never increase.

    Places before the first free one are not drawn again, so that however steep the
    weights few draws are lost; with equal weights, a row's last places take many.

    Parameters
    ----------
    draws : (n,) float64 array
        Standard exponential: minus the logarithm of uniform numbers.
    state : (3,) int64 array
        Row, connections drawn, and the row's first free place; 0 on the first call.
    indptr : (n_rows + 1,) int64 array
        Row i draws connections indptr[i] to indptr[i + 1], at most n_places.
    log_tails : (n_places,) float64 array
        Logarithm of the sum of the weights from each place on.
    taken : (n_places,) int64 array
        The last row that drew each place; -1 on the first call.
    out_places : (nnz,) int64 array
    """
    row, p, first = state[0], state[1], state[2]
    for k in range(draws.size):
        if p == out_places.size:
            break
        while p == indptr[row + 1]:
            row += 1
            first = 0
        level = log_tails[first] - draws[k]
        low, high = first, log_tails.size  # the last place at or above the level
        while high - low > 1:
            middle = (low + high) // 2
            if log_tails[middle] >= level:
                low = middle
            else:
                high = middle
        if taken[low] != row:
            taken[low] = row
            out_places[p] = low
            p += 1
            while first < log_tails.size and taken[first] == row:
                first += 1
    state[0], state[1], state[2] = row, p, first
