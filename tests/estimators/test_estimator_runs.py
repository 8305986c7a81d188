"""Both estimators: validation, stopping, going on, errors."""

import copy
import pickle
import signal

import joblib
import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import (
    ConvergenceWarning,
    NotFittedError,
)
from support.estimators import DIGITS, classifier, regressor, small

from truesparse import load, predict, save, topology
from truesparse.callbacks import BestModel, Callback
from truesparse.errors import DataError, DivergedError, UsageError
from truesparse.losses import Loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Validation and stopping -------------------------------------------------------------


def test_validation_data_are_evaluated_but_not_trained_on():
    X, y = small()
    plain = classifier().fit(X[:100], y[:100])
    net = classifier().fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    np.testing.assert_array_equal(net.decision_function(X), plain.decision_function(X))
    assert plain.validation_scores_ is None
    assert len(net.validation_scores_) == len(net.validation_loss_curve_) == 8
    assert net.validation_scores_[-1] == net.score(X[100:], y[100:])
    assert net.best_validation_score_ == max(net.validation_scores_)


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


# Going on ----------------------------------------------------------------------------


def moments(net):
    return [layer.connections.moments.first for layer in net.model_.layers]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_warm_start_keeps_weights_and_the_state_of_the_optimiser(solver):
    X, y = small()
    net = classifier(solver=solver, topology="static", warm_start=True, max_iter=3)
    model = net.fit(X, y).model_
    before = moments(net)
    net.fit(X, y)
    assert net.model_ is model
    assert all(a is b for a, b in zip(moments(net), before, strict=True))
    assert net.n_iter_ == len(net.loss_curve_) == 6
    whole = classifier(solver=solver, topology="static", max_iter=6).fit(X, y)
    np.testing.assert_array_equal(net.decision_function(X), whole.decision_function(X))


def test_without_warm_start_a_fit_is_the_first():
    X, y = small()
    net = classifier(max_iter=3).fit(X, y)
    first = net.decision_function(X)
    np.testing.assert_array_equal(net.fit(X, y).decision_function(X), first)


def test_partial_fits_on_all_samples_are_a_fit():
    X, y = small()
    whole = classifier(max_iter=6, topology="rigl", learning_rate="linear").fit(X, y)
    net = classifier(max_iter=6, topology="rigl", learning_rate="linear")
    for _ in range(6):
        net.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(net.decision_function(X), whole.decision_function(X))
    assert net.loss_curve_ == whole.loss_curve_
    assert net.t_ == whole.t_ == 6 * len(X)


def test_partial_fits_on_parts_learn_and_may_lack_classes():
    X, y = small()
    order = np.argsort(y, kind="stable")
    net = classifier(max_iter=100, learning_rate_init=0.05)
    for _ in range(15):
        for part in np.array_split(order, 4):
            net.partial_fit(X[part], y[part], classes=[2, 0, 1])
    net.partial_fit(X, y)
    assert net.score(X, y) > 0.9


def test_partial_fit_of_labels_needs_no_classes():
    X, y = make_multilabel_classification(100, 20, n_classes=3, random_state=0)
    net = classifier()
    for _ in range(30):
        net.partial_fit(X / X.max(), y)
    assert (net.predict(X / X.max()) == y).mean() > 0.7


def test_partial_fit_with_early_stopping_tells_when_to_stop():
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


def test_copies_and_pickles_predict_and_go_on_alike(tmp_path):
    X, y = small()
    net = classifier(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    joblib.dump(net, tmp_path / "net.joblib")
    others = [
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        joblib.load(tmp_path / "net.joblib"),
    ]
    net.partial_fit(X, y)
    for other in others:
        other.partial_fit(X, y)
        np.testing.assert_array_equal(
            other.decision_function(X), net.decision_function(X)
        )


# Errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "lbfgs"}, "unknown solver 'lbfgs'; use one of adam"),
        ({"learning_rate": "cosin"}, "Did you mean 'cosine'"),
        ({"activation": "rely"}, "Did you mean 'relu'"),
        ({"topology": "sett"}, "Did you mean 'set'"),
        ({"topology": 3}, "topology must be a name or an object"),
        ({"topology_options": {"zetta": 0.3}}, "zetta"),
        (
            {"topology": topology.make("set"), "topology_options": {"zeta": 0.1}},
            "both|belong",
        ),
        ({"loss": "squared_error"}, "unknown loss for class targets"),
        ({"loss": Loss("squared")}, "does not suit class targets"),
        ({"loss": "logistic"}, "takes two classes, got 3"),
        ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes must be a whole number"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be whole numbers"),
        ({"epsilon": 1, "density": 0.5}, "density"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": "all"}, "unknown batch_size 'all'"),
        ({"max_iter": 0}, "max_iter must be a whole number"),
        (
            {"validation_fraction": 0.0, "early_stopping": True},
            "validation_fraction must be above 0",
        ),
        (
            {"validation_fraction": 1.0},
            "validation_fraction must be a number from 0 to below 1",
        ),
        ({"tol": -1.0}, "tol must be a finite number of at least 0"),
        ({"alpha": "much"}, "alpha must be a finite number of at least 0"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number"),
        ({"early_stopping": "yes"}, "early_stopping must be True or False"),
        ({"n_jobs": 0}, "n_jobs must not be 0"),
        ({"dtype": "float16"}, "unknown dtype"),
        ({"callbacks": [print]}, "callbacks must be a list of Callback"),
        ({"dropout": 1.0}, "dropout"),
        ({"momentum": 1.0}, "momentum must be from 0"),
    ],
)
def test_parameters_that_are_not_accepted(settings, message):
    X, y = small()
    with pytest.raises(UsageError, match=message):
        classifier(**settings).fit(X, y)


