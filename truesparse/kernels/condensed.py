"""Products by output neuron for few samples: y_i = f(b_i + sum_c w_ic x_c).

Weights and inputs are stored for blocks of 16 neurons, a row of a block holding a
connection of each, so that for one sample a vector lane is a neuron: no row pointers,
no sum across lanes, no remainder. A block has as many rows as its neuron of most
connections; the others are padded by weights 0 of input 0. Where neurons differ in
their number of connections they are sorted by it, so that little is padded
(SELL-C-sigma: Kreutzer et al., SIAM J. Sci. Comput. 36, 2014; here C = 16 and sigma is
the whole layer). Every neuron adds up its inputs in the order given, so that its place
changes no bit.

Such a product is as slow as fetching x one number at a time; the instruction here reads
two indices with one load of 64 bits. One sample through 768 x 3072 at 90 % sparsity,
one thread: 57 us; with an index a load 70, with gather instructions 105, with a neuron
a row 75 and more (EPYC 7003, 2026-11). 16-bit indices would take 52, for a second kind
of every kernel. With AVX-512, kernels/windows.py takes a third, in the cache.

A sample with infinity or NaN takes a loop that looks at no padding: times 0, it would
spoil the sums of neurons that have nothing to do with it.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.activation import activate_row, activate_rows, infer_rows
from truesparse.kernels.addresses import as_rows, as_vector
from truesparse.kernels.aligned import aligned_zeros
from truesparse.kernels.jit import inner_kernel, kernel, parallel_kernel, prange
from truesparse.kernels.simd import (
    LANES,
    VectorType,
    add_scaled,
    columns,
    full,
    load,
    multiply_add,
    store,
)
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


class Blocks(NamedTuple):
    """Connections of a layer, a neuron a lane."""

    weights: np.ndarray  # (n_rows, 16) float
    inputs: np.ndarray  # (n_rows, 16) int32
    bias: np.ndarray  # (n_blocks, 16) float
    first: np.ndarray  # (n_blocks + 1,) int64: first row of every block
    counts: np.ndarray  # (n_blocks, 16) int32: connections without the padding
    order: np.ndarray  # (n_blocks * 16,) int32: neuron of each lane; (0,) for 0, 1, ...


def sort_by_fan_in(indptr):
    """Return the order in which neurons are packed, most connections first.

    Parameters
    ----------
    indptr : (n + 1,) int64 array

    Returns
    -------
    (n_blocks * 16,) int32 array
        (0,) where the fan-ins differ by one at most. Numbers from n on are padding.
    """
    counts = np.diff(indptr)
    if counts.size == 0 or counts.max() - counts.min() <= 1:
        return np.empty(0, np.int32)
    order = np.arange(-(-counts.size // LANES) * LANES, dtype=np.int32)
    order[: counts.size] = np.argsort(-counts, kind="stable")
    return order


def pack_blocks(indptr, inputs, weights, bias, order):
    """Return the Blocks of a layer.

    Parameters
    ----------
    indptr : (n + 1,) int64 array
    inputs : (nnz,) int32 array
    weights : (nnz,) float array
    bias : (n,) float array
    order : array
        Return value of `sort_by_fan_in`.
    """
    n = bias.size
    n_blocks = -(-n // LANES)
    counts = np.zeros(n_blocks * LANES, np.int32)
    counts[:n] = np.diff(indptr)
    sorted_bias = aligned_zeros((n_blocks, LANES), bias.dtype)
    sorted_bias.ravel()[:n] = bias
    neurons = np.arange(n, dtype=np.int32)
    if order.size:
        neurons = order[:n]  # what is padding comes last
        counts = counts[order]
        sorted_bias.ravel()[:] = sorted_bias.ravel()[order]
    counts = counts.reshape(n_blocks, LANES)
    first = np.zeros(n_blocks + 1, np.int64)
    np.cumsum(counts.max(1, initial=0), out=first[1:])
    blocks = Blocks(
        aligned_zeros((first[-1], LANES), weights.dtype),
        aligned_zeros((first[-1], LANES), np.int32),
        sorted_bias,
        first,
        counts,
        order,
    )
    _fill(indptr, inputs, weights, neurons, first, *blocks[:2])
    return blocks


@kernel
def _fill(indptr, inputs, weights, neurons, first, out_weights, out_inputs):
    """Write the connections of every lane into its block."""
    for place in range(neurons.size):
        block, lane = divmod(place, LANES)
        row, neuron = first[block], neurons[place]
        for k in range(indptr[neuron + 1] - indptr[neuron]):
            out_weights[row + k, lane] = weights[indptr[neuron] + k]
            out_inputs[row + k, lane] = inputs[indptr[neuron] + k]


def unpack_blocks(blocks, n):
    """Return indptr, inputs and weights of n neurons, as `pack_blocks` takes them."""
    places = np.arange(n)
    if blocks.order.size:
        places = np.argsort(blocks.order, kind="stable")[:n]
    counts = blocks.counts.ravel()[places].astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    block, lane = np.divmod(np.repeat(places, counts), LANES)
    rows = blocks.first[block] + np.arange(block.size) - np.repeat(indptr[:-1], counts)
    return indptr, blocks.inputs[rows, lane], blocks.weights[rows, lane]


@intrinsic
def add_gathered(typingctx, total, weights, x, inputs, row):
    """Return total + weights * x[inputs[row]], lane by lane.

    `total` and `weights` are tiles of 16 numbers, `inputs` an (m, 16) int32 array.
    """
    if not isinstance(total, VectorType) or (total.lanes, total.count) != (LANES, 1):
        return None

    def codegen(context, builder, signature, arguments):
        accumulator, factors, source, index, i = arguments
        numbers = context.make_array(signature.args[2])(context, builder, source).data
        cells = context.make_array(signature.args[3])(context, builder, index).data
        be_type = context.get_value_type(signature.return_type).element
        gathered = ir.Constant(be_type, ir.Undefined)
        start = builder.mul(i, ir.Constant(_INT64, LANES))
        for lane in range(0, LANES, 2):
            position = builder.add(start, ir.Constant(_INT64, lane))
            cell = builder.bitcast(builder.gep(cells, [position]), _INT64.as_pointer())
            pair = builder.load(cell, align=4)
            low = builder.and_(pair, ir.Constant(_INT64, 0xFFFFFFFF))
            high = builder.lshr(pair, ir.Constant(_INT64, 32))
            # The first index in memory is the low half on every machine Numba knows
            # but s390x.
            for offset, which in enumerate((low, high)):
                number = builder.load(builder.gep(numbers, [which]))
                place = ir.Constant(_INT32, lane + offset)
                gathered = builder.insert_element(gathered, number, place)
        parts = [builder.extract_value(v, 0) for v in (factors, accumulator)]
        result = multiply_add(builder, parts[0], gathered, parts[1])
        return builder.insert_value(accumulator, result, 0)

    return total(total, total, x, inputs, types.int64), codegen


if jit.DISABLED:

    def add_gathered(total, weights, x, inputs, row):
        """Do the same in NumPy."""
        return total + weights * x[inputs[row]]


@inner_kernel
def is_finite(x):
    """Whether a vector holds neither infinity nor NaN."""
    largest = x.dtype.type(np.inf)
    wrong = 0
    for i in range(x.size):
        wrong += not -largest < x[i] < largest
    return wrong == 0


@inner_kernel
def _padded_sums(blocks, x, rows, start, stop):
    weights, inputs, first, tile = blocks.weights, blocks.inputs, blocks.first, (0,)
    for block in range(start, stop):
        sums = load(tile, blocks.bias, block, 0)
        for row in range(first[block], first[block + 1]):
            sums = add_gathered(sums, load(tile, weights, row, 0), x, inputs, row)
        store(rows, block, 0, sums)


@inner_kernel
def _exact_sums(blocks, x, rows, start, stop):
    weights, inputs, first = blocks.weights, blocks.inputs, blocks.first
    for block in range(start, stop):
        for lane in range(LANES):
            total = blocks.bias[block, lane]
            for k in range(blocks.counts[block, lane]):
                row = first[block] + k
                total += weights[row, lane] * x[inputs[row, lane]]
            rows[block, lane] = total


@inner_kernel
def put_in_order(order, rows, out, start, stop):
    """Copy numbers start to stop of `rows` to their neurons' places in `out`."""
    sums, neurons = as_vector(rows), as_vector(out)
    for place in range(start, min(stop, order.size)):
        neurons[order[place]] = sums[place]


