"""The files that exports to ONNX write: one or two, complete or none."""

import os
import types

import numpy as np
import onnx
import pytest
from support.network import make_data, make_model
from support.onnx_runs import close, numbers, run

import truesparse
from truesparse import SparseMLP
from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.export import to_onnx


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("external_data", [True, None])
def test_arrays_in_a_second_file(external_data, path, monkeypatch):
    monkeypatch.setattr("truesparse.export.onnx_files._MOST_INLINE", 10_000)
    model = SparseMLP([64, 500, 500, 10], epsilon=4, seed=1)
    x = np.random.default_rng(0).random((5, 64)).astype(np.float32)
    to_onnx(model, path, external_data=external_data)
    assert sorted(os.listdir(path.parent)) == ["net.onnx", "net.onnx.data"]
    assert path.stat().st_size < 20_000
    onnx.checker.check_model(str(path), full_check=True)
    close(run(path, x)["probabilities"], model.predict_proba(x))
    # Both files can be moved to another folder together, and be written again.
    folder = path.parent / "other"
    folder.mkdir()
    for name in ("net.onnx", "net.onnx.data"):
        os.replace(path.with_name(name), folder / name)
    close(run(folder / path.name, x)["probabilities"], model.predict_proba(x))
    to_onnx(model, folder / path.name, external_data=external_data)
    assert len(os.listdir(folder)) == 2


def test_more_than_one_file_can_hold_is_refused(path, monkeypatch):
    monkeypatch.setattr("truesparse.export.onnx_files._MOST_PROTOBUF", 100)
    with pytest.raises(UsageError, match=r"external_data=False.*leave external_data"):
        to_onnx(make_model(activation="relu"), path, external_data=False)
    assert os.listdir(path.parent) == []


def test_the_file_says_where_it_is_from(path):
    to_onnx(make_model(activation="relu"), str(path))
    model = onnx.load(path)
    assert model.producer_name == "truesparse"
    assert model.producer_version == truesparse.__version__
    (given,) = model.graph.input
    assert given.name == "x"
    batch, features = given.type.tensor_type.shape.dim
    assert (batch.dim_param, features.dim_value) == ("batch", 6)


def test_names_of_classes_stay_in_the_first_file(path):
    classes = np.array([f"class {index}" for index in range(200)])
    model = SparseMLP([6, 200], epsilon=5, seed=1)
    x = make_data(5)[0].astype(np.float32)
    fitted = types.SimpleNamespace(model_=model, classes_=classes)
    got = run(to_onnx(fitted, path, external_data=True), x)["labels"]
    wanted = classes[model.predict_proba(x).argmax(axis=1)]
    assert got.tolist() == wanted.tolist()


def test_files_of_others_are_left_alone(path):
    others = [path.with_name(f"{path.name}{end}") for end in (".part", ".data.part")]
    for other in others:
        other.write_text("mine")
    to_onnx(make_model(activation="relu"), path, external_data=True)
    assert [other.read_text() for other in others] == ["mine", "mine"]
    assert len(os.listdir(path.parent)) == 4


@pytest.mark.parametrize("external_data", [True, False])
@pytest.mark.parametrize("name", ["a\0b.onnx", "a\udcffb.onnx"])
def test_names_that_onnx_cannot_write_are_refused(name, external_data, path):
    model = make_model(activation="relu")
    with pytest.raises(UsageError, match="not UTF-8"):
        to_onnx(model, path.with_name(name), external_data=external_data)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_versions_of_the_operators(opset, path):
    model = make_model(activation="elu")
    x = make_data(3)[0]
    to_onnx(model, path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    close(numbers(path)(x), model.predict_proba(x))


def test_an_old_file_is_kept_until_the_new_one_is_complete(path):
    path.write_text("old")
    model = make_model(activation="relu")
    model.layers[1].activation = LayerActivation("unheard")
    with pytest.raises(KeyError):
        to_onnx(model, path, external_data=True)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["net.onnx"]
    to_onnx(make_model(activation="relu"), path)
    onnx.checker.check_model(str(path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opset": 12}, "opset must be a whole number from 13"),
        ({"opset": 999}, "opset"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"dtype": "float16"}, "dtype"),
        ({"external_data": "yes"}, "external_data"),
    ],
)
def test_bad_options(options, words, path):
    with pytest.raises(UsageError, match=words):
        to_onnx(make_model(activation="relu"), path, **options)
    assert os.listdir(path.parent) == []


def test_paths_that_cannot_be_written(tmp_path):
    model = make_model(activation="relu")
    with pytest.raises(UsageError, match="folder"):
        to_onnx(model, tmp_path)
    with pytest.raises(UsageError, match="cannot write"):
        to_onnx(model, tmp_path / "missing" / "net.onnx")
    with pytest.raises(UsageError, match="give a path"):
        to_onnx(model, 3)
