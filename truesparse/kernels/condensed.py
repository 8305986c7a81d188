"""Products of a layer whose neurons all have k inputs: y_i = f(b_i + sum_j w_ij x_c).

c = inputs[i, j]. Weights and inputs are stored for blocks of 16 neurons, row j of a
block holding the j-th connection of each, so that for one sample a vector lane is a
neuron: no row pointers, no sum across lanes, no remainder. Such a product is as slow as
fetching x one number at a time; the instruction here reads two indices with one load of
64 bits.

One sample through 768 x 3072 at 90 % sparsity, one thread: 57 us; with an index a load
70, with gather instructions 105, with a neuron a row 75 and more (EPYC 7003, 2026-11).
16-bit indices would take 52, for a second kind of every kernel. With AVX-512,
kernels/windows.py takes a third, in the cache.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.activation import activate_rows, infer_rows
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
    """Connections of a layer of constant fan-in k; the last block may be padded."""

    weights: np.ndarray  # (n_blocks * k, 16) float
    inputs: np.ndarray  # (n_blocks * k, 16) int32
    bias: np.ndarray  # (n_blocks, 16) float


def pack_blocks(rows):
    """Return (n, k) as blocks of 16 rows, (n_blocks * k, 16), the last padded by 0."""
    n, k = rows.shape
    block, lane = np.divmod(np.arange(n), LANES)
    out = aligned_zeros((-(-n // LANES), k, LANES), rows.dtype)
    out[block, :, lane] = rows
    return out.reshape(len(out) * k, LANES)


def unpack_blocks(blocks, n, k):
    """Return the (n, k) array that pack_blocks was given."""
    block, lane = np.divmod(np.arange(n), LANES)
    return blocks.reshape(-(-n // LANES), k, LANES)[block, :, lane]


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
def _one_sample(blocks, x, out, code, parameter, start, stop):
    weights, inputs, tile = blocks.weights, blocks.inputs, (0,)
    fan_in = weights.shape[0] // max(blocks.bias.shape[0], 1)
    rows = out.reshape(out.size // LANES, LANES)
    for block in range(start, stop):
        sums = load(tile, blocks.bias, block, 0)
        for row in range(block * fan_in, (block + 1) * fan_in):
            sums = add_gathered(sums, load(tile, weights, row, 0), x, inputs, row)
        store(rows, block, 0, sums)
    infer_rows(code, parameter, rows, start, stop)


@kernel
def one_sample(x, out, code, parameter, *fields):
    """Compute out = f(bias + W^T x) of one sample, on one thread.

    Parameters
    ----------
    x : (n_in,) float array
    out : (m, 16 or a multiple) float array
        The neurons in order; numbers beyond the last neuron have no meaning.
    code, parameter : int, float
        The fields of an Activation.
    *fields
        The fields of Blocks. Numba looks at them faster than at the whole.
    """
    blocks = Blocks(*fields)
    state = flush_subnormals()
    _one_sample(blocks, x, out, code, parameter, 0, blocks.bias.shape[0])
    restore_subnormals(state)


@parallel_kernel
def one_sample_parallel(x, out, code, parameter, task_size, *fields):
    """Do the same on all threads, `task_size` blocks a task."""
    blocks = Blocks(*fields)
    n_blocks = blocks.bias.shape[0]
    for task in prange((n_blocks + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, n_blocks)
        _one_sample(blocks, x, out, code, parameter, start, stop)
        restore_subnormals(state)


@inner_kernel
def _four_rows(tile, blocks, x, out, block, lane):
    """Compute the sums of four neighbouring neurons at once, to hide latency."""
    weights, inputs, bias = blocks.weights, blocks.inputs, blocks.bias
    fan_in = weights.shape[0] // bias.shape[0]
    first = block * LANES + lane
    for column in range(0, x.shape[1], columns(tile)):
        a = full(tile, x, bias[block, lane])
        b = full(tile, x, bias[block, lane + 1])
        c = full(tile, x, bias[block, lane + 2])
        d = full(tile, x, bias[block, lane + 3])
        for row in range(block * fan_in, (block + 1) * fan_in):
            i = inputs[row, lane]
            a = add_scaled(a, weights[row, lane], load(tile, x, i, column))
            i = inputs[row, lane + 1]
            b = add_scaled(b, weights[row, lane + 1], load(tile, x, i, column))
            i = inputs[row, lane + 2]
            c = add_scaled(c, weights[row, lane + 2], load(tile, x, i, column))
            i = inputs[row, lane + 3]
            d = add_scaled(d, weights[row, lane + 3], load(tile, x, i, column))
        store(out, first, column, a)
        store(out, first + 1, column, b)
        store(out, first + 2, column, c)
        store(out, first + 3, column, d)


@inner_kernel
def _many_samples(tile, blocks, x, out, activation, start, stop):
    for block in range(start, stop):
        for lane in range(0, LANES, 4):
            _four_rows(tile, blocks, x, out, block, lane)
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
