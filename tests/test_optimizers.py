"""Optimiser rules over several steps, and the numbers they are made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import DTYPES, SEEDS

from truesparse.errors import UsageError
from truesparse.kernels.arrays import Moments
from truesparse.kernels.update import STORE, step_all, step_biases, sum_of_squares
from truesparse.optimizers import DECAYS, OPTIMIZERS, Optimizer

N_STEPS = 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "momentum"), [*((name, 0.9) for name in OPTIMIZERS), ("sgd", 0.0)]
)
def test_steps(name, momentum, dtype):
    @given(
        st.integers(0, 50),
        st.integers(1, 60),
        st.sampled_from([*DECAYS, None]),
        st.sampled_from([0.0, 0.02]),
        SEEDS,
    )
    def compare(n, task_size, decay, weight_decay, seed):
        method = Optimizer(
            name, momentum, beta2=0.99, weight_decay=weight_decay, decay=decay
        )
        draw = np.random.default_rng(seed)
        w = draw.standard_normal(n).astype(dtype)
        want, m, s = w.astype(np.float64), np.zeros(n), np.zeros(n)
        moments = Moments(
            np.zeros(n if method.needs_first else 0, dtype),
            np.zeros(n if method.needs_second else 0, dtype),
        )
        for step in range(N_STEPS):
            g = draw.standard_normal(n).astype(dtype)
            lr = 0.1 / (1 + step)
            step_all(method.rule(lr, step), w, moments, g, task_size)
            want, m, s = naive.optimizer_step(method, want, m, s, g, lr, step)
        # Weights, gradients and moments are all of the order of 1.
        assert_close(w, want, N_STEPS * (1 + np.abs(want)))
        if method.needs_first:
            assert_close(moments.first, m, N_STEPS)
        if method.needs_second:
            assert_close(moments.second, s, N_STEPS)

    compare()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_steps_of_powerpropagation_are_steps_of_theta(name, dtype):
    @given(st.integers(1, 40), st.sampled_from([1.5, 2.0, 4.0]), SEEDS)
    def compare(n, alpha, seed):
        method = Optimizer(name, beta2=0.99, weight_decay=0.02, powerprop=alpha)
        draw = np.random.default_rng(seed)
        theta = draw.choice([-1, 1], n) * (0.5 + draw.random(n))
        theta, m, s = theta.astype(dtype).astype(float), np.zeros(n), np.zeros(n)
        w = (theta * np.abs(theta) ** (alpha - 1)).astype(dtype)
        moments = Moments(
            np.zeros(n, dtype), np.zeros(n if name == "adam" else 0, dtype)
        )
        for step in range(N_STEPS):
            g = draw.standard_normal(n).astype(dtype)
            step_all(method.rule(0.005, step), w, moments, g, 16)
            theta, m, s = naive.powerprop_step(method, theta, m, s, g, 0.005, step)
        want = theta * np.abs(theta) ** (alpha - 1)
        assert_close(w, want, N_STEPS * alpha * (1 + np.abs(want)))

    compare()


def test_one_step_of_powerpropagation_by_hand():
    """Weights 0.25, -0.25 and 0 with gradient 1: theta is 0.5, its gradient 2 * 0.5."""
    method = Optimizer("sgd", 0.0, powerprop=2.0)
    w, none = np.array([0.25, -0.25, 0.0]), np.zeros(0)
    step_all(method.rule(0.1, 0), w, Moments(none, none), np.ones(3), 8)
    np.testing.assert_allclose(w, [0.16, -0.36, 0.0], rtol=1e-12)
    # Biases have no powers.
    assert method.bias_rule(0.1, 0) == Optimizer("sgd", 0.0).bias_rule(0.1, 0)


def test_decay_of_powerpropagation_is_that_of_theta():
    """Theta 0.5 without gradient: 0.5 (1 - 0.1 * 0.5), squared."""
    method = Optimizer("sgd", 0.0, weight_decay=0.5, powerprop=2.0)
    w, none = np.array([0.25]), np.zeros(0)
    step_all(method.rule(0.1, 0), w, Moments(none, none), np.zeros(1), 8)
    assert w[0] == pytest.approx(0.475**2)


def test_store_gradient_only_stores():
    w, g = np.ones(7), np.arange(7.0)
    moments = Moments(np.full(7, np.nan), np.full(7, 5.0))
    step_all(STORE, w, moments, g, 3)
    np.testing.assert_array_equal(moments.first, g)
    np.testing.assert_array_equal(w, np.ones(7))
    np.testing.assert_array_equal(moments.second, np.full(7, 5.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_biases_of_the_outputs_follow_the_sums_of_their_delta(dtype):
    method = Optimizer("sgd", 0.9)

    @given(st.integers(1, 9), st.sampled_from([1, 5, 16, 300]), SEEDS)
    def compare(n, columns, seed):
        draw = np.random.default_rng(seed)
        delta = draw.standard_normal((n, columns)).astype(dtype)
        bias, m = draw.standard_normal((2, n)).astype(dtype)
        wide = delta.astype(np.float64)
        gradient, scale = wide.sum(1), np.abs(wide).sum(1)
        moments, none = Moments(np.full(n, np.nan, dtype), m[:0]), m[:0]
        before = bias.copy()
        step_biases(STORE, bias, moments, delta)
        np.testing.assert_array_equal(bias, before)
        assert_close(moments.first, gradient, scale)
        want, want_m, _ = naive.optimizer_step(method, bias, m, 0.0, gradient, 0.1, 0)
        step_biases(method.bias_rule(0.1, 0), bias, Moments(m, none), delta)
        assert_close(m, want_m, 1.0 + scale)
        assert_close(bias, want, 1.0 + np.abs(before) + scale)

    compare()


def test_biases_neither_decay_nor_slow_down():
    method = Optimizer("sgd", 0.0, weight_decay=0.5, decay="set", fan_in_limit=10)
    w, none = np.ones(3), np.zeros(0)
    step_all(method.bias_rule(0.1, 0), w, Moments(none, none), np.ones(3), 8)
    np.testing.assert_allclose(w, np.full(3, 0.9))


def test_layers_of_large_fan_in_learn_slowly():
    method = Optimizer("sgd", 0.0, weight_decay=0.5, decay="decoupled", fan_in_limit=10)
    rates = [method.rule(0.1, 0, fan_in).lr for fan_in in (0.0, 1.0, 10.0, 40.0)]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.025])
    assert method.rule(0.1, 0, 40.0).shrink == pytest.approx(0.0125)
    assert Optimizer("sgd").rule(0.1, 0, 1e9).lr == 0.1


def test_the_three_decays_of_one_weight():
    """A weight of 1 without gradient, lr 0.1, decay 0.5."""
    for decay, want in (("l2", 0.95), ("decoupled", 0.95), ("set", 0.5)):
        w, none = np.ones(1), np.zeros(0)
        rule = Optimizer("sgd", 0.0, weight_decay=0.5, decay=decay).rule(0.1, 0)
        step_all(rule, w, Moments(none, none), np.zeros(1), 8)
        assert w[0] == pytest.approx(want)


def test_adamw_decouples_by_default_and_adam_does_not():
    moved = {}
    for name in ("adam", "adamw"):
        w = np.ones(1)
        rule = Optimizer(name, weight_decay=0.5).rule(0.1, 0)
        step_all(rule, w, Moments(np.zeros(1), np.zeros(1)), np.zeros(1), 8)
        moved[name] = w[0]
    # Adam's first step is lr whatever the gradient; AdamW's decay is lr * 0.5.
    assert moved["adam"] == pytest.approx(0.9)
    assert moved["adamw"] == pytest.approx(0.95)


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.integers(0, 300), st.integers(1, 90), SEEDS)
def test_sum_of_squares(dtype, n, task_size, seed):
    values = np.random.default_rng(seed).standard_normal(n).astype(dtype)
    partial = np.full(-(-n // task_size), np.nan)
    sum_of_squares(values, task_size, partial)
    want = (values.astype(np.float64) ** 2).sum()
    assert abs(partial.sum() - want) <= 1e-12 * want


def test_state_a_method_needs():
    assert {name: Optimizer(name).needs for name in OPTIMIZERS} == {
        "sgd": (True, False),
        "nesterov": (True, False),
        "adam": (True, True),
        "adamw": (True, True),
        "rmsprop": (False, True),
    }
    for name in ("sgd", "nesterov"):
        assert not Optimizer(name, momentum=0.0).needs_first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "adamm"}, "Did you mean 'adam"),
        ({"momentum": 1.0}, "momentum must be from 0"),
        ({"momentum": "a"}, "momentum must be a number, got 'a'"),
        ({"fan_in_limit": "a"}, "fan_in_limit must be a number, got 'a'"),
        ({"momentum": -0.1}, "momentum must be from 0"),
        ({"beta1": 1.0}, "beta1 must be from 0"),
        ({"beta2": np.nan}, "beta2 must be from 0"),
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"epsilon": np.inf}, "epsilon must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0 and finite"),
        ({"weight_decay": np.inf}, "weight_decay must be at least 0 and finite"),
        ({"decay": "l3"}, "unknown decay 'l3'"),
        ({"fan_in_limit": 0.0}, "fan_in_limit must be at least 1"),
        ({"fan_in_limit": np.nan}, "fan_in_limit must be at least 1"),
        ({"powerprop": 0.5}, "powerprop must be at least 1, got 0.5"),
        ({"powerprop": np.inf}, "powerprop must be above 0 and finite"),
        ({"powerprop": np.nan}, "powerprop must be above 0 and finite"),
        ({"powerprop": "2"}, "powerprop must be a number, got '2'"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(UsageError, match=message):
        Optimizer(**arguments)
