"""Gradients of connections that do not exist: g_ij = sum_b x_ib delta_jb on a list.

Every gradient-guided growth method scores its candidates with this; a dense gradient
is never needed.
"""

from truesparse.jit import inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import columns, dot, load
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals


@inner_kernel
def _candidate_range(tile, rows, cols, x, delta, out, start, stop):
    for p in range(start, stop):
        gradient = out.dtype.type(0.0)
        for column in range(0, x.shape[1], columns(tile)):
            inputs = load(tile, x, rows[p], column)
            gradient += dot(inputs, load(tile, delta, cols[p], column))
        out[p] = gradient


@parallel_kernel
def candidate_gradients(tile, rows, cols, x, delta, task_size, out):
    """Write the gradient of each candidate connection (rows[p], cols[p]) to out[p].

    Parameters
    ----------
    tile : tuple
        See simd.make_tile.
    rows, cols : (n_candidates,) int32 arrays
        Input and output neurons.
    x : (n_in, columns) float array
    delta : (n_out, columns) float array
    task_size : int
        Candidates a task.
    out : (n_candidates,) float array
    """
    for task in prange((rows.size + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, rows.size)
        _candidate_range(tile, rows, cols, x, delta, out, start, stop)
        restore_subnormals(state)
