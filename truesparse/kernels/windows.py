"""One sample through neurons that all have k inputs, x looked up in registers.

Fetching x one number at a time bounds kernels/condensed.py. AVX-512 looks up 16
numbers at once, among 32 in two registers. So the connections are put in an order in
which neighbouring neurons need x at neighbouring places: in a *step*, 64 neurons take
a connection each from the same *window* of 64 inputs, which four registers hold. Who
has none there waits, with a weight of 0. At 90 % sparsity, that makes 1.35 weights a
connection.

Every neuron still adds up its inputs in ascending order, so results are those of
kernels/condensed.py to the bit. A sample with infinity or NaN is left to it, as those
times 0 would reach who waits.

One sample through 768 x 3072 at 90 % sparsity, one thread: 23 us instead of 49. Windows
of 32 inputs take 26, with 1.8 weights a connection, of 128 inputs 36; 32 neurons a step
take 26, 16 take 37; a quarter more where weights and x are not aligned (EPYC 9004,
2026-11).
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from truesparse import jit
from truesparse.aligned import aligned_zeros
from truesparse.jit import inner_kernel, kernel, parallel_kernel, prange
from truesparse.kernels.activation import infer_rows
from truesparse.kernels.simd import (
    LANES,
    VectorType,
    _element_pointer,
    _multiply_add,
    load,
    store,
)
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals

VECTORS = 4  # of a window, and of the neurons of a step
NEURONS = WINDOW = VECTORS * LANES
_HALF = WINDOW // 2  # inputs that one instruction chooses from
_INT32 = ir.IntType(32)
_EXPONENT = np.int32(0x7F800000)  # all of it set: infinity or NaN
# A step costs less than half of what 64 connections do otherwise, but fills memory.
_MOST_WEIGHTS = 2  # a connection


class Windows(NamedTuple):
    """Connections of a layer in steps, and room for a sample."""

    weights: np.ndarray  # (n_steps, 64) float32; 0 for who waits
    places: np.ndarray  # (n_steps, 16) uint32: four bytes, inputs in the window
    starts: np.ndarray  # (n_steps,) int64: first input of the window
    first: np.ndarray  # (n_groups + 1,) int64: first step of every 64 neurons
    bias: np.ndarray  # (n_groups, 64) float32
    x: np.ndarray  # (1, n_in and more) float32
    n_in: int


def pack_windows(weights, inputs, bias, n_in):
    """Return the Windows of a layer, or None where they are no gain.

    Parameters
    ----------
    weights : (n, k) float32 array
        Connections of weight 0 are left out.
    inputs : (n, k) int32 array
        Ascending in a row.
    bias : (n,) float32 array
    n_in : int
    """
    n, k = weights.shape
    n_groups = -(-n // NEURONS)
    # Rows end in a connection that is none, and the last group in such rows.
    rows = np.full((n_groups * NEURONS, k + 1), n_in, np.int32)
    rows[:n, :k] = np.where(weights != 0, inputs, n_in)
    order = rows.argsort(1, kind="stable")
    values = np.zeros(rows.shape, np.float32)
    values[:n, :k] = weights
    values = np.take_along_axis(values, order, 1).ravel()
    rows = np.take_along_axis(rows, order, 1).ravel()

    at = np.arange(0, rows.size, k + 1).reshape(n_groups, NEURONS)
    groups, steps, counts = np.arange(n_groups), [], np.zeros(n_groups, np.int64)
    while (groups := groups[rows[at[groups]].min(1, initial=n_in) < n_in]).size:
        counts[groups] += 1
        if counts.sum() * NEURONS > _MOST_WEIGHTS * n * k:
            return None
        now = at[groups]
        # The window holds the lowest input that is still to be taken, and starts with
        # a cache line.
        starts = rows[now].min(1) // LANES * LANES
        places = rows[now] - starts[:, None]
        takes = (places < WINDOW) & (rows[now] < n_in)
        places, chosen = np.where(takes, places, 0), np.where(takes, values[now], 0)
        steps.append((groups, starts, places, chosen))
        at[groups] += takes

    first = np.concatenate([[0], counts.cumsum()])
    windows = Windows(
        aligned_zeros((first[-1], NEURONS), np.float32),
        aligned_zeros((first[-1], LANES), np.uint32),
        np.zeros(first[-1], np.int64),
        first,
        aligned_zeros((n_groups, NEURONS), np.float32),
        aligned_zeros((1, n_in + WINDOW), np.float32),
        n_in,
    )
    windows.bias.ravel()[:n] = bias
    bits = np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    for number, (groups, starts, places, chosen) in enumerate(steps):
        step = first[groups] + number
        windows.starts[step], windows.weights[step] = starts, chosen
        bytes_ = places.astype(np.uint32).reshape(-1, VECTORS, LANES) << bits
        windows.places[step] = bytes_.sum(1, dtype=np.uint32)
    return windows


@intrinsic
def add_looked_up(typingctx, total, weights, window, places, step):
    """Return total + weights * window[places], number by number of tiles of 64.

    Byte v of ``places[step, lane]`` belongs to number 16 v + lane.
    """
    tiles = total, weights, window
    if any(not isinstance(t, VectorType) or t.count != VECTORS for t in tiles):
        return None

    def codegen(context, builder, signature, arguments):
        result, factors, table, data, i = arguments
        vector = context.get_value_type(signature.return_type).element
        index, zero = ir.VectorType(_INT32, LANES), ir.Constant(ir.IntType(64), 0)
        choose = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector, index, vector]),
            "llvm.x86.avx512.vpermi2var.ps.512",
        )
        pointer = _element_pointer(context, builder, places, data, i, zero)
        words = builder.load(builder.bitcast(pointer, index.as_pointer()), align=4)
        parts = [builder.extract_value(table, v) for v in range(VECTORS)]
        for v in range(VECTORS):
            # It looks at the lowest five bits alone.
            place = builder.lshr(words, ir.Constant(index, [8 * v] * LANES))
            low, high = (
                builder.call(choose, [parts[k], place, parts[k + 1]]) for k in (0, 2)
            )
            half = builder.and_(place, ir.Constant(index, [_HALF] * LANES))
            in_high = builder.icmp_unsigned("!=", half, ir.Constant(index, None))
            number = builder.select(in_high, high, low)
            pair = [builder.extract_value(tile, v) for tile in (factors, result)]
            part = _multiply_add(builder, pair[0], number, pair[1])
            result = builder.insert_value(result, part, v)
        return result

    return total(total, weights, window, places, types.int64), codegen


if jit.DISABLED:

    def add_looked_up(total, weights, window, places, step):
        """Do the same in NumPy."""
        bits = np.arange(0, 32, 8, dtype=np.uint32)[:, None]
        return total + weights * window[(places[step] >> bits & 255).ravel()]


@inner_kernel
def _take(x, windows):
    """Copy the sample to where no vector straddles a cache line; tell if finite."""
    bits, room, highest = x.view(np.int32), windows.x.view(np.int32), np.int32(0)
    for i in range(windows.n_in):
        room[0, i] = bits[i]
        highest = max(highest, bits[i] & _EXPONENT)
    return highest < _EXPONENT


@inner_kernel
def _some_groups(windows, out, code, parameter, start, stop):
    weights, places, x = windows.weights, windows.places, windows.x
    tile = (0, 0, 0, 0)
    for group in range(start, stop):
        sums = load(tile, windows.bias, group, 0)
        for step in range(windows.first[group], windows.first[group + 1]):
            window = load(tile, x, 0, windows.starts[step])
            factors = load(tile, weights, step, 0)
            sums = add_looked_up(sums, factors, window, places, step)
        store(out, group, 0, sums)
    infer_rows(code, parameter, out, start, stop)


@kernel
def one_sample_by_windows(x, out, code, parameter, *fields):
    """Compute out = f(bias + W^T x) of one sample, on one thread, with AVX-512.

    Parameters
    ----------
    x : (n_in or more,) float32 array
    out : (n_groups, 64) float32 array
        The neurons in order; what follows the last one means nothing.
    code, parameter : int, float
        Of an Activation.
    *fields
        Of Windows, whose room for x is written to. A NamedTuple would take 0.7 us more
        to be looked at.

    Returns
    -------
    bool
        False, and nothing is computed, if x has a number that is not finite.
    """
    windows = Windows(*fields)
    finite = _take(x, windows)
    if finite:
        state = flush_subnormals()
        _some_groups(windows, out, code, parameter, 0, out.shape[0])
        restore_subnormals(state)
    return finite


@parallel_kernel
def one_sample_by_windows_parallel(x, out, code, parameter, task_size, *fields):
    """Do the same on all threads, `task_size` groups of 64 neurons a task."""
    windows = Windows(*fields)
    finite, n_groups = _take(x, windows), out.shape[0]
    if finite:
        for task in prange((n_groups + task_size - 1) // task_size):
            state = flush_subnormals()
            start = task * task_size
            stop = min(start + task_size, n_groups)
            _some_groups(windows, out, code, parameter, start, stop)
            restore_subnormals(state)
    return finite
