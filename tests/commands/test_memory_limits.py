"""Limits of memory that a system really sets: a run that is too large is refused."""

import contextlib
import os
import pathlib

import pytest
from support.processes import run_script

from truesparse.common import memory

MEGABYTE = 1_000_000


def test_a_run_beyond_the_address_space_is_refused_before_it_starts(tmp_path):
    out = str(tmp_path / "run")
    words = [str(4 * 10**9), "--neurons", "30000000", "--data", "iris", "--out", out]
    got = run_script("run_limited.py", *words, threads=2)
    assert got["code"] == 3
    assert got["peak"] < 600_000_000
    assert not (tmp_path / "run").exists()


@pytest.fixture
def control_group():
    """A group of 800 MB inside that of this process, where it may make one."""
    version, inside = own_group()
    group = inside / f"truesparse-{os.getpid()}"
    limit = (memory._CGROUP_1, memory._CGROUP_2)[version - 1][0]
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        try:
            (group / limit).write_text(str(800 * MEGABYTE))
        except OSError as error:
            pytest.skip(f"control groups have no limit of memory here: {error}")
        yield group
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def own_group():
    """Return the version of the groups of memory and the folder of this process's."""
    groups, file = {}, pathlib.Path("/proc/self/cgroup")
    for line in file.read_text().splitlines() if file.exists() else ():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            groups[1] = memory._CGROUPS / "memory" / path.lstrip("/")
        elif controllers == "":
            groups[2] = memory._CGROUPS / path.lstrip("/")
    if not groups:
        pytest.skip("there are no control groups here")
    return min(groups.items())


def test_a_run_beyond_its_control_group_is_refused_before_it_starts(
    control_group, tmp_path
):
    out = str(tmp_path / "run")
    words = ["--data", "iris", "--epochs", "1", "--batch-size", "150", "--out", out]
    large = [str(control_group), *words, "--neurons", "6000000"]
    got = run_script("run_limited.py", *large, threads=2)
    assert got["code"] == 3
    assert "the limit of the control group leaves" in got["said"]
    assert got["peak"] < 600 * MEGABYTE
    assert not (tmp_path / "run").exists()
    small = [str(control_group), *words, "--neurons", "3000"]
    assert run_script("run_limited.py", *small, threads=2)["code"] == 0
