"""Both estimators: targets, data, results and attributes of a fit."""

import gc
import pickle
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_poisson_deviance, r2_score
from sklearn.preprocessing import scale
from support.estimators import (
    DIGITS,
    LABELS,
    TEST,
    TRAIN,
    classifier,
    partly_fitted,
    regressor,
    small,
)

from truesparse.callbacks import History
from truesparse.errors import DataError, UsageError
from truesparse.losses import Loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Targets ------------------------------------------------------------------------------


@pytest.mark.compiled
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


@pytest.mark.compiled
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


@pytest.mark.compiled
def test_one_class_is_always_predicted():
    net = classifier(max_iter=1).fit(DIGITS[:20], np.full(20, 7))
    assert (net.predict(DIGITS[:5]) == 7).all()


@pytest.mark.compiled
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


@pytest.mark.compiled
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


@pytest.mark.compiled
def test_counts_are_learned_as_logarithms_of_their_means():
    draw = np.random.default_rng(0)
    X = draw.uniform(-1, 1, (600, 4))
    means = np.exp(1.0 + X[:, 0] - X[:, 1])
    y = draw.poisson(means)
    net = regressor(loss="poisson", alpha=0.0).fit(X, y)
    got = net.predict(X)
    np.testing.assert_array_equal(got, np.exp(net.model_.decision_function(X)[:, 0]))
    constant = mean_poisson_deviance(y, np.full(600, y.mean()))
    best = mean_poisson_deviance(y, means)
    deviance = mean_poisson_deviance(y, got)
    assert deviance < best + 0.1 * (constant - best)
    loss, _ = net.model_.evaluate(X, y)
    assert loss == pytest.approx(deviance / 2)
    assert net.score(X, y) == pytest.approx(r2_score(y, got))
    assert net.out_activation_ == "exp"
    with pytest.raises(DataError, match="poisson loss must be at least 0, got -1"):
        regressor(loss="poisson").fit(X, y - 1)


@pytest.mark.compiled
def test_a_loss_may_be_an_object():
    X, y = small()
    smooth = Loss("softmax", label_smoothing=0.2)
    net = classifier(loss=smooth).fit(X, y)
    assert net.model_.loss.label_smoothing == 0.2
    plain = classifier().fit(X, y).predict_proba(X)
    assert np.median(net.predict_proba(X).max(axis=1)) < 0.93
    assert np.median(plain.max(axis=1)) > 0.98


# Data ---------------------------------------------------------------------------------


@pytest.mark.compiled
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


def test_sparse_data_may_end_in_empty_columns():
    """CSTI used to see fewer features than there are."""
    X, y = small()
    X = np.hstack([X, np.zeros((len(X), 2), X.dtype)])
    settings = {"init_topology": "csti", "max_iter": 1}
    net = classifier(**settings).fit(scipy.sparse.csr_array(X), y)
    assert net.coefs_[0].shape == (66, 60)
    dense = classifier(**settings).fit(X, y)
    np.testing.assert_array_equal(net.coefs_[0].indices, dense.coefs_[0].indices)


@pytest.mark.compiled
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


@pytest.mark.compiled
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


@pytest.mark.compiled
def test_names_of_features():
    X, y = small()
    names = [f"pixel {k}" for k in range(64)]
    frame = pandas.DataFrame(X, columns=names)
    net = classifier(max_iter=1).fit(frame, y)
    assert net.feature_names_in_.tolist() == names
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[names[::-1]])


