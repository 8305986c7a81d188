"""Fitted estimators as ONNX files: the same answers as their own."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import scale
from support.estimators import DIGITS, LABELS, classifier, regressor
from support.onnx_runs import close, run

from truesparse.condensed import CondensedMLP
from truesparse.export import to_onnx

pytestmark = [
    pytest.mark.compiled,  # they take minutes without
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
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
CLASSIFIERS = [
    (digits, {}),
    (digits, {"activation": "srelu"}),
    (digits, {"topology": "srigl", "init_topology": "constant_fan_in"}),
    # Hidden neurons lose all their inputs.
    (digits, {"topology_options": PRUNING, "max_iter": 4}),
    (iris, {}),
    (cancer, {}),
    (cancer, {"loss": "logistic"}),
    (multilabel, {}),
]


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_regressors(n_targets, dtype, tmp_path):
    X, y = load_diabetes(return_X_y=True)
    X, y = scale(X).astype(dtype), scale(y)
    y = y if n_targets == 1 else np.stack([y, -y, y**2], axis=1)
    net = regressor(max_iter=2).fit(X, y)
    got = run(to_onnx(net, tmp_path / "net.onnx"), X)["predictions"]
    close(got, net.predict(X).reshape(-1, n_targets))


def test_condensed_nets_of_constant_fan_in(tmp_path):
    settings = {"topology": "srigl", "init_topology": "constant_fan_in"}
    net = classifier(max_iter=2, **settings).fit(DIGITS, LABELS)
    condensed = CondensedMLP.from_model(net.model_)
    outputs = run(to_onnx(condensed, tmp_path / "net.onnx"), DIGITS)
    close(outputs["probabilities"], net.predict_proba(DIGITS))
