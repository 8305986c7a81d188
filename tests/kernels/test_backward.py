"""The fused backward pass: gradients, the delta below, and the optimiser step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import BATCHES, DTYPES, cases, padded, tile_for, to_dense

from truesparse.activations import LayerActivation
from truesparse.kernels.activation import NO_GRADIENT
from truesparse.kernels.arrays import Above, Moments, Source
from truesparse.kernels.backward import backward
from truesparse.kernels.jit import most_threads
from truesparse.kernels.update import STORE
from truesparse.optimizers import OPTIMIZERS, Optimizer
from truesparse.sparse.balance import balance


def problem(case, batch, dtype, name):
    """Return tile, source with the activation's output, and a delta."""
    columns, tile = tile_for(batch, dtype)
    activation = LayerActivation(name)
    z = case.normal(case.connections.n_in, columns)
    x = naive.activation(name, z).astype(dtype)
    n_in, code = case.connections.n_in, activation.derivative_code
    # With the rule STORE, the first moments of the biases receive their gradients.
    gradient, first = np.full((2, n_in), np.nan, dtype)
    biases = case.normal(n_in), gradient, first, x[0, :0]
    source = Source(x, x[:0, :0], *biases, code, 0.0, 1.0)
    delta = padded(case.normal(case.connections.n_out, batch), columns)
    return tile, source, delta, naive.derivative(name, z)


def scratch_for(case, dtype):
    """Return scratch that a kernel must clear before it adds to it."""
    longest = case.connections.longest_row + 2
    return np.full((most_threads(), longest), np.nan, dtype)


def run(case, problem_, rules, moments, n_tasks=64):
    tile, source, delta, _ = problem_
    (rule, bias_rule), csr = rules, case.connections.csr
    tasks = balance(csr.indptr, n_tasks)
    above = Above(delta, scratch_for(case, delta.dtype))
    backward(tile, tasks, csr, moments, rule, source, bias_rule, above)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", BATCHES)
def test_gradient_and_delta_below(batch, dtype):
    @given(cases(dtype), st.sampled_from(["identity", "relu"]), st.integers(1, 70))
    def compare(case, name, n_tasks):
        subject = problem(case, batch, dtype, name)
        _, source, delta, slope = subject
        x, weights = source.x.copy(), case.connections.values.copy()
        bias = source.bias.copy()
        gradient = np.full(case.connections.nnz, np.nan, dtype)
        moments = Moments(gradient, gradient[:0])
        run(case, subject, (STORE, STORE), moments, n_tasks)
        np.testing.assert_array_equal(case.connections.values, weights)
        np.testing.assert_array_equal(source.bias, bias)
        want = naive.weight_gradient(x, delta)[case.mask]
        scale = naive.weight_gradient_scale(x, delta)[case.mask]
        assert_close(gradient, want, scale)
        want = naive.input_gradient(case.dense, delta, slope)
        scale = naive.input_gradient_scale(case.dense, delta, slope)
        assert_close(source.x, want, scale)
        assert_close(source.bias_first, want.sum(1), scale.sum(1))

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [3, 9, 300])
def test_input_data_are_left_alone(batch, dtype):
    @given(cases(dtype))
    def compare(case):
        tile, source, delta, slope = problem(case, batch, dtype, "identity")
        source = source._replace(code=NO_GRADIENT)
        x, bias = source.x.copy(), source.bias.copy()
        gradient = np.full(case.connections.nnz, np.nan, dtype)
        moments = Moments(gradient, gradient[:0])
        run(case, (tile, source, delta, slope), (STORE, STORE), moments)
        want = naive.weight_gradient(x, delta)[case.mask]
        assert_close(gradient, want, naive.weight_gradient_scale(x, delta)[case.mask])
        np.testing.assert_array_equal(source.x, x)
        np.testing.assert_array_equal(source.bias, bias)
        assert np.isnan(source.bias_first).all()

    compare()


def moments_of(method, case, size):
    """Return random moments of some numbers, empty where the method has none.

    The second are away from 0: a step divides by their root, which magnifies the
    rounding of the gradient.
    """
    none = case.connections.values[:0]
    return Moments(
        case.normal(size) if method.needs_first else none,
        case.normal(size) ** 2 + none.dtype.type(0.1) if method.needs_second else none,
    )


def check_fused_step(case, batch, dtype, method):
    subject = problem(case, batch, dtype, "relu")
    tile, source, delta, slope = subject
    x, bias = source.x.copy(), source.bias.copy()
    moments = moments_of(method, case, case.connections.nnz)
    before = [to_dense(case.connections, m) if m.size else 0.0 for m in moments]
    of_biases = moments_of(method, case, bias.size)
    before_biases = [m.copy() if m.size else 0.0 for m in of_biases]
    first, second = of_biases
    source = source._replace(bias_first=first, bias_second=second)
    lr, step = 0.1, 3
    rules = method.rule(lr, step), method.bias_rule(lr, step)
    run(case, (tile, source, delta, slope), rules, moments)
    g = naive.weight_gradient(x, delta)
    want = naive.optimizer_step(method, case.dense, *before, g, lr, step)
    # A step is as exact as its gradient, of which Adam takes the square.
    g_scale = naive.weight_gradient_scale(x, delta)
    scale = 1.0 + np.abs(case.dense) + np.abs(before[0]) + before[1] + g_scale**2
    for got, expected in zip((case.connections.values, *moments), want, strict=True):
        if got.size:
            assert_close(got, expected[case.mask], scale[case.mask])
    # The delta below is that of the weights before their step.
    below = naive.input_gradient(case.dense, delta, slope)
    below_scale = naive.input_gradient_scale(case.dense, delta, slope)
    assert_close(source.x, below, below_scale)
    g, g_scale = below.sum(1), below_scale.sum(1)
    want = naive.optimizer_step(method, bias, *before_biases, g, lr, step, decays=False)
    scale = 1.0 + np.abs(bias) + np.abs(before_biases[0]) + before_biases[1]
    for got, expected in zip((source.bias, *of_biases), want, strict=True):
        if got.size:
            assert_close(got, expected, scale + g_scale**2)


# Each of these is compiled anew; test_optimizers.py has every rule in both dtypes.
@pytest.mark.parametrize(
    ("name", "momentum", "batch", "dtype"),
    [
        *((name, 0.9, 3, np.float64) for name in OPTIMIZERS),
        ("sgd", 0.0, 3, np.float64),
        ("sgd", 0.9, 9, np.float64),
        ("sgd", 0.9, 300, np.float32),
        ("adam", 0.9, 3, np.float32),
    ],
)
def test_fused_step(name, momentum, batch, dtype):
    @given(cases(dtype), st.sampled_from(["l2", "decoupled", "set"]))
    def compare(case, decay):
        method = Optimizer(name, momentum, weight_decay=0.01, decay=decay)
        check_fused_step(case, batch, dtype, method)

    compare()
