"""Skipping what is silent: the same numbers as without it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import DTYPES, SEEDS, layer, make_connections, padded

from truesparse.kernels import awake
from truesparse.kernels.activation import NO_GRADIENT, RELU, STORED_SLOPE
from truesparse.kernels.arrays import Above, Moments, Source
from truesparse.kernels.backward import backward, backward_skipping
from truesparse.kernels.forward import scatter
from truesparse.kernels.jit import most_threads
from truesparse.kernels.simd import make_tile
from truesparse.kernels.update import STORE
from truesparse.optimizers import Optimizer
from truesparse.sparse.balance import balance

# Around the size of a group.
SIDES = st.sampled_from([1, 2, awake.GROUP - 1, awake.GROUP, awake.GROUP + 1, 150])
WIDTHS = range(1, awake.COLUMNS + 1)
WIDE = 2 * awake.COLUMNS
# Of l2, the compiler fuses this product or that one with the sum, loop by loop.
RULE = Optimizer("sgd", 0.9, weight_decay=0.1, decay="set").rule(0.1, 0)
SCALE = 1.25  # of dropout
BIAS_RULE = Optimizer("sgd", 0.9).bias_rule(0.1, 0)


def problem(n_in, seed, width, dtype):
    """Return connections, inputs of which many are silent, and a delta."""
    draw = np.random.default_rng(seed)
    connections = make_connections(draw.random((n_in, 9)) < 0.5, dtype, draw)
    x = draw.standard_normal((n_in, width)).astype(dtype)
    x[draw.random(n_in) < draw.choice([0.0, 0.5, 1.0])] = 0.0
    # A zero with a sign is silent too; one zero of two is not.
    x[draw.random(x.shape) < 0.2] *= -0.0
    return connections, x, draw.standard_normal((9, width)).astype(dtype)


def scattered(connections, x):
    tasks = balance(connections.indptr, 3)
    out = np.full(((tasks.size - 1) * connections.n_out, x.shape[1]), np.nan, x.dtype)
    scatter(make_tile(x.shape[1]), tasks, connections.csr, x, out)
    return out


def stepped(connections, x, delta, code):
    """Return all that a backward pass writes; the arguments are left alone."""
    n, nnz = connections.n_in, connections.nnz
    csr = connections.csr._replace(values=connections.values.copy())
    moments = Moments(np.linspace(-1, 1, nnz, dtype=x.dtype), x[0, :0])
    bias = np.linspace(1, 2, n, dtype=x.dtype)
    first, gradient = np.ones((2, n), x.dtype)
    x = x.copy()
    slope = SCALE * (x > 0)
    biases = bias, gradient, first, x[0, :0]
    source = Source(x, slope.astype(x.dtype), *biases, code, 0.0, SCALE)
    tasks, tile = balance(csr.indptr, 3), make_tile(x.shape[1])
    whole = tile, tasks, csr, moments, RULE, source, BIAS_RULE
    if code == STORED_SLOPE:
        backward(*whole, Above(delta, np.zeros((most_threads(), 0), x.dtype)))
    else:
        backward_skipping(*whole, delta)
    return csr.values, moments.first, bias, first, gradient, x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_forward(width, dtype):
    @given(SIDES, SEEDS)
    def compare(n_in, seed):
        connections, x, _ = problem(n_in, seed, width, dtype)
        # Wider batches skip nothing.
        want = scattered(connections, padded(x, WIDE))
        np.testing.assert_array_equal(scattered(connections, x), want[:, :width])

    compare()


@pytest.mark.parametrize("width", WIDTHS)
def test_backward(width):
    @given(SIDES, SEEDS)
    def compare(n_in, seed):
        connections, x, delta = problem(n_in, seed, width, np.float64)
        # Relu by its slope: nothing says that what is zero needs no gradient.
        want = stepped(connections, x, delta, STORED_SLOPE)
        got = stepped(connections, x, delta, RELU)
        for some, others in zip(got, want, strict=True):
            np.testing.assert_array_equal(some, others)
        got = stepped(connections, x, delta, NO_GRADIENT)
        for some, others in zip(got[:2], want[:2], strict=True):
            np.testing.assert_array_equal(some, others)

    compare()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("code", [RELU, NO_GRADIENT])
def test_what_is_silent_needs_nothing_of_its_outputs(code, width):
    connections = make_connections(np.ones((70, 9), bool))
    x, delta = np.zeros((70, width)), np.full((9, width), np.nan)
    x[3] = 1.0
    values, first, *_ = stepped(connections, x, delta, code)
    is_third = connections.rows() == 3
    np.testing.assert_array_equal(np.isnan(values), is_third)
    np.testing.assert_array_equal(np.isnan(first), is_third)
    weights = connections.values
    weights[:] = 0.0
    weights.reshape(70, 9)[5] = np.inf
    assert np.isfinite(scattered(connections, x)).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_nan_is_awake(width):
    connections = make_connections(np.ones((70, 9), bool))
    x = np.zeros((70, width))
    x[66, -1] = np.nan
    assert np.isnan(scattered(connections, x)[:, -1]).sum() == 9
    values = stepped(connections, x, np.ones((9, width)), RELU)[0]
    np.testing.assert_array_equal(np.isnan(values), connections.rows() == 66)


@pytest.mark.parametrize("name", ["relu", "identity"])
@pytest.mark.parametrize("width", [1, WIDE])
def test_a_layer_skips_in_small_batches_above_relu(width, name):
    connections = make_connections(np.ones((5, 9), bool))
    below = layer(make_connections(np.eye(5) > 0), name)
    x, delta = np.zeros((5, width)), np.full((9, width), np.nan)
    source, rule = below.as_source(x, x[:0, :0], STORE)
    gradient, scratch = np.ones(45), np.zeros((most_threads(), 0))
    rest = STORE, rule, scratch, gradient
    layer(connections).backward(make_tile(width), source, delta, *rest)
    if width == 1 and name == "relu":
        np.testing.assert_array_equal(gradient, np.zeros(45))
        np.testing.assert_array_equal(below.bias_gradient, np.zeros(5))
    else:
        assert np.isnan(gradient).all()