def test_data_that_are_not_accepted():
    X, y = small()
    net = classifier(max_iter=1)
    with pytest.raises(DataError, match="several columns of classes"):
        net.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(UsageError, match="X_val is given without y_val"):
        net.fit(X, y, X_val=X)
    with pytest.raises(DataError, match=r"classes \[3\] not seen in the first fit"):
        net.fit(X, y, X_val=X[:3], y_val=[0, 1, 3])
    with pytest.raises(UsageError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    net.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(UsageError, match="not the same as on the first call"):
        net.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(DataError, match="the first fit saw classes"):
        net.partial_fit(X, np.stack([y > 0, y > 1], axis=1).astype(int))
    labels = np.stack([y > 0, y > 1], axis=1).astype(int)
    both = classifier(max_iter=1).partial_fit(X, labels)
    with pytest.raises(DataError, match="y has 3 labels, but the first fit saw 2"):
        both.partial_fit(X, np.stack([y > 0, y > 1, y < 1], axis=1).astype(int))
    real = regressor(max_iter=1).partial_fit(X, labels)
    with pytest.raises(DataError, match="y has 1 targets, but the first fit saw 2"):
        real.partial_fit(X, y)


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_sparse_targets_are_those_of_the_dense_ones(n_targets, format):
    X, y = small()
    y = np.stack([y, y == 0], axis=1)[:, :n_targets].astype(float)
    sparse = scipy.sparse.csr_array(y).asformat(format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataConversionWarning)
        for make in (regressor, classifier):
            given = y if make is regressor or n_targets == 1 else (y > 0).astype(int)
            if make is classifier:
                sparse = scipy.sparse.csr_array(given).asformat(format)
            want = make(max_iter=2).fit(X, given, X_val=X, y_val=given)
            got = make(max_iter=2).fit(X, sparse, X_val=X, y_val=sparse)
            np.testing.assert_array_equal(got.predict(X), want.predict(X))
            assert got.validation_scores_ == want.validation_scores_


@pytest.mark.compiled
def test_an_overflow_is_said_instead_of_the_first_class():
    X, y = small()
    nets = classifier(max_iter=1).fit(X, y), regressor(max_iter=1).fit(X, y)
    X = X.copy()
    X[[4, 9]] = 3e38
    for net in nets:
        for predict in ("predict", "predict_proba", "decision_function"):
            if hasattr(net, predict):
                with pytest.raises(DataError, match=r"2 of 150 samples .* sample 4,"):
                    getattr(net, predict)(X)
    with pytest.raises(DataError, match="NaN or infinite in float32"):
        nets[0].model_.predict_proba(X)


def test_data_are_not_kept_alive():
    X, y = (array.copy() for array in small())
    alive = weakref.ref(X)
    fitted = classifier(max_iter=2).fit(X, y)
    unfinished = classifier().partial_fit(X, y, classes=[0, 1, 2])
    del X
    gc.collect()
    assert alive() is None
    assert fitted.model_._buffers is None
    assert unfinished.model_._buffers is not None


# Results ------------------------------------------------------------------------------


@pytest.mark.compiled
def test_results_do_not_depend_on_the_number_of_threads():
    X, y = small()
    one, all_ = (classifier(n_jobs=n).fit(X, y).decision_function(X) for n in (1, -1))
    np.testing.assert_array_equal(one, all_)


@pytest.mark.compiled
@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array])
def test_threads_that_predict_at_once_get_what_each_gets_alone(container):
    """They used to share the buffers of the last training run."""
    net = partly_fitted(batch_size=128, hidden_layer_sizes=(300, 300))
    parts = [container(k * DIGITS[:600]) for k in range(1, 7)]
    want = [net.decision_function(part) for part in parts]
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(10):
            got = list(pool.map(net.decision_function, parts))
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("n", [1, 5, 100])
def test_few_samples_are_predicted_alike_with_and_without_training_buffers(n):
    """One sample used to take all columns of a batch: 46 ms instead of 3."""
    net = partly_fitted(batch_size=128)
    other = pickle.loads(pickle.dumps(net))
    assert net.model_._buffers is not None
    assert other.model_._buffers is None
    X = DIGITS[:n]
    np.testing.assert_array_equal(net.decision_function(X), other.decision_function(X))


@pytest.mark.compiled
def test_importances_are_the_strength_of_the_features():
    X, y = small()
    net = classifier(epsilon=None, density=0.3).fit(X, y)
    want = abs(net.coefs_[0].toarray().astype(float)).sum(axis=1)
    np.testing.assert_allclose(net.feature_importances_, want / want.sum())
    assert net.feature_importances_.sum() == pytest.approx(1)


@pytest.mark.compiled
def test_callbacks_see_the_run_and_verbose_shows_it(capfd):
    X, y = small()
    history = History()
    net = classifier(callbacks=[history], verbose=True, max_iter=3).fit(X, y)
    assert history["train_loss"] == net.loss_curve_
    captured = capfd.readouterr()
    assert "epoch 3/3" in captured.err
    assert captured.out == ""


@pytest.mark.compiled
def test_attributes_are_those_of_scikit_learn():
    X, y = small()
    net = classifier(max_iter=4).fit(X, y)
    assert [c.shape for c in net.coefs_] == [(64, 60), (60, 40), (40, 3)]
    assert [b.shape for b in net.intercepts_] == [(60,), (40,), (3,)]
    assert (net.n_layers_, net.n_outputs_, net.n_features_in_) == (4, 3, 64)
    assert net.loss_ == net.loss_curve_[-1] >= net.best_loss_ == min(net.loss_curve_)
    assert net.n_iter_ == len(net.history_) == 4
    assert np.shares_memory(net.coefs_[0].data, net.model_.layers[0].connections.values)


def test_what_is_not_fitted_says_so():
    with pytest.raises(NotFittedError):
        classifier().predict(DIGITS)
    with pytest.raises(NotFittedError):
        regressor().feature_importances_  # noqa: B018
    with pytest.raises(NotFittedError):
        classifier().coefs_  # noqa: B018
