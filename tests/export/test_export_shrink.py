"""python -m truesparse.export --shrink: smaller files that predict the same."""

import importlib

import numpy as np
import pytest
from support.commands import call
from support.raw_rows import predict_from_csr

from truesparse import Predictor, SparseMLP, datasets, save
from truesparse.analysis import shrink
from truesparse.datasets import Preprocessing
from truesparse.datasets.feature_columns import fit_encoding

main = importlib.import_module("truesparse.export.__main__").main
DIGITS = datasets.load("digits", scale="standard")


@pytest.fixture
def model():
    model = SparseMLP([64, 40, 30, 10], epsilon=0.8, seed=2, dtype="float64")
    for layer in model.layers:
        layer.bias[:] = np.random.default_rng(3).normal(0, 0.3, layer.bias.size)
    model.preprocessing = Preprocessing.of(DIGITS)
    return model


def test_a_smaller_net_takes_the_features_that_are_left(model, tmp_path, capsys):
    path, out = tmp_path / "m.safetensors", tmp_path / "m.npz"
    save(model, path)
    words = (path, "--to", "csr", "--out", out, "--shrink")
    result = call(capsys, *words, main=main)
    assert result.code == 0, result.err
    wanted = shrink(model)
    with np.load(f"{out}.neurons.npz") as file:
        names = ["features", "layer_1", "layer_2", "outputs"]
        assert sorted(file.files) == sorted(names)
        for name, neurons in zip(names, wanted.neurons, strict=True):
            np.testing.assert_array_equal(file[name], neurons)
    features = wanted.neurons[0]
    assert features.size < 64
    assert f"rows must hold those {features.size} features alone" in result.err
    raw = np.random.default_rng(0).uniform(0, 16, (9, 64))
    got = predict_from_csr(out, raw[:, features])
    np.testing.assert_allclose(got, Predictor(model).predict_proba(raw), atol=1e-12)


def test_columns_of_a_table_all_stay(tmp_path, capsys):
    words = np.array(["red", "blue", "red"], dtype=object)
    encoding = fit_encoding([np.arange(3), words], ["size", "colour"])
    model = SparseMLP([3, 30, 2], epsilon=0.5, seed=1)
    model.preprocessing = Preprocessing(
        "classification", np.array([0, 1]), encoding=encoding
    )
    save(model, tmp_path / "m.safetensors")
    out = tmp_path / "m.npz"
    words = (tmp_path / "m.safetensors", "--to", "csr", "--out", out, "--shrink")
    result = call(capsys, *words, main=main)
    assert result.code == 0, result.err
    with np.load(f"{out}.neurons.npz") as file:
        assert file["features"].tolist() == [0, 1, 2]
        assert file["layer_1"].size < 30


def test_an_older_map_is_not_overwritten(model, tmp_path, capsys):
    save(model, tmp_path / "m.safetensors")
    out = tmp_path / "m.npz"
    (tmp_path / "m.npz.neurons.npz").write_text("")
    words = (tmp_path / "m.safetensors", "--to", "csr", "--out", out, "--shrink")
    result = call(capsys, *words, main=main)
    assert result.code == 2
    assert "m.npz.neurons.npz exists already" in result.err
    assert not out.exists()
