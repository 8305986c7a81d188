"""Predictions by blocks, for every kind of output, against the model itself."""

import csv
import io as text_io
import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from support.commands import call
from support.training import hashes_may_wrap, make_model

from truesparse import Predictor, datasets, predict
from truesparse.commands import predictions
from truesparse.commands.predictions import Score, write_csv
from truesparse.datasets import Preprocessing
from truesparse.errors import DataError, ModelFileError
from truesparse.losses import Loss
from truesparse.storage import models
from truesparse.storage import predictor as predictors
from truesparse.storage.predictor import Block

pytestmark = hashes_may_wrap


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table_of(got):
    rows = list(csv.reader(text_io.StringIO(got.out)))
    return rows[0], rows[1:]


def problem(name):
    """Return a predictor, and raw rows with targets."""
    if name == "sparse":
        X = sparse.random_array((80, 30), density=0.2, rng=0, format="csr")
        y = np.arange(80) % 3
        how = Preprocessing("classification", np.arange(3), None, np.full(30, 2.0))
        return Predictor(make_model((30, 12, 3)), how), X, y
    data = datasets.load(name, scale_target=True)
    rows = datasets.load_rows(name, n_features=data.n_features, task=data.task)
    loss = "squared" if data.task == "regression" else "softmax"
    model = make_model((data.n_features, 12, data.n_outputs), loss=loss)
    return Predictor(model, Preprocessing.of(data)), rows.X[:80], rows.y[:80]


@pytest.mark.parametrize("name", ["digits", "sparse", "diabetes"])
def test_blocks_of_any_size_give_the_same(name, monkeypatch):
    predictor, X, y = problem(name)

    def predicted(n):
        blocks = list(predictor.blocks(X[:n], 32))
        stops = [block.rows.stop for block in blocks]
        assert [block.rows.start for block in blocks] == [0, *stops[:-1]]
        assert stops[-1] == n
        score = Score(predictor, y[:n])
        for block in blocks:
            score.add(block)
        got = [b.codes if b.probabilities is None else b.probabilities for b in blocks]
        return np.concatenate(got), score.value, len(blocks)

    want, score, n_blocks = predicted(80)
    assert n_blocks == 1
    # The model's outputs for scaled rows.
    scaled = predictor.preprocessing.transform(X, "float32")
    outputs = predictor.model.predict_proba(scaled, 32)
    unscaled = predictor.preprocessing.unscale_targets(outputs)
    np.testing.assert_array_equal(want, unscaled)
    monkeypatch.setattr(predictors, "_BATCHES", 1)
    for n in (80, 64, 33, 31, 1):
        got, _, n_blocks = predicted(n)
        assert n_blocks == max(1, n // 32)
        np.testing.assert_array_equal(got, want[:n])
    assert predicted(80)[1] == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_the_score_is_that_of_the_loss(name):
    predictor, X, y = problem(name)
    score = Score(predictor, y)
    for block in predictor.blocks(X, 32):
        score.add(block)
    how, model = predictor.preprocessing, predictor.model
    targets = y
    if name == "diabetes":
        targets = ((y[:, None] - how.target_mean) / how.target_scale).astype("f4")
    scaled = how.transform(X, "float32")
    want = model.evaluate(scaled, targets, 32)[1]
    assert score.value == pytest.approx(want, abs=1e-5)


def test_labels_that_are_formulas_are_text_for_spreadsheets():
    labels = ["=1+1", "+a", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\tb", "\rb", "-1", "x"]
    how = Preprocessing("classification", np.array(labels))
    predictor = Predictor(make_model((4, 5, 8)), how)
    block = Block(slice(0, 8), np.arange(8), -np.eye(8))
    stream = text_io.StringIO(newline="")
    write_csv(stream, predictor, iter([block]))
    stream.seek(0)
    rows = list(csv.DictReader(stream))
    got = [row["prediction"] for row in rows]
    assert got == [*(f"'{label}" for label in labels[:6]), "-1", "x"]
    # Numbers stay numbers.
    assert rows[7]["probability_x"] == "-1.0"


def test_scores_of_targets_without_spread():
    predictor = Predictor(make_model((4, 5, 1), loss="squared"), None)
    X, y = np.ones((6, 4)), np.full(6, 3.0)
    score = Score(predictor, y)
    for block in predictor.blocks(X, 32):
        score.add(block)
    assert score.value == 0.0


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("softmax", np.array(["a"] * 6), "labels that the training part lacks"),
        ("softmax", np.full(6, 5), "labels that the training part lacks"),
        (
            "squared",
            np.zeros((6, 2)),
            "targets have 2 columns but the model has 3 outputs",
        ),
        ("logistic", np.full((6, 3), 7), "must hold only 0 and 1"),
    ],
)
def test_targets_that_do_not_suit(loss, y, message):
    with pytest.raises(DataError, match=message):
        Score(Predictor(make_model(loss=loss), None), y)


