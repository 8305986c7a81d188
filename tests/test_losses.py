"""Values, deltas, targets and scores of the losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import naive
from support.compare import assert_close
from support.strategies import DTYPES, SEEDS

from truesparse.errors import DataError, UsageError
from truesparse.kernels.jit import DISABLED
from truesparse.losses import LOSSES, Loss

BATCHES = st.sampled_from([1, 5, 16, 33] if DISABLED else [1, 5, 16, 100, 129, 300])
SETTINGS = {
    "softmax": ({}, {"smoothing": 0.2}),
    "logistic": ({},),
    "squared": ({},),
    "huber": ({}, {"threshold": 0.3}),
    "poisson": ({},),
}
CASES = [(name, settings) for name in LOSSES for settings in SETTINGS[name]]


def make_loss(name, settings):
    renamed = {"smoothing": "label_smoothing", "threshold": "huber_threshold"}
    return Loss(name, **{renamed[key]: value for key, value in settings.items()})


def random_targets(name, n_out, batch, draw, dtype):
    if name == "softmax":
        return draw.integers(0, n_out, batch).astype(np.int32)
    if name == "logistic":
        return np.rint(draw.random((n_out, batch))).astype(dtype)
    if name == "poisson":
        return draw.poisson(2.0, (n_out, batch)).astype(dtype)
    return draw.standard_normal((n_out, batch)).astype(dtype)


def apply(loss, z, targets, weights, padding=3):
    """Return loss and delta computed in buffers with `padding` spare columns."""
    shape = (len(z), z.shape[1] + padding)
    buffer = np.full(shape, np.nan, z.dtype)
    buffer[:, : z.shape[1]] = z
    if targets.ndim == 2:
        spare = np.full(shape, np.nan, z.dtype)
        spare[:, : z.shape[1]] = targets
        targets = spare
    value = loss.apply(buffer, targets, weights, np.full((4, shape[1]), np.nan))
    assert not buffer[:, z.shape[1] :].any()
    return value, buffer[:, : z.shape[1]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_value_and_delta(name, settings, dtype):
    loss = make_loss(name, settings)

    # Some outputs are four times as large, and exp(88) is the largest float32.
    sizes = [3.0, 0.0, 20.0 if name == "poisson" else 1000.0]

    @given(st.integers(1, 12), BATCHES, st.sampled_from(sizes), SEEDS)
    def compare(n_out, batch, size, seed):
        draw = np.random.default_rng(seed)
        z = (draw.standard_normal((n_out, batch)) * size).astype(dtype)
        targets = random_targets(name, n_out, batch, draw, dtype)
        weights = draw.random(batch)
        weights[draw.random(batch) < 0.1] = 0.0
        value, delta = apply(loss, z, targets, weights)
        want, want_delta = naive.loss_and_delta(name, z, targets, weights, **settings)
        # Terms of a sample's loss are as large as its outputs, or their squares.
        terms = n_out * (2 + np.abs(z).max(0)) ** (2 if name == "squared" else 1)
        if name == "poisson":
            terms = 20 * terms + np.exp(z.astype(np.float64)).sum(0)
        assert abs(value - want) <= 1e-12 * (weights @ terms)
        reach = weights * (1 + np.abs(want_delta).max(initial=0))
        assert_close(delta, want_delta, reach)

    compare()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", LOSSES)
def test_a_diverged_output_spoils_the_loss(name, bad):
    loss, draw = Loss(name), np.random.default_rng(0)
    for place in range(6):
        z = draw.standard_normal((3, 2))
        targets = random_targets(name, 3, 2, draw, np.float64)
        z.flat[place] = bad
        # With the JIT off NumPy remarks upon inf - inf.
        with np.errstate(invalid="ignore"):
            value, _ = apply(loss, z, targets, np.array([0.5, 0.5]))
        assert not np.isfinite(value)


def test_a_mean_beyond_all_numbers_spoils_the_poisson_loss():
    value, _ = apply(Loss("poisson"), np.array([[701.0]]), np.ones((1, 1)), np.ones(1))
    assert value == np.inf


@pytest.mark.parametrize("n_out", [1, 3])
def test_the_poisson_loss_is_that_of_scikit_learn(n_out):
    from sklearn.metrics import mean_poisson_deviance

    draw = np.random.default_rng(1)
    z, targets = draw.standard_normal((9, n_out)), draw.poisson(1.0, (9, n_out)) * 1.0
    weights = draw.random(9)
    loss = Loss("poisson")
    assert (targets == 0).any()
    deviances = [
        mean_poisson_deviance(targets[:, k], np.exp(z[:, k]), sample_weight=weights)
        for k in range(n_out)
    ]
    got, _ = apply(loss, z.T, targets.T, weights / weights.sum())
    assert got == pytest.approx(sum(deviances) / 2, rel=1e-13)
    # Half the deviance: 0 where the predicted means are the targets.
    assert loss.mean(np.log(targets + 1), targets + 1) == pytest.approx(0, abs=1e-15)


def test_uniform_smoothing_has_no_preference():
    z = np.zeros((4, 1))
    value, delta = apply(Loss("softmax"), z, np.zeros(1, np.int32), np.ones(1))
    assert value == pytest.approx(np.log(4))
    np.testing.assert_allclose(delta[:, 0], [-0.75, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("labels", [[0, 2, 1], [0.0, 2.0, 1.0], [False, True, True]])
def test_labels_become_int32(labels):
    got = Loss().prepare_targets(labels, 3, np.float32)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, labels)


@pytest.mark.parametrize("name", ["logistic", "squared", "huber"])
def test_numbers_become_columns(name):
    got = Loss(name).prepare_targets([0, 1, 1], 1, np.float32)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[0], [1], [1]])
    two = Loss(name).prepare_targets(np.eye(2, order="F"), 2, np.float64)
    assert two.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("softmax", [[0, 1]], "shape"),
        ("softmax", [0, 3], "from 0 to 2, got 0 to 3"),
        ("softmax", [-1, 1], "from 0 to 2, got -1 to 1"),
        ("softmax", [2**32], "from 0 to 2"),
        ("softmax", [-(2**32) + 1.0], "from 0 to 2"),
        ("softmax", [0.5], "whole-number"),
        ("softmax", [0.0, np.nan], "NaN or infinity"),
        ("softmax", [np.inf], "NaN or infinity"),
        ("softmax", ["a", "b"], "must be numbers"),
        ("squared", [[1.0, 2.0]], "shape"),
        ("squared", np.zeros((2, 3, 1)), "shape"),
        ("squared", [[np.nan] * 3], "NaN or infinity"),
        ("huber", [[np.inf] * 3], "NaN or infinity"),
        ("poisson", [[0.0, 2.5, -0.5]], "at least 0, got -0.5"),
        ("logistic", [[0.0, 0.5, 1.01]], "from 0 to 1"),
        ("logistic", [[0.0, 0.5, -0.01]], "from 0 to 1"),
        ("logistic", [["a", "b", "c"]], "must be numbers"),
    ],
)
def test_bad_targets(name, targets, message):
    with pytest.raises(DataError, match=message):
        Loss(name).prepare_targets(targets, 3, np.float64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "hinge"}, "unknown loss 'hinge'"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
        ({"label_smoothing": -0.1}, "label_smoothing must be"),
        ({"label_smoothing": np.nan}, "label_smoothing must be"),
        ({"name": "squared", "label_smoothing": 0.1}, "belongs to softmax"),
        ({"name": "huber", "huber_threshold": 0.0}, "huber_threshold must be"),
        ({"name": "huber", "huber_threshold": np.inf}, "huber_threshold must be"),
    ],
)
def test_bad_losses(arguments, message):
    with pytest.raises(UsageError, match=message):
        Loss(**arguments)


def test_what_outputs_mean():
    z = np.array([[1000.0, 0.0], [0.0, 0.0], [-1000.0, 0.0]])
    np.testing.assert_allclose(
        Loss("softmax").activate(z), [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-300
    )
    np.testing.assert_allclose(
        Loss("logistic").activate(z), [[1, 0.5], [0.5, 0.5], [0, 0.5]], atol=1e-300
    )
    assert Loss("squared").activate(z) is z
    np.testing.assert_array_equal(Loss("poisson").activate(z / 100), np.exp(z / 100))


@pytest.mark.parametrize("name", ["softmax", "squared"])
def test_mean_of_a_loss_is_that_of_its_samples(name):
    loss, draw = Loss(name), np.random.default_rng(3)
    z = draw.standard_normal((5, 3))
    targets = loss.prepare_targets(
        draw.integers(3, size=5) if name == "softmax" else draw.random((5, 3)), 3, float
    )
    before = z.copy()
    each = [loss.mean(z[i : i + 1], targets[i : i + 1]) for i in range(5)]
    assert loss.mean(z, targets) == pytest.approx(np.mean(each))
    np.testing.assert_array_equal(z, before)


def test_scores():
    z = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, -1.0]])
    assert Loss("softmax").score(z, np.array([0, 1, 1])) == pytest.approx(2 / 3)
    yes = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert Loss("logistic").score(z, yes) == pytest.approx(5 / 6)


@pytest.mark.parametrize("name", ["squared", "huber", "poisson"])
def test_score_of_a_regression(name):
    from sklearn.metrics import r2_score

    draw = np.random.default_rng(2)
    z, targets = draw.random((9, 3)), draw.random((9, 3))
    predicted = Loss(name).activate(z)
    assert Loss(name).score(z, targets) == pytest.approx(r2_score(targets, predicted))
    constant = np.ones((4, 1))
    assert Loss(name).score(constant, Loss(name).activate(constant)) == 1.0
    assert Loss(name).score(constant + 1, constant) == 0.0


@given(st.sampled_from(LOSSES), st.integers(1, 3), SEEDS)
def test_weights_are_those_of_repeated_samples(name, n_out, seed):
    loss, draw = Loss(name), np.random.default_rng(seed)
    z = draw.standard_normal((6, n_out))
    targets = random_targets(name, n_out, 6, draw, np.float64).T.copy()
    counts = draw.integers(0, 3, 6)
    counts[draw.integers(6)] = 2
    rows = np.repeat(np.arange(6), counts)
    weights = counts.astype(np.float64)
    want = loss.mean(z[rows], targets[rows]), loss.score(z[rows], targets[rows])
    got = loss.mean(z, targets, weights), loss.score(z, targets, weights)
    assert got == pytest.approx(want, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_overflowed_predict_nothing(name, bad):
    """Softmax made NaN of them, and the first class was predicted."""
    z = np.zeros((5, 2), np.float32)
    z[3, 1] = z[4, 0] = bad
    with pytest.raises(DataError, match=r"2 of 5 samples .* first for sample 13"):
        Loss(name).activate(z, start=10)


def test_a_mean_that_overflows_predicts_nothing():
    with pytest.raises(DataError, match=r"1 of 2 samples .* float32, first"):
        Loss("poisson").activate(np.array([[0.0], [89.0]], np.float32))
