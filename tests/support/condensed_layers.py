"""Condensed layers to test, and one sample through any of their kernels."""

import numpy as np
import pytest
from hypothesis import strategies as st
from support.strategies import SEEDS, make_connections

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.kernels import jit
from truesparse.kernels.condensed_net import LayerRow, few_samples, few_samples_parallel
from truesparse.kernels.simd import make_tile
from truesparse.kernels.windows import NARROW, WIDE, pack_windows
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.layer import SparseLayer

NEEDS_AVX512 = pytest.mark.skipif(
    not (jit.DISABLED or jit.has_avx512()),
    reason="an instruction of AVX-512; the lane without JIT runs it everywhere",
)
FIXED = [name for name in ACTIVATIONS if not LayerActivation(name).is_trained]
WIDTHS = st.sampled_from([NARROW, WIDE])
INPUTS = st.sampled_from([64, 70, 200] + [333] * (not jit.DISABLED))
NEURON_COUNTS = st.sampled_from([40, 64, 70, 128] + [200] * (not jit.DISABLED))
ANY = 1_000_000  # weights


@st.composite
def layers(draw):
    """Layers of constant fan-in, some weights 0."""
    n_in, n = draw(INPUTS), draw(NEURON_COUNTS)
    k = draw(st.integers(1, n_in))
    name, with_zeros = draw(st.sampled_from(FIXED)), draw(st.booleans())
    return make_layer(n_in, n, k, name, draw(SEEDS), with_zeros)


def make_layer(n_in, n, k, name="relu", seed=0, with_zeros=False):
    generator = np.random.default_rng(seed)
    inputs = np.sort(generator.random((n, n_in)).argsort(1)[:, :k], 1).astype(np.int32)
    weights = generator.standard_normal((n, k), np.float32)
    if with_zeros:
        weights[generator.random((n, k)) < 0.1] = 0.0
    bias = generator.standard_normal(n, np.float32)
    neurons = np.arange(n, dtype=np.int32)
    return rectangle(n_in, weights, inputs, neurons, bias, LayerActivation(name))


def rectangle(n_in, weights, inputs, *outputs):
    """Return a layer of (n, k) weights and inputs."""
    n, k = weights.shape
    indptr = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, np.int64)
    return CondensedLayer(n_in, indptr, inputs.ravel(), weights.ravel(), *outputs)


def rows_of(layer):
    """Return the weights and the inputs of every neuron as lists."""
    indptr, inputs, weights = layer.by_output()
    cuts = indptr[1:-1]
    lists = ([part.tolist() for part in np.split(a, cuts)] for a in (weights, inputs))
    return tuple(each if layer.n_active else [] for each in lists)


def sample(layer, seed=1):
    return np.random.default_rng(seed).standard_normal(layer.n_in, np.float32)


def pack(layer, width=NARROW, most=ANY):
    arrays = *layer.by_output(), layer.bias, layer.blocks.order
    return pack_windows(*arrays, layer.n_in, width, most)


def run(layer, x, width=0, n_tasks=0):
    """Return the outputs of a layer for x, by windows of a width and in some tasks."""
    row, arrays = layer.describe(0, False)
    narrow = None
    if width:
        narrow, arrays = make_tile(NARROW), (arrays, windows := pack(layer, width))
        addresses = [array.ctypes.data for array in windows[:5]]
        row = LayerRow(*row[:-6], width, *addresses)
    table = np.array([row._replace(is_large=True)], np.int64)
    room = np.full(layer.room, np.nan, x.dtype)
    out = np.full((1, layer.n_active), np.nan, x.dtype)
    given = narrow, x.reshape(1, -1), out, room, table
    if n_tasks:
        few_samples_parallel(*given, n_tasks)
    else:
        few_samples(*given)
    return out[0]


def layer_of(mask, dtype, name="identity", seed=0):
    """Return a layer with weights and biases, and numbers for inputs."""
    draw = np.random.default_rng(seed)
    layer = SparseLayer(make_connections(mask, dtype, draw), LayerActivation(name))
    layer.bias[:] = draw.standard_normal(layer.bias.size)
    return layer, draw
