"""Optimiser steps on single weights, given their gradient g.

With weight w, moments m and s, and decay terms l2 and shrink:

    Sgd        w += -lr (g + l2 w) - shrink w
    Momentum   m = momentum m - lr (g + l2 w);   w += m - shrink w
    Nesterov   the same m;       w += momentum m - lr (g + l2 w) - shrink w
    Adam       m = beta1 m + (1 - beta1) g;      s = beta2 s + (1 - beta2) g^2
               w += -lr m / (second_scale sqrt(s) + epsilon) - shrink w
    RmsProp    s = beta2 s + (1 - beta2) g^2;    w += -lr g / (sqrt(s) + epsilon)

Each has a form that steps theta instead, where w = theta |theta|^(alpha - 1).

`shrink` is the decoupled decay: SET's reference code uses it as it stands, AdamW times
the learning rate. Bias corrections of Adam are in `lr` and `second_scale`.

A method is a NamedTuple of its numbers. Its type chooses the arithmetic when a kernel
is compiled: the innermost loops hold no branch, and unused methods cost nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload

from truesparse.kernels import jit
from truesparse.kernels.jit import inner_kernel, kernel, parallel_kernel, prange
from truesparse.kernels.subnormal import flush_subnormals, restore_subnormals


class StoreGradient(NamedTuple):
    """Write the gradient to the first moment and do nothing else."""

    # A rule without a field compiles as well (Numba 0.68), but the type stands in the
    # compile caches of users.
    unused: float


class Sgd(NamedTuple):
    """Gradient descent without state."""

    lr: float
    l2: float
    shrink: float


class Momentum(NamedTuple):
    """Gradient descent with momentum."""

    lr: float
    l2: float
    shrink: float
    momentum: float


class Nesterov(NamedTuple):
    """Gradient descent with Nesterov's momentum."""

    lr: float
    l2: float
    shrink: float
    momentum: float


class Adam(NamedTuple):
    """Adam; with `shrink` instead of `l2`, AdamW."""

    lr: float
    l2: float
    shrink: float
    beta1: float
    beta2: float
    epsilon: float
    second_scale: float


class RmsProp(NamedTuple):
    """RMSprop without momentum."""

    lr: float
    l2: float
    shrink: float
    beta2: float
    epsilon: float


# What stands for a rule where gradients are stored; its only field is not used.
STORE = StoreGradient(0.0)

# The same steps on theta. Rules are flat: Numba 0.68 passes no tuple within a tuple to
# a parallel kernel.


class PowerSgd(NamedTuple):
    """Sgd on the root of the weight."""

    lr: float
    l2: float
    shrink: float
    alpha: float


class PowerMomentum(NamedTuple):
    """Momentum on the root of the weight."""

    lr: float
    l2: float
    shrink: float
    momentum: float
    alpha: float


class PowerNesterov(NamedTuple):
    """Nesterov on the root of the weight."""

    lr: float
    l2: float
    shrink: float
    momentum: float
    alpha: float


class PowerAdam(NamedTuple):
    """Adam on the root of the weight."""

    lr: float
    l2: float
    shrink: float
    beta1: float
    beta2: float
    epsilon: float
    second_scale: float
    alpha: float


class PowerRmsProp(NamedTuple):
    """RmsProp on the root of the weight."""

    lr: float
    l2: float
    shrink: float
    beta2: float
    epsilon: float
    alpha: float


Plain = Sgd | Momentum | Nesterov | Adam | RmsProp
Powered = PowerSgd | PowerMomentum | PowerNesterov | PowerAdam | PowerRmsProp
Rule = StoreGradient | Plain | Powered

# All steps have one signature, so that `step_weight` can stand for any of them: a step
# leaves alone what its method does not need.


def _store_gradient(rule, values, first, second, p, g):
    first[p] = g


def _sgd(rule, values, first, second, p, g):
    number = values.dtype.type
    w = values[p]
    step = number(rule.lr) * (g + number(rule.l2) * w)
    values[p] = w - step - number(rule.shrink) * w


def _momentum(rule, values, first, second, p, g):
    number = values.dtype.type
    w = values[p]
    step = number(rule.lr) * (g + number(rule.l2) * w)
    m = number(rule.momentum) * first[p] - step
    first[p] = m
    values[p] = w + m - number(rule.shrink) * w


def _nesterov(rule, values, first, second, p, g):
    number = values.dtype.type
    w = values[p]
    step = number(rule.lr) * (g + number(rule.l2) * w)
    m = number(rule.momentum) * first[p] - step
    first[p] = m
    values[p] = w + number(rule.momentum) * m - step - number(rule.shrink) * w


