"""--resume: a run that was stopped gives, to the last bit, what it would have given."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import tensor_files
from support.commands import NET, ROOT, SMALL, call, write_svm
from support.training import hashes_may_wrap, save_small_data

from truesparse import checkpoint
from truesparse.callbacks import StopOnSignal
from truesparse.commands import resume
from truesparse.commands.config import RunConfig
from truesparse.commands.config_files import read_toml
from truesparse.kernels import jit
from truesparse.storage import models
from truesparse.train import main

pytestmark = hashes_may_wrap

TIMES = {"time", "seconds", "data_s", "forward_s", "backward_s", "topology_s"}
TIMES |= {"samples_per_s", "rss_mb"}
IRIS = [*SMALL["iris"], "--hidden", "24,20", "--epochs", "6"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines(folder, *events):
    text = (folder / "metrics.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in text]
    return [line for line in entries if not events or line["event"] in events]


def facts(folder):
    """Return what the metrics say of epochs and updates, without times."""
    return [
        {name: value for name, value in line.items() if name not in TIMES}
        for line in lines(folder, "epoch", "topology")
    ]


def assert_same_runs(ours, theirs):
    name = "model.safetensors"
    assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert facts(ours) == facts(theirs)


def stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send a signal when a step is done."""
    look = StopOnSignal.on_batch_end

    def send(self, run):
        if run.model.step == step:
            os.kill(os.getpid(), number)
        look(self, run)

    monkeypatch.setattr(StopOnSignal, "on_batch_end", send)
    return lambda: monkeypatch.setattr(StopOnSignal, "on_batch_end", look)


def stopped(capsys, monkeypatch, step, *words, number=signal.SIGTERM):
    """Run until a signal comes after a step; return what was said."""
    undo = stop_at(monkeypatch, step, number)
    with pytest.raises(SystemExit) as ended:
        call(capsys, *words)
    undo()
    assert ended.value.code == 128 + number
    return capsys.readouterr().err


# Iris has 120 training samples: 4 steps an epoch.
@pytest.mark.parametrize(
    ("step", "data", "words"),
    [
        (9, "iris", []),
        (8, "iris", ["--topology", "rigl", "--optimizer", "adam", "--lr", "0.01"]),
        (10, "iris", ["--topology", "snfs", "--activation", "srelu", "--explored"]),
        (
            13,
            "iris",
            [
                *("--topology", "rigl", "--update-unit", "step", "--update-every", "3"),
                *("--clip-norm", "1", "--dtype", "float64"),
            ],
        ),
        (9, "iris", ["--activation-dtype", "bfloat16"]),
        (5, "svm", ["--topology", "snfs", "--optimizer", "adam", "--lr", "0.01"]),
        (
            7,
            "svm",
            ["--topology-arg", "decay=cosine", "--final", "prune_only"],
        ),
    ],
)
def test_a_stopped_run_is_resumed(step, data, words, tmp_path, capsys, monkeypatch):
    if data == "svm":
        write_svm(tmp_path / "thin.svm")
        data = "--data", "thin.svm", *IRIS[2:]
    else:
        data = IRIS
    words = *data, *words
    assert call(capsys, *words, "--out", "whole").code == 0
    text = stopped(capsys, monkeypatch, step, *words, "--out", "run")
    assert "resume the run with --resume run" in text
    assert len(lines(tmp_path / "run", "run_end")) == 1
    got = call(capsys, "--resume", "run", "--json")
    assert got.code == 0, got.err
    assert f"resuming at step {step}, after epoch" in got.err
    assert_same_runs(tmp_path / "run", tmp_path / "whole")
    events = [line["event"] for line in lines(tmp_path / "run")]
    assert events.count("run_start") == events.count("run_end") == 2
    assert events[-2:] == ["checkpoint", "run_end"]
    assert got.json["epochs"] == 6
    assert not list((tmp_path / "run").glob("*.part"))
    assert ("activations in bfloat16" in text) == ("bfloat16" in words)
    if "--explored" in words:
        assert (
            got.json["explored"] == lines(tmp_path / "whole", "epoch")[-1]["explored"]
        )


