"""The limits of the machine, and memory where the system says less than Linux does."""

import os
import platform
import resource
import subprocess
import sys

import numpy as np
import pytest

from truesparse.common import memory
from truesparse.errors import MemoryLimitError

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


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of files: 8 GB free, 1 GB of address space in use, no groups."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (proc / "self" / "status").write_text("Name: x\nVmSize:\t1000000 kB\n")
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (-1, -1))
    return tmp_path


def put_group(folder, names, limit, used, cached=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    if cached is not None:
        text = f"anon 1\n{names[2]} {cached}\nactive_file 7\n"
        (folder / "memory.stat").write_text(text)


def test_free_memory_is_a_limit(machine):
    assert memory.available() == (8_192_000_000, "free memory")
    memory.require(8_192_000_000)
    with pytest.raises(MemoryLimitError) as caught:
        memory.require(10_000_000_000)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "the run needs about 10 GB, but free memory leaves 8.19 GB; use fewer neurons "
        "or connections, or a smaller batch"
    )


@pytest.mark.parametrize("version", [1, 2])
def test_control_groups_are_limits(version, machine):
    names = memory._CGROUP_1 if version == 1 else memory._CGROUP_2
    root = machine / "cgroup" / ("memory" if version == 1 else "")
    line = "5:cpu,memory:/a/b\n" if version == 1 else "0::/a/b\n"
    (machine / "proc/self/cgroup").write_text("1:name=x:/elsewhere\n" + line)
    assert memory.available()[1] == "free memory"
    text = "the limit of the control group"
    put_group(root / "a/b", names, 5_000_000_000, 1_000_000_000)
    assert memory.available() == (4_000_000_000, text)
    # The group above is smaller; what it has cached is given up on demand.
    put_group(root / "a", names, 4_000_000_000, 3_000_000_000, cached=500_000_000)
    assert memory.available() == (1_500_000_000, text)
    put_group(root, names, 2_000_000_000, 2_500_000_000)
    assert memory.available() == (0, text)
    put_group(root, names, "max", 2_500_000_000)
    assert memory.available() == (1_500_000_000, text)


def test_a_group_outside_the_mounted_ones(machine):
    (machine / "proc/self/cgroup").write_text("0::/../../other\n")
    names = memory._CGROUP_2
    put_group(machine / "cgroup", names, 5_000_000_000, 1_000_000_000)
    assert memory.available()[0] == 4_000_000_000


def test_the_address_space_is_a_limit(machine, monkeypatch):
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (3_024_000_000, -1))
    text = "the limit of the address space"
    assert memory.available() == (2_000_000_000, text)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (1_000_000, -1))
    assert memory.available() == (0, text)


def test_without_the_files_of_linux(machine, monkeypatch):
    monkeypatch.setattr(memory, "_PROC", machine / "missing")
    room, limit = memory.available()
    assert limit == "free memory"
    assert room > 10**8
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert memory.current_rss() == memory.peak_rss() >= peak


def test_memory_in_use():
    before = memory.current_rss()
    block = np.ones(50_000_000, np.uint8)
    assert memory.current_rss() > before + 40_000_000
    assert memory.peak_rss() >= before + 40_000_000
    del block


FREE = """
import sys
import numpy as np
from truesparse.common import memory
print(memory.return_freed_arrays())
np.ones(1 << 19)  # from now on glibc keeps blocks of this size
before = memory.current_rss()
arrays = [np.ones(1 << 18) for _ in range(50)]
last = arrays.pop()  # above the others, so that these cannot be cut off the end
arrays.clear()
print(memory.current_rss() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other allocators have other habits"
)
def test_freed_arrays_go_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FREE], capture_output=True, text=True, check=True
    )
    possible, remaining = done.stdout.split()
    assert possible == "True"
    assert int(remaining) < 20_000_000


def test_where_freed_arrays_cannot_be_returned(monkeypatch):
    def missing(name):
        raise OSError

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert memory.return_freed_arrays() is False
