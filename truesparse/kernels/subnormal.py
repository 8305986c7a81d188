"""Flushing subnormal numbers to zero, in the calling thread.

Weights and deltas that die away become subnormal, and processors compute with subnormal
numbers in slow microcode. Each task sets the flush flags of its thread and restores
them at its end: nothing outside the kernels is affected.
"""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from truesparse.kernels import jit

# x86: MXCSR bit 15 flushes results to zero, bit 6 takes subnormal inputs as zero.
_MXCSR_FLUSH = (1 << 15) | (1 << 6)
# AArch64: FPCR bit 24 does both.
_FPCR_FLUSH = 1 << 24
_MACHINE = platform.machine().lower()
_IS_X86 = _MACHINE in {"x86_64", "amd64"}
_IS_ARM = _MACHINE in {"aarch64", "arm64"}


def _exchange_mxcsr(builder, new_value=None):
    """Read the control register, or write `new_value` to it."""
    word = ir.IntType(32)
    name = "llvm.x86.sse.stmxcsr" if new_value is None else "llvm.x86.sse.ldmxcsr"
    pointer_type = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [pointer_type]), name
    )
    slot = cgutils.alloca_once(builder, word)
    if new_value is not None:
        builder.store(new_value, slot)
    builder.call(function, [builder.bitcast(slot, pointer_type)])
    return builder.load(slot)


def _read_fpcr(builder):
    word = ir.IntType(64)
    return builder.asm(ir.FunctionType(word, []), "mrs $0, fpcr", "=r", [], True)


def _write_fpcr(builder, value):
    function_type = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
    builder.asm(function_type, "msr fpcr, $0", "r", [value], True)


@intrinsic
def flush_subnormals(typingctx):
    """Start flushing on this thread; return what `restore_subnormals` needs."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        if _IS_X86:
            old = _exchange_mxcsr(builder)
            flushing = builder.or_(old, ir.Constant(old.type, _MXCSR_FLUSH))
            _exchange_mxcsr(builder, flushing)
            return builder.zext(old, word)
        if _IS_ARM:
            old = _read_fpcr(builder)
            _write_fpcr(builder, builder.or_(old, ir.Constant(word, _FPCR_FLUSH)))
            return old
        return ir.Constant(word, 0)

    return types.int64(), codegen


@intrinsic
def restore_subnormals(typingctx, state):
    """Set the flags of this thread back to what they were before flushing."""

    def codegen(context, builder, signature, arguments):
        if _IS_X86:
            _exchange_mxcsr(builder, builder.trunc(arguments[0], ir.IntType(32)))
        elif _IS_ARM:
            _write_fpcr(builder, arguments[0])
        return context.get_dummy_value()

    return types.none(types.int64), codegen


if jit.DISABLED:

    def flush_subnormals():
        """Do nothing: NumPy keeps subnormals."""
        return 0

    def restore_subnormals(state):
        """Do nothing."""