PROGRAM = """
import sys, time
from truesparse import train
from truesparse.callbacks import StopOnSignal
look = StopOnSignal.on_batch_end
def slow(self, run):
    time.sleep(0.02)
    look(self, run)
StopOnSignal.on_batch_end = slow
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_a_process_that_is_killed_is_resumed_in_another(number, code, tmp_path, capsys):
    words = *IRIS[:-1], "100", "--topology", "rigl", "--optimizer", "adam"
    words = *words, "--lr", "0.01", "--checkpoint-every", "2"
    assert call(capsys, *words, "--out", "whole").code == 0
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words, "--out", "run", "--quiet"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    run, deadline = tmp_path / "run", time.monotonic() + 120
    while not (run / "checkpoint.safetensors").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(60) == code
    if number == signal.SIGKILL:
        # Killed once more while a line was being written.
        with open(run / "metrics.jsonl", "a") as file:
            file.write('{"event": "epoch", "time')
    done = lines(run, "epoch")[-1]["epoch"] if number != signal.SIGKILL else 2
    assert 2 <= done < 100
    got = call(capsys, "--resume", "run", "--quiet")
    assert got.code == 0, got.err
    assert_same_runs(run, tmp_path / "whole")


def test_a_run_can_be_lengthened_with_other_threads_and_is_then_configured_so(
    tmp_path, capsys
):
    short = "--lr-schedule", "constant", "--seed", "3"
    assert call(capsys, *IRIS, *short, "--out", "whole", "--epochs", "9").code == 0
    assert call(capsys, *IRIS, *short, "--out", "run").code == 0
    words = "--resume", "run", "--epochs", "9", "--threads", "1"
    assert call(capsys, *words).code == 0
    assert facts(tmp_path / "run") == facts(tmp_path / "whole")
    options = read_toml(tmp_path / "run" / "config.toml")
    assert (options["epochs"], options["threads"], options["seed"]) == (9, 1, 3)
    assert "out" not in options
    # And once more, from what the file now says.
    assert call(capsys, "--resume", "run", "--epochs", "10").code == 0
    assert len(lines(tmp_path / "run", "epoch")) == 10


# Early stopping and the best model ---------------------------------------------------


def test_early_stopping_and_the_best_model_are_resumed(tmp_path, capsys, monkeypatch):
    words = *IRIS[:-1], "60", "--lr", "0.5", "--early-stopping", "4"
    words = *words, "--restore-best", "--monitor", "val_score"
    whole = call(capsys, *words, "--out", "whole", "--json")
    assert whole.code == 0, whole.err
    epochs = lines(tmp_path / "whole", "epoch")
    n, best = len(epochs), whole.json["best_epoch"]
    assert 4 < n < 60
    assert best == n - 4
    assert whole.json["test_score"] == max(line["val_score"] for line in epochs)
    assert f"best epoch         {best}\n" in whole.err
    model = models.load(tmp_path / "whole" / "model.safetensors")
    assert model.step == epochs[best - 1]["step"]
    # Stopped after the best epoch, so that its model has to be found in the file.
    stopped(capsys, monkeypatch, 4 * (best + 1) + 1, *words, "--out", "run")
    got = call(capsys, "--resume", "run", "--json")
    assert got.code == 0, got.err
    assert_same_runs(tmp_path / "run", tmp_path / "whole")
    assert got.json["best_epoch"] == best
    again = call(capsys, "--resume", "run")
    assert again.code == 0
    assert f"complete: it stopped early after epoch {n}; to train longer" in again.err
    more = call(capsys, "--resume", "run", "--early-stopping", "6", "--json")
    assert more.code == 0, more.err
    assert more.json["epochs"] > n
    (tmp_path / "run" / "best.safetensors").unlink()
    lost = call(capsys, "--resume", "run", "--early-stopping", "99")
    assert lost.code == 6
    assert "the best model so far" in lost.err


# What is refused ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return files of a run on a small file, stopped within its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        save_small_data(folder)
        patch.setattr(jit, "when_compiling", lambda _: contextlib.nullcontext())
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            main(["--data", "small.npz", *NET, "--out", "run", "--quiet"])
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.*"))}, folder


@pytest.fixture
def copied(run, tmp_path):
    files, folder = run
    for path, content in files.items():
        target = tmp_path / path.relative_to(folder)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "run"


def refused(capsys, code, message, *words, folder="run"):
    got = call(capsys, "--resume", folder, *words, "--json")
    assert (got.code, got.out) == (code, ""), got.err
    assert message in got.err
    assert got.err.count("\n") == 1


def test_a_stopped_run_is_done_only_once(copied, capsys):
    assert call(capsys, "--resume", "run").code == 0
    files = {path: path.read_bytes() for path in copied.iterdir()}
    # What starts it again, as a scheduler does, sees no failure.
    again = call(capsys, "--resume", "run", "--json")
    assert (again.code, again.json) == (0, {"complete": True, "epochs": 3})
    assert again.err == (
        "the run in run is complete after 3 epochs; to train longer give more, as in "
        "--epochs 6\n"
    )
    assert files == {path: path.read_bytes() for path in copied.iterdir()}
    refused(capsys, 2, "--epochs 2 is less than the 3 epochs", "--epochs", "2")
    assert call(capsys, "--resume", "run", "--epochs", "4").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "5"], "a different --seed (0 before, 5 now)"),
        (["--lr", "0.5"], "a different --lr ("),
        (
            ["--batch-size", "16", "--topology", "rigl"],
            "--batch-size (32 before, 16 now",
        ),
        (["--hidden", "9,9"], "--hidden ((24, 20) before, (9, 9) now)"),
        (["--restore-best"], "--restore-best (False before, True now); only --epochs,"),
        (["--config", "x.toml"], "give either --resume or --config"),
        (["--out", "other"], "give either --resume or --out"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--epochs", "1"], "less than the 2 epochs that the run in run has begun"),
    ],
)
def test_options_that_must_not_change(words, message, copied, capsys):
    before = {path: path.read_bytes() for path in copied.iterdir()}
    refused(capsys, 2, message, *words)
    assert before == {path: path.read_bytes() for path in copied.iterdir()}


def test_every_option_is_either_free_to_change_or_not():
    assert set(resume.MAY_CHANGE) < set(vars(RunConfig()))


def test_a_configuration_that_was_edited(copied, capsys):
    path = copied / "config.toml"
    path.write_text(path.read_text().replace("dropout = 0.1", "dropout = 0.2"))
    refused(capsys, 2, "a different --dropout (0.1 before, 0.2 now)")


def test_folders_without_what_it_takes(copied, capsys):
    (copied / "checkpoint.safetensors").rename("moved")
    refused(capsys, 2, "cannot resume run: it has no checkpoint.safetensors")
    (copied / "config.toml").unlink()
    refused(capsys, 2, "its config.toml is missing, and it has no checkpoint; give")
    refused(
        capsys, 2, "--resume must name a run folder, got 'nowhere'", folder="nowhere"
    )


def test_a_damaged_checkpoint(copied, capsys):
    path = copied / "checkpoint.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused(capsys, 6, "has changed since it was written")
    path.write_bytes((copied / "model.safetensors").read_bytes())
    refused(capsys, 6, "is a model, not a checkpoint")


def test_other_data(copied, tmp_path, capsys):
    with np.load("small.npz") as file:
        parts = dict(file)
    y = parts["y_train"]
    np.savez("small.npz", **parts | {"y_train": np.roll(y, 1)})
    refused(capsys, 4, "the data differ from those that the run in run/checkpoint")
    less = {"X_train": parts["X_train"][1:], "y_train": y[1:]}
    np.savez("small.npz", **parts | less)
    refused(
        capsys, 4, "with [60, 30] training and test samples, but the data have [59, 30]"
    )
    np.savez("small.npz", **parts)
    assert call(capsys, "--resume", "run").code == 0


def test_data_that_were_moved(copied, tmp_path, capsys):
    (tmp_path / "small.npz").rename(tmp_path / "moved.npz")
    refused(capsys, 4, "cannot read small.npz")
    assert call(capsys, "--resume", "run", "--data", "moved.npz").code == 0
    assert read_toml(copied / "config.toml")["data"] == "moved.npz"


def test_other_versions_are_a_warning(copied, capsys, monkeypatch):
    now = checkpoint.versions()
    name = "truesparse.training.checkpoints.versions"
    monkeypatch.setattr(name, lambda: now | {"numba": "99"})
    got = call(capsys, "--resume", "run")
    assert got.code == 0
    text = f"the checkpoint was written with numba {now['numba']} (now 99): results "
    text += "may differ in their last bits"
    assert f"warning: {text}\n" in got.err
    (line,) = lines(copied, "warning")
    assert line["message"] == text


def test_curves_for_tensorboard_are_in_the_run_folder(capsys, tmp_path, monkeypatch):
    words = *IRIS, "--tensorboard", "--out", "run"
    assert call(capsys, *words).code == 0
    assert len(os.listdir("run/tensorboard")) == 1
    assert call(capsys, "--resume", "run", "--epochs", "7").code == 0
    assert len(os.listdir("run/tensorboard")) == 2
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    got = call(capsys, *words[:-1], "other")
    assert (got.code, got.err.count("\n")) == (2, 1)
    assert "pip install 'truesparse[tensorboard]'" in got.err
    assert not (tmp_path / "other").exists()


def test_a_run_of_more_threads_is_resumed_with_fewer(copied, capsys):
    path = copied / "checkpoint.safetensors"
    data = path.read_bytes()
    # As a larger machine would have written it, in as many bytes.
    assert b"dropout = 0.1" in data
    path.write_bytes(data.replace(b"dropout = 0.1", b"threads = 999"))
    tensor_files.restamp(path)
    text = (copied / "config.toml").read_text()
    (copied / "config.toml").write_text(text.replace("dropout = 0.1", "threads = 999"))
    refused(capsys, 2, "--threads must be from 1 to")
    assert call(capsys, "--resume", "run", "--threads", "1").code == 0


def test_a_dry_run_changes_nothing(copied, capsys):
    before = {path: path.read_bytes() for path in copied.iterdir()}
    assert call(capsys, "--resume", "run", "--dry-run", "--epochs", "9").code == 0
    assert before == {path: path.read_bytes() for path in copied.iterdir()}
