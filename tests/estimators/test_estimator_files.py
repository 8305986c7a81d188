"""Both estimators: model files and pickles."""

import datetime
import pickle

import numpy as np
import pandas
import pytest
from sklearn.exceptions import NotFittedError
from support.estimators import DIGITS, classifier, partly_fitted, regressor, small

from truesparse import load, predict, save
from truesparse.condensed import CondensedMLP
from truesparse.errors import UsageError
from truesparse.storage.models import load_preprocessing

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


def test_only_what_is_fitted_can_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(classifier(), tmp_path / "net")
    with pytest.raises(UsageError, match="save takes a SparseMLP or an estimator"):
        save({}, tmp_path / "net")


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]"),
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[ns]"),
        np.array([1, 2, 3], "timedelta64[s]"),
        np.array([datetime.date(2020, 1, day) for day in (1, 2, 3)], object),
        np.array([b"a", b"b", b"c"]),
    ],
)
def test_classes_that_a_file_would_not_keep_are_refused(classes, tmp_path):
    X, y = small()
    net = classifier(max_iter=1).partial_fit(X, y, [0, 1, 2])
    net.classes_ = classes
    path = tmp_path / "net.safetensors"
    with pytest.raises(UsageError, match=r"classes that are text.* y.astype\(str\)"):
        net.save(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", [str, object, bool, np.int8, np.uint64, np.float32])
def test_classes_that_a_file_keeps_come_back(dtype, tmp_path):
    X, y = small()
    classes = np.array([0, 1] if dtype is bool else [0, 1, 2]).astype(str)
    classes = classes if dtype in (str, object) else classes.astype(float)
    net = classifier(max_iter=1).fit(X, classes.astype(dtype)[y % len(classes)])
    got = load_preprocessing(net.save(tmp_path / "net.safetensors")).classes
    assert got.tolist() == net.classes_.tolist()


def test_a_fitted_estimator_can_be_condensed():
    X, y = small()
    for net in (classifier(max_iter=1), regressor(max_iter=1, loss="poisson")):
        fast = CondensedMLP.from_model(net.fit(X, y))
        want = net.model_.predict_proba(X)
        np.testing.assert_allclose(fast.predict_proba(X), want, rtol=1e-5)
    for other in (classifier(), fast, X):
        with pytest.raises(UsageError, match=r"a SparseMLP"):
            CondensedMLP.from_model(other)


def test_a_pickle_holds_weights_once():
    net = partly_fitted(hidden_layer_sizes=(400,), solver="adam")
    assert len(pickle.dumps(net)) < len(pickle.dumps(net.model_)) + 10_000
    read = pickle.loads(pickle.dumps(net))
    values = read.model_.layers[0].connections.values
    assert np.shares_memory(read.coefs_[0].data, values)
