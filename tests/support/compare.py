"""Comparison of the fast code with its naive twin."""

import numpy as np

# Relative to the scale a test states, usually the sum of the absolute terms.
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def assert_close(got, want, scale, tolerance=None):
    """Fail where ``|got - want| > tolerance * scale``."""
    got = np.asarray(got)
    assert got.shape == np.shape(want)
    limit = (tolerance or TOLERANCE[got.dtype]) * np.broadcast_to(scale, got.shape)
    error = np.abs(got.astype(np.float64) - want)
    worst = np.argmax(error - limit) if error.size else 0
    assert (error <= limit).all(), (
        f"at flat position {worst}: {got.flat[worst]} for {np.ravel(want)[worst]}, "
        f"error {error.flat[worst]}, allowed {limit.flat[worst]}"
    )
