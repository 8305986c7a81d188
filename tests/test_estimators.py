"""Both estimators: targets, data, weights, stopping, going on, errors."""

import copy
import pickle

import joblib
import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import (
    ConvergenceWarning,
    DataConversionWarning,
    NotFittedError,
)
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import scale

from truesparse import SparseMLPClassifier, SparseMLPRegressor, topology
from truesparse.callbacks import BestModel, Callback, History
from truesparse.errors import DataError, DivergedError, UsageError
from truesparse.losses import Loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32)
TRAIN, TEST = slice(0, 1200), slice(1200, None)


def classifier(**settings):
    defaults = {"epsilon": 5, "max_iter": 8, "random_state": 0, "solver": "sgd"}
    defaults |= {"learning_rate_init": 0.1, "batch_size": 32, "n_iter_no_change": 100}
    return SparseMLPClassifier(
        settings.pop("hidden_layer_sizes", (60, 40)), **defaults | settings
    )


def regressor(**settings):
    defaults = {"epsilon": 5, "max_iter": 30, "random_state": 0}
    defaults |= {"learning_rate_init": 0.005, "n_iter_no_change": 100}
    return SparseMLPRegressor((50, 50), **defaults | settings)


def small(n=150):
    """Return few samples of three of the digits."""
    chosen = np.flatnonzero(LABELS < 3)[:n]
    return DIGITS[chosen], LABELS[chosen]


# Targets -----------------------------------------------------------------------------


def test_classes_may_be_words():
    words = np.array(["null", "one", "two", *"3456789"])
    net = classifier().fit(DIGITS[TRAIN], words[LABELS[TRAIN]])
    assert net.score(DIGITS[TEST], words[LABELS[TEST]]) > 0.85
    assert net.classes_.tolist() == sorted(words)
    p = net.predict_proba(DIGITS[TEST])
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert (net.classes_[p.argmax(axis=1)] == net.predict(DIGITS[TEST])).all()
    np.testing.assert_allclose(
        np.exp(net.predict_log_proba(DIGITS[TEST])), p, rtol=1e-4, atol=1e-30
    )


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_two_classes(loss):
    X, y = small()
    y = np.where(y == 1, "yes", "no")
    net = classifier(loss=loss).fit(X, y)
    assert net.n_outputs_ == {"softmax": 2, "logistic": 1}[loss]
    z, p = net.decision_function(X), net.predict_proba(X)
    assert z.shape == (len(X),)
    assert p.shape == (len(X), 2)
    np.testing.assert_allclose(p[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-4, atol=1e-6)
    assert (net.predict(X) == net.classes_[(z > 0).astype(int)]).all()
    assert net.score(X, y) > 0.97


def test_one_class_is_always_predicted():
    net = classifier(max_iter=1).fit(DIGITS[:20], np.full(20, 7))
    assert (net.predict(DIGITS[:5]) == 7).all()


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array])
def test_several_labels(container):
    X, y = make_multilabel_classification(300, 20, n_classes=4, random_state=0)
    X = X / X.max()
    net = classifier(max_iter=40).fit(X, container(y))
    got = net.predict(X)
    assert got.shape == y.shape
    assert set(np.unique(got)) <= {0, 1}
    assert (got == y).mean() > 0.85
    assert (net.predict_proba(X) > 0.5).astype(int).tolist() == got.tolist()
    assert net.out_activation_ == "logistic"


@pytest.mark.parametrize("n_targets", [0, 1, 3])
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_real_targets(n_targets, loss):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X), scale(y)
    if n_targets:
        y = np.stack([y * k for k in range(1, n_targets + 1)], axis=1)
    if n_targets == 1:
        with pytest.warns(DataConversionWarning):
            net = regressor(loss=loss).fit(X, y)
    else:
        net = regressor(loss=loss).fit(X, y)
    assert net.predict(X).shape == (y.ravel().shape if n_targets < 2 else y.shape)
    linear = LinearRegression().fit(X, y).score(X, y)
    assert net.score(X, y) > linear


def test_a_loss_may_be_an_object():
    X, y = small()
    smooth = Loss("softmax", label_smoothing=0.2)
    net = classifier(loss=smooth).fit(X, y)
    assert net.model_.loss.label_smoothing == 0.2
    plain = classifier().fit(X, y).predict_proba(X)
    assert np.median(net.predict_proba(X).max(axis=1)) < 0.93
    assert np.median(plain.max(axis=1)) > 0.98


# Data --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_sparse_data_give_what_dense_ones_give(kind, monkeypatch):
    monkeypatch.setattr(scipy.sparse.csr_array, "toarray", None)
    X, y = small()
    made = scipy.sparse.csr_array(X).asformat(kind)
    net, dense = classifier().fit(made, y), classifier().fit(X, y)
    np.testing.assert_allclose(
        net.decision_function(made), dense.decision_function(X), rtol=1e-2, atol=1e-2
    )
    np.testing.assert_allclose(
        net.decision_function(X), net.decision_function(made), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("given", "asked", "got"),
    [
        ("float32", "auto", "float32"),
        ("float64", "auto", "float64"),
        ("int64", "auto", "float64"),
        ("float64", "float32", "float32"),
        ("float32", "float64", "float64"),
    ],
)
def test_the_dtype_is_that_of_the_data_or_what_is_asked_for(given, asked, got):
    X, y = small()
    X = (16 * X).astype(given)
    net = classifier(dtype=asked, max_iter=1, learning_rate_init=1e-3).fit(X, y)
    assert net.model_.dtype == got
    assert {c.dtype.name for c in (*net.coefs_, *net.intercepts_)} == {got}
    assert net.decision_function(X.astype("float64")).dtype == got


