"""A dense twin of gradients and products with the Hessian, for tanh, by complex steps.

The gradient is an analytic function of the weights: its derivative along a direction is
the imaginary part of the gradient at w + i h v, over h, to the last digits.
"""

import numpy as np

STEP = 1e-30


def gradient_and_product(
    weights, biases, direction, x, targets, shares, loss, temperature
):
    """Return dense gradients, and those of the Hessian times a direction."""
    moved = [w + 1j * STEP * v for w, v in zip(weights, direction, strict=True)]
    inputs = [x.T]
    for w, b in zip(moved[:-1], biases[:-1], strict=True):
        inputs.append(np.tanh(w.T @ inputs[-1] + b[:, None]))
    z = (moved[-1].T @ inputs[-1] + biases[-1][:, None]) / temperature
    delta = shares * output_delta(z, targets, loss) / temperature
    gradients = []
    for k in reversed(range(len(moved))):
        gradients.insert(0, inputs[k] @ delta.T)
        delta = (moved[k] @ delta) * (1 - inputs[k] ** 2)
    return [g.real for g in gradients], [g.imag / STEP for g in gradients]


def output_delta(z, targets, loss):
    if loss.name == "softmax":
        one_hot = np.eye(len(z))[targets].T
        smooth = loss.label_smoothing
        p = np.exp(z) / np.exp(z).sum(axis=0)
        return p - (1 - smooth) * one_hot - smooth / len(z)
    if loss.name == "logistic":
        return 1 / (1 + np.exp(-z)) - targets.T
    if loss.name == "poisson":
        return np.exp(z) - targets.T
    r = z - targets.T
    if loss.name == "huber":
        limit = loss.huber_threshold
        return np.where(abs(r.real) <= limit, r, limit * np.sign(r.real))
    return r
