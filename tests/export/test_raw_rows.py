"""Exports take raw rows: all formats against a Predictor, for every task."""

import json
import types

import numpy as np
import onnx
import pytest
from hypothesis import given
from support.network import make_model
from support.onnx_runs import TOLERANCE, open_session, run
from support.raw_rows import as_dense, predict_from_csr, problems
from support.strategies import layer, make_connections

from truesparse import Predictor, SparseMLP, datasets, load, save
from truesparse.condensed import CondensedMLP
from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError
from truesparse.export import to_csr, to_onnx
from truesparse.export.by_output import net_of


def close(got, want, how, dtype):
    """Compare numbers, those of a regression in units of its scaled targets.

    The mean is rounded to the dtype, too.
    """
    scale, mean = (
        1.0 if each is None else each for each in (how.target_scale, how.target_mean)
    )
    largest = np.maximum(np.abs((want - mean) / scale), np.abs(mean / scale))
    tolerance = TOLERANCE[dtype.name] * max(1.0, largest.max(initial=0.0))
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=tolerance)


def numbers_of(predictor, rows):
    """Return probabilities, or the values of a regression."""
    if predictor.task == "regression":
        return predictor.predict(rows)
    return predictor.predict_proba(rows)


# Predictions -------------------------------------------------------------------------


@given(problems())
def test_onnx(tmp_path_factory, problem):
    model, how, rows = problem
    predictor = Predictor(model, how)
    path = to_onnx(
        model, tmp_path_factory.getbasetemp() / "raw.onnx", preprocessing=how
    )
    onnx.checker.check_model(str(path), full_check=True)
    outputs = run(path, as_dense(rows))
    name = "predictions" if how.task == "regression" else "probabilities"
    assert outputs[name].dtype == model.dtype
    close(outputs[name], numbers_of(predictor, rows), how, model.dtype)
    if how.task != "regression":
        np.testing.assert_array_equal(outputs["labels"], predictor.predict(rows))


@given(problems())
def test_csr(tmp_path_factory, problem):
    model, how, rows = problem
    path = to_csr(model, tmp_path_factory.getbasetemp() / "raw.npz", preprocessing=how)
    got = predict_from_csr(path, rows)
    if model.layer_sizes[-1] == 1 and how.task == "classification":
        got = np.hstack([1.0 - got, got])
    close(got, numbers_of(Predictor(model, how), rows), how, model.dtype)


@given(problems())
def test_torch(problem):
    torch = pytest.importorskip("torch")
    model, how, rows = problem
    module = model.to_torch(probabilities=True, preprocessing=how)
    got = module(torch.from_numpy(as_dense(rows))).numpy()
    assert got.dtype == model.dtype
    if model.layer_sizes[-1] == 1 and how.task == "classification":
        got = np.hstack([1.0 - got, got])
    close(got, numbers_of(Predictor(model, how), rows), how, model.dtype)


def test_raw_rows_of_torch_may_have_any_number_of_axes():
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    scales = draw.standard_normal(6), draw.uniform(1.0, 2.0, 6)
    targets = draw.standard_normal(3), draw.uniform(1.0, 2.0, 3)
    how = Preprocessing("regression", None, *scales, *targets)
    module = make_model(loss="squared").to_torch(preprocessing=how)
    x = torch.from_numpy(draw.standard_normal((2, 3, 6)))
    want = module(x.reshape(6, 6))
    torch.testing.assert_close(module(x), want.reshape(2, 3, 3))
    torch.testing.assert_close(module(x[0, 0]), want[0])


def eye(n, dtype):
    """Return a model that returns its inputs."""
    return SparseMLP.from_layers(
        [layer(make_connections(np.eye(n, dtype=bool), dtype))], "squared"
    )


def far_from_zero(dtype):
    """Return a net of weights 1, scales, and rows of mean 1e6 and deviation 1."""
    model = eye(3, dtype)
    model.layers[0].connections.values[:] = 1.0
    draw = np.random.default_rng(0)
    mean, scale = 1e6 + draw.uniform(size=3), draw.uniform(0.5, 2.0, 3)
    rows = (mean + scale * draw.standard_normal((50, 3))).astype(dtype)
    return model, Preprocessing("regression", None, mean, scale), rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_digit_is_lost_to_a_large_mean(dtype, tmp_path):
    """A mean of 1e6 in float32 would be wrong by up to 0.03."""
    model, how, rows = far_from_zero(dtype)
    want = how.transform(rows, dtype)
    assert 0.5 < want.std() < 2.0
    model.preprocessing = how
    got = run(to_onnx(model, tmp_path / "net.onnx"), rows)["predictions"]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_digit_is_lost_in_torch(dtype):
    torch = pytest.importorskip("torch")
    model, how, rows = far_from_zero(dtype)
    module = model.to_torch(preprocessing=how)
    want = how.transform(rows, dtype)
    np.testing.assert_array_equal(module(torch.from_numpy(rows)).numpy(), want)
    # Rows may have any dtype, and the scales stay what they are in a net of another.
    exact = how.transform(rows.astype("float64"), "float32")
    single = module.to(torch.float32)(torch.from_numpy(rows.astype("float64")))
    np.testing.assert_array_equal(single.numpy(), exact)
    assert module.feature_mean.dtype == torch.float64


def test_scales_may_be_in_the_second_file(tmp_path):
    model = make_model((300, 4, 3), activation="relu", dtype="float32")
    draw = np.random.default_rng(0)
    scales = draw.standard_normal(300), draw.uniform(1.0, 2.0, 300)
    how = Preprocessing("classification", np.arange(3), *scales)
    model.preprocessing = how
    path = to_onnx(model, tmp_path / "net.onnx", external_data=True)
    assert (tmp_path / "net.onnx.data").stat().st_size >= 2 * 8 * 300
    rows = draw.standard_normal((5, 300)).astype(np.float32)
    got = run(path, rows)["probabilities"]
    close(got, Predictor(model).predict_proba(rows), how, model.dtype)


