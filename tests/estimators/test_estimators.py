"""Both estimators: targets, data, weights, stopping, going on, errors."""

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.exceptions import (
    DataConversionWarning,
)
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import scale
from support.estimators import DIGITS, LABELS, TEST, TRAIN, classifier, regressor, small

from truesparse import topology
from truesparse.callbacks import History
from truesparse.losses import Loss

# They learn something, for which kernels in plain Python are too slow.
pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


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
    assert net.fit(X, y).score(X, y) > 0.9


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
