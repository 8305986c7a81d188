"""Both estimators: a fit that fails or is interrupted, and what it leaves."""

import signal

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from support.estimators import classifier, partly_fitted, regressor, small

from truesparse.callbacks import Callback
from truesparse.errors import DivergedError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Failures -----------------------------------------------------------------------------


class FailAt(Callback):
    """Raises at a step."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, run):
        if run.model.step == self.step:
            raise OSError("no room on the disk")


def test_a_fit_that_fails_leaves_the_network_with_its_classes():
    """The new classes used to be those of the old network."""
    X, y = small()
    net = classifier().fit(X, y)
    want = net.predict(X)
    with pytest.raises(OSError, match="disk"):
        net.set_params(callbacks=[FailAt(3)]).fit(X[:, :9], y + 5)
    np.testing.assert_array_equal(net.predict(X), want)


def test_a_rate_that_is_too_high_is_named():
    X, y = small()
    refused = pytest.raises(DivergedError, match="lower the learning rate")
    # With the JIT off, NumPy remarks upon the overflow.
    net = regressor(solver="sgd", learning_rate_init=1e6)
    with np.errstate(all="ignore"), refused:
        net.fit(X, y)
    assert not hasattr(net, "n_features_in_")


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_an_existing_network_that_diverges_is_as_it_was(
    solver, partial, in_memory, monkeypatch
):
    """Its weights used to be spoilt, finite or not: it predicted 1e237."""
    if not in_memory:
        monkeypatch.setattr("truesparse.estimators.undo._MOST_BYTES", 0)
    X, y = small()
    X = X.astype(np.float64)
    rates = {"sgd": (0.001, 1e30), "adam": (0.001, 1e300)}[solver]
    settings = {
        "solver": solver,
        "warm_start": True,
        "max_iter": 3,
        "activation": "relu",
        "batch_size": 32,
    }
    net = regressor(**settings, learning_rate_init=rates[0]).fit(X, y)
    fit = net.partial_fit if partial else net.fit
    if partial:
        fit(X, y)
    before = net.predict(X)
    published = net.n_iter_, net.loss_, net.t_, net.model_.step
    net.set_params(learning_rate_init=rates[1])
    for _ in range(2):
        with np.errstate(all="ignore"), pytest.raises(DivergedError):
            fit(X, y)
        np.testing.assert_array_equal(net.predict(X), before)
        assert (net.n_iter_, net.loss_, net.t_, net.model_.step) == published
    # And can be trained further.
    net.set_params(learning_rate_init=rates[0])
    fit(X, y)
    assert net.loss_ < 2 * published[1]


def test_a_call_of_partial_fit_that_fails_does_not_tie_the_next_to_its_samples():
    """The next one used to raise, for a run resumes with the same data only."""
    X, y = small()
    net = partly_fitted()
    step = net.model_.step
    with pytest.raises(OSError, match="disk"):
        net.set_params(callbacks=[FailAt(step + 2)]).partial_fit(X, y)
    net.set_params(callbacks=None).partial_fit(X[:40], y[:40])
    assert net.model_.step == step + 2 + 2
    assert net.n_iter_ == len(net.loss_curve_) == 2
    # Samples that are refused change nothing.
    run = net._unfinished.run
    with pytest.raises(ValueError, match="NaN"):
        net.partial_fit(X * np.nan, y)
    assert net._unfinished.run is run


# Ctrl-C -------------------------------------------------------------------------------


class InterruptAfter(Callback):
    """Sends the signal of Ctrl-C within an epoch."""

    def __init__(self, step, times=1):
        self.step, self.times = step, times

    def on_batch_end(self, run):
        if run.model.step == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_fit_keeps_what_was_learned():
    X, y = small()
    net = classifier(callbacks=[InterruptAfter(12)])
    with pytest.raises(KeyboardInterrupt, match="interrupted after 2 epochs"):
        net.fit(X, y)
    assert net.n_iter_ == 2
    assert net.predict(X).shape == y.shape
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    net.set_params(callbacks=None).partial_fit(X[:50], y[:50])
    assert net.n_iter_ == 3


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_ends_a_search_and_not_one_fit_only():
    X, y = small()
    begun = []

    class Note(Callback):
        def on_train_begin(self, run):
            begun.append(run)

        def __deepcopy__(self, memo):
            return self

    net = classifier(callbacks=[Note(), InterruptAfter(12)])
    search = GridSearchCV(net, {"alpha": [1e-4, 1e-3]}, cv=3, error_score=0.0)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert len(begun) == 1


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_call_of_partial_fit_keeps_what_was_learned():
    X, y = small()
    net = partly_fitted()
    step = net.model_.step
    net.set_params(callbacks=[InterruptAfter(step + 2)])
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(X, y)
    assert net.model_.step == step + 2
    net.set_params(callbacks=None).partial_fit(X[:40], y[:40])
    assert net.model_.step == step + 4


class StopAtOnce(Callback):
    """Stops a run before its first epoch."""

    def on_train_begin(self, run):
        run.stop = True


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_run_that_is_stopped_before_it_begins_leaves_the_initial_network(
    early_stopping,
):
    """The learning curve without an entry used to raise IndexError."""
    X, y = small()
    net = classifier(callbacks=StopAtOnce(), early_stopping=early_stopping).fit(X, y)
    assert (net.n_iter_, net.t_, net.loss_curve_) == (0, 0, [])
    assert net.stopped_
    assert np.isnan([net.loss_, net.best_loss_]).all()
    assert net.predict(X).shape == y.shape
    net.set_params(callbacks=None, warm_start=True).fit(X, y)
    assert net.n_iter_ == 8
    part = classifier(callbacks=StopAtOnce()).partial_fit(X, y, [0, 1, 2])
    assert part.set_params(callbacks=None).partial_fit(X, y).n_iter_ == 1


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("step", "times"), [(3, 1), (12, 2)])
def test_an_early_or_a_second_interrupt_ends_the_fit(step, times):
    X, y = small()
    net = classifier(callbacks=[InterruptAfter(step, times)])
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert not hasattr(net, "model_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
