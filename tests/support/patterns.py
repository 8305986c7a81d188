"""Initial topologies drawn for tests, and data for those that go by them."""

import importlib

import numpy as np

from truesparse.drawing.patterns import PATTERNS

# The package holds the function of this name.
csti_module = importlib.import_module("truesparse.drawing.patterns.csti")


def data_for(n_in, seed=0):
    """Return samples with correlated, constant and equal features."""
    draw = np.random.default_rng([seed, n_in])
    X = draw.standard_normal((9, n_in)) + 3 * draw.standard_normal((9, 1))
    X[:, 1::5] = 0.1
    X[:, 2::5] = X[:, :1]
    return X


def build(name, options, n_in, n_out, nnz, seed=0, dtype=np.float32):
    if name == "csti" and "X" not in options:
        options = {"X": data_for(n_in, seed), **options}
    draw = np.random.default_rng(seed)
    return PATTERNS[name].draw(n_in, n_out, nnz, draw, dtype, **options)


def mask_of(connections):
    mask = np.zeros((connections.n_in, connections.n_out), bool)
    mask[connections.rows(), connections.indices] = True
    return mask
