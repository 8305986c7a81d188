"""Models come back from a file bit for bit; damaged files are refused, never obeyed."""

import json
import os
import stat

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from support import tensor_files
from support.training import assert_same_arrays, make_model

import truesparse
from truesparse.errors import ModelFileError, StorageError, UsageError
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.storage import models

MODELS = {
    "softmax": {"loss": Loss(label_smoothing=0.1), "dropout": 0.25},
    "huber": {"loss": Loss("huber", huber_threshold=0.3), "activation": "elu"},
    "logistic": {"loss": "logistic", "activation": "all_relu", "seed": 2**62},
    "squared": {"loss": "squared", "density": 1.0, "epsilon": None},
}


def trained_model(**settings):
    """Return a model with biases, optimiser state and a step number."""
    model = make_model(**settings)
    model.allocate_moments(Optimizer("adam"))
    draw = np.random.default_rng(3)
    for layer in model.layers:
        layer.bias[:] = draw.standard_normal(layer.bias.size)
    model.step = 1234
    return model


def contents(path):
    """Return tensors and description of a file."""
    tensors, metadata = tensor_files.read(path)
    return tensors, json.loads(metadata["truesparse"])


def write(path, tensors, description):
    """Write a file that need not make sense."""
    if not isinstance(description, str):
        description = json.dumps(description)
    tensor_files.write(path, tensors, {"truesparse": description})
    return path


def refuse(path, message="model"):
    """Fail unless loading says what is wrong in one line."""
    with pytest.raises(ModelFileError, match=message) as caught:
        models.load(path)
    assert caught.value.exit_code == 6
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.fixture
def file(tmp_path):
    return models.save(trained_model(), tmp_path / "model.safetensors")


# Round trip --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_a_model_comes_back_bit_for_bit(settings, dtype, tmp_path):
    model = trained_model(dtype=dtype, **settings)
    path = tmp_path / "model.safetensors"
    assert truesparse.save(model, path) == path
    again = truesparse.load(str(path))
    assert again.dtype == np.dtype(dtype)
    model.allocate_moments(Optimizer("sgd", momentum=0.0))
    assert_same_arrays(again, model)
    for ours, theirs in zip(again.layers, model.layers, strict=True):
        assert ours.activation == theirs.activation
        ours.connections.check()
    assert vars(again.loss) == vars(model.loss)
    assert (again.seed, again.step) == (model.seed, 1234)
    # What was read can be trained on.
    assert all(layer.connections.values.flags.writeable for layer in again.layers)
    n = {"float32": 2, "float64": 3}[dtype]  # compiled for other tests too
    x = np.ones((n, model.layer_sizes[0]), dtype)
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_layers_without_connections(tmp_path):
    model = make_model()
    for layer in model.layers:
        connections = layer.connections
        everything, nothing = np.ones(connections.nnz, bool), np.zeros(0, np.int64)
        connections.rewire(everything, nothing, np.zeros(0, np.float32))
    again = models.load(models.save(model, tmp_path / "m"))
    assert again.nnz == 0
    assert_same_arrays(again, model)


def test_other_readers_of_the_format_understand_the_file(file):
    tensors = safetensors.numpy.load_file(file)
    connections = trained_model().layers[1].connections
    np.testing.assert_array_equal(tensors["layers.1.indptr"], connections.indptr)
    np.testing.assert_array_equal(tensors["layers.1.indices"], connections.indices)
    np.testing.assert_array_equal(tensors["layers.1.values"], connections.values)
    assert len(tensors) == 12


def test_an_existing_file_is_replaced_when_all_is_written(file, monkeypatch):
    old = file.read_bytes()

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(StorageError, match="No space left"):
            models.save(make_model(seed=9), file)
    assert file.read_bytes() == old
    assert os.listdir(file.parent) == [file.name]
    models.save(make_model(seed=9), file)
    assert models.load(file).seed == 9
    assert os.listdir(file.parent) == [file.name]
    assert stat.S_ISREG(file.stat().st_mode)


