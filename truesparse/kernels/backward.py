"""Backward pass of one sparse layer: the gradient of each connection, used at once.

One input neuron at a time, over its row: each row of delta is loaded once and serves

    the weight gradient   g_ij  = sum_b x_ib delta_jb
    the input gradient    dx_ib = sum_j w_ij delta_jb
    the optimiser step    w_ij -> w_ij'

This is what the kernels do, with whole rows (a number for each sample) in place of
tiles::

    for i in range(n_in):
        input_gradient = 0
        for p in range(indptr[i], indptr[i + 1]):
            weight_gradient = (x[i] * delta[indices[p]]).sum()
            input_gradient += values[p] * delta[indices[p]]
            values[p] = step_weight(rule, values[p], weight_gradient)
        x[i] = input_gradient * derivative(x[i])

No array of gradients exists. Batches wider than a tile take several passes over a row,
with its gradients summed in a scratch as long as the longest row.
"""

import numpy as np

from truesparse.kernels import awake
from truesparse.kernels.activation import NO_GRADIENT, RELU, times_derivative
from truesparse.kernels.arrays import Above, Csr, Moments, Source
from truesparse.kernels.jit import (
    get_thread_id,
    inlined_kernel,
    inner_kernel,
    parallel_kernel,
    prange,
)
from truesparse.kernels.simd import (
    add_scaled,
    ahead,
    columns,
    dot,
    full,
    load,
    prefetch,
    store,
    total,
)
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals
from truesparse.kernels.update import step_range, step_weight

# Positions are unsigned in the loops below: Numba then omits its test for negative
# indices, worth 5 % at batch 128 and 50 % at batch 8 (EPYC, AVX-512, 2026-11).
#
# `full` and `columns` read no array: the type of `tile` gives the size of a tile, the
# type of `delta` its dtype.


@inlined_kernel
def _step_silent(csr, moments, rule, source, i):
    """Update the weights of a silent row, whose gradients are zero.

    Momentum and decay still act. The input is its own delta: zero, since relu's
    derivative is.
    """
    values, zero = csr.values, csr.values.dtype.type(0.0)
    first, second = moments.first, moments.second
    for p in range(np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])):
        step_weight(rule, values, first, second, p, zero)
    if source.code == RELU:
        source.bias_gradient[i] = zero


@inlined_kernel
def _step_weights(tile, csr, moments, rule, source, delta, i):
    """Update the weights of row i; leave its input alone."""
    indices, values = csr.indices, csr.values
    first, second = moments.first, moments.second
    x = load(tile, source.x, i, 0)
    for p in range(np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])):
        prefetch(tile, delta, indices[ahead(p, indices)], 0)
        weight_gradient = dot(x, load(tile, delta, indices[p], 0))
        step_weight(rule, values, first, second, p, weight_gradient)


@inlined_kernel
def _step_narrow(tile, csr, moments, rule, source, delta, i):
    """Update the weights of row i and turn its input into its delta."""
    indices, values = csr.indices, csr.values
    first, second = moments.first, moments.second
    x = load(tile, source.x, i, 0)
    input_gradient = full(tile, delta, 0.0)
    for p in range(np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])):
        prefetch(tile, delta, indices[ahead(p, indices)], 0)
        row = load(tile, delta, indices[p], 0)
        # Before the weight changes.
        input_gradient = add_scaled(input_gradient, values[p], row)
        step_weight(rule, values, first, second, p, dot(x, row))
    new_delta = times_derivative(tile, source, i, 0, x, input_gradient)
    store(source.x, i, 0, new_delta)
    source.bias_gradient[i] = total(new_delta)


@inlined_kernel
def _step_wide(tile, csr, moments, rule, source, delta, i, scratch):
    """Do the same for a batch of several tiles, tile by tile.

    The gradients of the row's connections add up in `scratch`.
    """
    indices, values = csr.indices, csr.values
    first, second = moments.first, moments.second
    start, stop = np.uint64(csr.indptr[i]), np.uint64(csr.indptr[i + 1])
    for p in range(start, stop):
        scratch[p - start] = 0
    bias_gradient = values.dtype.type(0.0)
    for column in range(0, delta.shape[1], columns(tile)):
        x = load(tile, source.x, i, column)
        input_gradient = full(tile, delta, 0.0)
        for p in range(start, stop):
            prefetch(tile, delta, indices[ahead(p, indices)], column)
            row = load(tile, delta, indices[p], column)
            input_gradient = add_scaled(input_gradient, values[p], row)
            scratch[p - start] += dot(x, row)
        if source.code != NO_GRADIENT:
            new_delta = times_derivative(tile, source, i, column, x, input_gradient)
            store(source.x, i, column, new_delta)
            bias_gradient += total(new_delta)
    if source.code != NO_GRADIENT:
        source.bias_gradient[i] = bias_gradient
    for p in range(start, stop):
        step_weight(rule, values, first, second, p, scratch[p - start])