def _adam(rule, values, first, second, p, g):
    number = values.dtype.type
    beta1, beta2, one = number(rule.beta1), number(rule.beta2), number(1.0)
    w = values[p]
    g = g + number(rule.l2) * w
    m = beta1 * first[p] + (one - beta1) * g
    s = beta2 * second[p] + (one - beta2) * g * g
    first[p] = m
    second[p] = s
    size = number(rule.second_scale) * np.sqrt(s) + number(rule.epsilon)
    values[p] = w - number(rule.lr) * m / size - number(rule.shrink) * w


def _rms_prop(rule, values, first, second, p, g):
    number = values.dtype.type
    beta2, one = number(rule.beta2), number(1.0)
    w = values[p]
    g = g + number(rule.l2) * w
    s = beta2 * second[p] + (one - beta2) * g * g
    second[p] = s
    size = np.sqrt(s) + number(rule.epsilon)
    values[p] = w - number(rule.lr) * g / size - number(rule.shrink) * w


def _power(rule, values, first, second, p, g):
    number = values.dtype.type
    alpha, none = number(rule.alpha), number(0.0)
    w = values[p]
    size = abs(w) ** (number(1.0) / alpha)
    # w / theta is |theta|^(alpha - 1).
    slope = alpha * abs(w) / size if size > none else none
    values[p] = np.copysign(size, w)
    step_root(rule, values, first, second, p, g * slope)
    theta = values[p]
    values[p] = np.copysign(abs(theta) ** alpha, theta)


_PLAIN = {
    Sgd: _sgd,
    Momentum: _momentum,
    Nesterov: _nesterov,
    Adam: _adam,
    RmsProp: _rms_prop,
}
# The rule that takes the same step on the root of each weight.
POWERED: dict[type, Callable[..., Powered]] = {
    Sgd: PowerSgd,
    Momentum: PowerMomentum,
    Nesterov: PowerNesterov,
    Adam: PowerAdam,
    RmsProp: PowerRmsProp,
}
_STEPS = {StoreGradient: _store_gradient, **_PLAIN}
_STEPS |= dict.fromkeys(POWERED.values(), _power)
_ROOTS = {powered: _PLAIN[plain] for plain, powered in POWERED.items()}


def step_root(rule, values, first, second, p, g):
    """Apply one optimiser step to values[p], which holds theta of gradient g."""
    _ROOTS[type(rule)](rule, values, first, second, p, g)


@overload(step_root, jit_options={"fastmath": jit.FASTMATH})
def _choose_root_step(rule, values, first, second, p, g):
    return _ROOTS[rule.instance_class]


def step_weight(rule, values, first, second, p, g):
    """Apply one optimiser step to values[p], whose gradient is g."""
    _STEPS[type(rule)](rule, values, first, second, p, g)


@overload(step_weight, jit_options={"fastmath": jit.FASTMATH})
def _choose_step(rule, values, first, second, p, g):
    if isinstance(rule, types.NamedTuple | types.NamedUniTuple):
        return _STEPS[rule.instance_class]
    return None


@inner_kernel
def step_range(rule, values, moments, gradient, start, stop):
    """Apply one optimiser step to the weights from start to stop."""
    first, second = moments.first, moments.second
    for p in range(np.uint64(start), np.uint64(stop)):
        step_weight(rule, values, first, second, p, gradient[p])


@parallel_kernel
def step_all(rule, values, moments, gradient, task_size):
    """Apply one optimiser step to all weights.

    Parameters
    ----------
    rule : Rule
    values : (n,) float array
        Updated.
    moments : Moments
        Updated; an array that the method does not use may be empty.
    gradient : (n,) float array
    task_size : int
        Weights a task.
    """
    for task in prange((values.size + task_size - 1) // task_size):
        state = flush_subnormals()
        start = task * task_size
        stop = min(start + task_size, values.size)
        step_range(rule, values, moments, gradient, start, stop)
        restore_subnormals(state)


@kernel
def step_biases(rule, bias, moments, delta):
    """Apply one optimiser step to the biases of the outputs.

    Parameters
    ----------
    rule : Rule
    bias : (n_out,) float array
        Updated.
    moments : Moments
        Updated. With the rule StoreGradient, `first` receives the gradients instead.
    delta : (n_out, columns) float array
        The gradient of a bias is the sum of its row.
    """
    for k in range(delta.shape[0]):
        sum_ = delta.dtype.type(0.0)
        for b in range(delta.shape[1]):
            sum_ += delta[k, b]
        step_weight(rule, bias, moments.first, moments.second, k, sum_)


@parallel_kernel
def sum_of_squares(values, task_size, out_partial):
    """Write the sum of squares of each task's values to out_partial[task]."""
    for task in prange(out_partial.size):
        start = task * task_size
        sum_ = 0.0
        for p in range(start, min(start + task_size, values.size)):
            sum_ += np.float64(values[p]) * np.float64(values[p])
        out_partial[task] = sum_
