"""Skipping input neurons that are silent: zero in all samples of a small batch.

With relu, half of all are at batch 1 and a quarter at batch 2. A silent neuron adds
nothing to any output, and the gradients of its weights are zero, as is that of its
input, so that no row of its outputs need be fetched. A branch in the loop over the
neurons would cost more than it saves, because the processor can't predict it: the
neurons are looked at in groups of 64, and bits say which are awake.

Skipping gives the same numbers, as 0 times a finite number is 0. What it leaves out is
the NaN of 0 times infinity: a weight or a delta that has become infinite is seen once
the neuron is awake.
"""

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from truesparse.kernels import jit
from truesparse.kernels.jit import inlined_kernel

GROUP = 64  # neurons, a bit each

# The widest batch of which silent neurons are skipped. Time of the kernels without
# skipping over that with it, 1,000 to 300,000 neurons (EPYC, AVX-512, 2026-11):
#
#     columns     1                2                4                8
#     scatter     1.1 to 1.7       1.2 to 1.3       1.0              0.8 to 1.1
#     backward    0.9 to 1.6       1.0 to 1.2       0.9 to 1.0       0.9 to 1.1
COLUMNS = 2

if jit.DISABLED:

    def trailing_zeros(bits):
        """Return the number of the lowest bit that is set."""
        return (int(bits) & -int(bits)).bit_length() - 1


@inlined_kernel
def split(x, start, stop):
    """Return bits of the rows from start to stop: those awake, and those silent.

    Parameters
    ----------
    x : (n, columns) array
        In bfloat16, -0.0 is awake.
    start, stop : int
        At most GROUP rows; bit k stands for row start + k.
    """
    awake, silent = np.uint64(0), np.uint64(0)
    for k in range(stop - start):
        is_silent = True
        for b in range(x.shape[1]):
            is_silent &= x[start + k, b] == 0  # as no NaN is
        bit = np.uint64(k)
        silent |= np.uint64(is_silent) << bit
        awake |= np.uint64(not is_silent) << bit
    return awake, silent


@inlined_kernel
def first(bits):
    """Return the number of the lowest bit that is set, and the bits without it."""
    return np.int64(trailing_zeros(bits)), bits & (bits - np.uint64(1))
