"""Arrays by their addresses, so that a kernel can take any number of them.

Numba looks at every array that it is given, which takes 0.1 us each, and compiles a
kernel again for another number of arrays. A table of addresses is one array. Whoever
makes it must hold on to the arrays themselves.
"""

import ctypes

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.jit import inner_kernel

_INT64 = ir.IntType(64)


@intrinsic
def _pointer(typingctx, address, dtype):
    """Return a number as a pointer to the numbers of a dtype."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(
            arguments[0], context.get_value_type(signature.return_type)
        )

    return types.CPointer(dtype.dtype)(types.int64, dtype), codegen


@intrinsic
def pair_of(typingctx, words, i):
    """Return words 2 i and 2 i + 1 of a uint32 array as one number of 64 bits."""

    def codegen(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        start = builder.mul(arguments[1], ir.Constant(_INT64, 2))
        address = builder.gep(array.data, [start])
        # An address of 32-bit numbers need not be a multiple of 8.
        return builder.load(builder.bitcast(address, _INT64.as_pointer()), align=4)

    return types.uint64(words, types.int64), codegen


@inner_kernel
def array_at(address, shape, dtype):
    """Return the C-contiguous array at an address, int64, as a view."""
    return carray(_pointer(address, dtype), shape)


@inner_kernel
def as_rows(array, width):
    """Return a C-contiguous array as an (m, width) view of it.

    ``reshape`` takes 30 ns more (EPYC, 2026-11), which counts where layers take 500.
    """
    return array_at(array.ctypes.data, (array.size // width, width), array.dtype)


@inner_kernel
def as_vector(array):
    """Return a C-contiguous array as a vector, a view of it."""
    return array_at(array.ctypes.data, (array.size,), array.dtype)


if jit.DISABLED:

    def as_rows(array, width):
        """Do the same in NumPy."""
        return array.reshape(array.size // width, width)

    def as_vector(array):
        """Do the same in NumPy."""
        return array.reshape(array.size)

    def array_at(address, shape, dtype):
        """Do the same in NumPy."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        memory = (ctypes.c_byte * size).from_address(int(address))
        return np.frombuffer(memory, dtype).reshape(shape)
