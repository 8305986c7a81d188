"""Drawing one link after the other, where each depends on those before it.

Random numbers are drawn outside. How many are needed is not known before, as links that
exist already are drawn again: a kernel stops when it has used up its numbers, and goes
on from its `state` when called with more.
"""

from truesparse.kernels.jit import kernel


@kernel
def attach_by_degree(draws, state, taken, out_ends):
    """Link new nodes to earlier ones, with probability proportional to their degree.

    A uniform entry of the list of all ends is a node drawn by degree (Barabasi and
    Albert, Science 1999). The targets of one node are distinct and older than it.

    Parameters
    ----------
    draws : (n,) float64 array
        Uniform in [0, 1).
    state : (2,) int64 array
        Links that are complete, and the first link of the present node; both are the
        number of links given, on the first call.
    taken : (n_nodes,) int64 array
        The last node that was linked to each; -1 on the first call.
    out_ends : (2 * n_links,) int64 array
        Link e joins nodes out_ends[2 * e], which is given, links of one node side by
        side, and out_ends[2 * e + 1], which is written.
    """
    link, first = state[0], state[1]
    n_links = out_ends.size // 2
    for k in range(draws.size):
        if link == n_links:
            break
        node = out_ends[2 * link]
        if link > 0 and out_ends[2 * link - 2] != node:
            first = link
        if first == 0:
            target = int(draws[k] * node)  # no link yet: any earlier node
        else:
            target = out_ends[int(draws[k] * (2 * first))]
        if taken[target] != node:
            taken[target] = node
            out_ends[2 * link + 1] = target
            link += 1
    state[0], state[1] = link, first


@kernel
def draw_by_tail(draws, state, indptr, log_tails, taken, out_places):
    """Draw distinct places for every row, one by one, by weights that never increase.

    The law is cut off below the first place that is free, so that however steep it is
    few are drawn twice; of a flat one, a row's last places take many draws.

    Parameters
    ----------
    draws : (n,) float64 array
        Standard exponential: minus the logarithm of uniform numbers.
    state : (3,) int64 array
        Row, links drawn, and the row's first free place; 0 on the first call.
    indptr : (n_rows + 1,) int64 array
        Row i draws links indptr[i] to indptr[i + 1], at most n_places.
    log_tails : (n_places,) float64 array
        Logarithm of the sum of the weights from each place on.
    taken : (n_places,) int64 array
        The last row that drew each place; -1 on the first call.
    out_places : (nnz,) int64 array
    """
    row, link, first = state[0], state[1], state[2]
    for k in range(draws.size):
        if link == out_places.size:
            break
        while link == indptr[row + 1]:
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
            out_places[link] = low
            link += 1
            while first < log_tails.size and taken[first] == row:
                first += 1
    state[0], state[1], state[2] = row, link, first
