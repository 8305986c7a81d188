"""A few samples through condensed layers, one layer after the other in a single call.

A call from Python takes microseconds before its work begins, as long as a layer of
some 50,000 connections takes. So the layers come as a table, a row of whole numbers
each, in which their arrays have their addresses: one compiled kernel serves nets of any
depth. Samples follow each other, and each keeps the outputs of all layers in the cache.

A layer takes its windows if it has some, else its blocks; and a sample that is not
finite the loop that looks at no padding, see condensed.py. The outputs are the same.
"""

from typing import NamedTuple

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from truesparse.kernels import jit
from truesparse.kernels.addresses import array_at, as_rows, as_vector
from truesparse.kernels.arrays import Activation
from truesparse.kernels.condensed import Blocks, is_finite, some_blocks
from truesparse.kernels.jit import inner_kernel, kernel, parallel_kernel, prange
from truesparse.kernels.simd import LANES
from truesparse.kernels.srelu import forward_rows
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals
from truesparse.kernels.windows import NARROW, NEURONS, Windows, some_groups


class LayerRow(NamedTuple):
    """A layer in whole numbers; those named after arrays are their addresses."""

    n_in: int
    n_neurons: int
    code: int  # of its activation
    parameter: int  # the bits of a float64
    is_large: int  # whether threads share its neurons
    is_sorted: int  # whether `order` says where the neurons are
    room: int  # numbers before its outputs in the room of all layers
    units: int  # (4, n_neurons) parameters of srelu, or 0
    # The fields of Blocks:
    weights: int
    inputs: int
    bias: int
    first: int
    counts: int
    order: int
    # Those of Windows:
    width: int  # inputs of a window; 0 without windows
    step_weights: int
    step_places: int
    step_starts: int
    first_steps: int
    step_bias: int


_FIELDS = len(LayerRow._fields)

if jit.DISABLED:

    def to_fixed_tuple(row, length):
        """Return the numbers of a row."""
        return tuple(row.tolist())


@inner_kernel
def _row(numbers):
    return LayerRow(*to_fixed_tuple(numbers, _FIELDS))


@inner_kernel
def _blocks(row, dtype):
    n = (row.n_neurons + LANES - 1) // LANES
    first = array_at(row.first, (n + 1,), np.int64)
    shape = first[n], LANES
    return Blocks(
        array_at(row.weights, shape, dtype),
        array_at(row.inputs, shape, np.int32),
        array_at(row.bias, (n, LANES), dtype),
        first,
        array_at(row.counts, (n, LANES), np.int32),
        array_at(row.order, (row.is_sorted * n * LANES,), np.int32),
    )


@inner_kernel
def _windows(row):
    n = (row.n_neurons + NEURONS - 1) // NEURONS
    n_order = (row.n_neurons + LANES - 1) // LANES * LANES
    first = array_at(row.first_steps, (n + 1,), np.int64)
    return Windows(
        array_at(row.step_weights, (first[n], NEURONS), np.float32),
        array_at(row.step_places, (first[n], LANES), np.uint32),
        array_at(row.step_starts, (first[n],), np.int64),
        first,
        array_at(row.step_bias, (n, NEURONS), np.float32),
        array_at(row.order, (row.is_sorted * n_order,), np.int32),
        row.n_in,
    )


@inner_kernel
def _cut(first, task, n_tasks):
    """Return the first group of a task; all tasks have about as many rows."""
    if task == n_tasks:
        return first.size - 1
    group = 0
    while first[group] * n_tasks < first[first.size - 1] * task:
        group += 1
    return group


@inner_kernel
def _some_neurons(narrow, x, out, numbers, finite, task, n_tasks):
    """Compute the neurons of one task of a layer."""
    row = _row(numbers)
    parameter = np.int64(row.parameter).view(np.float64)
    # Where it is None, Numba leaves this out, which AVX-512 alone can compute.
    if narrow is not None and finite and row.width > 0:
        windows = _windows(row)
        start = _cut(windows.first, task, n_tasks)
        stop = _cut(windows.first, task + 1, n_tasks)
        how = row.code, parameter, start, stop
        if row.width == NARROW:
            some_groups(narrow, windows, x, out, *how)
        else:
            some_groups((0, 0, 0, 0), windows, x, out, *how)
        return
    blocks = _blocks(row, x.dtype)
    start = _cut(blocks.first, task, n_tasks)
    stop = _cut(blocks.first, task + 1, n_tasks)
    some_blocks(blocks, x, out, finite, row.code, parameter, start, stop)


@inner_kernel
def _split_room(numbers, room):
    """Return the part of the room for a layer, (m, 64), twice as much if it is sorted.

    The neurons come first, in order; numbers beyond the last one have no meaning.
    """
    row = _row(numbers)
    n = (row.n_neurons + NEURONS - 1) // NEURONS * (1 + row.is_sorted)
    return as_rows(room[row.room : row.room + n * NEURONS], NEURONS)


@inner_kernel
def _finish(numbers, out):
    """Apply srelu where the layer has it, and return the outputs as a vector."""
    row, flat = _row(numbers), as_vector(out)
    if row.units != 0:
        units = array_at(row.units, (4, row.n_neurons), out.dtype)
        plain = Activation(row.code, 0.0, False, 0, 1.0, 0)
        rows = as_rows(out, 1)
        forward_rows(units, rows, rows[:0], plain, 0, row.n_neurons)
    return flat


@inner_kernel
def _is_finite(numbers, x):
    return is_finite(x[: _row(numbers).n_in])


@inner_kernel
def _tasks(numbers, n_tasks):
    row = _row(numbers)
    return n_tasks if row.is_large else 1


@inner_kernel
def _copy(x, out):
    # To assign to a slice takes Numba 2.8 s more to compile.
    for i in range(out.size):
        out[i] = x[i]


@kernel
def few_samples(narrow, x, out, room, table):
    """Compute the outputs of the last layer for samples (n, n_in), on one thread.

    Parameters
    ----------
    narrow : tuple or None
        The tile of a narrow window, where some layers have windows.
    x : (n, n_in) float array
    out : (n, n_neurons) float array
    room : (m,) float array
        For the outputs of all layers for one sample.
    table : (n_layers, number of fields) int64 array
        A LayerRow for each layer.
    """
    state = flush_subnormals()
    for sample in range(x.shape[0]):
        source = x[sample]
        for layer in range(table.shape[0]):
            numbers = table[layer]
            part, finite = _split_room(numbers, room), _is_finite(numbers, source)
            _some_neurons(narrow, source, part, numbers, finite, 0, 1)
            source = _finish(numbers, part)
        _copy(source, out[sample])
    restore_subnormals(state)


@inner_kernel
def _flushing(narrow, x, out, numbers, finite, task, n_tasks):
    state = flush_subnormals()
    _some_neurons(narrow, x, out, numbers, finite, task, n_tasks)
    restore_subnormals(state)


@parallel_kernel
def few_samples_parallel(narrow, x, out, room, table, n_tasks):
    """Do the same on all threads, large layers in `n_tasks` parts."""
    for sample in range(x.shape[0]):
        source = x[sample]
        for layer in range(table.shape[0]):
            numbers = table[layer]
            part, finite = _split_room(numbers, room), _is_finite(numbers, source)
            tasks = _tasks(numbers, n_tasks)
            if tasks > 1:
                for task in prange(tasks):
                    _flushing(
                        narrow, source, part, numbers, finite, np.int64(task), tasks
                    )
            else:
                _flushing(narrow, source, part, numbers, finite, 0, 1)
            source = _finish(numbers, part)
        _copy(source, out[sample])
