"""Steps of a network beside steps of its dense twin."""

import numpy as np
from support.network import by_output
from support.strategies import to_dense

from truesparse.optimizers import Optimizer

MOMENTUM = Optimizer("sgd", 0.9)


LR = 0.05


def train(model, x, targets, batches, method=MOMENTUM, batch_size=3, **settings):
    """Train on lists of samples and return the losses."""
    model.allocate_moments(method)
    model.prepare(batch_size, x)
    return [
        model.train_batch(x, targets, np.array(batch), method, LR, **settings)
        for batch in batches
    ]


def train_twin(twin, x, targets, batches, method=MOMENTUM, shares=None, **settings):
    losses, targets = [], by_output(targets)
    for batch in batches:
        weights = np.ones(len(batch)) if shares is None else shares[batch]
        parts = x[batch].T, targets[..., batch], weights / weights.sum()
        losses.append(twin.train_step(*parts, method, LR, **settings))
    return losses


def parameters(model):
    weights = [to_dense(k.connections) for k in model.layers]
    return weights + [k.bias for k in model.layers]


def assert_same(model, twin, atol=1e-10):
    for got, want in zip(parameters(model), twin.weights + twin.biases, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def batches_of(size, n_steps, n=12, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.permutation(n)[:size] for _ in range(n_steps)]
