"""Runs without a checkpoint that are resumed: complete ones, and those killed early."""

import errno
import importlib
import json
import os
import pathlib
import signal
import tomllib

import pytest
from support.commands import NET, SMALL, call, finish, start

from truesparse import load, predict
from truesparse.commands import resume
from truesparse.commands.config import RunConfig
from truesparse.commands.config_files import ALWAYS_WRITTEN, to_toml

export_main = importlib.import_module("truesparse.export.__main__").main
WORDS = [*SMALL["iris"], *NET, "--lr", "0.1", "--seed", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def events():
    lines = pathlib.Path("run/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


@pytest.mark.compiled
def test_a_complete_run_without_checkpoints_is_complete(capsys):
    """It used to end with the code of wrong usage."""
    words = *WORDS, "--checkpoint-every", "0", "--out", "run"
    assert call(capsys, *words).code == 0
    assert not os.path.exists("run/checkpoint.safetensors")
    assert "checkpoint" not in events()
    before = {path: path.read_bytes() for path in pathlib.Path("run").iterdir()}
    got = finish(start("--resume", "run", "--json", cwd="."))
    assert (got.code, got.json) == (0, {"complete": True, "epochs": 3}), got.err
    assert got.err == "the run in run is complete after 3 epochs\n"
    got = call(capsys, "--resume", "run", "--epochs", "5")
    assert got.code == 2
    assert "it has no checkpoint.safetensors, since the run had" in got.err
    assert before == {path: path.read_bytes() for path in pathlib.Path("run").iterdir()}


def test_a_run_that_stopped_early_is_complete(capsys):
    words = *WORDS, "--early-stopping", "1", "--epochs", "90", "--lr", "2"
    assert call(capsys, *words, "--checkpoint-every", "0", "--out", "run").code == 0
    n = events().count("epoch")
    assert n < 90, "choose settings that stop early"
    got = call(capsys, "--resume", "run")
    assert (got.code, got.err) == (0, f"the run in run is complete after {n} epochs\n")


@pytest.mark.compiled
@pytest.mark.parametrize("every", ["2", "0"])
def test_a_run_killed_before_its_first_checkpoint_starts_afresh(every, capsys):
    """It used to end with the code of wrong usage, so that it never got on."""
    assert call(capsys, *WORDS, "--checkpoint-every", every, "--out", "whole").code == 0
    words = *WORDS, "--checkpoint-every", every, "--out", "run"
    process = start(*words, cwd=".")
    metrics = pathlib.Path("run/metrics.jsonl")
    while not (metrics.exists() and metrics.read_bytes()):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pathlib.Path("run/checkpoint.safetensors").unlink(missing_ok=True)
    lines = metrics.read_text().splitlines(True)
    metrics.write_text(lines[0])
    assert call(capsys, "--resume", "run", "--dry-run").code == 0
    assert metrics.read_text() == lines[0]
    got = finish(start("--resume", "run", cwd="."))
    assert got.code == 0, got.err
    assert "run has no checkpoint yet: the run starts afresh\n" in got.err
    whole, run = (load(f"{folder}/model.safetensors") for folder in ("whole", "run"))
    for ours, theirs in zip(run.layers, whole.layers, strict=True):
        assert ours.connections.values.tobytes() == theirs.connections.values.tobytes()
    assert events().count("run_start") == events().count("run_end") == 1
    assert call(capsys, "--resume", "run").code == 0


def test_a_run_killed_when_it_began_does_not_start_afresh_with_defaults(capsys):
    os.mkdir("run")
    pathlib.Path("run/config.toml").touch()
    got = call(capsys, "--resume", "run")
    assert got.code == 2
    assert "its config.toml is empty" in got.err
    assert os.listdir("run") == ["config.toml"]


@pytest.mark.compiled  # without the JIT, NumPy warns of what overflows
def test_an_untrained_network_is_said_to_be_so(tmp_path, capsys):
    got = call(capsys, *WORDS[:-4], "--lr", "1e30", "--out", "run")
    assert got.code == 5
    pathlib.Path("rows.csv").write_text("1,2,3,4\n")
    said = "run/model.safetensors holds the untrained network, of step 0"
    for name in ("run", "run/model.safetensors"):
        for main, *words in (
            (predict.main, name, "rows.csv"),
            (export_main, name, "--to", "csr", "--out", "net.npz"),
        ):
            got = call(capsys, *words, main=main)
            assert got.code == 0
            assert said in got.err
        os.unlink("net.npz")


@pytest.mark.parametrize("left", ["nothing", "none of it", "half of it", "torn"])
def test_options_that_were_lost_are_those_of_the_checkpoint(left, capsys):
    words = *WORDS, "--epochs", "4", "--checkpoint-every", "1"
    assert call(capsys, *words, "--out", "whole").code == 0
    assert call(capsys, *words, "--out", "run").code == 0
    # As if the run had been killed in its last epoch.
    checkpoint = pathlib.Path("run/checkpoint.safetensors")
    os.replace("run/checkpoint.previous.safetensors", checkpoint)
    os.unlink("run/model.safetensors")
    path = pathlib.Path("run/config.toml")
    text = path.read_text()
    if left == "none of it":
        path.unlink()
    else:
        # Torn within a number, which would be another one.
        assert "\nepochs = 4\n" in text
        end = {"nothing": 0, "half of it": text.index("\nseed") + 1}
        torn = text.index("\nseed = 2") + len("\nseed = ")
        path.write_text(text[: end.get(left, torn)])
    assert call(capsys, "--resume", "run").code == 0
    whole, run = (load(f"{folder}/model.safetensors") for folder in ("whole", "run"))
    for ours, theirs in zip(run.layers, whole.layers, strict=True):
        assert ours.connections.values.tobytes() == theirs.connections.values.tobytes()
    assert path.read_text() == text
    # What is no TOML may be someone's work.
    path.write_text(text + "momentum =\n")
    got = call(capsys, "--resume", "run")
    assert got.code == 2
    assert "remove it to resume the run with the options in its checkpoint" in got.err
    assert path.read_text() == text + "momentum =\n"


def test_a_line_that_was_removed_stays_removed(capsys):
    words = *WORDS, "--early-stopping", "1", "--checkpoint-every", "1"
    assert call(capsys, *words, "--out", "run").code == 0
    path = pathlib.Path("run/config.toml")
    text = path.read_text()
    path.write_text(text.replace("early_stopping = 1\n", ""))
    assert resume.configure("run", {}).early_stopping is None
    assert resume.configure("run", {"early_stopping": 3}).early_stopping == 3


@pytest.mark.parametrize("text", ["", 'data = "iris"\nepochs = 1'])
def test_half_a_configuration_is_no_reason_to_train_with_defaults(text, capsys):
    os.mkdir("run")
    pathlib.Path("run/config.toml").write_text(text)
    got = call(capsys, "--resume", "run")
    assert got.code == 2
    assert "its config.toml is empty or cut off, and it has no checkpoint" in got.err
    os.unlink("run/config.toml")
    got = call(capsys, "--resume", "run")
    assert got.code == 2
    assert "its config.toml is missing, and it has no checkpoint" in got.err


def test_a_configuration_that_cannot_be_read_is_not_replaced(capsys, monkeypatch):
    assert call(capsys, *WORDS, "--checkpoint-every", "1", "--out", "run").code == 0
    real = pathlib.Path.read_bytes

    def refuse(path):
        if path.name == "config.toml":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    got = call(capsys, "--resume", "run", "--epochs", "5")
    assert got.code == 2
    assert "cannot read configuration run/config.toml" in got.err
    assert "remove" not in got.err


def test_which_options_are_always_written():
    table = tomllib.loads(to_toml(RunConfig()))
    assert table.keys() >= ALWAYS_WRITTEN
    assert "seed" in ALWAYS_WRITTEN
    assert not {"early_stopping", "threads", "data_home"} & ALWAYS_WRITTEN