@inner_kernel
def _backward_rows(tile, csr, moments, rule, source, delta, bounds, scratch):
    if delta.shape[1] > columns(tile):
        for i in range(bounds[0], bounds[1]):
            _step_wide(tile, csr, moments, rule, source, delta, i, scratch)
    elif source.code == NO_GRADIENT:
        for i in range(bounds[0], bounds[1]):
            _step_weights(tile, csr, moments, rule, source, delta, i)
    else:
        for i in range(bounds[0], bounds[1]):
            _step_narrow(tile, csr, moments, rule, source, delta, i)


@inner_kernel
def _step_biases(source, rule, bounds):
    moments = Moments(source.bias_first, source.bias_second)
    step_range(rule, source.bias, moments, source.bias_gradient, *bounds)


@inner_kernel
def _run_task(tile, csr, moments, rule, source, bias_rule, above, bounds):
    connections, below, upper = Csr(*csr), Source(*source), Above(*above)
    pass_ = connections, Moments(*moments), rule, below, upper.delta, bounds
    _backward_rows(tile, *pass_, upper.scratch[get_thread_id()])
    if below.code != NO_GRADIENT:
        _step_biases(below, bias_rule, bounds)


@parallel_kernel
def backward(tile, starts, csr, moments, rule, source, bias_rule, above):
    """Update the weights and replace the layer's input by its delta.

    The biases of the layer below, whose gradients are sums of that delta, are updated
    too: it saves a parallel loop a layer.

    Parameters
    ----------
    tile : tuple
        See simd.make_tile; delta.shape[1] is a multiple of its columns.
    starts : (n_tasks + 1,) int64 array
        Input neurons of task t are starts[t] to starts[t + 1].
    csr : Csr
        `values` are updated.
    moments : Moments
        Updated. With the rule StoreGradient, `first` receives the gradients instead.
    rule : Rule
    source : Source
        `x`, `bias` and its moments are written unless its code is NO_GRADIENT.
    bias_rule : Rule
        With StoreGradient, `bias_first` receives the gradients of the biases.
    above : Above
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        bounds = (starts[task], starts[task + 1])
        _run_task(tile, csr, moments, rule, source, bias_rule, above, bounds)
        restore_subnormals(state)


@inner_kernel
def _skip_rows(tile, csr, moments, rule, source, delta, bounds):
    start, stop = bounds
    for group in range(start, stop, awake.GROUP):
        end = min(group + awake.GROUP, stop)
        rows, silent = awake.split(source.x, group, end)
        while rows:
            k, rows = awake.first(rows)
            if source.code == NO_GRADIENT:
                _step_weights(tile, csr, moments, rule, source, delta, group + k)
            else:
                _step_narrow(tile, csr, moments, rule, source, delta, group + k)
        while silent:
            k, silent = awake.first(silent)
            _step_silent(csr, moments, rule, source, group + k)


@inner_kernel
def _skip_task(tile, csr, moments, rule, source, bias_rule, delta, bounds):
    connections, below = Csr(*csr), Source(*source)
    _skip_rows(tile, connections, Moments(*moments), rule, below, delta, bounds)
    if below.code != NO_GRADIENT:
        _step_biases(below, bias_rule, bounds)


@parallel_kernel
def backward_skipping(tile, starts, csr, moments, rule, source, bias_rule, delta):
    """Do the same for a batch of one tile, without the deltas of silent inputs.

    It is a kernel of its own, so that a net compiles only one of the two. The arguments
    are those of `backward`, without scratch; the code of `source` is RELU or
    NO_GRADIENT.
    """
    for task in prange(starts.size - 1):
        state = flush_subnormals()
        bounds = (starts[task], starts[task + 1])
        _skip_task(tile, csr, moments, rule, source, bias_rule, delta, bounds)
        restore_subnormals(state)