@inner_kernel
def split_room(order, out):
    """Return the part of `out` for lanes as they are packed: the second, if sorted."""
    return out[out.shape[0] // 2 :] if order.size > 0 else out


@inner_kernel
def some_blocks(blocks, x, out, finite, code, parameter, start, stop):
    """Compute blocks start to stop of f(bias + W^T x) of one sample.

    Parameters
    ----------
    blocks : Blocks
    x : (n_in or more,) float array
    out : (m, 16 or a multiple) float array
        The neurons in order; numbers beyond the last neuron have no meaning. If the
        blocks are sorted, the second half is room for them.
    finite : bool
        Whether x is, see `is_finite`.
    code, parameter : int, float
        The fields of an Activation.
    start, stop : int
    """
    part = split_room(blocks.order, out)
    rows = as_rows(part, LANES)
    if finite:
        _padded_sums(blocks, x, rows, start, stop)
    else:
        _exact_sums(blocks, x, rows, start, stop)
    infer_rows(code, parameter, rows, start, stop)
    put_in_order(blocks.order, rows, out, start * LANES, stop * LANES)


@inner_kernel
def _row_of(blocks, place):
    """Return the row of `out` that a lane belongs to."""
    return blocks.order[place] if blocks.order.size > 0 else np.int32(place)


@inner_kernel
def _finish_row(tile, blocks, x, out, sums, place, done, column):
    """Add a neuron's connections from number `done` on, and write its sum."""
    block, lane = divmod(place, LANES)
    first = blocks.first[block]
    for row in range(first + done, first + blocks.counts[block, lane]):
        weight, i = blocks.weights[row, lane], blocks.inputs[row, lane]
        sums = add_scaled(sums, weight, load(tile, x, i, column))
    store(out, _row_of(blocks, place), column, sums)


@inner_kernel
def _four_rows(tile, blocks, x, out, place):
    """Compute the sums of four neighbouring lanes at once, to hide latency."""
    weights, inputs, bias = blocks.weights, blocks.inputs, blocks.bias
    block, lane = divmod(place, LANES)
    first, counts = blocks.first[block], blocks.counts[block, lane : lane + 4]
    done = min(min(counts[0], counts[1]), min(counts[2], counts[3]))
    for column in range(0, x.shape[1], columns(tile)):
        a = full(tile, x, bias[block, lane])
        b = full(tile, x, bias[block, lane + 1])
        c = full(tile, x, bias[block, lane + 2])
        d = full(tile, x, bias[block, lane + 3])
        for row in range(first, first + done):
            i = inputs[row, lane]
            a = add_scaled(a, weights[row, lane], load(tile, x, i, column))
            i = inputs[row, lane + 1]
            b = add_scaled(b, weights[row, lane + 1], load(tile, x, i, column))
            i = inputs[row, lane + 2]
            c = add_scaled(c, weights[row, lane + 2], load(tile, x, i, column))
            i = inputs[row, lane + 3]
            d = add_scaled(d, weights[row, lane + 3], load(tile, x, i, column))
        _finish_row(tile, blocks, x, out, a, place, done, column)
        _finish_row(tile, blocks, x, out, b, place + 1, done, column)
        _finish_row(tile, blocks, x, out, c, place + 2, done, column)
        _finish_row(tile, blocks, x, out, d, place + 3, done, column)


@inner_kernel
def _many_samples(tile, blocks, x, out, activation, start, stop):
    for place in range(start * LANES, stop * LANES, 4):
        _four_rows(tile, blocks, x, out, place)
    if blocks.order.size > 0:
        for place in range(start * LANES, stop * LANES):
            activate_row(activation, out, out, blocks.order[place])
    else:
        activate_rows(activation, out, out, start * LANES, stop * LANES)


@parallel_kernel
def many_samples(tile, blocks, x, out, activation, task_size):
    """Compute out = f(bias + W^T x) of a batch, feature by feature.

    Parameters
    ----------
    tile : tuple
        See simd.make_tile; x.shape[1] is a multiple of its columns.
    blocks : Blocks
    x : (n_in, columns) float array
    out : (n_blocks * 16, columns) float array
    activation : Activation
        For inference.
    task_size : int
        Blocks a task.
    """
    n_blocks = blocks.bias.shape[0]
    for task in prange((n_blocks + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, n_blocks)
        _many_samples(tile, blocks, x, out, activation, start, stop)
        restore_subnormals(state)
