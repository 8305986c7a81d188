"""Arrays by their addresses, so that a kernel can take any number of them.

Numba looks at every array that it is given, which takes 0.1 us each, and compiles a
kernel again for another number of arrays. A table of addresses is one array. Whoever
makes it must hold on to the arrays themselves.
"""

import ctypes

import numpy as np
from numba import carray, types
from numba.core.extending import intrinsic

from truesparse.kernels import jit
from truesparse.kernels.jit import inner_kernel


@intrinsic
def _pointer(typingctx, address, dtype):
    """Return a number as a pointer to the numbers of a dtype."""

    def codegen(context, builder, signature, arguments):
        return builder.inttoptr(
            arguments[0], context.get_value_type(signature.return_type)
        )

    return types.CPointer(dtype.dtype)(types.int64, dtype), codegen


@inner_kernel
def array_at(address, shape, dtype):
    """Return the C-contiguous array at an address, int64, as a view."""
    return carray(_pointer(address, dtype), shape)


if jit.DISABLED:

    def array_at(address, shape, dtype):
        """Do the same in NumPy."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        memory = (ctypes.c_byte * size).from_address(int(address))
        return np.frombuffer(memory, dtype).reshape(shape)
