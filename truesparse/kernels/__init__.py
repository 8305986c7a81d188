"""Numba functions on arrays: everything that is hot."""
