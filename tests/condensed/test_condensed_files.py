"""Condensed models come back from a file bit for bit; damaged files are refused."""

import itertools
import json

import numpy as np
import pytest
from support import tensor_files
from support.condensed_layers import layer_of

from truesparse import Predictor, datasets
from truesparse.commands.describe import describe_file
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models


def mixed():
    model = SparseMLP([6, 8, 7, 3], density=0.3, seed=1, dtype="float64", loss="huber")
    layers = [layer_of(np.ones((6, 8), bool), np.float64, "relu")[0], *model.layers[1:]]
    for layer in layers:
        layer.bias[:] = np.random.default_rng(3).standard_normal(layer.bias.size)
    return CondensedMLP.from_model(SparseMLP.from_layers(layers, model.loss))


def arrays(model):
    for layer in model.layers:
        yield from (layer.neurons, layer.bias, *layer.by_output())
    yield model.constants


def test_a_model_comes_back_bit_for_bit(tmp_path):
    model = mixed()
    path = model.save(tmp_path / "m.safetensors")
    again = CondensedMLP.load(path)
    assert again.n_features == 6
    assert vars(again.loss) == vars(model.loss)
    for ours, theirs in zip(arrays(again), arrays(model), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(again.layers, model.layers, strict=True):
        assert ours.activation == theirs.activation
    x = np.random.default_rng(0).standard_normal((5, 6))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


KEY = "truesparse-condensed"


def damaged(tmp_path, change):
    """Write a model to which `change` was done, and return its path."""
    path = mixed().save(tmp_path / "m")
    tensors, metadata = tensor_files.read(path)
    description = json.loads(metadata[KEY])
    change(tensors, description)
    tensor_files.write(path, tensors, {KEY: json.dumps(description)})
    return path


def put(name, position, value):
    def change(tensors, description):
        tensors[name][position] = value

    return change


def convert(name, dtype):
    return lambda t, d: t.__setitem__(name, t[name].astype(dtype))


CHANGES = {
    "input too high": put("layers.0.inputs", (0, -1), 6),
    "input below 0": put("layers.0.inputs", (0, 0), -1),
    "neuron too high": put("layers.2.neurons", -1, 3),
    "neuron below 0": put("layers.0.neurons", 0, -1),
    "neurons in no order": put("layers.0.neurons", 0, 5),
    "index too high": put("layers.1.indices", -1, 999),
    "indptr falls": put("layers.1.indptr", 1, -5),
    "indptr too short": lambda t, d: t.update({"layers.1.indptr": np.zeros(2, int)}),
    "NaN": put("layers.0.weights", (0, 0), np.nan),
    "infinite constant": put("constants", 0, np.inf),
    "other number": convert("layers.0.weights", np.float32),
    "other numbers": convert("constants", np.float32),
    "wide inputs": convert("layers.0.inputs", np.int64),
    "no bias": lambda t, d: t.pop("layers.1.bias"),
    "no constants": lambda t, d: t.pop("constants"),
    "no outputs": lambda t, d: t.update(constants=np.zeros(0)),
    "flat constants": lambda t, d: t.update(constants=np.zeros((3, 1))),
    "short bias": lambda t, d: t.update({"layers.1.bias": np.zeros(1)}),
    "fewer layers": lambda t, d: d["layers"].pop(),
    "no layers": lambda t, d: d["layers"].clear(),
    "wrong kind": lambda t, d: d["layers"][1].update(condensed=True),
    "wrong activation": lambda t, d: d["layers"][0].update(activation="cube"),
    "wrong parameter": lambda t, d: d["layers"][0].update(parameter=None),
    "last not linear": lambda t, d: d["layers"][2].update(activation="relu"),
    "wrong loss": lambda t, d: d["loss"].update(name="zero-one"),
    "other format": lambda t, d: d.update(format=2),
    "fewer features": lambda t, d: d.update(n_features=5),
    "no features": lambda t, d: d.update(n_features="six"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_file_is_refused(change, tmp_path):
    path = damaged(tmp_path, change)
    with pytest.raises(ModelFileError, match="not valid") as caught:
        CondensedMLP.load(path)
    assert str(path) in str(caught.value)


def test_what_is_no_condensed_model_is_refused(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ModelFileError, match="cannot read"):
        CondensedMLP.load(path)
    models.save(SparseMLP([4, 3]), path)
    with pytest.raises(ModelFileError, match="not a condensed model"):
        CondensedMLP.load(path)
    mixed().save(path)
    with pytest.raises(ModelFileError, match=r"only CondensedMLP\.load reads"):
        models.load(path)
    whole = path.read_bytes()
    for length in itertools.chain(range(0, 40, 13), [len(whole) - 1]):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            CondensedMLP.load(path)
    with pytest.raises(UsageError, match="cannot write"):
        mixed().save(tmp_path / "no" / "such")


def test_scales_and_labels_go_with_the_model(tmp_path):
    iris = datasets.load("iris")
    model = SparseMLP([4, 20, 3], density=0.3, seed=1)
    path = models.save(model, tmp_path / "m", preprocessing=iris)
    condensed = CondensedMLP.from_model(models.load(path))
    raw = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]]
    want = Predictor(model, iris).predict_proba(raw)
    for _ in range(2):
        got = Predictor(condensed).predict_proba(raw)
        np.testing.assert_allclose(got, want, atol=1e-6)
        with pytest.warns(UserWarning, match=r"Predictor.* scaled=True") as seen:
            condensed.predict_proba(iris.X_test)
        assert seen[0].filename == __file__
        with pytest.warns(UserWarning, match="scaled"):
            condensed.decision_function(iris.X_test)
        got = condensed.predict_proba(iris.X_test, scaled=True)
        np.testing.assert_allclose(got, model.predict_proba(iris.X_test), atol=1e-6)
        condensed.save(tmp_path / "condensed")
        condensed = CondensedMLP.load(tmp_path / "condensed")
    facts = describe_file(tmp_path / "condensed")
    assert (facts["task"], facts["classes"]) == ("classification", [0, 1, 2])
    assert facts["feature_scaling"] == "shifted and divided"
    assert facts["other_tensors"]["names"] == []


def test_without_a_preprocessing_there_is_none(tmp_path):
    mixed().save(tmp_path / "m")
    assert CondensedMLP.load(tmp_path / "m").preprocessing is None
    assert "task" not in describe_file(tmp_path / "m")


def test_the_sizes_are_those_of_the_neurons_that_are_left():
    model = SparseMLP([4, 20, 3], density=1.0)
    model.layers[0].connections.values[:] = 1.0
    assert CondensedMLP.from_model(model).layer_sizes == (4, 20, 3)
    thin = CondensedMLP.from_model(SparseMLP([40, 20, 3], density=0.02, seed=3))
    sizes = thin.layer_sizes
    assert (sizes[0], sizes[-1]) == (40, 3)
    assert sizes[1] == thin.layers[0].n_active < 20