@pytest.mark.parametrize(
    "place", ["missing/model", "file/model", "folder", "", "nul\0byte", "x" * 300]
)
def test_a_path_that_cannot_be_written(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot write model") as caught:
        models.save(make_model(), place)
    assert caught.value.exit_code == 2
    assert sorted(os.listdir()) == ["file", "folder"]
    assert os.listdir("folder") == []


@pytest.mark.parametrize(
    ("place", "message"), [(".", "'.': it is a folder"), (None, "None: give a path")]
)
def test_a_path_that_names_no_file(place, message):
    with pytest.raises(UsageError, match=message):
        models.save(make_model(), place)


def test_what_is_no_preprocessing_is_not_saved(tmp_path):
    with pytest.raises(UsageError, match="preprocessing must be a Preprocessing, or"):
        models.save(make_model(), tmp_path / "m", preprocessing={"task": "regression"})


# Files that are no models ------------------------------------------------------------


def test_no_file_at_all(tmp_path):
    refuse(tmp_path / "missing", "cannot read model .*missing")
    refuse(tmp_path, r"holds no model\.safetensors or checkpoint\.safetensors; give")
    with pytest.raises(ModelFileError, match="cannot read model"):
        models.load("nul\0byte")
    with pytest.raises(ModelFileError, match="cannot read model None: give a path"):
        models.load(None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"this is not a model at all",
        bytes(100),
        b"\xff" * 100,
        b"\x02" + bytes(7) + b"{}",
        b"\x02" + bytes(7) + b"[]",
    ],
)
def test_other_files(data, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(data)
    refuse(path)


def test_a_truncated_file(file):
    data = file.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        file.write_bytes(data[:length])
        refuse(file, "cannot read model|has changed")
    file.write_bytes(data + b"\0")
    refuse(file, "cannot read model|has changed")


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_harmless(place, change, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    path = models.save(trained_model(), folder / "changed")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= change
    path.write_bytes(data)
    try:
        model = models.load(path)
    except ModelFileError:
        return
    for layer in model.layers:
        layer.connections.check()
        assert np.isfinite(layer.connections.values).all()
    assert model.decision_function(np.zeros((2, 6), np.float32)).shape == (2, 3)


def test_safetensors_of_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"weight": np.ones(3)}, path)
    refuse(path, "is not a truesparse model")
    safetensors.numpy.save_file({"weight": np.ones(3)}, path, {"format": "pt"})
    refuse(path, "is not a truesparse model")


# Damaged descriptions ----------------------------------------------------------------


def changed(description, keys, value):
    """Return a copy with the entry at the end of `keys` set, or left out if `...`."""
    copy = json.loads(json.dumps(description))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["format"], ...),
        (["format"], 2),
        (["format"], "1"),
        (["seed"], ...),
        (["seed"], -1),
        (["seed"], 1.5),
        (["seed"], None),
        (["step"], ...),
        (["step"], -1),
        (["step"], 1.5),
        (["step"], True),
        (["step"], "7"),
        (["loss"], "softmax"),
        (["loss"], {}),
        (["loss", "name"], "hinge"),
        (["loss", "name"], ["softmax"]),
        (["loss", "label_smoothing"], 1.0),
        (["loss", "label_smoothing"], "0.1"),
        (["loss", "label_smoothing"], None),
        (["loss", "huber_threshold"], 0),
        (["loss", "huber_threshold"], float("nan")),
        (["layers"], []),
        (["layers"], None),
        (["layers"], {"0": 1}),
        (["layers"], 3),
        (["layers", 1], ...),
        (["layers", 1], "relu"),
        (["layers", 1, "n_in"], 11),
        (["layers", 1, "n_in"], 2**31),
        (["layers", 1, "n_in"], 12.0),
        (["layers", 1, "n_in"], "12"),
        (["layers", 1, "n_in"], 0),
        (["layers", 1, "n_out"], 2),
        (["layers", 1, "n_out"], -10),
        (["layers", 1, "n_out"], 11),
        (["layers", 0, "activation"], "rely"),
        (["layers", 0, "activation"], 3),
        (["layers", 0, "parameter"], float("inf")),
        (["layers", 0, "parameter"], "0"),
        (["layers", 0, "parameter"], 10**400),
        (["layers", 0, "parameter"], None),
        (["layers", 0, "dropout"], 1.0),
        (["layers", 0, "dropout"], -0.5),
        (["layers", 0, "dropout"], float("nan")),
        (["layers", 0, "dropout"], "0.5"),
        (["layers", 0, "dropout"], ...),
    ],
    ids=str,
)
def test_a_damaged_description(keys, value, file):
    tensors, description = contents(file)
    refuse(write(file, tensors, changed(description, keys, value)))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "3", '"text"', "{}", "[" * 100_000],
    ids=lambda text: text[:5],
)
def test_a_description_that_is_none(text, file):
    refuse(write(file, contents(file)[0], text))


