"""One sample through packed neurons, x looked up in registers.

Fetching x one number at a time bounds kernels/condensed.py. AVX-512 looks up 16
numbers at once, among 32 in two registers. So the connections are put in an order in
which neighbouring neurons need x at neighbouring places: in a *step*, 64 neurons take
a connection each from the same *window* of inputs, which registers hold. A neuron
without a connection there waits, with a weight of 0.

A window has 32 inputs where the layer then fits the cache, else 64, or there are no
windows, see sparse/condensed_layer.py: at 90 % sparsity they store 1.57 and 1.30
weights a connection, and a step takes 2.5 and 4.3 ns in the cache, 11 either way
outside (Xeon with AVX-512 FP16, 2026-11).

Every neuron still adds up its inputs in ascending order, so results equal those of
kernels/condensed.py to the bit, except for the sign of zeros. A sample with infinity or
NaN is left to condensed.py: times 0, it would spoil the sums of neurons that wait.

One sample through 768 x 1536 at 90 % sparsity, one thread: 8 us instead of 30 on that
Xeon, 10 with the wide windows. No gain came from fetching steps ahead, from 32 neurons
a step, or from groups of neurons with similar inputs (1.49 weights a connection).
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.activation import infer_rows
from truesparse.kernels.addresses import as_rows
from truesparse.kernels.aligned import aligned_zeros
from truesparse.kernels.condensed import put_in_order, split_room
from truesparse.kernels.jit import inner_kernel
from truesparse.kernels.simd import (
    LANES,
    VectorType,
    element_pointer,
    load,
    multiply_add,
    store,
)

VECTORS = 4  # of the neurons of a step: their places are the bytes of a word
NEURONS = VECTORS * LANES
PAIR = 2 * LANES  # inputs that one instruction chooses from
NARROW, WIDE = PAIR, 2 * PAIR  # windows
STEP_BYTES = 5 * NEURONS  # a weight and a place for each neuron
# From a word to its four bytes.
_SHIFTS = np.arange(0, 32, 8, dtype=np.uint32)[:, None]
_AT_ONCE = 1 << 19  # connections packed at a time, so that memory is bounded
_INT32 = ir.IntType(32)


class Windows(NamedTuple):
    """Connections of a layer in steps."""

    weights: np.ndarray  # (n_steps, 64) float32; 0 for a neuron that waits
    places: np.ndarray  # (n_steps, 16) uint32: four bytes, inputs in the window
    starts: np.ndarray  # (n_steps,) int64: first input of the window
    first: np.ndarray  # (n_groups + 1,) int64: first step of every 64 neurons
    bias: np.ndarray  # (n_groups, 64) float32
    order: np.ndarray  # as in Blocks
    n_in: int


def pack_windows(indptr, inputs, weights, bias, order, n_in, width, most_weights):
    """Return the Windows of a layer, or None if they do not fit.

    Parameters
    ----------
    indptr : (n + 1,) int64 array
    inputs : (nnz,) int32 array
        Ascending for each neuron.
    weights : (nnz,) float32 array
        Connections of weight 0 are left out.
    bias : (n,) float32 array
    order : array
        Return value of condensed.sort_by_fan_in.
    n_in : int
    width : int
        Inputs of a window, NARROW or WIDE.
    most_weights : int
        The most weights to store, those of waiting neurons included.
    """
    if n_in < width or np.count_nonzero(weights) > most_weights:
        return None
    indptr, inputs, weights = _without_zeros(indptr, inputs, weights)
    n = bias.size
    neurons = order[:n] if order.size else np.arange(n)
    counts = np.diff(indptr)[neurons]
    # A group takes as many steps as its neuron of most connections, or more. This also
    # bounds the memory of the rectangles below.
    groups = np.arange(0, n, NEURONS)
    most = np.maximum.reduceat(counts, groups) if n else counts
    if most.sum() * NEURONS > most_weights:
        return None
    parts, room, start = [], most_weights // NEURONS, 0
    while start < max(n, 1):
        k = int(most[start // NEURONS :].max(initial=0))
        stop = start + max(1, _AT_ONCE // (k + 1) // NEURONS) * NEURONS
        rows = _rectangle(indptr, inputs, weights, neurons[start:stop], n_in, k)
        part = _pack_some(*rows, n_in, width, room)
        if part is None:
            return None
        parts.append(part)
        room -= len(part[1])
        start = stop
    counts, *steps = zip(*parts, strict=True)
    first = np.concatenate([[0], np.concatenate(counts).cumsum()])
    windows = Windows(
        aligned_zeros((first[-1], NEURONS), np.float32),
        aligned_zeros((first[-1], LANES), np.uint32),
        np.zeros(first[-1], np.int64),
        first,
        aligned_zeros((len(first) - 1, NEURONS), np.float32),
        order,
        n_in,
    )
    windows.bias.ravel()[:n] = bias[neurons]
    for out, arrays in zip(windows[:3], steps, strict=True):
        np.concatenate(arrays, out=out)
    return windows


def _without_zeros(indptr, inputs, weights):
    stays = weights != 0
    if stays.all():
        return indptr, inputs, weights
    before = np.concatenate([[0], np.cumsum(stays)])
    return before[indptr], inputs[stays], weights[stays]


def _rectangle(indptr, inputs, weights, neurons, n_in, k):
    """Return inputs and weights of some neurons as (m, k + 1) arrays, m full groups.

    Input n_in stands for no connection: it ends each row and fills the last group.
    """
    shape = -(-len(neurons) // NEURONS) * NEURONS, k + 1
    rows, values = np.full(shape, n_in, np.int32), np.zeros(shape, np.float32)
    starts, counts = indptr[neurons], np.diff(indptr)[neurons]
    taken = np.arange(k + 1) < counts[:, None]
    row, place = np.nonzero(taken)
    cells = starts[row] + place
    rows[row, place], values[row, place] = inputs[cells], weights[cells]
    return rows, values


def _pack_some(rows, values, n_in, width, most_steps):
    """Return the number of steps of each 64 neurons, and weights, places, starts.

    Return None if there are more than `most_steps`.
    """
    n_groups, length = len(rows) // NEURONS, rows.shape[1]
    rows, values = rows.ravel(), values.ravel()
    at = np.arange(0, rows.size, length).reshape(n_groups, NEURONS)
    groups, steps, counts = np.arange(n_groups), [], np.zeros(n_groups, np.int64)
    while (groups := groups[rows[at[groups]].min(1, initial=n_in) < n_in]).size:
        counts[groups] += 1
        if counts.sum() > most_steps:
            return None
        now = at[groups]
        # No window holds n_in, the end of a row.
        starts = np.minimum(rows[now].min(1), n_in - width)
        places = rows[now] - starts[:, None]
        takes = places < width
        places, chosen = np.where(takes, places, 0), np.where(takes, values[now], 0)
        steps.append((groups, chosen, _join(places), starts))
        at[groups] += takes

    first = counts.cumsum() - counts
    packed = (
        np.empty((counts.sum(), NEURONS), np.float32),
        np.empty((counts.sum(), LANES), np.uint32),
        np.empty(counts.sum(), np.int64),
    )
    for number, (groups, *arrays) in enumerate(steps):
        for out, array in zip(packed, arrays, strict=True):
            out[first[groups] + number] = array
    return counts, *packed


def _join(places):
    """Return (m, 64) places as (m, 16) words of four bytes."""
    split = places.astype(np.uint32).reshape(-1, VECTORS, LANES) << _SHIFTS
    return split.sum(1, dtype=np.uint32)


@intrinsic
def add_looked_up(typingctx, total, weights, window, places, step):
    """Return total + weights * window[places], number by number of tiles of 64.

    The window is a tile of 32 or 64. Byte v of ``places[step, lane]`` belongs to number
    16 v + lane.
    """
    tiles = total, weights, window
    if not all(isinstance(tile, VectorType) for tile in tiles):
        return None
    if [tile.count for tile in tiles] not in ([4, 4, 2], [4, 4, 4]):
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
        pointer = element_pointer(context, builder, places, data, i, zero)
        words = builder.load(builder.bitcast(pointer, index.as_pointer()), align=4)
        parts = [builder.extract_value(table, v) for v in range(window.count)]
        for v in range(VECTORS):
            # The instruction looks at the lowest five bits alone.
            place = builder.lshr(words, ir.Constant(index, [8 * v] * LANES))
            number = builder.call(choose, [parts[0], place, parts[1]])
            if len(parts) > 2:
                high = builder.call(choose, [parts[2], place, parts[3]])
                bit = builder.and_(place, ir.Constant(index, [PAIR] * LANES))
                in_high = builder.icmp_unsigned("!=", bit, ir.Constant(index, None))
                number = builder.select(in_high, high, number)
            pair = [builder.extract_value(tile, v) for tile in (factors, result)]
            part = multiply_add(builder, pair[0], number, pair[1])
            result = builder.insert_value(result, part, v)
        return result

    return total(total, weights, window, places, types.int64), codegen


if jit.DISABLED:

    def add_looked_up(total, weights, window, places, step):
        """Do the same in NumPy."""
        return total + weights * window[(places[step] >> _SHIFTS & 255).ravel()]


@inner_kernel
def some_groups(window_tile, windows, x, out, code, parameter, start, stop):
    """Compute groups start to stop of f(bias + W^T x) of one sample, with AVX-512.

    Parameters
    ----------
    window_tile : tuple
        A tile as wide as the windows, see simd.make_tile.
    windows : Windows
    x : (n_in or more,) float32 array
        Finite.
    out : (n_groups, 64) float32 array
        The neurons in order; numbers beyond the last neuron have no meaning. If they
        are sorted, (2 * n_groups, 64): the second half is room for that.
    code, parameter : int, float
        The fields of an Activation.
    start, stop : int
    """
    weights, places, row = windows.weights, windows.places, as_rows(x, x.size)
    tile, part = (0, 0, 0, 0), split_room(windows.order, out)
    for group in range(start, stop):
        sums = load(tile, windows.bias, group, 0)
        for step in range(windows.first[group], windows.first[group + 1]):
            window = load(window_tile, row, 0, windows.starts[step])
            factors = load(tile, weights, step, 0)
            sums = add_looked_up(sums, factors, window, places, step)
        store(part, group, 0, sums)
    infer_rows(code, parameter, part, start, stop)
    put_in_order(windows.order, part, out, start * NEURONS, stop * NEURONS)
