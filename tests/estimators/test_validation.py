"""Both estimators: validation data, early stopping and convergence."""

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from support.estimators import DIGITS, classifier, regressor, small

from truesparse.callbacks import BestModel, Callback
from truesparse.errors import DataError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Validation data ----------------------------------------------------------------------


def test_validation_data_are_evaluated_but_not_trained_on():
    X, y = small()
    plain = classifier().fit(X[:100], y[:100])
    net = classifier().fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    np.testing.assert_array_equal(net.decision_function(X), plain.decision_function(X))
    assert plain.validation_scores_ is None
    assert len(net.validation_scores_) == len(net.validation_loss_curve_) == 8
    assert net.validation_scores_[-1] == net.score(X[100:], y[100:])
    assert net.best_validation_score_ == max(net.validation_scores_)


def test_the_validation_part_holds_all_classes():
    X, y = small()
    held = []

    class Watch(Callback):
        def on_epoch_end(self, run, record):
            held.append(run.n_samples)

    net = classifier(early_stopping=True, validation_fraction=0.2, callbacks=[Watch()])
    net.fit(X, y)
    assert set(held) == {120}
    assert len(net.validation_scores_) == 8


@pytest.mark.parametrize("y", [[0] * 19 + [2], [0, 1] * 10, [0, 1, 2, 0, 1, 2]])
def test_early_stopping_in_calls_too_small_to_share_classes_out(y):
    net = classifier(early_stopping=True)
    net.partial_fit(DIGITS[: len(y)], y, classes=[0, 1, 2])
    assert len(net.validation_scores_) == 1


@pytest.mark.parametrize("format", ["csr", "csc", "dense"])
@pytest.mark.parametrize("trained_on", ["csr", "dense"])
def test_validation_data_may_be_sparse_where_training_data_are_not(trained_on, format):
    X, y = small()

    def stored(X, how):
        return X if how == "dense" else scipy.sparse.csr_array(X).asformat(how)

    net = classifier(max_iter=2)
    net.fit(stored(X, trained_on), y, X_val=stored(X[:50], format), y_val=y[:50])
    assert net.validation_scores_[-1] == net.score(X[:50], y[:50])


def test_validation_data_have_weights():
    X, y = small()
    weights = np.zeros(50)
    weights[:7] = np.arange(1, 8)
    held_out = {"X_val": X[100:], "y_val": y[100:], "sample_weight_val": weights}
    for net in (
        classifier(max_iter=2).fit(X[:100], y[:100], **held_out),
        classifier().partial_fit(X[:100], y[:100], [0, 1, 2], **held_out),
    ):
        want = net.score(X[100:], y[100:], sample_weight=weights)
        assert net.validation_scores_[-1] == pytest.approx(want, rel=1e-12)
    real = regressor(max_iter=2).fit(X[:100], y[:100], **held_out)
    want = real.score(X[100:], y[100:], sample_weight=weights)
    assert real.validation_scores_[-1] == pytest.approx(want, rel=1e-5)
    with pytest.raises(UsageError, match="sample_weight_val belongs to X_val"):
        net.fit(X, y, sample_weight_val=weights)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ((DIGITS[:3], [0, 1, np.nan]), "y_val"),
        ((DIGITS[:3], [0, 1]), "X_val has 3 samples, but y_val has 2"),
        ((DIGITS[:3], [0, 1, 7]), r"y_val contains classes \[7\]"),
        ((DIGITS[:3], [0.5, 1.1, 2.0]), "y_val holds no classes"),
        ((DIGITS[:3], [[0, 1], [1, 1], [1, 0]]), "y_val holds labels"),
        ((DIGITS[:3], [[0, 3], [1, 1], [1, 0]]), "y_val has several columns"),
        ((DIGITS[:3] * np.nan, [0, 1, 2]), "X_val contains NaN"),
        ((DIGITS[:3, :5], [0, 1, 2]), "5 features|X_val must have shape"),
        (([["a"] * 64], [0]), "could not convert|X_val"),
        ((DIGITS[:3], [0, 1, 2], [1, -1, 1]), "sample_weight_val must be"),
        ((DIGITS[:3], [0, 1, 2], [1, 1]), "sample_weight_val must have shape"),
    ],
)
def test_what_is_wrong_with_validation_data_is_said_of_them(held_out, message):
    X, y = small()
    names = dict(zip(("X_val", "y_val", "sample_weight_val"), held_out, strict=False))
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y, **names)


def test_validation_data_of_a_regressor_are_named_too():
    X, y = small()
    with pytest.raises(DataError, match="y_val has 2 targets, but"):
        regressor().fit(X, y, X_val=X, y_val=np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="y_val contains infinity"):
        regressor().fit(X, y, X_val=X, y_val=np.where(y > 0, np.inf, y))
    with pytest.raises(DataError, match="y_val of the poisson loss must be at least 0"):
        regressor(loss="poisson").fit(X, y, X_val=X, y_val=y - 1)


