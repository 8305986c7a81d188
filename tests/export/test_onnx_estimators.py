"""Fitted estimators as ONNX files: the same predictions, labels by their names."""

import os
import types

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import scale
from support.estimators import DIGITS, LABELS, classifier, regressor
from support.network import make_data, make_model
from support.onnx_runs import close, run

from truesparse.condensed import CondensedMLP
from truesparse.errors import UsageError
from truesparse.export import to_onnx
from truesparse.topology import UpdateSchedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
# Predictions --------------------------------------------------------------------------


KINDS = {"parity": LABELS % 2, "large": LABELS > 4, "third": LABELS % 3 == 0}


def digits():
    return DIGITS, LABELS


def iris():
    data = load_iris()
    return scale(data.data), data.target_names[data.target]


def cancer():
    data = load_breast_cancer()
    return scale(data.data), np.where(data.target == 1, "benign", "malignant")


def multilabel():
    return DIGITS, np.stack(list(KINDS.values()), axis=1).astype(int)


PRUNING = {"importance": 0.3, "importance_every": 1, "importance_start": 0.2}
STRUCTURED = {
    "topology": "srigl",
    "topology_options": {"schedule": UpdateSchedule(20, "step")},
    "init_topology": "constant_fan_in",
}
CLASSIFIERS = [
    (digits, {}),
    (digits, {"activation": "srelu"}),
    (digits, STRUCTURED),
    # Hidden neurons lose all their inputs.
    (digits, {"topology_options": PRUNING, "max_iter": 4}),
    (iris, {}),
    (cancer, {}),
    (cancer, {"loss": "logistic"}),
    (multilabel, {}),
]


@pytest.mark.compiled  # it takes minutes without
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("make_data", "settings"), CLASSIFIERS)
def test_classifiers(make_data, settings, dtype, tmp_path):
    X, y = make_data()
    X = X.astype(dtype)
    net = classifier(**{"max_iter": 2} | settings).fit(X, y)
    outputs = run(to_onnx(net, tmp_path / "net.onnx"), X)
    close(outputs["probabilities"], net.predict_proba(X))
    np.testing.assert_array_equal(outputs["labels"], net.predict(X))
    assert outputs["probabilities"].dtype == dtype
    assert len(np.unique(outputs["labels"])) > 1


@pytest.mark.compiled  # it takes minutes without
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_regressors(n_targets, dtype, tmp_path):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X).astype(dtype), scale(y)
    y = y if n_targets == 1 else np.stack([y, -y, y**2], axis=1)
    net = regressor(max_iter=2).fit(X, y)
    got = run(to_onnx(net, tmp_path / "net.onnx"), X)["predictions"]
    close(got, net.predict(X).reshape(-1, n_targets))


@pytest.mark.compiled  # it takes minutes without
def test_condensed_nets_of_constant_fan_in(tmp_path):
    net = classifier(max_iter=2, **STRUCTURED).fit(DIGITS, LABELS)
    condensed = CondensedMLP.from_model(net.model_)
    outputs = run(to_onnx(condensed, tmp_path / "net.onnx"), DIGITS)
    close(outputs["probabilities"], net.predict_proba(DIGITS))


# Labels of estimators ----------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def estimator(classes, **settings):
    return types.SimpleNamespace(model_=make_model(**settings), classes_=classes)


NAMES = ["versicolor", "setosa", "b"]


@pytest.mark.parametrize(
    "classes",
    [
        np.array(NAMES),
        np.array(NAMES, dtype=object),
        np.array([7, -1, 2**40]),
        np.array([3, 2, 1], np.uint8),
        np.array([2**64 - 1, 2, 1], np.uint64),
        np.array([0.5, 1.5, -1.0]),
    ],
    ids=lambda classes: classes.dtype.name,
)
def test_labels_are_the_classes_of_an_estimator(classes, path):
    fitted, (x, _) = estimator(classes, activation="relu"), make_data(20)
    expected = fitted.model_.predict_proba(x)
    outputs = run(to_onnx(fitted, path), x)
    close(outputs["probabilities"], expected)
    assert outputs["labels"].tolist() == classes[expected.argmax(axis=1)].tolist()


@pytest.mark.parametrize("classes", [["no", "yes"], [False, True]])
def test_one_logistic_output_can_stand_for_two_classes(classes, path):
    settings = {"sizes": (6, 7, 1), "loss": "logistic", "activation": "relu"}
    fitted, (x, _) = estimator(np.array(classes), **settings), make_data(20)
    yes = fitted.model_.predict_proba(x)[:, 0]
    outputs = run(to_onnx(fitted, path), x)
    close(outputs["probabilities"], np.stack([1 - yes, yes], axis=1))
    wanted = np.array(classes)[(yes > 0.5).astype(int)]
    assert outputs["labels"].tolist() == wanted.tolist()
    assert len(set(outputs["labels"].tolist())) == 2


def test_several_logistic_outputs_have_a_label_each(path):
    fitted = estimator(np.arange(3), loss="logistic", activation="relu")
    x = make_data(20)[0]
    wanted = fitted.model_.predict_proba(x) > 0.5
    np.testing.assert_array_equal(run(to_onnx(fitted, path), x)["labels"], wanted)


def test_classes_that_onnx_cannot_hold_are_refused(path):
    fitted = estimator(np.array([None, 1, "a"], dtype=object), activation="relu")
    with pytest.raises(UsageError, match="only numbers and text"):
        to_onnx(fitted, path)
    assert os.listdir(path.parent) == []