# Where the preprocessing comes from --------------------------------------------------


@pytest.fixture
def iris():
    data = datasets.load("iris")
    return make_model((4, 6, 3), activation="relu", dtype="float32"), data


RAW = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]], np.float32)


def metadata(path):
    return open_session(path).get_modelmeta().custom_metadata_map


def test_a_loaded_model_brings_its_own(iris, tmp_path):
    model, data = iris
    again = load(save(model, tmp_path / "m", preprocessing=data))
    got = run(again.to_onnx(tmp_path / "net.onnx"), RAW)
    want = Predictor(model, data).predict_proba(RAW)
    np.testing.assert_allclose(got["probabilities"], want, atol=1e-6)
    np.testing.assert_allclose(
        predict_from_csr(to_csr(again, tmp_path / "net.npz"), RAW), want, atol=1e-6
    )


def test_a_model_without_one_takes_rows_as_they_are(iris, tmp_path):
    model, data = iris
    scaled = data.transform(RAW)
    got = run(model.to_onnx(tmp_path / "net.onnx"), scaled)
    np.testing.assert_allclose(
        got["probabilities"], model.predict_proba(scaled), atol=1e-6
    )
    assert metadata(tmp_path / "net.onnx") == {
        "task": "classification",
        "rows": "as trained",
    }


def test_a_given_one_counts_before_that_of_the_model(iris, tmp_path):
    model, data = iris
    model.preprocessing = Preprocessing(
        "classification", np.arange(3), None, np.full(4, 9.0)
    )
    path = model.to_onnx(tmp_path / "net.onnx", preprocessing=data)
    want = Predictor(model, data).predict_proba(RAW)
    np.testing.assert_allclose(run(path, RAW)["probabilities"], want, atol=1e-6)


def test_a_condensed_model_takes_one_too(iris, tmp_path):
    model, data = iris
    condensed = CondensedMLP.from_model(model)
    path = to_onnx(condensed, tmp_path / "net.onnx", preprocessing=data)
    want = Predictor(model, data).predict_proba(RAW)
    np.testing.assert_allclose(run(path, RAW)["probabilities"], want, atol=1e-6)
    model.preprocessing = data
    path = to_onnx(CondensedMLP.from_model(model), tmp_path / "net.onnx")
    np.testing.assert_allclose(run(path, RAW)["probabilities"], want, atol=1e-6)


@pytest.mark.parametrize("how", [3, "iris", np.ones(4)])
def test_what_is_no_preprocessing_is_refused(how, iris, tmp_path):
    with pytest.raises(UsageError, match=f"Dataset, got {type(how).__name__}"):
        iris[0].to_onnx(tmp_path / "net.onnx", preprocessing=how)


def test_one_that_does_not_suit_is_refused(iris, tmp_path):
    how = Preprocessing("classification", np.arange(2))
    for export in (to_onnx, to_csr):
        with pytest.raises(UsageError, match="2 classes do not suit a model of 3"):
            export(iris[0], tmp_path / "net", preprocessing=how)
    assert not list(tmp_path.iterdir())


def test_one_for_another_task_is_refused():
    how = Preprocessing("regression", None, None, None, np.zeros(3), np.ones(3))
    with pytest.raises(UsageError, match=r"for regression does not suit .* softmax"):
        net_of(make_model(), how)
    labels = Preprocessing("multilabel", np.arange(3))
    with pytest.raises(UsageError, match=r"for multilabel does not suit .* squared"):
        net_of(make_model(loss="squared"), labels)


# What the export says of itself ------------------------------------------------------


def test_metadata(tmp_path):
    model = make_model((2, 3, 2), activation="relu")
    how = Preprocessing(
        "classification",
        np.array(["ä", "no"][::-1]),
        feature_names=("a,b", "c"),
        target_name="y",
    )
    path = to_onnx(model, tmp_path / "net.onnx", preprocessing=how)
    want = {
        "task": "classification",
        "classes": ["no", "ä"],
        "feature_names": ["a,b", "c"],
        "target_name": "y",
        "rows": "raw",
    }
    got = metadata(path)
    lists = {name: json.loads(got.pop(name)) for name in ("classes", "feature_names")}
    assert got | lists == want
    with np.load(to_csr(model, tmp_path / "net.npz", preprocessing=how)) as file:
        about = json.loads(str(file["description"]))
    assert want.items() <= about.items()
    assert net_of(model, how).describe() == want


def test_an_estimator_names_its_classes_and_features():
    net = types.SimpleNamespace(
        model_=make_model((2, 4, 1), loss="logistic"),
        classes_=np.array([True, False]),
        feature_names_in_=np.array(["a", "b"], object),
    )
    about = net_of(net).describe()
    assert about["task"] == "classification"
    assert about["classes"] == [True, False]
    assert about["feature_names"] == ["a", "b"]
    assert about["rows"] == "as trained"


def test_two_labels_are_not_two_classes():
    net = types.SimpleNamespace(
        model_=make_model((2, 4, 2), loss="logistic"), classes_=np.arange(2)
    )
    assert net_of(net).describe()["task"] == "multilabel"


def test_encoded_tables_are_said_to_be_so(iris):
    """An export does not hold how columns of text became numbers."""
    model, data = iris
    how = Preprocessing.of(data)
    encoding = types.SimpleNamespace(n_features=4)
    object.__setattr__(how, "encoding", encoding)
    assert net_of(model, how).rows == "encoded"
    assert net_of(model, Preprocessing.of(data)).rows == "raw"
