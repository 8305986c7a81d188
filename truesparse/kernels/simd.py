"""Vectors in registers: the few SIMD operations that the kernels are made of.

A *tile* is a block of ``lanes * count`` neighbouring columns of one activation row,
held in `count` vector registers of `lanes` numbers. Plain loops leave half the speed
behind, because LLVM cannot keep accumulators in registers across array stores.

Numba must know the size of a tile when it compiles a kernel, and it compiles for the
types of the arguments. The type of a tuple includes its length, so that a tuple of
zeros describes a tile: `count` integers stand for `count` vectors of 16 lanes, `lanes`
floats for one vector of `lanes` numbers (below 16). Kernels pass it on and never read
it.

LLVM splits vectors the machine does not have (16 lanes become two registers with
AVX2, four with NEON). With the JIT off, the same names work on NumPy slices.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.aligned import CACHE_LINE
from truesparse.kernels.bfloat16 import from_stored, number_type, to_stored
from truesparse.kernels.simd_numpy import LANES

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)

# The rows that connections need look random to the processor, so kernels fetch each one
# 16 connections before its turn. A step became 1.9 times faster with 500,000 neurons a
# layer, 1.4 times with 30,000, and as fast as before with 1000 (EPYC 7003, AVX2,
# batches of 32 and 128, 2026-11). 8 ahead and 32 ahead gained less.
AHEAD = np.uint64(16)


@jit.inlined_kernel
def ahead(p, indices):
    """Return the position to fetch for while position p of `indices` is at work."""
    return min(p + AHEAD, np.uint64(indices.size - 1))


def max_vectors() -> int:
    """Return how many vectors of 16 float32 fit beside a second tile in registers."""
    # AVX-512 has 32 registers of 16 lanes; AVX2 and NEON hold 128 lanes in all.
    return 8 if jit.has_avx512() else 4


def make_tile(columns: int) -> tuple[int, ...] | tuple[float, ...]:
    """Describe a tile of 1, 2, 4, 8 or a multiple of 16 columns by its type."""
    return (0,) * (columns // LANES) if columns >= LANES else (0.0,) * columns


class VectorType(types.Type):
    """`count` registers of `lanes` floats."""

    def __init__(self, dtype, lanes, count):
        self.dtype, self.lanes, self.count = dtype, lanes, count
        super().__init__(name=f"Vector({dtype}, {lanes}, {count})")


@register_default(VectorType)
class VectorModel(models.PrimitiveModel):
    """An LLVM array of LLVM vectors, which the optimiser takes apart."""

    def __init__(self, dmm, fe_type):
        scalar = ir.FloatType() if fe_type.dtype.bitwidth == 32 else ir.DoubleType()
        vector = ir.VectorType(scalar, fe_type.lanes)
        super().__init__(dmm, fe_type, ir.ArrayType(vector, fe_type.count))


def _vector_type(tile, dtype):
    number = number_type(dtype)
    if isinstance(tile.dtype, types.Float):
        return VectorType(number, len(tile), 1)
    return VectorType(number, LANES, len(tile))


def element_pointer(context, builder, array_type, array, row, column):
    """Emit the address of array[row, column] in a C-contiguous matrix, unchecked."""
    view = context.make_array(array_type)(context, builder, array)
    width = cgutils.unpack_tuple(builder, view.shape)[1]
    offset = builder.add(builder.mul(row, width), column)
    return builder.gep(view.data, [offset])


def _stored_vectors(context, builder, array_type, place, tile):
    """Emit the addresses of a tile's vectors in an array; yield each with its type."""
    pointer = element_pointer(context, builder, array_type, *place)
    stored = ir.VectorType(context.get_data_type(array_type.dtype), tile.lanes)
    for k in range(tile.count):
        element = builder.gep(pointer, [ir.Constant(_INT64, k * tile.lanes)])
        yield k, builder.bitcast(element, stored.as_pointer()), stored


def _broadcast(builder, scalar, vector_type):
    start = ir.Constant(vector_type, ir.Undefined)
    one = builder.insert_element(start, scalar, ir.Constant(_INT32, 0))
    zeros = ir.Constant(ir.VectorType(_INT32, vector_type.count), None)
    return builder.shuffle_vector(one, start, zeros)


def multiply_add(builder, a, b, c):
    """Emit a * b + c of vectors, in one instruction where the machine has it."""
    suffix = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(a.type, [a.type] * 3),
        f"llvm.fmuladd.v{a.type.count}{suffix}",
    )
    return builder.call(function, [a, b, c])


