"""Ranks by size within groups, such as the inputs of a neuron."""

import numpy as np

from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange


@inner_kernel
def _rank_range(bounds, sizes, out_ranks, first, last):
    for group in range(first, last):
        start, stop = bounds[group], bounds[group + 1]
        # Most groups are short, and comparing all pairs needs no memory.
        if stop - start > 64:
            order = np.argsort(-sizes[start:stop], kind="mergesort")
            for rank in range(order.size):
                out_ranks[start + order[rank]] = rank
            continue
        for p in range(start, stop):
            rank = 0
            for q in range(start, stop):
                rank += sizes[q] > sizes[p] or (sizes[q] == sizes[p] and q < p)
            out_ranks[p] = rank


@parallel_kernel
def rank_groups(starts, bounds, sizes, out_ranks):
    """Write the rank of every entry within its group; the largest has rank 0.

    Parameters
    ----------
    starts : (n_tasks + 1,) int64 array
        Groups of task t are starts[t] to starts[t + 1].
    bounds : (n_groups + 1,) int64 array
        Entries of group g are bounds[g] to bounds[g + 1].
    sizes : (k,) float array
        Among equal sizes, the first has the lower rank.
    out_ranks : (k,) int32 array
    """
    for task in prange(starts.size - 1):
        _rank_range(bounds, sizes, out_ranks, starts[task], starts[task + 1])
