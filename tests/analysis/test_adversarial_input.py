"""The fast gradient sign method against finite differences and dense samples."""

import numpy as np
import pytest
import scipy.sparse

from truesparse import SparseMLP
from truesparse.analysis import adversarial
from truesparse.analysis.adversarial_input import Direction, input_gradient
from truesparse.analysis.twin import twin_of
from truesparse.errors import DataError, UsageError
from truesparse.losses import Loss

DRAW = np.random.default_rng(2)
X = DRAW.standard_normal((20, 5))
Y = DRAW.integers(0, 3, 20)


def make(activation="tanh", loss="softmax", **options):
    options = {"density": 0.6, "dtype": "float64", "seed": 4} | options
    return SparseMLP([5, 9, 7, 3], activation=activation, loss=loss, **options)


def gradient_by_differences(model, x, targets):
    """Return the gradient of the mean loss, cell by cell."""
    gradient, step = np.zeros_like(x), 1e-6
    for cell in np.ndindex(*x.shape):
        losses = []
        for sign in (1, -1):
            moved = x.copy()
            moved[cell] += sign * step
            losses.append(model.loss.mean(model.decision_function(moved), targets))
        gradient[cell] = (losses[0] - losses[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("activation", ["tanh", "gelu", "srelu"])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_the_gradient_is_that_of_finite_differences(activation, loss):
    model = make(activation, loss, dropout=0.4)
    y = Y[:4] if loss == "softmax" else np.eye(3)[Y[:4]]
    targets = model.loss.prepare_targets(y, 3, model.dtype)
    twin = twin_of(model, {})
    twin.prepare(4)
    got = input_gradient(twin, X[:4].copy(), targets)
    wanted = gradient_by_differences(model, X[:4], targets)
    np.testing.assert_allclose(got, wanted, atol=1e-7)
    # The direction is that of each sample, whatever its length.
    twin.loss = Direction(loss)
    got = input_gradient(twin, X[:4].copy(), targets)
    scale = np.linalg.norm(got, axis=1) / np.linalg.norm(wanted, axis=1)
    np.testing.assert_allclose(got, scale[:, None] * wanted, atol=1e-6 * scale.max())
    assert scale.min() > 1.0


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_certain_samples_have_a_direction(loss):
    """Their loss and its gradient are 0 in any precision."""
    model = make("tanh", loss, dtype="float32")
    model.layers[-1].connections.values *= 1e4
    z = model.decision_function(X)
    y = z.argmax(axis=1) if loss == "softmax" else (z > 0).astype(float)
    curve = adversarial(model, X, y, fractions=5)
    assert curve.accuracies[0, 0] == 1.0
    assert curve.accuracies[0, -1] < 0.7


def test_label_smoothing_does_not_turn_the_direction():
    plain, smooth = (
        make(loss=Loss("softmax", label_smoothing=smoothing)) for smoothing in (0, 0.5)
    )
    for each in (plain, smooth):
        each.layers[-1].connections.values *= 20  # most are beyond what is smoothed
    one, other = (adversarial(each, X, Y, fractions=5) for each in (plain, smooth))
    np.testing.assert_array_equal(one.accuracies, other.accuracies)


def test_accuracies_are_those_of_moved_samples():
    model = make()
    targets = model.loss.prepare_targets(Y, 3, model.dtype)
    sign = np.sign(gradient_by_differences(model, X, targets))
    points = [0.0, 0.3, 1.0]
    wanted = [
        (model.decision_function(X + 0.7 * x * sign).argmax(axis=1) == Y).mean()
        for x in points
    ]
    for data in (X, scipy.sparse.csr_array(X)):
        curve = adversarial(
            model, data, Y, fractions=points, strength=0.7, batch_size=8
        )
        np.testing.assert_allclose(curve.accuracies, [wanted])
        assert curve.strength == 0.7
    assert wanted[2] < wanted[0]


def test_the_default_strength_is_the_deviation_of_the_features():
    wanted = np.sqrt(X.var(axis=0).mean())
    # A feature that is zero everywhere counts, too.
    sparse = scipy.sparse.csr_array(np.where(np.arange(5) == 4, 0.0, X))
    curves = [
        adversarial(make(), data, Y, fractions=2)
        for data in (X, scipy.sparse.csr_array(X), sparse, sparse.toarray())
    ]
    assert curves[0].strength == pytest.approx(wanted)
    assert curves[1].strength == pytest.approx(wanted)
    assert curves[2].strength == pytest.approx(curves[3].strength)
    assert curves[2].strength < wanted


def test_wide_samples_take_smaller_batches(monkeypatch):
    whole = adversarial(make(), X, Y, fractions=3)
    monkeypatch.setattr("truesparse.analysis.adversarial_input._MOST_BYTES", 100)
    small = adversarial(make(), X, Y, fractions=3)
    np.testing.assert_array_equal(small.accuracies, whole.accuracies)


def test_what_does_not_suit_is_refused():
    with pytest.raises(DataError, match="all samples are equal"):
        adversarial(make(), X * 0, Y)
    for strength in (0.0, -1.0, np.nan):
        with pytest.raises(UsageError, match="strength"):
            adversarial(make(), X, Y, strength=strength)
    with pytest.raises(UsageError, match="needs a classifier"):
        adversarial(make(loss="squared"), X, np.zeros((20, 3)))
    broken = make()
    broken.layers[2].bias[0] = np.nan
    # In plain Python, NumPy remarks on NaN.
    with np.errstate(all="ignore"), pytest.raises(DataError, match=r"NaN|nan"):
        adversarial(broken, X, Y)
