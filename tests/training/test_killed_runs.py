"""Run folders of runs that were killed: which model is described and predicts."""

import json
import shutil
from pathlib import Path

import pytest
from support.commands import NET, SMALL, call
from support.training import hashes_may_wrap, make_model

from truesparse import info, predict
from truesparse.callbacks import Checkpoint, StopOnSignal
from truesparse.commands.report_folder import read_folder
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError
from truesparse.plots.counts import as_model
from truesparse.storage import models, run_folder

pytestmark = hashes_may_wrap

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def predicted(capsys, *words):
    got = call(capsys, *words, "--json", "--out", "p.csv", main=predict.main)
    assert got.code == 0, got.err
    return got.json, got.err


def test_a_run_that_is_killed_in_its_first_epoch(capsys, monkeypatch):
    look = StopOnSignal.on_batch_end

    def leave(self, run):
        if run.model.step == 3:
            # What a killed process leaves behind.
            shutil.copytree("run", "killed")
        look(self, run)

    monkeypatch.setattr(StopOnSignal, "on_batch_end", leave)
    monkeypatch.setattr(Checkpoint, "_is_time", lambda self: True)
    assert call(capsys, *SMALL["iris"], *NET, "--out", "run").code == 0
    steps = [models.load(f"killed/{name}").step for name in (MODEL, CHECKPOINT)]
    assert steps == [0, 3]
    prediction, text = predicted(capsys, "killed", "iris")
    assert prediction["model"] == f"killed/{CHECKPOINT}"
    assert f"the run in killed has not ended: this is {CHECKPOINT}, saved " in text
    assert ", saved after step 3\n" in text
    alone, text = predicted(capsys, f"killed/{CHECKPOINT}", "iris")
    assert alone["score"] == prediction["score"]
    assert "not ended" not in text
    described = call(capsys, "killed", "--json", main=info.main).json
    assert (described["kind"], described["step"]) == ("checkpoint", 3)
    assert (described["run"]["epochs"], described["run"]["ended"]) == (0, False)
    assert as_model("killed").step == read_folder("killed").model.step == 3
    # Once it has gone on to its end.
    assert call(capsys, "--resume", "killed").code == 0
    prediction, text = predicted(capsys, "killed", "iris")
    assert prediction["model"] == f"killed/{MODEL}"
    assert "not ended" not in text
    assert Path(f"killed/{MODEL}").read_bytes() == Path(f"run/{MODEL}").read_bytes()


@pytest.mark.parametrize(
    ("last", "name"),
    [
        (None, MODEL),
        ('{"event": "run_end"}\n', MODEL),
        ('{"event": "epoch"}\n', CHECKPOINT),
        ('{"event": "run_end"}\n{"event": "ru', CHECKPOINT),
        ("", CHECKPOINT),
        ("[]\n", CHECKPOINT),
        ("\xff\n", CHECKPOINT),
    ],
)
def test_the_later_model_counts_until_a_run_has_ended(last, name, tmp_path):
    """The model of a run that has ended may be that of an earlier, better epoch."""
    for step, file in enumerate((MODEL, CHECKPOINT), 1):
        model = make_model()
        model.step = step
        models.save(model, tmp_path / file)
    if last is not None:
        text = json.dumps({"event": "run_start", "sizes": [7] * 30_000}) + "\n" + last
        (tmp_path / "metrics.jsonl").write_text(text, encoding="latin-1")
    assert run_folder.is_unfinished(tmp_path) == (name == CHECKPOINT)
    assert models.find_model(tmp_path) == tmp_path / name


def test_the_model_counts_where_the_checkpoint_is_no_later(tmp_path):
    for file in (MODEL, CHECKPOINT):
        models.save(make_model(), tmp_path / file)
    (tmp_path / "metrics.jsonl").touch()
    assert models.find_model(tmp_path) == tmp_path / MODEL


@pytest.mark.parametrize("step", [-1, 1.5, "3", None])
def test_a_step_that_is_none(step, tmp_path):
    model = make_model()
    model.step = step
    path = models.save(model, tmp_path / "m")
    with pytest.raises(ModelFileError, match="step must be a whole number"):
        models.load_step(path)


def test_every_file_of_a_run_can_predict_from_raw_rows(capsys):
    words = *SMALL["iris"], *NET, "--out", "run", "--restore-best"
    assert call(capsys, *words).code == 0
    files = sorted(Path("run").glob("*.safetensors"))
    assert [path.name for path in files] == ["best.safetensors", CHECKPOINT, MODEL]
    for path in files:
        assert models.load_preprocessing(path).classes.tolist() == [0, 1, 2]
        assert 'data = "iris"' in models.load_config(path)
        assert "scaled" not in predicted(capsys, path, "iris")[1]


def test_a_condensed_model_does_not_predict_here(capsys):
    CondensedMLP.from_model(make_model()).save("m")
    got = call(capsys, "m", "iris", main=predict.main)
    assert (got.code, got.err.count("\n")) == (6, 1)
    assert "m is a condensed model, which only CondensedMLP.load reads" in got.err
