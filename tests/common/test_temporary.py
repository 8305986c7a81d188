"""Temporary folders of killed processes go, those of living ones stay."""

import os
import pathlib
import subprocess
import sys
import time

from support.commands import ROOT

from truesparse.common import temporary

PROGRAM = """
import sys, time
from truesparse import SparseMLP
from truesparse.training.snapshot import Snapshot
taken = Snapshot(SparseMLP([4, 5, 3]))
print(taken.path, flush=True)
time.sleep(float(sys.argv[1]))
"""


def start(folder, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(seconds)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, pathlib.Path(process.stdout.readline().strip()).parent


def test_what_a_killed_process_left_is_swept_by_the_next_one(tmp_path):
    """Each SIGKILL of a fit used to leave a folder."""
    killed, left = start(tmp_path, 600)
    living, living_path = start(tmp_path, 600)
    try:
        killed.kill()
        killed.communicate()
        assert left.exists()
        rescued = tmp_path / "truesparse-abc"  # a model that a full disk sent here
        rescued.mkdir()
        (rescued / "model.safetensors").touch()
        third, third_path = start(tmp_path, 0)
        third.communicate()
        assert third.returncode == 0
        assert not left.exists()
        assert not third_path.exists()
        assert (living_path / "model.safetensors").exists()
        assert (rescued / "model.safetensors").exists()
    finally:
        living.kill()
        living.communicate()


def test_an_empty_folder_may_be_about_to_be_used(tmp_path):
    fresh, old = (tmp_path / f"{temporary._PREFIX}{name}" for name in "ab")
    for path in (fresh, old):
        path.mkdir()
    day = time.time() - 86400
    os.utime(old, (day, day))
    temporary.sweep(str(tmp_path))
    assert list(tmp_path.iterdir()) == [fresh]


def test_what_cannot_be_locked_stays(tmp_path, monkeypatch):
    folder = tmp_path / f"{temporary._PREFIX}a"
    folder.mkdir()
    (folder / "m").touch()
    with monkeypatch.context() as patch:
        patch.setattr(temporary.fcntl, "flock", lambda *_: _refuse())
        temporary._remove_if_left(folder)
    assert folder.exists()
    temporary._remove_if_left(folder)
    assert not folder.exists()


def _refuse():
    raise OSError(95, "not supported")
