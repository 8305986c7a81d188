"""Numbers of activations in memory: float32, float64, or bfloat16.

A bfloat16 is the upper half of a float32: its sign, its exponent and seven bits of its
mantissa. It halves the bytes that a step fetches and is a format of storage alone: a
number is widened when it is read, all arithmetic is that of float32, and the result is
rounded when it is written, to the nearest and to an even last bit in the middle. NaN
stays NaN, and what is too large becomes infinite.

NumPy has no such type. Arrays of uint16 hold the bits, so that the dtype of an array
tells kernels what to do when they are compiled, and one kernel serves all three. Only
integer instructions widen and round, which every processor has: results are the same on
all of them. (AVX-512 has an instruction that rounds, but it flushes subnormals.)

`read` and `write` take the position of a number in memory and check no bounds. The
tiles of simd.py do the same with many numbers at once.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

from truesparse.kernels import jit

# What arrays of bfloat16 are to NumPy.
BFLOAT16 = np.dtype(np.uint16)

_INT16, _INT32 = ir.IntType(16), ir.IntType(32)


def widened(array: np.ndarray) -> np.ndarray:
    """Return an array that may hold bfloat16 in float32; any other as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.kernels.bfloat16 import rounded, widened
    >>> widened(rounded(np.array([1.0, 3.14159], np.float32))).tolist()
    [1.0, 3.140625]
    """
    if array.dtype != BFLOAT16:
        return array
    bits = array.astype(np.uint32)
    bits <<= np.uint32(16)
    return bits.view(np.float32)


def rounded(array: np.ndarray) -> np.ndarray:
    """Return float32 numbers as bfloat16."""
    bits = np.asarray(array, np.float32).view(np.uint32)
    # Just below half of the last bit that stays, and all of it if that bit is odd.
    half = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    # The sum would turn some NaN into infinity: they get their first bit instead.
    chosen = np.where(is_nan, bits | np.uint32(0x400000), bits + half)
    return (chosen >> np.uint32(16)).astype(BFLOAT16)


def stored(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers as an array of `dtype` is to hold them."""
    return rounded(numbers) if dtype == BFLOAT16 else numbers


def number_type(dtype):
    """Return the Numba type in which kernels compute with numbers of an array."""
    return types.float32 if dtype == types.uint16 else dtype


def from_stored(builder, stored):
    """Emit the float of a number, or vector, as it was read from an array."""
    if not _holds_bfloat16(stored.type):
        return stored
    bits = builder.zext(stored, _shaped(_INT32, stored.type))
    bits = builder.shl(bits, _constant(bits.type, 16))
    return builder.bitcast(bits, _shaped(ir.FloatType(), stored.type))


def to_stored(builder, value, stored_type):
    """Emit a number, or vector, as it is written to an array; see `rounded`."""
    if not _holds_bfloat16(stored_type):
        return value
    kind = _shaped(_INT32, stored_type)
    bits = builder.bitcast(value, kind)
    odd = builder.and_(builder.lshr(bits, _constant(kind, 16)), _constant(kind, 1))
    sums = builder.add(bits, builder.add(odd, _constant(kind, 0x7FFF)))
    size = builder.and_(bits, _constant(kind, 0x7FFFFFFF))
    is_nan = builder.icmp_unsigned(">", size, _constant(kind, 0x7F800000))
    quiet = builder.or_(bits, _constant(kind, 0x400000))
    chosen = builder.lshr(builder.select(is_nan, quiet, sums), _constant(kind, 16))
    return builder.trunc(chosen, stored_type)


def _holds_bfloat16(stored_type) -> bool:
    return getattr(stored_type, "element", stored_type) == _INT16


def _shaped(scalar, like):
    """Return the type of as many scalars as the type `like` has."""
    is_vector = isinstance(like, ir.VectorType)
    return ir.VectorType(scalar, like.count) if is_vector else scalar


def _constant(kind, value):
    is_vector = isinstance(kind, ir.VectorType)
    return ir.Constant(kind, [value] * kind.count if is_vector else value)


def _address(context, builder, array_type, array, position):
    view = context.make_array(array_type)(context, builder, array)
    return builder.gep(view.data, [position])


@intrinsic
def read(typingctx, array, position):
    """Return the number at a position of a C-contiguous array."""

    def codegen(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        return from_stored(builder, builder.load(address))

    return number_type(array.dtype)(array, types.int64), codegen


@intrinsic
def write(typingctx, array, position, value):
    """Store a number at a position of a C-contiguous array."""

    def codegen(context, builder, signature, arguments):
        data, place, number = arguments
        address = _address(context, builder, signature.args[0], data, place)
        stored = context.get_data_type(signature.args[0].dtype)
        builder.store(to_stored(builder, number, stored), address)
        return context.get_dummy_value()

    return types.none(array, types.int64, number_type(array.dtype)), codegen


@intrinsic
def as_number(typingctx, array, value):
    """Return a value in the type in which numbers of `array` are computed with."""
    number = number_type(array.dtype)

    def codegen(context, builder, signature, arguments):
        return arguments[1]

    return number(array, number), codegen


if jit.DISABLED:

    def read(array, position):
        """Return the number at a position of a C-contiguous array."""
        assert 0 <= position < array.size
        return widened(array.reshape(-1)[position : position + 1])[0]

    def write(array, position, value):
        """Store a number at a position of a C-contiguous array."""
        assert array.flags.c_contiguous
        assert 0 <= position < array.size
        array.reshape(-1)[position] = stored(value, array.dtype)

    def as_number(array, value):
        """Return a value in the type in which numbers of `array` are computed with."""
        number = np.float32 if array.dtype == BFLOAT16 else array.dtype.type
        return number(value)