def test_data_that_are_not_accepted():
    X, y = small()
    net = classifier(max_iter=1)
    with pytest.raises(DataError, match="several columns of classes"):
        net.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(UsageError, match="X_val and y_val together"):
        net.fit(X, y, X_val=X)
    with pytest.raises(DataError, match=r"the classes \[3\], which were not there"):
        net.fit(X, y, X_val=X[:3], y_val=[0, 1, 3])
    with pytest.raises(UsageError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    net.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(UsageError, match="not the same as on the first call"):
        net.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(DataError, match="kind"):
        net.partial_fit(X, np.stack([y > 0, y > 1], axis=1).astype(int))
    with pytest.raises(DataError, match="both be dense or both sparse"):
        net.fit(X, y, X_val=scipy.sparse.csr_array(X), y_val=y)
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    both = classifier(max_iter=1).partial_fit(X, labels)
    with pytest.raises(DataError, match="y has 3 labels, at first there were 2"):
        both.partial_fit(X, np.stack([y > 0, y > 1, y < 1], axis=1).astype(int))
    real = regressor(max_iter=1).partial_fit(X, labels)
    with pytest.raises(DataError, match="y has 1 targets, at first there were 2"):
        real.partial_fit(X, y)


def test_what_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        classifier().predict(DIGITS)
    with pytest.raises(NotFittedError):
        regressor().feature_importances_  # noqa: B018


def test_a_rate_that_is_too_high_is_told():
    X, y = small()
    refused = pytest.raises(DivergedError, match="lower the learning rate")
    # With the JIT off, NumPy remarks upon the overflow.
    with np.errstate(all="ignore"), refused:
        regressor(solver="sgd", learning_rate_init=1e6).fit(X, y)


# Ctrl-C and files --------------------------------------------------------------------


class InterruptAfter(Callback):
    """Sends the signal of Ctrl-C within an epoch."""

    def __init__(self, step, times=1):
        self.step, self.times = step, times

    def on_batch_end(self, run):
        if run.model.step == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c():
    """SIGINT as a terminal has it; what runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_fit_keeps_what_was_learnt():
    X, y = small()
    net = classifier(callbacks=[InterruptAfter(12)])
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        net.fit(X, y)
    assert net.n_iter_ == 2
    assert net.predict(X).shape == y.shape
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    net.set_params(callbacks=None).partial_fit(X[:50], y[:50])
    assert net.n_iter_ == 3


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("step", "times"), [(3, 1), (12, 2)])
def test_an_early_or_a_second_interrupt_ends_the_fit(step, times):
    X, y = small()
    net = classifier(callbacks=[InterruptAfter(step, times)])
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert not hasattr(net, "model_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_saved_estimator_predicts_from_the_command_line(tmp_path):
    X, y = small()
    names = [f"pixel {k}" for k in range(64)]
    words = np.array(["null", "one", "two"])[y]
    net = classifier().fit(pandas.DataFrame(X, columns=names), words)
    save(net, tmp_path / "net.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "net.safetensors").decision_function(X),
        net.model_.decision_function(X),
    )
    table = pandas.DataFrame(X, columns=names)[names[::-1]]
    table.to_csv(tmp_path / "x.csv", index=False)
    out = tmp_path / "predictions.csv"
    arguments = [str(tmp_path / "net.safetensors"), str(tmp_path / "x.csv"), "--out"]
    assert predict.main([*arguments, str(out), "--quiet", "--labels-only"]) == 0
    got = pandas.read_csv(out, keep_default_na=False)["prediction"].tolist()
    assert got == net.predict(pandas.DataFrame(X, columns=names)).tolist()


def test_a_saved_estimator_of_one_class_predicts_it(tmp_path):
    net = classifier(max_iter=1).fit(DIGITS[:20], np.full(20, "seven"))
    net.save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "x.npz", X=DIGITS[:3])
    out = tmp_path / "predictions.csv"
    arguments = [str(tmp_path / "net.safetensors"), str(tmp_path / "x.npz"), "--out"]
    assert predict.main([*arguments, str(out), "--quiet"]) == 0
    table = pandas.read_csv(out)
    assert table["prediction"].tolist() == ["seven"] * 3
    assert table["probability_seven"].tolist() == [1.0] * 3