def test_data_on_disk_and_data_that_must_not_change(tmp_path):
    X, y = small()
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    fixed = X.copy()
    fixed.setflags(write=False)
    want = classifier().fit(X, y).decision_function(X)
    for each in (mapped, fixed):
        net = classifier().fit(each, y)
        np.testing.assert_array_equal(net.decision_function(each), want)


def test_names_of_features():
    X, y = small()
    names = [f"pixel {k}" for k in range(64)]
    frame = pandas.DataFrame(X, columns=names)
    net = classifier(max_iter=1).fit(frame, y)
    assert net.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[names[::-1]])


# Weights of samples and classes ------------------------------------------------------


def test_a_class_that_weighs_more_is_predicted_more():
    X, y = small()
    weak = classifier(class_weight={0: 1e-3, 1: 1, 2: 1}, max_iter=3).fit(X, y)
    strong = classifier(class_weight={0: 1e3, 1: 1, 2: 1}, max_iter=3).fit(X, y)
    assert (
        (weak.predict(X) == 0).sum() < (y == 0).sum() < (strong.predict(X) == 0).sum()
    )


def test_balanced_classes_are_those_of_weighted_samples():
    X, y = small()
    keep = np.concatenate([np.flatnonzero(y > 0), np.flatnonzero(y == 0)[:5]])
    X, y = X[keep], y[keep]
    share = len(y) / (3 * np.bincount(y))
    balanced = classifier(class_weight="balanced").fit(X, y)
    weighted = classifier().fit(X, y, sample_weight=share[y])
    np.testing.assert_allclose(
        balanced.decision_function(X), weighted.decision_function(X), rtol=1e-4
    )


def test_labels_have_weights_too():
    X, y = make_multilabel_classification(100, 20, n_classes=2, random_state=0)
    weights = [{0: 1, 1: 5}, {0: 1, 1: 1}]
    net = classifier(class_weight=weights, max_iter=2).fit(X / X.max(), y)
    assert net.predict(X).shape == y.shape


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


# Options -----------------------------------------------------------------------------


def test_a_topology_may_be_a_name_with_options_or_an_object():
    X, y = small()
    given = topology.make("set", zeta=0.6)
    by_object = classifier(topology=given).fit(X, y)
    by_name = classifier(topology_options={"zeta": 0.6}).fit(X, y)
    np.testing.assert_array_equal(
        by_object.decision_function(X), by_name.decision_function(X)
    )
    static = classifier(topology="static").fit(X, y)
    assert (static.decision_function(X) != by_name.decision_function(X)).any()
    assert given.budgets == {}, "an argument must stay as it was"


@pytest.mark.parametrize("solver", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["constant", "invscaling", "adaptive", "cosine"])
def test_solvers_and_schedules_learn(solver, schedule):
    X, y = small()
    rate = 0.1 if solver == "sgd" else 0.005
    options = {"learning_rate": schedule, "learning_rate_init": rate}
    net = classifier(solver=solver, max_iter=20, **options)
    assert net.fit(X, y).score(X, y) > 0.95


def test_alpha_shrinks_the_weights():
    X, y = small()
    sizes = [
        sum(abs(c).sum() for c in classifier(alpha=alpha).fit(X, y).coefs_)
        for alpha in (0.0, 1.0, 10.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_dropout_is_for_training_alone():
    X, y = small()
    net = classifier(dropout=0.5, max_iter=20).fit(X, y)
    assert (net.decision_function(X) == net.decision_function(X)).all()
    assert net.loss_ > classifier(max_iter=20).fit(X, y).loss_
    assert net.score(X, y) > 0.95


def test_results_do_not_depend_on_the_number_of_threads():
    X, y = small()
    one, all_ = (classifier(n_jobs=n).fit(X, y).decision_function(X) for n in (1, -1))
    np.testing.assert_array_equal(one, all_)


def test_importances_are_the_strength_of_the_features():
    X, y = small()
    net = classifier(epsilon=None, density=0.3).fit(X, y)
    want = abs(net.coefs_[0].toarray().astype(float)).sum(axis=1)
    np.testing.assert_allclose(net.feature_importances_, want / want.sum())
    assert net.feature_importances_.sum() == pytest.approx(1)


def test_callbacks_see_the_run_and_verbose_shows_it(capfd):
    X, y = small()
    history = History()
    net = classifier(callbacks=[history], verbose=True, max_iter=3).fit(X, y)
    assert history["train_loss"] == net.loss_curve_
    captured = capfd.readouterr()
    assert "epoch 3/3" in captured.err
    assert captured.out == ""


def test_attributes_are_those_of_scikit_learn():
    X, y = small()
    net = classifier(max_iter=4).fit(X, y)
    assert [c.shape for c in net.coefs_] == [(64, 60), (60, 40), (40, 3)]
    assert [b.shape for b in net.intercepts_] == [(60,), (40,), (3,)]
    assert (net.n_layers_, net.n_outputs_, net.n_features_in_) == (4, 3, 64)
    assert net.loss_ == net.loss_curve_[-1] >= net.best_loss_ == min(net.loss_curve_)
    assert net.n_iter_ == len(net.history_) == 4
    assert np.shares_memory(net.coefs_[0].data, net.model_.layers[0].connections.values)


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
        ({"validation_fraction": 0.0}, "validation_fraction must be above 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be from 0"),
        ({"tol": -1.0}, "tol must be from 0"),
        ({"alpha": "much"}, "alpha must be from 0"),
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
    with pytest.raises(DivergedError, match="lower the learning rate"):
        regressor(solver="sgd", learning_rate_init=1e6).fit(X, y)