@intrinsic
def load(typingctx, tile, array, row, column):
    """Read a tile from array[row, column:]."""
    result = _vector_type(tile, array.dtype)

    def codegen(context, builder, signature, arguments):
        be_type = context.get_value_type(signature.return_type)
        value = ir.Constant(be_type, ir.Undefined)
        parts = _stored_vectors(context, builder, array, arguments[1:], result)
        for k, address, _ in parts:
            part = builder.load(address, align=array.dtype.bitwidth // 8)
            value = builder.insert_value(value, from_stored(builder, part), k)
        return value

    return result(tile, array, types.int64, types.int64), codegen


@intrinsic
def store(typingctx, array, row, column, vector):
    """Write a tile to array[row, column:]."""

    def codegen(context, builder, signature, arguments):
        *place, value = arguments
        parts = _stored_vectors(context, builder, array, place, vector)
        for k, address, stored in parts:
            part = to_stored(builder, builder.extract_value(value, k), stored)
            builder.store(part, address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.int64, types.int64, vector), codegen


@intrinsic
def full(typingctx, tile, array, value):
    """Return a tile in which every number equals `value`.

    Neither `tile` nor `array` is read: their types give the size and the dtype.
    """
    result = _vector_type(tile, array.dtype)

    def codegen(context, builder, signature, arguments):
        be_type = context.get_value_type(signature.return_type)
        vector = _broadcast(builder, arguments[2], be_type.element)
        value = ir.Constant(be_type, ir.Undefined)
        for k in range(be_type.count):
            value = builder.insert_value(value, vector, k)
        return value

    return result(tile, array, result.dtype), codegen


@intrinsic
def add_scaled(typingctx, total, scalar, vector):
    """Return total + scalar * vector."""

    def codegen(context, builder, signature, arguments):
        accumulator, factor, value = arguments
        be_type = context.get_value_type(signature.return_type)
        factor = _broadcast(builder, factor, be_type.element)
        for k in range(be_type.count):
            part = multiply_add(
                builder,
                factor,
                builder.extract_value(value, k),
                builder.extract_value(accumulator, k),
            )
            accumulator = builder.insert_value(accumulator, part, k)
        return accumulator

    return total(total, total.dtype, vector), codegen


@intrinsic
def multiply(typingctx, left, right):
    """Return the product, number by number."""

    def codegen(context, builder, signature, arguments):
        value, other = arguments
        be_type = context.get_value_type(signature.return_type)
        for k in range(be_type.count):
            part = builder.fmul(
                builder.extract_value(value, k), builder.extract_value(other, k)
            )
            value = builder.insert_value(value, part, k)
        return value

    return left(left, right), codegen


def _horizontal_sum(builder, vector):
    """Add the lanes of one vector by halving it."""
    lanes = vector.type.count
    while lanes > 1:
        lanes //= 2
        index = ir.VectorType(_INT32, lanes)
        low = builder.shuffle_vector(
            vector, vector, ir.Constant(index, list(range(lanes)))
        )
        high = builder.shuffle_vector(
            vector, vector, ir.Constant(index, list(range(lanes, 2 * lanes)))
        )
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.Constant(_INT32, 0))


@intrinsic
def dot(typingctx, left, right):
    """Return the sum of the products of two tiles."""

    def codegen(context, builder, signature, arguments):
        count = signature.args[0].count
        parts = []
        # Two chains of multiply-adds halve the latency.
        for start in range(min(2, count)):
            total = None
            for k in range(start, count, 2):
                a = builder.extract_value(arguments[0], k)
                b = builder.extract_value(arguments[1], k)
                if total is None:
                    total = builder.fmul(a, b)
                else:
                    total = multiply_add(builder, a, b, total)
            parts.append(total)
        total = parts[0] if len(parts) == 1 else builder.fadd(*parts)
        return _horizontal_sum(builder, total)

    return left.dtype(left, right), codegen


@intrinsic
def total(typingctx, vector):
    """Return the sum of all numbers of a tile."""

    def codegen(context, builder, signature, arguments):
        value = builder.extract_value(arguments[0], 0)
        for k in range(1, signature.args[0].count):
            value = builder.fadd(value, builder.extract_value(arguments[0], k))
        return _horizontal_sum(builder, value)

    return vector.dtype(vector), codegen


def _prefetch(builder, pointer):
    """Emit a fetch of the cache line at an address, which will be read again."""
    byte = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32]),
        "llvm.prefetch.p0",
    )
    hints = [ir.Constant(_INT32, hint) for hint in (0, 3, 1)]
    builder.call(function, [builder.bitcast(pointer, byte), *hints])


