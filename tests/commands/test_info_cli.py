"""Descriptions of model files: what they say, from which parts, of damaged ones."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from support import tensor_files
from support.commands import NET, SMALL, call
from support.naive_describe import describe_layers
from support.training import hashes_may_wrap, make_model

from truesparse import info
from truesparse.commands import describe
from truesparse.condensed import CondensedMLP
from truesparse.datasets import Preprocessing
from truesparse.errors import ModelFileError
from truesparse.losses import Loss
from truesparse.storage import models

pytestmark = hashes_may_wrap


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def described(capsys, path):
    """Return the description as JSON and as text."""
    got = call(capsys, path, "--json", main=info.main)
    assert (got.code, got.err) == (0, ""), got.err
    text = call(capsys, path, main=info.main)
    assert (text.code, text.err) == (0, "")
    return got.json, text.out


# What is said ------------------------------------------------------------------------


def test_how_activations_are_stored(capsys):
    models.save(make_model(activation_dtype="bfloat16"), "rounds")
    facts, text = described(capsys, "rounds")
    assert (facts["dtype"], facts["activation_dtype"]) == ("float32", "bfloat16")
    assert "float32, activations in bfloat16" in text
    models.save(make_model(), "plain")
    facts, text = described(capsys, "plain")
    assert facts["activation_dtype"] == "float32"
    assert "activations in" not in text


def test_a_run_folder(capsys, tmp_path):
    assert call(capsys, *SMALL["iris"], *NET, "--out", "run", "--seed", "7").code == 0
    facts, text = described(capsys, "run")
    model = models.load("run/model.safetensors")
    assert facts["file"] == "run/model.safetensors"
    assert (facts["kind"], facts["format"]) == ("model", models.FORMAT)
    assert facts["layer_sizes"] == [4, 24, 20, 3]
    assert (facts["nnz"], facts["neurons"]) == (model.nnz, 44)
    assert facts["density"] == pytest.approx(model.density)
    assert (facts["dtype"], facts["seed"], facts["step"]) == ("float32", 7, model.step)
    assert facts["loss"] == vars(model.loss)
    assert (facts["task"], facts["classes"]) == ("classification", [0, 1, 2])
    assert (facts["feature_scaling"], facts["target_scaling"]) == (
        "shifted and divided",
        "none",
    )
    assert facts["config"]["hidden"] == [24, 20]
    assert facts["memory"]["file"] == (tmp_path / facts["file"]).stat().st_size
    assert facts["memory"]["dense_weights"] == 4 * (4 * 24 + 24 * 20 + 20 * 3)
    assert facts["other_tensors"] == {"names": [], "bytes": 0}
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    last = [line for line in map(json.loads, lines) if line["event"] == "epoch"][-1]
    assert facts["run"] == {
        "epochs": 3,
        **{name: last[name] for name in ("train_loss", "val_loss", "val_score")},
        "ended": True,
    }
    for words in (
        "run/model.safetensors",
        "4 - 24 - 20 - 3",
        f"{model.nnz}, density",
        "classification, 3 classes: 0, 1, 2",
        "softmax",
        f"{model.step} steps, seed 7",
        "3 epochs, train loss",
        'data = "iris"',
    ):
        assert words in text
    # The file alone, while the run is going.
    facts, _ = described(capsys, "run/model.safetensors")
    assert "run" not in facts
    (tmp_path / "run" / "metrics.jsonl").write_text(lines[0] + '\n{"event": "ep')
    facts, text = described(capsys, "run")
    assert facts["run"]["epochs"] == 0
    assert "not ended" in text
    damaged = '[]\n7\n{"event": "epoch", "epoch": "x", "val_score": NaN, '
    damaged += f'"train_loss": 1{"0" * 400}}}\n'
    (tmp_path / "run" / "metrics.jsonl").write_text(damaged)
    facts, _ = described(capsys, "run")
    assert facts["run"]["epochs"] is facts["run"]["val_score"] is None
    assert facts["run"]["train_loss"] is None


@given(
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    density=st.floats(0.05, 1.0),
    block=st.integers(1, 9),
)
def test_layers_are_described_as_they_are(tmp_path_factory, sizes, density, block):
    model = make_model(sizes, epsilon=None, density=density, loss="squared")
    path = models.save(model, tmp_path_factory.mktemp("m") / "m")
    want_layers, want_unused = describe_layers(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("truesparse.storage.tensors._BLOCK", block)
        facts = describe.describe_file(path)
    assert facts["unused_features"] == want_unused
    for got, want in zip(facts["layers"], want_layers, strict=True):
        assert {name: got[name] for name in want} == want


def test_layers_without_connections(tmp_path):
    model = make_model((5, 4, 3), epsilon=None, density=0.05)
    tensors, metadata = tensor_files.read(models.save(model, tmp_path / "m"))
    for name in ("indices", "values"):
        tensors[f"layers.1.{name}"] = tensors[f"layers.1.{name}"][:0]
    tensors["layers.1.indptr"][:] = 0
    tensor_files.write(tmp_path / "m", tensors, metadata)
    layers = describe.describe_file(tmp_path / "m")["layers"]
    assert layers[0]["dead"]["no_output"] == layers[0]["dead"]["either"] == 4
    assert layers[1]["dead"] == {"no_input": 3, "no_output": 0, "either": 3}
    assert layers[1]["fan_in"] == {"min": 0, "mean": 0.0, "max": 0}


def test_other_models(capsys, tmp_path):
    model = make_model(
        activation="srelu", loss=Loss("huber", huber_threshold=0.5), dtype="float64"
    )
    mean, scale = np.zeros(6), np.ones(6)
    how = Preprocessing(
        "regression", None, mean, scale, mean[:3], scale[:3], tuple("abcdef")
    )
    models.save(model, "m", preprocessing=how, config="no = toml =")
    facts, text = described(capsys, "m")
    assert facts["layers"][0]["activation"] == "srelu"
    assert facts["dtype"] == "float64"
    assert facts["feature_names"] == list("abcdef")
    assert (facts["classes"], facts["config"]) == (None, "no = toml =")
    for words in ("huber, threshold 0.5", "6 names: a, b", "srelu", "no = toml ="):
        assert words in text
    sparse_scale = Preprocessing("classification", np.arange(3), None, scale)
    models.save(make_model(), "m", preprocessing=sparse_scale)
    facts, text = described(capsys, "m")
    assert facts["feature_scaling"] == "divided"
    models.save(make_model(), "m", config="epsilon = inf\nday = 1999-01-01")
    facts, text = described(capsys, "m")
    assert facts["config"] == {"epsilon": "Infinity", "day": "1999-01-01"}
    # A model that says nothing of its data.
    models.save(make_model(loss=Loss(label_smoothing=0.1)), "m")
    facts, text = described(capsys, "m")
    assert "task" not in facts
    assert "softmax, label smoothing 0.1" in text


def test_the_memory_of_predictions_is_counted(tmp_path):
    model = make_model((6, 400, 300, 3))
    path = models.save(model, tmp_path / "m")
    few, many = (describe.prediction_bytes(path, size) for size in (16, 32))
    assert many - few == 4 * 16 * (400 + 300 + 3)
    connections = [layer.connections for layer in model.layers]
    arrays = sum(array.nbytes for c in connections for array in c.csr)
    assert few > arrays + 8 * model.nnz


def test_predictions_need_no_memory_for_the_rest_of_a_checkpoint(tmp_path):
    model = make_model()
    path = models.save(model, tmp_path / "m")
    state = {"layers.0.moments.weights.first": np.zeros(10**6, np.float32)}
    other = models.save(model, tmp_path / "checkpoint", more_tensors=state)
    alone = describe.prediction_bytes(path, 16)
    assert describe.prediction_bytes(other, 16) == alone


def test_state_beside_a_model_makes_it_a_checkpoint(capsys, tmp_path):
    tensors, metadata = tensor_files.read(models.save(make_model(), tmp_path / "m"))
    tensors["layers.0.first"] = np.zeros(10, np.float32)
    tensor_files.write(tmp_path / "m", tensors, metadata)
    facts, text = described(capsys, "m")
    assert facts["kind"] == "checkpoint"
    assert facts["other_tensors"] == {"names": ["first"], "bytes": 40}
    assert "first, 40 B" in text


def test_condensed_files(capsys, tmp_path):
    for density in (1.0, 0.4):
        model = make_model((4, 9, 8, 3), epsilon=None, density=density)
        fast = CondensedMLP.from_model(model)
        fast.save("m")
        facts, text = described(capsys, "m")
        assert facts["kind"] == "condensed"
        assert (facts["n_outputs"], facts["layer_sizes"][0]) == (3, 4)
        assert facts["nnz"] == fast.nnz
        for got, layer in zip(facts["layers"], fast.layers, strict=True):
            assert (got["n_in"], got["nnz"]) == (layer.n_in, layer.nnz)
            assert got["fan_in"]["mean"] * layer.n_active == pytest.approx(layer.nnz)
        assert "condensed, format 1" in text


def test_condensed_files_of_which_nothing_is_left(tmp_path):
    spec = {"condensed": False, "activation": "relu", "parameter": 0.0}
    arrays = {
        "indptr": np.zeros(1, np.int64),
        "indices": np.zeros(0, np.int32),
        "values": np.zeros(0, np.float32),
        "bias": np.zeros(0, np.float32),
        "neurons": np.zeros(0, np.int32),
    }
    first = arrays | {"indptr": np.zeros(5, np.int64)}
    text = {
        "format": 1,
        "n_features": 4,
        "layers": [spec, spec],
        "loss": Loss("softmax").to_json(),
    }
    tensors = {
        f"layers.{index}.{name}": array
        for index, layer in enumerate((first, arrays))
        for name, array in layer.items()
    }
    tensors["constants"] = np.zeros(3, np.float32)
    metadata = {"truesparse-condensed": json.dumps(text)}
    tensor_files.write(tmp_path / "m", tensors, metadata)
    assert describe.describe_file(tmp_path / "m")["layer_sizes"] == [4, 0, 0]


# What is read ------------------------------------------------------------------------


def test_weights_are_not_read(tmp_path):
    path = models.save(make_model(), tmp_path / "m")
    want = describe.describe_file(path)
    tensors, metadata = tensor_files.read(path)
    for name in tensors:
        if name.endswith("values"):
            tensors[name][:] = np.nan
    tensor_files.write(path, tensors, metadata)
    with pytest.raises(ModelFileError, match="NaN"):
        models.load(path)
    assert {**describe.describe_file(path), "memory": 0} == {**want, "memory": 0}


def first(**changes):
    return lambda text: {
        **text,
        "layers": [text["layers"][0] | changes, *text["layers"][1:]],
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: {},
        lambda text: [],
        lambda text: text | {"format": 99},
        lambda text: text | {"layers": []},
        lambda text: text | {"layers": text["layers"][1:]},
        lambda text: text | {"layers": 3},
        lambda text: text | {"seed": -1},
        lambda text: text | {"step": 1.5},
        lambda text: text | {"loss": {"name": "hinge"}},
        lambda text: text | {"loss": {"no": 1}},
        first(n_in=0),
        first(n_in=7),
        first(n_out=2**40),
        first(n_out=True),
        first(activation="rely"),
        first(activation=None),
        first(dropout="x"),
    ],
)
def test_damaged_descriptions_are_refused(damage, tmp_path):
    tensors, metadata = tensor_files.read(models.save(make_model(), tmp_path / "m"))
    metadata["truesparse"] = json.dumps(damage(json.loads(metadata["truesparse"])))
    tensor_files.write(tmp_path / "m", tensors, metadata)
    with pytest.raises(ModelFileError) as caught:
        describe.describe_file(tmp_path / "m")
    assert "\n" not in str(caught.value)


def set_at(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("indptr", lambda a: a[:-1]),
        ("indptr", lambda a: a.astype(np.int32)),
        ("indptr", set_at(0, 1)),
        ("indptr", set_at(-1, 3)),
        ("indptr", set_at(2, -5)),
        ("indices", set_at(0, -1)),
        ("indices", set_at(-1, 12)),
        ("indices", lambda a: a[1:]),
        ("values", lambda a: a[1:]),
        ("values", lambda a: a[None]),
        ("values", lambda a: a.astype(np.float64)),
        ("bias", lambda a: a[1:]),
        ("bias", lambda a: None),
    ],
)
def test_damaged_arrays_are_refused(name, change, tmp_path):
    tensors, metadata = tensor_files.read(models.save(make_model(), tmp_path / "m"))
    changed = change(tensors.pop(f"layers.0.{name}"))
    if changed is not None:
        tensors[f"layers.0.{name}"] = np.ascontiguousarray(changed)
    tensor_files.write(tmp_path / "m", tensors, metadata)
    with pytest.raises(ModelFileError, match="m is not valid"):
        describe.describe_file(tmp_path / "m")


def test_other_files(capsys, tmp_path):
    safetensors.numpy.save_file({"a": np.ones(2)}, "other")
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").mkdir()
    for path, message in (
        ("other", "other is not a truesparse model: it lacks the metadata"),
        ("text", "cannot read model text"),
        ("empty", "folder empty holds no model.safetensors"),
        ("missing", "cannot read model missing"),
    ):
        got = call(capsys, path, "--json", main=info.main)
        assert (got.code, got.out) == (6, "")
        assert message in got.err
        assert got.err.count("\n") == 1
    got = call(capsys, "--jsn", main=info.main)
    assert got.code == 2
