"""python -m truesparse.export: files of a trained run, against its predictions."""

import csv
import importlib
import io
import os
import re
import sys

import numpy as np
import pytest
from support.commands import NET, call
from support.commands import main as train_main
from support.onnx_runs import run
from support.raw_rows import predict_from_csr

from truesparse import predict, save
from truesparse.condensed import CondensedMLP
from truesparse.export.torch_files import load_torch
from truesparse.storage import models

main = importlib.import_module("truesparse.export.__main__").main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two tables and the runs that they trained."""
    folder = tmp_path_factory.mktemp("runs")
    draw = np.random.default_rng(0)
    X = draw.standard_normal((60, 3)) * [1.0, 1e3, 1e-3] + [1e5, 0.0, 7.0]
    X = X.astype(np.float32)
    big = np.where(X[:, 1] > 0, "big", "small")
    price = 1e4 + 100 * X[:, 1]
    for name, target in {"kinds": big, "prices": price}.items():
        columns = zip(*X.T.tolist(), target.tolist(), strict=True)
        rows = [["a", "b", "c", name], *columns]
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        words = "--data", folder / f"{name}.csv", *NET, "--activation", "relu"
        words = *words, "--out", folder / name, "--quiet"
        assert train_main([*map(str, words)]) == 0
    np.save(folder / "X.npy", X)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def export(capsys, *words):
    return call(capsys, *words, main=main)


def predicted(capsys, folder, name):
    """Return what the command predict prints: labels, and numbers."""
    got = call(capsys, folder / name, folder / f"{name}.csv", main=predict.main)
    assert got.code == 0
    rows = list(csv.reader(io.StringIO(got.out)))[1:]
    labels = [row[0] for row in rows]
    return labels, np.array([row[1:] or row for row in rows], np.float64)


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", ["kinds", "prices"])
def test_onnx(name, folder, capsys):
    got = export(capsys, folder / name, "--to", "onnx", "--out", "net.onnx")
    assert (got.code, got.out) == (0, "")
    assert got.err == "wrote net.onnx: takes raw rows and scales them as in training\n"
    labels, numbers = predicted(capsys, folder, name)
    outputs = run("net.onnx", np.load(folder / "X.npy"))
    if name == "kinds":
        assert outputs["labels"].tolist() == labels
        close(outputs["probabilities"], numbers)
    else:
        close(outputs["predictions"], numbers)


@pytest.mark.parametrize("name", ["kinds", "prices"])
def test_csr(name, folder, capsys):
    words = "--to", "csr", "--out", "net.npz", "--quiet"
    got = export(capsys, folder / name / "model.safetensors", *words)
    assert (got.code, got.out, got.err) == (0, "", "")
    numbers = predicted(capsys, folder, name)[1]
    close(predict_from_csr("net.npz", np.load(folder / "X.npy")), numbers)


@pytest.mark.parametrize("name", ["kinds", "prices"])
def test_torch(name, folder, capsys):
    torch = pytest.importorskip("torch")
    got = export(capsys, folder / name, "--to", "torch", "--out", "net.pt")
    assert got.code == 0
    module = load_torch("net.pt")
    numbers = predicted(capsys, folder, name)[1]
    outputs = module(torch.from_numpy(np.load(folder / "X.npy"))).numpy()
    close(outputs, numbers)
    assert module.about["feature_names"] == ["a", "b", "c"]


def test_digits_that_float32_lacks(capsys, tmp_path):
    """Seconds since 1970: float32 has them in steps of 128."""
    draw = np.random.default_rng(0)
    seconds = 1.7e9 + 3600 * draw.standard_normal(50)
    rows = zip(seconds.tolist(), (seconds > 1.7e9).tolist(), strict=True)
    with open("times.csv", "w", newline="") as file:
        csv.writer(file).writerows([["time", "late"], *rows])
    words = "--data", "times.csv", *NET, "--out", "times", "--quiet"
    assert train_main([*words]) == 0
    got = export(capsys, "times", "--to", "onnx", "--out", "single.onnx")
    assert got.code == 0
    assert (
        "feature 'time' has a mean of 1.7e+09: rows of float32 round it by" in got.err
    )
    words = "--to", "onnx", "--dtype", "float64", "--out", "double.onnx"
    got = export(capsys, "times", *words)
    assert got.err.count("\n") == 1
    X, numbers = seconds[:, None], predicted(capsys, tmp_path, "times")[1]
    close(run("double.onnx", X)["probabilities"], numbers)
    rough = run("single.onnx", X.astype(np.float32))["probabilities"]
    assert np.abs(rough - numbers).max() > 1e-4


# What it says ------------------------------------------------------------------------


def test_a_run_that_has_not_ended(folder, capsys, tmp_path):
    model = models.load(folder / "kinds" / "model.safetensors")
    (tmp_path / "run").mkdir()
    save(model, tmp_path / "run" / "checkpoint.safetensors")
    (tmp_path / "run" / "metrics.jsonl").write_text('{"event": "epoch"}\n')
    got = export(capsys, "run", "--to", "csr", "--out", "net.npz")
    first, last = got.err.splitlines()
    assert first == (
        "the run in run has not ended: this is checkpoint.safetensors, saved after "
        f"step {model.step:,}"
    )
    assert last.startswith("wrote net.npz: takes raw rows")


def test_a_model_that_does_not_say_how_rows_were_scaled(folder, capsys):
    model = models.load(folder / "kinds")
    model.preprocessing = None
    save(model, "m")
    got = export(capsys, "m", "--to", "csr", "--out", "net.npz")
    assert got.code == 0
    assert "takes rows as the model was trained on: its file does not say" in got.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--to", "onx", "--out", "x"], 2, "unknown format 'onx' of --to; .*'onnx'"),
        (["--to", "csr"], 2, "required: --out"),
        (["--out", "x"], 2, "required: --to"),
        (["--to", "csr", "--out", "old"], 2, "--out old exists already; choose"),
        (["--to", "onnx", "--out", "x", "--dtype", "half"], 2, "unknown dtype 'half'"),
        (["--to", "csr", "--out", "x", "--dtype", "float64"], 2, "for --to onnx; a"),
        (["--to", "csr", "--out", "x.csv"], 2, "not suit --to csr, .* end in .npz$"),
        (["--to", "onnx", "--out", "x.PT"], 2, "not suit --to onnx, .* in .onnx$"),
        (["--to", "torch", "--out", "x.npz"], 2, "end in .pt or .pth$"),
        (["--to", "csr", "--out", "no/x"], 2, "cannot write .*: No such file or dir"),
    ],
)
def test_usage(words, code, message, folder, capsys, tmp_path):
    (tmp_path / "old").write_text("old")
    got = export(capsys, folder / "kinds", *words)
    assert (got.code, got.out) == (code, "")
    assert len(got.err.splitlines()) == 1
    assert ".part" not in got.err
    assert re.search(message, got.err.rstrip())
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize("library", ["onnx", "torch"])
def test_a_missing_library(library, folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    got = export(capsys, folder / "kinds", "--to", library, "--out", "x")
    assert got.code == 2
    assert f"needs {library}: pip install 'truesparse[{library}]'" in got.err


def test_what_is_no_model(folder, capsys, tmp_path):
    for path in ("missing", tmp_path, folder / "kinds.csv"):
        got = export(capsys, path, "--to", "csr", "--out", "net.npz")
        assert got.code == 6
        assert str(path) in got.err
    model = models.load(folder / "kinds")
    CondensedMLP.from_model(model).save("condensed")
    got = export(capsys, "condensed", "--to", "onnx", "--out", "net.onnx")
    assert got.code == 6
    assert "condensed model" in got.err
    assert "give the model that it was made from" in got.err


def test_too_little_memory(folder, capsys, monkeypatch):
    monkeypatch.setattr(
        "truesparse.common.memory.available", lambda: (10, "the machine")
    )
    got = export(capsys, folder / "kinds", "--to", "csr", "--out", "net.npz")
    assert got.code == 3
    assert "export" in got.err