def test_columns_of_validation_data_must_have_the_same_names():
    X, y = small()
    frame = pandas.DataFrame(X, columns=[f"pixel {k}" for k in range(64)])
    with pytest.raises(ValueError, match="feature names should match"):
        classifier().fit(frame, y, X_val=frame[frame.columns[::-1]], y_val=y)


# Early stopping -----------------------------------------------------------------------


def test_early_stopping_returns_to_the_best_weights():
    X, y = small()
    noisy = y.copy()
    noisy[::3] = 2 - noisy[::3]
    net = classifier(early_stopping=True, max_iter=60, n_iter_no_change=5, tol=0.0)
    net.fit(X[:90], noisy[:90], X_val=X[90:], y_val=y[90:])
    scores = net.validation_scores_
    assert net.stopped_
    assert net.n_iter_ == len(scores) < 60
    assert len(scores) - 1 - int(np.argmax(scores)) == 5
    assert net.score(X[90:], y[90:]) == max(scores) > scores[-1]


def test_partial_fit_with_early_stopping_says_when_to_stop():
    X, y = small()
    net = classifier(early_stopping=True, n_iter_no_change=3, tol=0.0, max_iter=500)
    calls = 0
    while not getattr(net, "stopped_", False):
        net.partial_fit(X[:100], y[:100], np.unique(y), X_val=X[100:], y_val=y[100:])
        calls += 1
        assert calls < 200
    assert len(net.validation_scores_) == calls
    assert len(net.loss_curve_) == calls
    best = int(np.argmax(net.validation_scores_))
    assert calls - 1 - best == 3


def test_partial_fit_keeps_the_best_weights_in_a_file(tmp_path):
    X, y = small()
    keep = BestModel("val_score", tmp_path / "best.safetensors")
    net = classifier(
        early_stopping=True, n_iter_no_change=2, tol=0.0, max_iter=500, callbacks=[keep]
    )
    while not getattr(net, "stopped_", False):
        net.partial_fit(X[:100], y[:100], np.unique(y), X_val=X[100:], y_val=y[100:])
    assert net.score(X[100:], y[100:]) == max(net.validation_scores_)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("n_weighty", [2, 5])
def test_samples_held_out_have_weight_and_so_have_those_left(n_weighty, share):
    """All weight used to be held out for some seeds: a division by zero."""
    X, y = small()
    weights = np.zeros(len(y))
    weights[-n_weighty:] = np.arange(1, n_weighty + 1)
    for seed in range(6):
        net = classifier(early_stopping=True, max_iter=2, random_state=seed)
        net.set_params(validation_fraction=share).fit(X, y, sample_weight=weights)
        assert np.isfinite(net.loss_)
        assert np.isfinite(net.validation_scores_).all()


def test_early_stopping_needs_two_samples_with_weight():
    X, y = small()
    weights = np.zeros(len(y))
    weights[5] = 1.0
    net = classifier(early_stopping=True)
    with pytest.raises(DataError, match=r"at least 2 samples .* got 1 of 150"):
        net.fit(X, y, sample_weight=weights)
    net.set_params(early_stopping=False, max_iter=1).fit(X, y, sample_weight=weights)


@pytest.mark.compiled
def test_a_sample_without_weight_is_not_scored():
    X, y = small()
    weights = np.ones(len(y))
    weights[::2] = 0.0
    wrong = np.where(weights > 0, y, (y + 1) % 3)
    scores = [
        classifier(early_stopping=True).fit(X, given, weights).validation_scores_
        for given in (y, wrong)
    ]
    assert scores[0] == scores[1]
    assert scores[0][-1] > 0.8


# Convergence --------------------------------------------------------------------------


def test_training_stops_when_the_loss_settles():
    X, y = small()
    net = classifier(max_iter=500, n_iter_no_change=3, tol=1e-2).fit(X, y)
    assert net.stopped_
    assert net.n_iter_ < 100


def test_a_run_that_does_not_settle_warns():
    X, y = small()
    with pytest.warns(ConvergenceWarning, match="2 epochs"):
        classifier(max_iter=2, n_iter_no_change=3).fit(X, y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "settings", [{"learning_rate": "cosine"}, {"n_iter_no_change": np.inf}]
)
def test_a_run_that_is_to_take_all_its_epochs_does_not(settings):
    X, y = small()
    net = classifier(max_iter=4, **settings).fit(X, y)
    assert net.n_iter_ == 4


@pytest.mark.parametrize(
    ("X_val", "message"),
    [
        (np.zeros(64), r"Expected 2D array"),
        (np.full((2, 64), np.nan), r"Input X_val contains NaN"),
        (np.zeros((2, 63)), r"X_val must have shape \(n, 64\), got \(2, 63\)"),
    ],
)
def test_problems_of_validation_data_are_said_of_them(X_val, message):
    X, y = small()
    with pytest.raises(ValueError, match=message) as seen:
        classifier().fit(X, y, X_val=X_val, y_val=[0, 1])
    assert "Input X contains" not in str(seen.value)
    assert "expecting" not in str(seen.value)
