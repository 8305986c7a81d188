"""The operations of simd.py on copies of NumPy slices, used when the JIT is off.

Kernels then run as plain Python, line by line, for coverage and debugging.
"""

import numpy as np

from truesparse.kernels.bfloat16 import as_number, stored, widened

LANES = 16


def columns(tile):
    """Return how many columns a tile has."""
    is_part = isinstance(tile[0], float)
    return len(tile) if is_part else LANES * len(tile)


def load(tile, array, row, column):
    """Read a tile from array[row, column:]."""
    assert 0 <= row < array.shape[0]
    assert 0 <= column <= array.shape[1] - columns(tile)
    return widened(array[row, column : column + columns(tile)].copy())


def store(array, row, column, vector):
    """Write a tile to array[row, column:]."""
    assert 0 <= row < array.shape[0]
    array[row, column : column + vector.size] = stored(vector, array.dtype)


def full(tile, array, value):
    """Return a tile in which every number equals `value`."""
    return np.full(columns(tile), as_number(array, value))


def add_scaled(total, scalar, vector):
    """Return total + scalar * vector."""
    return total + scalar * vector


def multiply(left, right):
    """Return the product, number by number."""
    return left * right


def dot(left, right):
    """Return the sum of the products of two tiles."""
    return (left * right).sum()


def total(vector):
    """Return the sum of all numbers of a tile."""
    return vector.sum()


def prefetch(tile, array, row, column):
    """Only check that there is something to fetch."""
    load(tile, array, row, column)


def prefetch_number(array, position):
    """Only check that there is something to fetch."""
    assert 0 <= position < array.size


def where_positive(condition, left, right):
    """Return left where condition > 0 and right elsewhere, number by number."""
    return np.where(condition > 0, left, right)


def copy_transposed(data, samples, column, out, feature):
    """Write a block of 16 samples by 16 features to `out`, feature by feature."""
    block = data[samples[column : column + LANES], feature : feature + LANES]
    assert block.shape == (LANES, LANES)
    out[feature : feature + LANES, column : column + LANES] = block.T
