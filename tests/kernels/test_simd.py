"""Every vector operation, for each kind of tile, against NumPy on slices."""

import numpy as np
import pytest
from support.compare import assert_close
from support.strategies import DTYPES

from truesparse.kernels import simd
from truesparse.kernels.jit import kernel

# One vector of 1, 2, 4 or 8 lanes; one, two (the two chains of `dot`), three and eight
# vectors of 16.
WIDTHS = (1, 2, 4, 8, 16, 32, 48, 128)


@kernel
def exercise(tile, data, factor, row, column, out, sums):
    """Write the result of each operation on two tiles of `data` to a row of `out`."""
    a = simd.load(tile, data, row, column)
    b = simd.load(tile, data, row + 1, column)
    simd.store(out, 0, column, a)
    simd.store(out, 1, column, simd.full(tile, data, factor))
    simd.store(out, 2, column, simd.add_scaled(a, factor, b))
    simd.store(out, 3, column, simd.multiply(a, b))
    simd.store(out, 4, column, simd.where_positive(a, b, a))
    sums[0] = simd.dot(a, b)
    sums[1] = simd.total(a)
    sums[2] = simd.columns(tile)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_operations(width, dtype):
    draw = np.random.default_rng(width)
    data = draw.standard_normal((4, width + 7)).astype(dtype)
    data[1, ::3] = 0.0
    factor, column = dtype(1.7), 5
    untouched = draw.random((6, width + 7)).astype(dtype)
    out, sums = untouched.copy(), np.zeros(3, dtype)
    exercise(simd.make_tile(width), data, factor, 1, column, out, sums)
    a, b = data[1, column : column + width], data[2, column : column + width]
    a, b = a.astype(np.float64), b.astype(np.float64)
    want = [a, np.full(width, factor), a + factor * b, a * b, np.where(a > 0, b, a)]
    scale = np.abs(a) + np.abs(factor) + np.abs(factor * b) + np.abs(a * b)
    got = out[:5, column : column + width]
    assert_close(got, np.array(want), scale)
    np.testing.assert_array_equal(got[0], a)
    assert_close(sums[0], a @ b, np.abs(a) @ np.abs(b))
    assert_close(sums[1], a.sum(), np.abs(a).sum())
    assert sums[2] == width
    # Nothing beside the tile is written.
    np.testing.assert_array_equal(out[:, :column], untouched[:, :column])
    after = column + width
    np.testing.assert_array_equal(out[:, after:], untouched[:, after:])
    np.testing.assert_array_equal(out[5], untouched[5])


def test_nan_is_not_positive_and_goes_through():
    data = np.zeros((4, 4))
    data[1] = np.nan, 1.0, -1.0, 0.0
    data[2] = 5.0, 6.0, np.nan, 8.0
    out, sums = np.zeros((6, 4)), np.zeros(3)
    exercise(simd.make_tile(4), data, 2.0, 1, 0, out, sums)
    np.testing.assert_array_equal(out[4], [np.nan, 6.0, -1.0, 0.0])
    np.testing.assert_array_equal(out[2], [np.nan, 13.0, np.nan, 16.0])
    assert np.isnan(sums[0])
    assert np.isnan(sums[1])


def test_the_type_of_a_tile_tells_its_width():
    assert simd.make_tile(4) == (0.0,) * 4
    assert all(isinstance(part, float) for part in simd.make_tile(8))
    assert simd.make_tile(16) == (0,)
    assert simd.make_tile(96) == (0,) * 6
    assert simd.max_vectors() in (4, 8)