def test_an_older_program_says_that_the_format_is_newer(file):
    tensors, description = contents(file)
    write(file, tensors, changed(description, ["format"], 2))
    refuse(file, "has format 2, this version of truesparse reads format 1")


# Damaged tensors ---------------------------------------------------------------------


def poke(position, value):
    def change(array):
        array[position] = value
        return array

    return change


def swap_first_two(array):
    array[[0, 1]] = array[[1, 0]]
    return array


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, None) for name in ("indptr", "indices", "values", "bias")),
        ("indptr", lambda a: a[:-1]),
        ("indptr", lambda a: np.append(a, a[-1])),
        ("indptr", poke(0, 1)),
        ("indptr", poke(-1, 10**9)),
        ("indptr", poke(-1, 3)),
        ("indptr", poke(2, -1)),
        ("indptr", poke(2, 10**15)),
        ("indptr", swap_first_two),
        ("indptr", lambda a: a.reshape(1, -1)),
        ("indptr", lambda a: a.astype(np.float64)),
        ("indptr", lambda a: a.astype(np.int32)),
        ("indptr", lambda a: a.astype(np.uint64)),
        ("indices", poke(0, -1)),
        ("indices", poke(0, 10)),
        ("indices", poke(0, 2**31 - 1)),
        ("indices", swap_first_two),
        ("indices", lambda a: np.repeat(a[:1], a.size)),
        ("indices", lambda a: a[:-1]),
        ("indices", lambda a: a.astype(np.float32)),
        ("indices", lambda a: a.astype(np.int64)),
        # Would become valid indices if the upper half were cut off.
        ("indices", lambda a: a.astype(np.int64) - 2**32),
        ("values", poke(3, np.nan)),
        ("values", poke(3, np.inf)),
        ("values", lambda a: a[:-1]),
        ("values", lambda a: a.reshape(-1, 1)),
        ("values", lambda a: a.astype(np.float16)),
        ("values", lambda a: a.astype(np.int32)),
        ("values", lambda a: a.astype(np.int64)),
        ("values", lambda a: a > 0),
        ("bias", poke(0, np.nan)),
        ("bias", lambda a: a[:-1]),
        ("bias", lambda a: a.reshape(1, -1)),
        ("bias", lambda a: a.astype(np.float64)),
        ("bias", lambda a: a.astype(np.float16)),
    ],
)
def test_a_damaged_tensor(name, change, file):
    tensors, description = contents(file)
    name = f"layers.1.{name}"
    if change is None:
        del tensors[name]
    else:
        tensors[name] = np.ascontiguousarray(change(tensors[name].copy()))
    message = f"is not valid: it has no tensor {name}" if change is None else "model"
    refuse(write(file, tensors, description), message)


def test_layers_of_different_dtypes(file):
    tensors, description = contents(file)
    for name in ("layers.1.values", "layers.1.bias"):
        tensors[name] = tensors[name].astype(np.float64)
    refuse(write(file, tensors, description), "float64")


def test_layers_that_do_not_fit_together(file, tmp_path):
    tensors, description = contents(file)
    other = models.save(SparseMLP([6, 11, 10, 3]), tmp_path / "other")
    others, other_description = contents(other)
    for name in ("indptr", "indices", "values", "bias"):
        tensors[f"layers.1.{name}"] = others[f"layers.1.{name}"]
    description["layers"][1] = other_description["layers"][1]
    refuse(write(file, tensors, description), "12 outputs cannot feed one with 11")
