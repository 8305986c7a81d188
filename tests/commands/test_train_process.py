"""The command line as a process: signals, and how fast it answers without training."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.commands import NET, ROOT, SMALL, finish, start

from truesparse.storage import models
from truesparse.training.snapshot import has_finite_weights

LONG = [*SMALL["iris"], *NET[:2], "--epochs", "1000000", "--out", "run"]
HEAVY = ("numpy", "scipy", "numba", "llvmlite", "sklearn", "pandas", "tqdm")


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
    message += "; go on with --resume run"
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


def test_help_answers_at_once(tmp_path):
    times = []
    for _ in range(3):
        started = time.perf_counter()
        got = finish(start("--help", cwd=tmp_path))
        times.append(time.perf_counter() - started)
    assert got.code == 0
    assert got.err == ""
    for text in ("--neurons", "--epsilon", "default: digits", "Exit codes: 0 done"):
        assert text in got.out
    assert min(times) < 0.5


@pytest.mark.parametrize("words", [["--help"], [*SMALL["iris"], "--dry-run"]])
def test_a_full_stdout_is_reported_in_one_line(words, tmp_path):
    command = [sys.executable, "-m", "truesparse.train", *words, "--quiet"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr == "truesparse: [Errno 28] No space left on device\n"


def imported_by(program):
    """Return which heavy modules a program has loaded at its end."""
    program += f"\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_help_loads_nothing_heavy():
    program = (
        "from truesparse.train import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0"
    )
    assert imported_by(program) == "[]"


def test_the_package_loads_nothing_heavy():
    assert imported_by("import truesparse; dir(truesparse)") == "[]"


def test_the_package_offers_its_names():
    import truesparse

    assert set(truesparse.__all__) <= set(dir(truesparse))
    for name in truesparse.__all__:
        assert getattr(truesparse, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'SparseMPL'"):
        truesparse.SparseMPL  # noqa: B018
