"""Predictions of the command line on real data, against the model itself."""

import csv
import io as text_io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.commands import SMALL, call, finish, start
from support.training import hashes_may_wrap, make_model

from truesparse import Predictor, datasets, predict
from truesparse.common import memory
from truesparse.storage import models
from truesparse.train import main as train_main

pytestmark = hashes_may_wrap

NET = ["--hidden", "24,20", "--epochs", "12", "--lr", "0.05", "--quiet"]
HEADER = ["sepal length", "sepal width", "petal length", "petal width", "species"]
SPECIES = np.array(["setosa", "versicolor", "virginica"])


def raw(name):
    """Return all rows of a bundled set, as they are."""
    task = "regression" if name == "diabetes" else "classification"
    width = {"iris": 4, "digits": 64, "diabetes": 10}[name]
    return datasets.load_rows(name, n_features=width, part="all", task=task)


def write_csv(path, columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def iris_columns():
    rows = raw("iris")
    columns = dict(zip(HEADER[:4], rows.X.T, strict=True))
    return columns | {"species": SPECIES[rows.y.astype(int)]}


def write_svm(path, n=90, labels=True):
    """Write thin samples of two classes that the first two features tell apart."""
    draw = np.random.default_rng(0)
    lines = []
    for _ in range(n):
        label = draw.integers(2)
        others = sorted(draw.choice(np.arange(3, 40), 5, replace=False))
        words = [f"{feature}:{draw.random():.3f}" for feature in others]
        first = f"{label} " if labels else ""
        lines.append(f"{first}{1 + label}:1.0 {' '.join(words)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with trained models."""
    folder = tmp_path_factory.mktemp("models")
    table = write_csv(folder / "iris.csv", iris_columns())
    svm = write_svm(folder / "thin.svm")
    for name, words in {
        "iris": ["--data", table],
        "digits": SMALL["digits"],
        "diabetes": [*SMALL["diabetes"], "--lr", "0.003"],
        "thin": ["--data", svm],
        "generated": ["--data", "synthetic:60x8", "--dtype", "float64"],
    }.items():
        words = [*NET, *words, "--out", folder / name]
        assert train_main([str(word) for word in words]) == 0
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(capsys, *words, main=predict.main):
    return call(capsys, *words, main=main)


def table_of(got):
    rows = list(csv.reader(text_io.StringIO(got.out)))
    return rows[0], rows[1:]


def model_of(folder):
    path = folder / "model.safetensors"
    return models.load(path), models.load_preprocessing(path)


# Real data ---------------------------------------------------------------------------


def test_labels_of_a_table(folder, capsys):
    got = run(capsys, folder / "iris", folder / "iris.csv")
    header, rows = table_of(got)
    assert got.code == 0
    assert header == ["prediction", *(f"probability_{name}" for name in SPECIES)]
    model, how = model_of(folder / "iris")
    X = how.transform(raw("iris").X, "float32")
    want = model.predict_proba(X, 32, scaled=True)
    chances = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_array_equal(chances, want)
    labels = [row[0] for row in rows]
    assert labels == SPECIES[want.argmax(axis=1)].tolist()
    accuracy = np.mean(np.array(labels) == iris_columns()["species"])
    assert accuracy > 0.8
    assert got.err == f"accuracy {accuracy:.4f} on 150 samples\n"


def test_a_column_after_the_target_is_not_scored(folder, capsys, tmp_path):
    columns = iris_columns()
    extra = np.arange(len(columns["species"])) % 3
    lines = [",".join([*columns, "batch"])]
    cells = zip(*columns.values(), extra, strict=True)
    lines += [",".join(map(str, row)) for row in cells]
    (tmp_path / "more.csv").write_text("\n".join(lines) + "\n")
    got = run(capsys, folder / "iris", tmp_path / "more.csv")
    again = run(capsys, folder / "iris", folder / "iris.csv")
    assert (got.code, got.out, got.err) == (0, again.out, again.err)


def test_columns_without_the_target_in_another_order(folder, capsys, tmp_path):
    columns = iris_columns()
    order = [HEADER[i] for i in (2, 0, 3, 1)]
    path = write_csv(tmp_path / "new.csv", {name: columns[name] for name in order})
    all_of_it = run(capsys, folder / "iris", folder / "iris.csv")
    got = run(capsys, folder / "iris", path)
    assert got.out == all_of_it.out
    assert got.err == ""


def test_the_score_is_that_of_training(folder, capsys):
    for name in ("iris", "digits", "diabetes", "thin", "generated"):
        lines = (folder / name / "metrics.jsonl").read_text().splitlines()
        epochs = [line for line in map(json.loads, lines) if line["event"] == "epoch"]
        options = models.load_config(folder / name / "model.safetensors")
        data = options.split('data = "')[1].split('"')[0]
        words = "--part", "test", "--out", "x.npy", "--json", "--quiet"
        got = run(capsys, folder / name, data, *words)
        assert (got.code, got.err) == (0, "")
        assert got.json["score"] == pytest.approx(epochs[-1]["val_score"], abs=1e-5)
        assert got.json["score_name"] == ("R2" if name == "diabetes" else "accuracy")


def test_a_named_set_is_predicted_on_its_test_part(folder, capsys):
    data = datasets.load("digits", test_fraction=0.015)
    model = models.load(folder / "digits" / "model.safetensors")
    got = run(capsys, folder / "digits", "digits")
    want = model.predict_proba(data.X_test, 32, scaled=True).argmax(axis=1)
    assert [int(row[0]) for row in table_of(got)[1]] == want.tolist()
    for part, n_rows in (("train", len(data.X_train)), ("all", 1797)):
        got = run(capsys, folder / "digits", "digits", "--part", part, "--labels-only")
        header, rows = table_of(got)
        assert (header, len(rows)) == (["prediction"], n_rows)


def test_values_are_in_the_units_of_the_targets(folder, capsys):
    got = run(capsys, folder / "diabetes", "diabetes", "--part", "all")
    header, rows = table_of(got)
    assert header == ["prediction"]
    values = np.array(rows, float)[:, 0]
    everything = raw("diabetes")
    model, how = model_of(folder / "diabetes")
    outputs = model.predict_proba(
        how.transform(everything.X, "float32"), 32, scaled=True
    )
    data = datasets.load("diabetes", scale_target=True, test_fraction=0.07)
    np.testing.assert_allclose(values, data.unscale_targets(outputs)[:, 0], rtol=1e-6)
    assert 100 < values.mean() < 200
    residual = ((values - everything.y) ** 2).sum()
    r2 = 1 - residual / ((everything.y - everything.y.mean()) ** 2).sum()
    assert r2 > 0.2
    assert got.err == f"R2 {r2:.4f} on 442 samples\n"


def test_sparse_rows_with_and_without_labels(folder, capsys, tmp_path):
    with_labels = run(capsys, folder / "thin", folder / "thin.svm")
    assert with_labels.code == 0
    assert "accuracy" in with_labels.err
    path = write_svm(tmp_path / "new.svm", labels=False)
    without = run(capsys, folder / "thin", path)
    assert (without.out, without.err) == (with_labels.out, "")
    # Dense rows of the same numbers.
    dense = datasets.load_rows(path, n_features=39, first_index=1).X.toarray()
    np.savez(tmp_path / "new.npz", X=dense)
    got = run(capsys, folder / "thin", "new.npz")
    assert [row[0] for row in table_of(got)[1]] == [
        row[0] for row in table_of(with_labels)[1]
    ]


def test_labels_that_are_not_known_give_no_score(folder, capsys, tmp_path):
    columns = iris_columns() | {"species": np.full(150, "unknown")}
    path = write_csv(tmp_path / "new.csv", columns)
    got = run(capsys, folder / "iris", path, "--out", "p.csv", "--json")
    assert (got.code, got.json["score"], got.json["samples"]) == (0, None, 150)
    assert got.err.startswith("no score, since the targets do not suit the model")


def test_a_target_with_gaps_gives_no_score_and_a_reason(folder, capsys, tmp_path):
    columns = iris_columns()
    species = columns["species"].astype(object)
    species[[4, 9]] = ""
    path = write_csv(tmp_path / "new.csv", columns | {"species": species})
    got = run(capsys, folder / "iris", path, "--out", "p.csv", "--json")
    assert (got.code, got.json["score"], got.json["samples"]) == (0, None, 150)
    assert "warning: 2 rows lack a target, the first in line 6, so that" in got.err
    empty = write_csv(tmp_path / "e.csv", columns | {"species": np.full(150, "")})
    got = run(capsys, folder / "iris", empty, "--out", "q.csv")
    assert (got.code, "warning" in got.err) == (0, False)


def test_a_model_that_says_nothing_of_its_data(capsys, tmp_path):
    model = make_model((4, 12, 3), seed=3)
    models.save(model, "m.safetensors")
    got = run(capsys, "m.safetensors", "iris", "--part", "all")
    assert got.code == 0
    assert "does not say how features were scaled" in got.err
    want = model.predict_proba(raw("iris").X.astype(np.float32))
    assert [int(row[0]) for row in table_of(got)[1]] == want.argmax(axis=1).tolist()


# Files -------------------------------------------------------------------------------


def test_every_kind_of_file_holds_the_same(folder, capsys):
    words = folder / "iris", folder / "iris.csv"
    for name in ("p.csv", "p.npz", "p.npy", "p.parquet"):
        got = run(capsys, *words, "--out", name)
        assert (got.code, got.out) == (0, "")
    assert sorted(os.listdir()) == ["p.csv", "p.npy", "p.npz", "p.parquet"]
    stored = np.load("p.npz")
    assert stored["classes"].tolist() == SPECIES.tolist()
    np.testing.assert_array_equal(np.load("p.npy"), stored["probability"])
    header, *rows = csv.reader(text_io.StringIO(Path("p.csv").read_text()))
    for frame in (pd.DataFrame(rows, columns=header), pd.read_parquet("p.parquet")):
        assert frame.columns.tolist() == header
        assert frame["prediction"].tolist() == stored["prediction"].tolist()
        numbers = frame.iloc[:, 1:].to_numpy(np.float32)
        np.testing.assert_array_equal(numbers, stored["probability"])
    assert run(capsys, *words).out == Path("p.csv").read_text()
    for name in ("p.npz", "p.npy", "p.parquet"):
        assert run(capsys, *words, "--out", name, "--labels-only").code == 0
    labels = stored["prediction"].tolist()
    assert np.load("p.npy").tolist() == labels
    assert np.load("p.npz").files == ["prediction"]
    assert pd.read_parquet("p.parquet").columns.tolist() == ["prediction"]


def test_values_in_files(folder, capsys):
    for name in ("p.npz", "p.npy"):
        assert run(capsys, folder / "diabetes", "diabetes", "--out", name).code == 0
    assert np.load("p.npy").shape == (31,)
    np.testing.assert_array_equal(np.load("p.npz")["prediction"], np.load("p.npy"))


def test_a_file_is_replaced_when_all_is_written(folder, capsys, monkeypatch):
    words = folder / "iris", folder / "iris.csv", "--out", "p.csv"
    assert run(capsys, *words).code == 0
    before = Path("p.csv").read_text()

    def interrupted(self, X, batch_size):
        yield next(blocks(self, X, batch_size))
        raise KeyboardInterrupt

    blocks = Predictor.blocks
    monkeypatch.setattr(Predictor, "blocks", interrupted)
    got = run(capsys, *words)
    assert got.code == 130
    assert got.err == "truesparse: stopped by SIGINT; no file was written\n"
    assert os.listdir() == ["p.csv"]
    assert Path("p.csv").read_text() == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["iris", "--out", "p.txt"], 2, "unknown ending '.txt' of --out; use one of"),
        (["iris", "--out", "p"], 2, "unknown ending '' of --out"),
        (["iris", "--out", "no/p.csv"], 2, "'no/p.csv': No such file or directory"),
        (["iris", "--out", "data.csv"], 2, "would overwrite an input"),
        (["iris", "--json"], 2, "--json prints to stdout"),
        (
            ["iris", "--part", "tests"],
            2,
            "unknown part 'tests'; use one of all, test, train",
        ),
        (["iris", "--batch-size", "0"], 2, "--batch-size must be at least 1, got 0"),
        (["iris", "--threads", "0"], 2, "--threads must be from 1 to"),
        (["iris", "--treads", "1"], 2, "unknown argument --treads (did you mean"),
        (["iriss"], 2, "unknown data set 'iriss'"),
        (["missing.csv"], 4, "missing.csv"),
        (["diabetes"], 4, "10 columns; give 4"),
        (["data.csv"], 4, "lacks 4 of the 4 columns that the model was trained on"),
        ([], 2, "required: DATA"),
    ],
)
def test_bad_input(words, code, message, folder, capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    data = ["data.csv"] if "data.csv" in words[1:] else words[:1]
    got = run(capsys, folder / "iris", *data, *words[1:])
    assert (got.code, got.out) == (code, "")
    assert message in got.err
    assert got.err.count("\n") == 1
    assert os.listdir() == ["data.csv"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("missing", "cannot read model missing"),
        ("data.csv", "cannot read model data.csv"),
        (".", "holds no model.safetensors or checkpoint.safetensors"),
    ],
)
def test_bad_models(model, message, capsys, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    got = run(capsys, model, "iris")
    assert got.code == 6
    assert message in got.err
    assert got.err.count("\n") == 1


def test_what_does_not_fit_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: (1000, "free memory"))
    got = run(capsys, folder / "iris", "iris", "--out", "p.csv")
    assert got.code == 3
    assert "lower --batch-size" in got.err
    assert os.listdir() == []


# As a process ------------------------------------------------------------------------


def test_a_closed_stdout(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    words = [str(folder / "iris"), "iris"]
    assert predict.main([*words, "--quiet"]) == 2
    assert predict.main([*words, "--out", "p.csv", "--quiet"]) == 0
    assert os.listdir() == ["p.csv"]


def test_a_reader_that_leaves_is_no_error(folder, tmp_path):
    process = start(
        folder / "digits", "digits", cwd=tmp_path, module="truesparse.predict"
    )
    process.stdout.close()
    process.stdout = None
    got = finish(process)
    assert got.code == 1
    assert "Traceback" not in got.err
    assert "Broken" not in got.err
