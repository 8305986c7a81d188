"""Predictions from unfinished runs with a damaged file: the next best is taken."""

import os
import pathlib
import warnings

import pytest
from support.commands import NET, SMALL, call

from truesparse import info, load, predict

RUN = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--out", "run"]
CHECKPOINT, MODEL = "run/checkpoint.safetensors", "run/model.safetensors"
PREVIOUS = "run/checkpoint.previous.safetensors"


@pytest.fixture
def unfinished(tmp_path, monkeypatch, capsys):
    """Make a run that was killed: a checkpoint of step 12, one of 8, a model of 0."""
    monkeypatch.chdir(tmp_path)
    assert call(capsys, *RUN).code == 0
    model = load(MODEL)
    model.step = 4
    from truesparse import save

    save(model, MODEL, preprocessing=model.preprocessing)
    metrics = pathlib.Path("run/metrics.jsonl")
    lines = metrics.read_text().splitlines(True)
    metrics.write_text("".join(lines[:-1]))


def spoil(*paths, cut=False):
    for path in paths:
        content = bytearray(pathlib.Path(path).read_bytes())
        content[-1] ^= 1
        pathlib.Path(path).write_bytes(content[:50] if cut else content)


def run(capsys, *words, main):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        return call(capsys, *words, main=main)


@pytest.mark.usefixtures("unfinished")
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("damaged", "name", "step"),
    [
        ([], "checkpoint.safetensors", 12),
        ([CHECKPOINT], "checkpoint.previous.safetensors", 8),
        ([CHECKPOINT, PREVIOUS], "model.safetensors", 4),
    ],
)
def test_the_latest_sound_model_is_taken(damaged, name, step, cut, capsys):
    """A damaged checkpoint used to be refused although others were sound."""
    spoil(*damaged, cut=cut)
    got = run(capsys, "run", "iris", "--out", "p.csv", main=predict.main)
    assert got.code == 0, got.err
    assert f"this is {name}, saved after step {step}" in got.err
    assert got.err.count(f"{name}, of step {step}, is taken instead") == bool(damaged)
    got = run(capsys, "run", main=info.main)
    assert got.code == 0
    assert name in got.out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load("run").step == step


@pytest.mark.usefixtures("unfinished")
def test_if_all_are_damaged_the_first_is_named(capsys):
    spoil(CHECKPOINT, PREVIOUS, MODEL)
    got = run(capsys, "run", "iris", "--out", "p.csv", main=predict.main)
    assert got.code == 6
    assert f"the content of {CHECKPOINT} has changed" in got.err
    assert run(capsys, "run", "--no-verify", main=info.main).code == 0


def test_the_model_of_a_run_that_ended_has_no_substitute(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(capsys, *RUN).code == 0
    spoil(MODEL)
    assert run(capsys, "run", "iris", "--out", "p.csv", main=predict.main).code == 6
    assert not os.path.exists("p.csv")
