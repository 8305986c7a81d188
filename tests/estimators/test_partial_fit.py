"""Both estimators: warm starts and runs of partial_fit."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import make_multilabel_classification
from support.estimators import DIGITS, LABELS, classifier, partly_fitted, small

from truesparse.topology import UpdateSchedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Warm starts --------------------------------------------------------------------------


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


# Runs of partial_fit ------------------------------------------------------------------


def test_partial_fits_on_all_samples_are_a_fit():
    X, y = small()
    often = {"schedule": UpdateSchedule(4, "step")}
    options = {"topology": "rigl", "topology_options": often}
    whole = classifier(max_iter=6, learning_rate="linear", **options).fit(X, y)
    net = classifier(max_iter=6, learning_rate="linear", **options)
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


def test_classes_of_labels_are_passed_over_in_every_call():
    X, y = small()
    labels = np.stack([y > 0, y > 1, y < 1], axis=1).astype(int)
    net = classifier()
    for _ in range(2):
        net.partial_fit(X, labels, classes=[0, 1])
    assert net.predict(X).shape == labels.shape


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
        both = ours.connections, theirs.connections
        np.testing.assert_array_equal(*(each.values for each in both))
    large, labels = DIGITS[:300], LABELS[:300] % 3
    net.set_params(batch_size=200).partial_fit(large, labels)
    assert net.model_._buffers.batch_size == 200


# Copies resume alike ------------------------------------------------------------------


def test_copies_and_pickles_predict_and_resume_alike(tmp_path):
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


def test_what_is_read_from_a_mapped_file_resumes(tmp_path):
    X, y = small()
    net = partly_fitted()
    joblib.dump(net, tmp_path / "net.joblib")
    mapped = joblib.load(tmp_path / "net.joblib", mmap_mode="r")
    assert not mapped.model_.layers[0].bias.flags.writeable
    for each in (net, mapped):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(mapped.decision_function(X), net.decision_function(X))