@intrinsic
def prefetch(typingctx, tile, array, row, column):
    """Start to fetch the tile at array[row, column:] into the cache."""
    vector = _vector_type(tile, array.dtype)
    per_line = CACHE_LINE * 8 // array.dtype.bitwidth

    def codegen(context, builder, signature, arguments):
        _, data, i, j = arguments
        pointer = element_pointer(context, builder, signature.args[1], data, i, j)
        for offset in range(0, vector.lanes * vector.count, per_line):
            _prefetch(builder, builder.gep(pointer, [ir.Constant(_INT64, offset)]))
        return context.get_dummy_value()

    return types.none(tile, array, types.int64, types.int64), codegen


@intrinsic
def prefetch_number(typingctx, array, position):
    """Start to fetch array[position], of a vector, into the cache."""

    def codegen(context, builder, signature, arguments):
        data, i = arguments
        view = context.make_array(signature.args[0])(context, builder, data)
        _prefetch(builder, builder.gep(view.data, [i]))
        return context.get_dummy_value()

    return types.none(array, types.int64), codegen


@intrinsic
def columns(typingctx, tile):
    """Return how many columns a tile has."""

    def codegen(context, builder, signature, arguments):
        vector = _vector_type(signature.args[0], types.float32)
        return ir.Constant(_INT64, vector.lanes * vector.count)

    return types.int64(tile), codegen


@intrinsic
def where_positive(typingctx, condition, left, right):
    """Return left where condition > 0 and right elsewhere, number by number."""

    def codegen(context, builder, signature, arguments):
        test, value, other = arguments
        be_type = context.get_value_type(signature.return_type)
        zero = ir.Constant(be_type.element, None)
        for k in range(be_type.count):
            part = builder.select(
                builder.fcmp_ordered(">", builder.extract_value(test, k), zero),
                builder.extract_value(value, k),
                builder.extract_value(other, k),
            )
            value = builder.insert_value(value, part, k)
        return value

    return left(condition, left, right), codegen


def _transpose(builder, vectors):
    """Exchange rows and lanes of as many vectors as they have lanes."""
    lanes = len(vectors)
    distance = 1
    while distance < lanes:
        # Swap the off-diagonal quarters of every 2 x 2 block of `distance` squares.
        low = [n if not n & distance else lanes + n - distance for n in range(lanes)]
        high = [n + distance if not n & distance else lanes + n for n in range(lanes)]
        index = ir.VectorType(_INT32, lanes)
        for i in range(lanes):
            if not i & distance:
                a, b = vectors[i], vectors[i + distance]
                mask = ir.Constant(index, low)
                vectors[i] = builder.shuffle_vector(a, b, mask)
                mask = ir.Constant(index, high)
                vectors[i + distance] = builder.shuffle_vector(a, b, mask)
        distance *= 2
    return vectors


@intrinsic
def copy_transposed(typingctx, data, samples, column, out, feature):
    """Write a block of 16 samples by 16 features to `out`, feature by feature.

    out[feature + f, column + b] = data[samples[column + b], feature + f]
    """

    def codegen(context, builder, signature, arguments):
        array, order, first_column, target, first_row = arguments
        data_type, samples_type, _, out_type, _ = signature.args
        scalar = context.get_value_type(data_type.dtype)
        vector_pointer = ir.VectorType(scalar, LANES).as_pointer()
        align = data_type.dtype.bitwidth // 8
        view = context.make_array(samples_type)(context, builder, order)
        vectors = []
        for b in range(LANES):
            position = builder.add(first_column, ir.Constant(_INT64, b))
            row = builder.load(builder.gep(view.data, [position]))
            pointer = element_pointer(
                context, builder, data_type, array, row, first_row
            )
            pointer = builder.bitcast(pointer, vector_pointer)
            vectors.append(builder.load(pointer, align=align))
        for f, vector in enumerate(_transpose(builder, vectors)):
            row = builder.add(first_row, ir.Constant(_INT64, f))
            pointer = element_pointer(
                context, builder, out_type, target, row, first_column
            )
            pointer = builder.bitcast(pointer, vector_pointer)
            builder.store(vector, pointer, align=align)
        return context.get_dummy_value()

    arguments = (data, samples, types.int64, out, types.int64)
    return types.none(*arguments), codegen


if jit.DISABLED:
    from truesparse.kernels.simd_numpy import (  # noqa: F401
        add_scaled,
        columns,
        copy_transposed,
        dot,
        full,
        load,
        multiply,
        prefetch,
        prefetch_number,
        store,
        total,
        where_positive,
    )
