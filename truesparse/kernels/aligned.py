"""Arrays that start on a cache line, so that no vector of a kernel straddles two."""

import math

import numpy as np

CACHE_LINE = 64  # bytes


def aligned_zeros(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Return zeros that start on a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)
