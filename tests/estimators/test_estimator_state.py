"""Both estimators: what a fit leaves behind, whatever happens, and what it does not."""

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError
from support.estimators import DIGITS, LABELS, classifier, regressor, small

from truesparse import save
from truesparse.callbacks import Callback
from truesparse.errors import DivergedError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def partly_fitted(**settings):
    X, y = small()
    return classifier(**settings).partial_fit(X, y, classes=[0, 1, 2])


# Buffers and data --------------------------------------------------------------------


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


@pytest.mark.parametrize("is_sparse", [False, True])
def test_calls_of_partial_fit_share_their_buffers(is_sparse):
    """They used to allocate new ones in every call, half of its time."""
    X, y = small(96)
    X = scipy.sparse.csr_array(X) if is_sparse else X
    net = classifier(batch_size=96).partial_fit(X, y, classes=[0, 1, 2])
    other = copy.deepcopy(net)
    buffers = net.model_._buffers
    # Nothing of the call before must be seen.
    for array in (buffers.x, *buffers.outputs, *buffers.slopes, buffers.partial):
        array.fill(np.nan)
    net.partial_fit(X[:90], y[:90])
    other.partial_fit(X[:90], y[:90])
    assert net.model_._buffers is buffers
    for ours, theirs in zip(net.model_.layers, other.model_.layers, strict=True):
        np.testing.assert_array_equal(ours.bias, theirs.bias)
        links = ours.connections, theirs.connections
        np.testing.assert_array_equal(*(each.values for each in links))
    large, labels = DIGITS[:300], LABELS[:300] % 3
    net.set_params(batch_size=200).partial_fit(large, labels)
    assert net.model_._buffers.batch_size == 200


def test_data_are_not_kept_alive():
    X, y = (array.copy() for array in small())
    alive = weakref.ref(X)
    fitted = classifier(max_iter=2).fit(X, y)
    going_on = classifier().partial_fit(X, y, classes=[0, 1, 2])
    del X
    gc.collect()
    assert alive() is None
    assert fitted.model_._buffers is None
    assert going_on.model_._buffers is not None


# Failures ----------------------------------------------------------------------------


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
    real = regressor(solver="sgd", learning_rate_init=1e6)
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        real.fit(X, y)
    assert not hasattr(real, "n_features_in_")


def test_a_call_of_partial_fit_that_fails_does_not_tie_the_next_to_its_samples():
    """The next one used to raise: "go on with the same data"."""
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


# Going on ----------------------------------------------------------------------------


def test_partial_fit_after_a_fit_learns_whatever_the_schedule():
    """The rate used to stay 0, where "linear" had ended."""
    X, y = small()
    net = classifier(learning_rate="linear", max_iter=3).fit(X, y)
    before = net.decision_function(X)
    net.partial_fit(X, y)
    assert net.history_[-1].lr > 0
    assert (net.decision_function(X) != before).all()
    assert net.n_iter_ == len(net.loss_curve_) == 4
    assert net.t_ == 4 * len(X)


def test_partial_fit_warns_when_its_schedule_is_over():
    X, y = small()
    net = partly_fitted(learning_rate="linear", max_iter=2, batch_size=150)
    net.partial_fit(X, y)
    with pytest.warns(UserWarning, match="has reached 0"):
        net.partial_fit(X, y)


def test_what_is_read_from_a_mapped_file_goes_on(tmp_path):
    X, y = small()
    net = partly_fitted()
    joblib.dump(net, tmp_path / "net.joblib")
    mapped = joblib.load(tmp_path / "net.joblib", mmap_mode="r")
    assert not mapped.model_.layers[0].bias.flags.writeable
    for each in (net, mapped):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(mapped.decision_function(X), net.decision_function(X))


def test_a_pickle_holds_weights_once():
    net = partly_fitted(hidden_layer_sizes=(400,), solver="adam")
    assert len(pickle.dumps(net)) < len(pickle.dumps(net.model_)) + 10_000
    read = pickle.loads(pickle.dumps(net))
    values = read.model_.layers[0].connections.values
    assert np.shares_memory(read.coefs_[0].data, values)


def test_calls_that_lack_classes_have_their_weights_all_the_same():
    X, y = small()
    few = y != 1
    weights = {0: 2.0, 1: 3.0}
    net = classifier(class_weight=weights)
    net.partial_fit(X[few], y[few], classes=[0, 1, 2])
    plain = classifier().partial_fit(
        X[few], y[few], [0, 1, 2], sample_weight=np.where(y[few] == 0, 2.0, 1.0)
    )
    np.testing.assert_allclose(
        net.decision_function(X), plain.decision_function(X), rtol=1e-4, atol=1e-6
    )


def test_classes_of_labels_are_passed_over_in_every_call():
    X, y = small()
    labels = np.stack([y > 0, y > 1, y < 1], axis=1).astype(int)
    net = classifier()
    for _ in range(2):
        net.partial_fit(X, labels, classes=[0, 1])
    assert net.predict(X).shape == labels.shape


@pytest.mark.parametrize("y", [[0] * 19 + [2], [0, 1] * 10, [0, 1, 2, 0, 1, 2]])
def test_early_stopping_in_calls_too_small_to_share_classes_out(y):
    net = classifier(early_stopping=True)
    net.partial_fit(DIGITS[: len(y)], y, classes=[0, 1, 2])
    assert len(net.validation_scores_) == 1


# Parameters --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["topology_options", "init_options"])
def test_options_are_a_dict(name):
    X, y = small()
    with pytest.raises(UsageError, match=f"{name} must be a dict"):
        classifier(**{name: ["zeta"]}).fit(X, y)


def test_a_share_that_is_not_used_may_be_0():
    X, y = small()
    assert classifier(validation_fraction=0, max_iter=1).fit(X, y).n_iter_ == 1


def test_only_what_is_fitted_can_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(classifier(), tmp_path / "net")
    with pytest.raises(UsageError, match="save takes a SparseMLP or an estimator"):
        save({}, tmp_path / "net")
    with pytest.raises(NotFittedError):
        classifier().coefs_  # noqa: B018
