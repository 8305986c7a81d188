"""Memory where the system says less about it than Linux does."""

import os
import subprocess
import sys

import pytest

from truesparse.common import memory

# What Windows lacks. Other libraries ask for it as well, so they are loaded before.
WITHOUT_POSIX = """
import os, sys
import numba, numpy, safetensors, sklearn, scipy.sparse
sys.modules["resource"] = None
for name in ("sysconf", "register_at_fork", "sched_getaffinity", "fork", "getuid"):
    if hasattr(os, name):
        delattr(os, name)
import pathlib
import truesparse.common.memory as memory
memory._PROC = pathlib.Path("missing")
"""
TRAIN = """
import numpy as np
from truesparse import datasets, load
from truesparse.train import main
assert main(["--data", "iris", "--epochs", "2", "--quiet", "--out", sys.argv[1]]) == 0
assert load(sys.argv[1] + "/model.safetensors").layer_sizes[-1] == 3
print(memory.available()[0] == sys.maxsize, memory.current_rss(), memory.peak_rss())
"""


@pytest.mark.compiled
def test_training_works_without_what_only_posix_has(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX + TRAIN, str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "True 0 0"
    assert (tmp_path / "run" / "model.safetensors").exists()


def refuse(*arguments):
    raise ValueError("unrecognized configuration name")


def test_all_memory_is_that_of_sysconf(monkeypatch):
    want = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.total() == want < sys.maxsize
    monkeypatch.setattr(os, "sysconf", refuse)
    assert memory.total() == sys.maxsize
    monkeypatch.delattr(os, "sysconf")
    assert memory.total() == sys.maxsize


def test_a_kernel_that_does_not_count_available_memory(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:  16000 kB\nMemFree:  8000 kB\n")
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory._free_memory() == memory.total()


def test_no_limit_of_the_address_space_where_there_is_none(monkeypatch):
    monkeypatch.setattr(memory, "resource", None)
    room, limit = memory.available()
    assert room > 0
    assert limit != "the limit of the address space"
    memory.require(1)
