"""The gradient of whole networks by central differences, in float64."""

import itertools

import numpy as np
import pytest
from support.network import Problem, as_csr, by_output, make_data, make_model, make_twin

from truesparse.activations import ACTIVATIONS
from truesparse.losses import LOSSES, Loss

# Differences err by STEP^2 and by rounding over STEP, both about 1e-10 here.
STEP = 1e-5
BATCH = 3


def differences(problem):
    """Return the derivative of the loss by everything that is trained."""
    results = []
    for parameter in problem.parameters():
        gradient = np.empty(parameter.size)
        for p, value in enumerate(parameter.copy()):
            losses = []
            for shifted in (value + STEP, value - STEP):
                parameter[p] = shifted
                losses.append(problem.value())
            parameter[p] = value
            gradient[p] = (losses[0] - losses[1]) / (2 * STEP)
        results.append(gradient)
    return results


def is_smooth(model, x, targets):
    """Whether no kink of an activation or of Huber's loss is within reach."""
    zs, _ = make_twin(model).outputs(x.T)
    distances = []
    for z, layer in zip(zs[:-1], model.layers, strict=False):
        kinks = [0.0] if layer.srelu is None else layer.srelu.values[[0, 2], :, None]
        distances += [np.abs(z - kink).min() for kink in kinks]
    if model.loss.name == "huber":
        residuals = np.abs(zs[-1] - by_output(targets))
        distances.append(np.abs(residuals - model.loss.huber_threshold).min())
    return min(distances) > 100 * STEP


def make_problem(activation, loss, is_sparse, dropout=0.0):
    settings = {"softmax": {"label_smoothing": 0.1}, "huber": {"huber_threshold": 0.5}}
    chosen = Loss(loss, **settings.get(loss, {}))
    for seed in itertools.count():
        model = make_model(
            (5, 4, 4, 2), 0.6, chosen, activation=activation, dropout=dropout, seed=seed
        )
        x, targets = make_data(BATCH, (5, 2), loss, 0.6, seed)
        if is_smooth(model, x, targets):
            weights = np.array([0.5, 0.2, 0.3])
            data = as_csr(x) if is_sparse else x
            return Problem(model, data, targets, weights)


def check(problem):
    got, want = problem.gradients(), differences(problem)
    largest = max(np.abs(gradient).max() for gradient in want)
    assert largest > 1e-3
    for gradient, difference in zip(got, want, strict=True):
        scale = np.abs(difference).max(initial=1e-3 * largest)
        np.testing.assert_allclose(gradient, difference, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_central_differences(activation, loss, is_sparse):
    check(make_problem(activation, loss, is_sparse))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_central_differences_under_dropout(activation):
    """The backward pass uses the mask of the forward pass."""
    check(make_problem(activation, "squared", False, dropout=0.4))


@pytest.mark.parametrize("activation", ["silu", "srelu"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_the_twin_are_the_same(loss, activation):
    problem = make_problem(activation, loss, False)
    model_gradients = problem.gradients()

    class Model:
        layers, loss = problem.layers, problem.loss

    twin = make_twin(Model)
    targets = by_output(problem.targets)
    _, want = twin.gradients(problem.data.T, targets, problem.weights)
    others = twin.biases + twin.shapes
    masks = [*twin.masks, *(np.ones(each.shape, bool) for each in others)]
    for got, expected, mask in zip(model_gradients, want, masks, strict=True):
        expected = expected[mask]
        scale = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14 * scale)