def test_classes_that_do_not_suit():
    how = Preprocessing("classification", np.arange(2))
    with pytest.raises(ModelFileError, match="1 outputs but 2 classes"):
        Predictor(make_model((4, 5, 1)), how)


def test_what_is_held_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    # Probabilities of all rows would take 1.8 MB, their text more than ten times that.
    predictor = Predictor(make_model((4, 5, 150), loss="softmax"), None)
    X = np.ones((3000, 4), np.float32)
    list(predictor.blocks(X[:100], 32))
    monkeypatch.setattr(predictors, "_BATCHES", 2)
    monkeypatch.setattr(predictions, "_TEXT_VALUES", 1000)
    with open(tmp_path / "p.csv", "w") as file:
        tracemalloc.start()
        write_csv(file, predictor, predictor.blocks(X, 32))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1e6
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 3001


def test_several_labels_and_values(capsys, tmp_path):
    draw = np.random.default_rng(0)
    X, y = draw.random((40, 6)).astype(np.float32), draw.integers(0, 2, (40, 3))
    np.savez(tmp_path / "t.npz", X=X, y=y)
    model = make_model((6, 12, 3), loss="logistic")
    how = Preprocessing("multilabel", np.array([2, 5, 7]))
    models.save(model, "m", preprocessing=how)
    header, rows = table_of(call(capsys, "m", "t.npz", main=predict.main))
    assert header[:3] == ["prediction_2", "prediction_5", "prediction_7"]
    assert header[3:] == ["probability_2", "probability_5", "probability_7"]
    chances = model.predict_proba(X)
    table = np.array(rows, float)
    np.testing.assert_array_equal(table[:, :3], chances > 0.5)
    got = call(capsys, "m", "t.npz", "--out", "p.npz", "--json", main=predict.main)
    assert got.json["score"] == pytest.approx(((chances > 0.5) == y).mean())
    # A file with other labels: in the order of the model's.
    lines = ["2,7 1:1", "7 2:1", "2 3:1"]
    (tmp_path / "t.svm").write_text("\n".join(lines) + "\n")
    some = datasets.load_rows("t.svm", n_features=6)
    predictor = Predictor(model, how)
    score = Score(predictor, some.y, some.classes)
    wanted = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]])
    (block,) = predictor.blocks(some.X, 32)
    score.add(block)
    assert score.value == pytest.approx((block.codes == wanted).mean())
    # Several targets of a regression.
    model = make_model((6, 12, 3), loss="squared")
    scale = np.array([1.0, 10.0, 100.0])
    models.save(
        model,
        "r",
        preprocessing=Preprocessing("regression", None, None, None, *[scale] * 2),
    )
    header, rows = table_of(call(capsys, "r", "t.npz", main=predict.main))
    assert header == ["prediction_0", "prediction_1", "prediction_2"]
    want = model.predict_proba(X) * scale + scale
    np.testing.assert_allclose(np.array(rows, float), want, rtol=1e-6)


def test_one_output_for_two_classes(capsys, tmp_path):
    draw = np.random.default_rng(0)
    X = draw.standard_normal((30, 6)).astype(np.float32)
    model = make_model((6, 12, 1), loss=Loss("logistic"))
    how = Preprocessing("classification", np.array(["no", "yes"]))
    models.save(model, "m", preprocessing=how)
    chance = model.predict_proba(X)[:, 0]
    y = np.where(chance > 0.5, "yes", "no")
    np.savez(tmp_path / "t.npz", X=X, y=y)
    got = call(capsys, "m", "t.npz", main=predict.main)
    header, rows = table_of(got)
    assert header == ["prediction", "probability_no", "probability_yes"]
    assert [row[0] for row in rows] == y.tolist()
    chances = np.array([row[1:] for row in rows], np.float32)
    np.testing.assert_allclose(
        chances, np.column_stack([1 - chance, chance]), rtol=1e-5
    )
    assert got.err.endswith("accuracy 1.0000 on 30 samples\n")


# Compiled kernels overflow without a word; plain Python warns.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
@pytest.mark.parametrize("loss", ["softmax", "logistic", "squared", "poisson"])
def test_a_row_that_overflows_is_named_instead_of_predicted(loss, capsys):
    """Its outputs were NaN, and it was counted as one of the first class."""
    model = make_model((4, 8, 3), loss=loss)
    for layer in model.layers:
        layer.connections.values *= 100
    X = np.zeros((100, 4), np.float32)
    X[[70, 71]] = 3e38
    blocks = Predictor(model, None).blocks(X, 1)
    with pytest.raises(DataError, match=r"samples are NaN.* first for sample 70,"):
        list(blocks)
    models.save(model, "m.safetensors")
    np.savez("x.npz", X=X, y=np.zeros((100, 3) if loss != "softmax" else 100))
    assert predict.main(["m.safetensors", "x.npz", "--out", "p.csv"]) == 4
    assert "first for sample 70, counted from 0" in capsys.readouterr().err
