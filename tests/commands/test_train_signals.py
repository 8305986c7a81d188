"""Signals to a training process: it saves its model and says how to resume."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from support.commands import NET, ROOT, SMALL, finish, start

from truesparse.storage import models
from truesparse.training.snapshot import has_finite_weights

LONG = [*SMALL["iris"], *NET[:2], "--epochs", "1000000", "--out", "run"]


def wait_for_epochs(folder, process):
    """Wait until training has gone through two epochs."""
    metrics, deadline = folder / "run" / "metrics.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().count('"epoch", "time"') >= 2:
            return
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no epoch was finished: {finish(process).err}")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        *((signal.SIGINT, 130), (signal.SIGTERM, 143)),
        *((signal.SIGHUP, 129), (signal.SIGXCPU, 152)),
    ],
)
def test_a_signal_ends_a_run_after_saving(number, code, tmp_path):
    process = start(*LONG, "--json", cwd=tmp_path)
    wait_for_epochs(tmp_path, process)
    process.send_signal(number)
    if number == signal.SIGHUP:
        # The shell says that the terminal is closed, and then the system.
        time.sleep(0.002)
        process.send_signal(number)
    got = finish(process)
    assert (got.code, got.out) == (code, "")
    assert "Traceback" not in got.err
    message = f"stopped by {number.name}; the model is saved in run/model.safetensors"
    message += "; resume the run with --resume run"
    assert got.err.splitlines()[-1] == message
    model = models.load(tmp_path / "run" / "model.safetensors")
    assert has_finite_weights(model)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    end = json.loads(lines[-1])
    assert end["event"] == "run_end"
    # The model is that of the last step.
    assert model.step == end["step"] > 8
    assert not list((tmp_path / "run").glob("*.part"))


def test_the_limit_of_the_processors_time_stops_a_run_once(tmp_path):
    """The signal would come again every second, and a second one ends a process."""
    process = start(*LONG, cwd=tmp_path)
    wait_for_epochs(tmp_path, process)
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (1, 10_000))
    got = finish(process)
    assert got.code == 152
    assert "; the model is saved in run/model" in got.err.splitlines()[-1]
    assert models.load(tmp_path / "run" / "model.safetensors").step > 8


@pytest.mark.compiled
def test_a_run_outlives_what_reads_its_messages(tmp_path):
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "truesparse.train", *SMALL["iris"], *NET]
        done = subprocess.run(
            [*words, "--out", "run", "--checkpoint-every", "1"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=full,
            timeout=120,
        )
    assert done.returncode == 0
    assert models.load(tmp_path / "run" / "model.safetensors").step == 12


def test_a_quiet_run_is_stopped_quietly(tmp_path):
    process = start(*LONG, "--quiet", cwd=tmp_path)
    wait_for_epochs(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    got = finish(process)
    assert (got.code, got.out, got.err) == (143, "", "")
