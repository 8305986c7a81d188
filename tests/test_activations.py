"""Every fixed activation, its derivative, and dropout, through the kernels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import DTYPES, layer, make_connections

from truesparse.activations import ACTIVATIONS, LayerActivation, layer_activation
from truesparse.errors import UsageError
from truesparse.kernels import activation as kernels
from truesparse.kernels.arrays import Above, Head, Moments
from truesparse.kernels.backward import backward
from truesparse.kernels.forward import combine
from truesparse.kernels.simd import make_tile
from truesparse.kernels.update import STORE

# Trained ones are a step of their own, see sparse/test_srelu.py.
FIXED = [name for name in ACTIVATIONS if not LayerActivation(name).is_trained]
COLUMNS = 8
TILE = make_tile(COLUMNS)
PARAMETERS = {"leaky_relu": 0.01, "all_relu": -0.6, "elu": 1.3}
EXTREMES = np.array([-1e4, -800.0, -90.0, -40.0, -1e-30, 0.0, 1e-30, 40.0, 800.0, 1e4])


def pre_activations(dtype, n=30):
    """Return numbers of all sizes, among them those that overflow exp."""
    draw = np.random.default_rng(1)
    z = draw.standard_normal((n, COLUMNS)) * draw.choice([0.01, 1.0, 8.0], (n, 1))
    z.flat[: EXTREMES.size] = EXTREMES
    return z.astype(dtype)


def activated(activation, z, key=0, training=True):
    """Return output and slope as the forward pass of a layer leaves them."""
    how = activation.for_training(key) if training else activation.for_inference()
    keeps = how.keeps_slope
    out = np.full(z.shape, np.nan, z.dtype)
    slope = np.full(z.shape if keeps else (0, 0), np.nan, z.dtype)
    combine(TILE, z, Head(np.zeros(len(z), z.dtype), out, slope), how, 7)
    return out, slope


def derivative_used(activation, out, slope):
    """Return what backward multiplies by: an identity layer passes ones through."""
    n = len(out)
    connections = make_connections(np.eye(n) > 0, out.dtype.type)
    connections.values[:] = 1
    source, _ = layer(connections).as_source(out.copy(), slope, STORE)
    source = source._replace(
        code=activation.derivative_code,
        parameter=activation.parameter,
        scale=activation.scale,
    )
    ones = np.ones((n, COLUMNS), out.dtype)
    moments = Moments(np.zeros(n, out.dtype), out[0, :0])
    tasks, csr = connections.row_tasks, connections.csr
    above = Above(ones, np.zeros((64, 1), out.dtype))
    backward(TILE, tasks, csr, moments, STORE, source, STORE, above)
    return source.x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FIXED)
def test_value_and_derivative(name, dtype):
    activation = LayerActivation(name, PARAMETERS.get(name, 0.0))
    z = pre_activations(dtype)
    want = naive.activation(name, z, activation.parameter)
    for training in (False, True):
        out, slope = activated(activation, z, training=training)
        # Every value to its own last digits; what is below 1e-30 may be flushed.
        assert_close(out, want, np.abs(want) + 1e-30)
    want = naive.derivative(name, z, activation.parameter)
    # Derivatives are told by the output, so they are exact beside its largest value.
    assert_close(derivative_used(activation, out, slope), want, 1.0 + np.abs(want))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FIXED)
def test_dropout(name, dtype):
    rate, key = 0.3, 0xDEADBEEF
    activation = LayerActivation(name, PARAMETERS.get(name, 0.0), rate)
    z = pre_activations(dtype)
    factor = naive.dropout_mask(key, rate, z.shape) / (1 - rate)
    out, slope = activated(activation, z, key)
    want = naive.activation(name, z, activation.parameter)
    assert_close(out, want * factor, np.abs(want) + 1e-30)
    assert not out[factor == 0].any()
    want = naive.derivative(name, z, activation.parameter)
    got = derivative_used(activation, out, slope)
    assert_close(got, want * factor, 1.0 + np.abs(want))
    # It is for training only.
    plain, _ = activated(activation, z, key, training=False)
    assert_close(plain, naive.activation(name, z, activation.parameter), 1 + np.abs(z))


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.95])
def test_dropout_drops_its_share_independently(rate):
    ones = np.ones((1000, COLUMNS))
    activation = LayerActivation("identity", 0.0, rate)
    masks = [activated(activation, ones, key)[0] > 0 for key in (1, 2)]
    n = ones.size
    for mask in masks:
        assert abs(mask.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)
        # Neurons and samples differ as much as independent draws would.
        for axis in (0, 1):
            spread = mask.mean(axis).var() * mask.shape[axis]
            assert 0.2 < spread / (rate * (1 - rate)) < 3.0
    both = (masks[0] & masks[1]).mean()
    assert abs(both - (1 - rate) ** 2) < 4 * np.sqrt(0.25 / n)


def test_the_same_key_drops_the_same():
    z = pre_activations(np.float64)
    activation = LayerActivation("relu", 0.0, 0.5)
    first, _ = activated(activation, z, 7)
    again, _ = activated(activation, z, 7)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", FIXED)
def test_a_nan_comes_through(name):
    z = pre_activations(np.float64)
    z[3, 2] = np.nan
    # With the JIT off NumPy remarks upon the conversion inside exp.
    with np.errstate(invalid="ignore"):
        out, _ = activated(LayerActivation(name, PARAMETERS.get(name, 0.0)), z)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(z))


@given(st.floats(-700, 700))
def test_scalar_functions(x):
    tolerance = 1e-13 * (1 + abs(x) / 700)
    with np.errstate(under="ignore"):
        for function, want in (
            (kernels.exp, np.exp(x)),
            (kernels.expm1, np.expm1(x)),
            (kernels.tanh, np.tanh(x)),
            (kernels.logistic, naive.activation("logistic", x)),
        ):
            assert abs(function(x) - want) <= tolerance * abs(want) + 1e-300


def test_scalar_functions_near_zero():
    for x in (1e-8, -1e-8, 1e-17, -1e-100, 0.0):
        assert kernels.expm1(x) == pytest.approx(np.expm1(x), rel=1e-15)
        assert kernels.tanh(x) == pytest.approx(np.tanh(x), rel=1e-15)


def test_which_slopes_are_kept():
    keeping = {name for name in ACTIVATIONS if LayerActivation(name).keeps_slope}
    assert keeping == {"all_relu", "gelu", "silu", "srelu"}
    dropping = {n for n in ACTIVATIONS if LayerActivation(n, 0.0, 0.5).keeps_slope}
    # relu's dropped outputs are zero, as those of negative inputs are.
    assert dropping == set(ACTIVATIONS) - {"relu"}


def test_sign_of_all_relu_alternates():
    slopes = [layer_activation("all_relu", k, 0.75).parameter for k in range(4)]
    assert slopes == [-0.75, 0.75, -0.75, 0.75]


def test_default_parameters():
    defaults = {name: layer_activation(name, 1).parameter for name in ACTIVATIONS}
    assert defaults["leaky_relu"] == 0.01
    assert defaults["all_relu"] == 0.6
    assert defaults["elu"] == 1.0
    assert layer_activation("elu", 0, 2, 0.25) == LayerActivation("elu", 2.0, 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rellu", 0), "Did you mean 'relu'"),
        (("relu", 0, 0.1), "takes no parameter"),
        (("elu", 0, -1.0), "at least 0 and finite"),
        (("elu", 0, np.inf), "finite"),
        (("elu", 0, np.nan), "finite"),
        (("relu", 0, None, 1.0), "dropout must be from 0"),
        (("relu", 0, None, -0.1), "dropout must be from 0"),
        (("relu", 0, None, np.nan), "dropout must be from 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        layer_activation(*arguments)
