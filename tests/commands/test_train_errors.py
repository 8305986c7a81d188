"""Bad input to the command line: one line, the right exit code, nothing left behind."""

import json
import os
import signal
import time

import numpy as np
import pytest
from support.commands import NET, SMALL, call, finish, start
from support.training import arrays_of, hashes_may_wrap

from truesparse import datasets, train
from truesparse.common import memory
from truesparse.drawing import draw_layers
from truesparse.errors import DataError
from truesparse.kernels import jit
from truesparse.storage import models as io
from truesparse.training.snapshot import has_finite_weights

pytestmark = hashes_may_wrap


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, code, message, *words, leaves=()):
    """Fail unless the call says one line and leaves nothing but `leaves`."""
    got = call(capsys, *words, "--json")
    assert got.code == code, got.err
    assert got.out == ""
    assert got.err.startswith("truesparse: ")
    assert got.err.count("\n") == 1
    assert got.err.endswith("\n")
    assert message in got.err
    # Nothing is in the way of a second attempt.
    assert sorted(os.listdir()) == sorted(leaves)
    return got.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "iriss"], "unknown data set 'iriss'"),
        (["--topology", "sett"], "Did you mean 'set'?"),
        (["--activation", "rely"], "Did you mean 'relu'?"),
        (["--optimizer", "adm"], "Did you mean 'adam'?"),
        (["--lr-schedule", "cosin"], "Did you mean 'cosine'?"),
        (["--weight-init", "he"], "unknown weight init 'he'"),
        (["--dtype", "float16"], "unknown dtype 'float16'"),
        (
            ["--activation-dtype", "bfloat"],
            "unknown activation dtype 'bfloat'; use one of bfloat16, float32, float64. "
            "Did you mean 'bfloat16'?",
        ),
        (
            ["--dtype", "float64", "--activation-dtype", "bfloat16"],
            "must be float64 where dtype is float64, got bfloat16",
        ),
        (["--decay", "l1"], "unknown decay 'l1'"),
        (["--epsilon", "0"], "epsilon must be above 0 and finite, got 0.0"),
        (["--epsilon", "-2"], "epsilon must be above 0 and finite, got -2.0"),
        (["--epsilon", "nan"], "epsilon must be above 0 and finite, got nan"),
        (["--density", "1.5"], "density must be above 0 and at most 1, got 1.5"),
        (["--density", "0"], "density must be above 0 and at most 1, got 0.0"),
        (["--epsilon", "3", "--density", "1"], "either --epsilon or --density"),
        (["--hidden", "10,-3"], "--hidden takes sizes of at least 1, got [10, -3]"),
        (
            ["--hidden", "3000000000"],
            "at most 2147483647 neurons, got 3000000000; lower --hidden",
        ),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--epochs", "-1"], "--epochs must be at least 1, got -1"),
        (["--zeta", "1"], "zeta must be from 0 up to but not 1, got 1.0"),
        (["--zeta", "-0.5"], "zeta must be from 0 up to but not 1, got -0.5"),
        (["--lr", "0"], "learning rate must be above 0 and finite, got 0.0"),
        (["--lr", "inf"], "learning rate must be above 0 and finite, got inf"),
        (["--momentum", "1"], "momentum must be from 0 up to but not 1, got 1.0"),
        (["--weight-decay", "-1"], "weight_decay must be at least 0 and finite"),
        (["--fan-in-limit", "0"], "fan_in_limit must be at least 1, got 0.0"),
        (["--dropout", "1"], "dropout must be from 0 up to but not 1, got 1.0"),
        (["--label-smoothing", "1"], "label_smoothing must be from 0 up to"),
        (["--clip-norm", "0"], "clip_norm must be above 0 and finite, got 0.0"),
        (["--warmup", "-1"], "warmup must be at least 0 and finite"),
        (["--activation-parameter", "0.5"], "activation 'relu' takes no parameter"),
        (["--seed", "-1"], "whole number from 0"),
        (["--threads", "3"], "from 1 to 2 (as NUMBA_NUM_THREADS says), got 3"),
        (["--threads", "100000"], "cores (more only take turns), got 100000"),
        (["--out", ""], "--out must name a folder, got ''"),
        (["--config", ""], "--config must name a TOML file, got ''"),
        (["--depth", "3"], "either --hidden or --neurons and --depth"),
        (["--epsilom", "3"], "did you mean --epsilon?"),
        (["--config", "missing.toml"], "cannot read configuration missing.toml"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_usage(words, message, capsys, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    monkeypatch.setattr(jit, "most_threads", lambda: 2)
    words = *SMALL["iris"], *NET, *words
    refused(capsys, 2, message, *words)
    refused(capsys, 2, message, *words, "--dry-run")


@pytest.mark.parametrize(
    "words",
    [
        ["--zeta", "1"],
        ["--lr", "0"],
        ["--momentum", "1"],
        ["--dropout", "1"],
        ["--label-smoothing", "1"],
        ["--clip-norm", "0"],
        ["--warmup", "-1"],
        ["--epsilon", "0"],
        ["--activation-parameter", "0.5"],
    ],
)
def test_usage_is_refused_before_data_are_loaded(words, capsys, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    refused(capsys, 2, "must be" if words[1] != "0.5" else "takes no", *NET, *words)


def test_label_smoothing_of_a_regression(capsys):
    words = *SMALL["diabetes"], *NET, "--label-smoothing", "0.1"
    refused(capsys, 2, "label_smoothing belongs to softmax", *words)
    refused(capsys, 2, "label_smoothing belongs to softmax", *words, "--dry-run")


def test_an_absurd_index_of_a_sparse_file(capsys, tmp_path, monkeypatch):
    rows = "0 1:1 2000000000:1\n1 2:1 3:1\n" * 4
    (tmp_path / "x.svm").write_text(rows)
    monkeypatch.setattr(memory, "available", lambda: (10**9, "free memory"))
    words = "--data", "x.svm", *NET
    text = refused(capsys, 3, "2,000,000,000 features", *words, leaves=["x.svm"])
    assert "renumber the features" in text


def nan_data():
    x = np.ones((20, 3))
    x[4, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.npz", b"not a zip file", "x.npz"),
        ("x.csv", b"", "x.csv"),
        ("x.csv", b"a,b,y\n1,2,0\n1,oops,1\n", "x.csv"),
        (
            "x.csv",
            b"a,y\n1,0\n2,1\nnan,0\n3,1\n4,0\n5,1\n",
            "line 4, column 1 holds no",
        ),
        ("x.svm", b"1 0:a\n", "x.svm"),
        ("x.svm", b"\x00\xff\x00", "x.svm"),
        ("x.dat", b"1 2 3\n", "x.dat"),
    ],
)
def test_bad_data_files(name, content, message, capsys, tmp_path):
    (tmp_path / name).write_bytes(content)
    got = call(capsys, "--data", name, *NET)
    assert got.code == 4
    assert got.err.count("\n") == 1
    assert message in got.err
    assert not (tmp_path / "runs").exists()


def test_data_with_nan(capsys, tmp_path):
    np.savez(tmp_path / "x.npz", X=nan_data(), y=np.arange(20) % 2)
    text = refused(capsys, 4, "NaN", "--data", "x.npz", *NET, leaves=["x.npz"])
    assert "x.npz" in text


def test_data_that_are_not_there(capsys, tmp_path):
    refused(capsys, 4, "missing.csv", "--data", "missing.csv", *NET)
    refused(capsys, 4, "folder.npz", "--data", "folder.npz", *NET)
    words = "--data", "mnist", "--data-home", "nowhere", *NET
    text = refused(capsys, 4, "mnist", *words)
    # It says how to get them.
    assert "fetch" in text


# The run folder ----------------------------------------------------------------------


def test_a_file_in_the_way(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/run"):
        words = *SMALL["iris"], *NET, "--out", place
        refused(capsys, 2, "cannot write run folder", *words, leaves=["file"])
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_holds_a_run_is_left_alone(capsys, tmp_path):
    words = *SMALL["iris"], *NET, "--out", "run"
    assert call(capsys, *words).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    message = "run already holds a run (config.toml); choose another --out or remove it"
    refused(capsys, 2, message, *words, leaves=["run"])
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.jsonl"])
def test_a_folder_that_holds_part_of_a_run_is_left_alone(name, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("mine")
    words = *SMALL["iris"], *NET, "--out", "run"
    refused(capsys, 2, f"run already holds a run ({name})", *words, leaves=["run"])
    words = *words, "--dry-run"
    refused(capsys, 2, f"run already holds a run ({name})", *words, leaves=["run"])
    assert os.listdir(tmp_path / "run") == [name]
    assert (tmp_path / "run" / name).read_text() == "mine"


def test_a_bad_option_does_not_use_up_the_folder(capsys):
    words = *SMALL["iris"], *NET, "--out", "run"
    assert call(capsys, *words, "--zeta", "2").code == 2
    assert call(capsys, *words, "--lr", "0").code == 2
    assert call(capsys, *words).code == 0


# Debugging ---------------------------------------------------------------------------


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path, capsys):
    quiet = finish(start("--data", "missing.csv", cwd=tmp_path))
    loud = finish(start("--data", "missing.csv", "--debug", cwd=tmp_path))
    assert quiet.code == loud.code == 4
    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err
    assert loud.err.endswith(quiet.err)
    for words in (["--epochs", "0"], ["--epsilom", "0"]):
        got = call(capsys, *words, "--debug")
        assert got.code == 2
        assert "UsageError" in got.err


# Trouble on the way ------------------------------------------------------------------


def test_divergence_saves_the_last_good_model(capsys, tmp_path):
    words = *SMALL["diabetes"], *NET, "--lr", "1e6", "--epochs", "50", "--out", "run"
    with np.errstate(all="ignore"):
        got = call(capsys, *words, "--json", "--quiet")
    assert (got.code, got.out) == (5, "")
    assert got.err.count("\n") == 1
    assert "lower the learning rate" in got.err
    assert got.err.endswith(", saved in run/model.safetensors\n")
    assert got.err.count("model is") == 1
    saved = io.load(tmp_path / "run" / "model.safetensors")
    assert has_finite_weights(saved)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "run_end"
    with np.errstate(all="ignore"):
        got = call(capsys, *words[:-1], "again", "--debug", "--quiet")
    assert got.code == 5
    assert "DivergedError" in got.err


def test_memory_that_runs_out_after_all(capsys, monkeypatch):
    def greedy(*arguments, **options):
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr(draw_layers, "draw_weights", greedy)
    message = "out of memory: Unable to allocate 3 TiB"
    refused(capsys, 3, message, *SMALL["iris"], *NET)


def test_an_interruption_before_training(capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupted)
    refused(capsys, 130, "stopped by SIGINT", *SMALL["iris"], *NET)


def test_a_termination_before_training(capsys, monkeypatch):
    def terminated(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(datasets, "load", terminated)
    before = signal.getsignal(signal.SIGTERM)
    refused(capsys, 143, "stopped by SIGTERM", *SMALL["iris"], *NET)
    assert signal.getsignal(signal.SIGTERM) is before


def test_messages_of_several_lines_become_one(capsys, monkeypatch):
    def wordy(*arguments, **options):
        raise DataError("first line\nsecond line")

    monkeypatch.setattr(datasets, "load", wordy)
    refused(capsys, 4, "first line second line", *SMALL["iris"], *NET)


def test_a_model_that_cannot_be_written(capsys, monkeypatch, tmp_path):
    make_folder = train._make_folder

    def spoil(config):
        folder = make_folder(config)
        (folder / "model.safetensors").mkdir()
        return folder

    monkeypatch.setattr(train, "_make_folder", spoil)
    got = call(capsys, *SMALL["iris"], *NET, "--quiet")
    assert got.code == 2
    assert "cannot write model" in got.err
    assert got.err.count("\n") == 1


def test_weights_are_not_changed_by_a_failed_run(capsys, tmp_path):
    words = *SMALL["iris"], *NET
    assert call(capsys, *words, "--out", "one").code == 0
    assert call(capsys, *words, "--out", "one").code == 2
    assert call(capsys, *words, "--out", "two").code == 0
    models = [io.load(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for got, want in zip(*map(arrays_of, models), strict=True):
        np.testing.assert_array_equal(got, want)
