"""Both estimators: validation data, early stopping and convergence."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from support.estimators import DIGITS, classifier, small

from truesparse.callbacks import BestModel, Callback

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
