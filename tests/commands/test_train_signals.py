"""Signals to a training process: it saves its model and says how to resume."""

import json
import signal
import time

import pytest
from support.commands import NET, SMALL, finish, start

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
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_a_run_after_saving(number, code, tmp_path):
    process = start(*LONG, "--json", cwd=tmp_path)
    wait_for_epochs(tmp_path, process)
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


def test_a_quiet_run_is_stopped_quietly(tmp_path):
    process = start(*LONG, "--quiet", cwd=tmp_path)
    wait_for_epochs(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    got = finish(process)
    assert (got.code, got.out, got.err) == (143, "", "")
