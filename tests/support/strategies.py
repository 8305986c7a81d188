"""Hypothesis strategies: sparse layers of every awkward shape, and batches for them."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from truesparse.activations import LayerActivation
from truesparse.kernels.jit import DISABLED
from truesparse.kernels.simd import make_tile
from truesparse.network.buffers import padded_columns
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

DTYPES = (np.float32, np.float64)
# Every new tile width costs seconds of compilation. These give tiles of 1, 2, 4, 8, 16
# and 32 columns, of most of the registers, and several of the latter.
SMALL_BATCHES = (1, 2, 3, 8)
BATCHES = (*SMALL_BATCHES, 9, 20, 100, 300)
MAX_SIDE = 10 if DISABLED else 40
SEEDS = st.integers(0, 2**32 - 1)


class Case(NamedTuple):
    """A layer, its dense twin, and a generator for whatever else a test needs."""

    connections: Connections
    mask: np.ndarray  # (n_in, n_out) bool
    dense: np.ndarray  # (n_in, n_out), the same weights
    draw: np.random.Generator

    def normal(self, *shape):
        return self.draw.standard_normal(shape).astype(self.dense.dtype)


def make_connections(mask, dtype=np.float64, draw=None):
    """Return connections at the cells of a mask, with weights N(0, 1)."""
    draw = draw or np.random.default_rng(0)
    rows, cols = np.nonzero(mask)
    indptr = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    values = draw.standard_normal(len(rows)).astype(dtype)
    return Connections(*mask.shape, indptr, cols, values)


def to_dense(connections, values=None):
    """Return the weights, or an array parallel to them, as a dense array."""
    out = np.zeros((connections.n_in, connections.n_out), connections.values.dtype)
    rows = np.repeat(np.arange(connections.n_in), np.diff(connections.indptr))
    out[rows, connections.indices] = connections.values if values is None else values
    return out


@st.composite
def masks(draw, max_side=MAX_SIDE):
    """Patterns with empty rows and columns, without any cell, full, and 1 x 1."""
    n_in = draw(st.integers(1, max_side))
    n_out = draw(st.integers(1, max_side))
    density = draw(st.sampled_from([0.2, 0.0, 0.05, 0.6, 1.0]))
    generator = np.random.default_rng(draw(SEEDS))
    mask = generator.random((n_in, n_out)) < density
    if draw(st.booleans()):
        mask &= (generator.random(n_in) < 0.6)[:, None]
        mask &= generator.random(n_out) < 0.6
    return mask


@st.composite
def cases(draw, dtype=np.float64, max_side=MAX_SIDE):
    """Return a Case of any pattern."""
    mask = draw(masks(max_side))
    generator = np.random.default_rng(draw(SEEDS))
    connections = make_connections(mask, dtype, generator)
    return Case(connections, mask, to_dense(connections), generator)


def tile_for(batch, dtype):
    """Return the columns of the buffers for a batch, and the tile."""
    columns, tile = padded_columns(batch, dtype)
    return columns, make_tile(tile)


def padded(array, columns):
    """Return (n, batch) as an (n, columns) array with zeros on the right."""
    out = np.zeros((len(array), columns), array.dtype)
    out[:, : array.shape[1]] = array
    return out


def layer(connections, name="identity", parameter=0.0, dropout=0.0):
    """Return a layer with the given activation."""
    return SparseLayer(connections, LayerActivation(name, parameter, dropout))
