"""Processes that are started end with the one that started them."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
from support.commands import ROOT
from support.processes import wait_for

from truesparse.common.workers import end_with_parent

SWEEP = """
import os, pathlib, sys, time
from truesparse.analysis import run_sweep

def work(setting):
    pathlib.Path(sys.argv[1], f"{os.getpid()}.pid").touch()
    time.sleep(300)

if __name__ == "__main__":
    run_sweep(work, [{"x": 1}, {"x": 2}], f"{sys.argv[1]}/journal", n_workers=2)
"""


@pytest.mark.compiled
def test_workers_of_a_sweep_that_is_killed_end(tmp_path):
    script = tmp_path / "sweep.py"
    script.write_text(SWEEP)
    program = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        assert wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    finally:
        program.kill()
        program.wait()
    numbers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert wait_for(lambda: not any(map(is_running, numbers)))


def is_running(number):
    try:
        return "Z (zombie)" not in pathlib.Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


def test_a_process_that_was_not_started_goes_on():
    end_with_parent()
    time.sleep(0.05)
