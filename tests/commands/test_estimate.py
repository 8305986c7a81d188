"""The estimate against what runs really take, and the limits of the machine."""

import itertools
import json
import platform
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from support.estimates import estimate
from support.processes import run_script

from truesparse.commands.estimate import Estimate
from truesparse.common import memory
from truesparse.common.memory import human
from truesparse.drawing.patterns import PATTERNS
from truesparse.errors import MemoryLimitError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.train import main

MOMENTUM, ADAM = Optimizer("sgd"), Optimizer("adam")
ABSURD = ["--neurons", str(10**11), "--depth", "100"]


# The estimate ------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("batch", "optimizer", "epsilon", "kind", "n_features", "n_hidden"),
    [
        (32, "sgd", 5, "dense", 64, 60_000),
        (2, "adam", 5, "dense", 64, 60_000),
        (32, "sgd", 20, "dense", 64, 12_000),
        (32, "sgd", 5, "sparse", 100_000, 50_000),
        (2, "sgd", 5, "sparse", 100_000, 50_000),
    ],
)
def test_it_is_what_a_run_takes(batch, optimizer, epsilon, kind, n_features, n_hidden):
    words = [batch, optimizer, epsilon, kind, n_features, n_hidden, n_hidden, 10]
    # The first process compiles what is not in the cache, which takes memory too.
    for _ in range(2):
        got = run_script("run_estimate.py", *map(str, words), threads=2)
    peak, total = got["before"] + got["rise"], got["runtime"] + got["estimate"]
    # An estimate too low would be paid for with a killed process.
    assert 0.97 * peak < total < 1.1 * peak
    assert 0.9 * got["rise"] < got["estimate"] < 1.2 * got["rise"]
    # Libraries only: data sets and their reader come on top in a run. How many of their
    # pages are in memory differs by a little from machine to machine.
    assert got["before"] < 1.03 * got["runtime"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM, Optimizer("sgd", momentum=0.0)])
def test_connections_and_state_are_counted_exactly(optimizer, dtype):
    sizes = (30, 70, 50, 4)
    model = SparseMLP(sizes, epsilon=3, dtype=dtype)
    model.allocate_moments(optimizer)
    got = estimate(sizes, optimizer, epsilon=3, dtype=dtype, batch_size=32)
    connections = [layer.connections for layer in model.layers]
    biases = sum(layer.bias.nbytes for layer in model.layers)
    values = sum(each.values.nbytes for each in connections)
    assert got.weights == values + 2 * biases
    indices = sum(each.indices.nbytes + each.indptr.nbytes for each in connections)
    # One more pointer a layer than neurons.
    assert got.indices == indices - 8 * len(connections)
    moments = [m.nbytes for each in model.layers for m in each.bias_moments]
    moments += [m.nbytes for each in connections for m in each.moments]
    assert got.optimizer == sum(moments)
    cells = sum(a * b for a, b in itertools.pairwise(sizes))
    n_moments = optimizer.needs_first + optimizer.needs_second
    assert got.dense == np.dtype(dtype).itemsize * (1 + n_moments) * cells


@pytest.mark.parametrize("activation_dtype", ["float32", "bfloat16"])
def test_activations_are_counted_exactly(activation_dtype):
    sizes = (30, 70, 50, 4)
    how = {"activation": "gelu", "activation_dtype": activation_dtype}
    model = SparseMLP(sizes, epsilon=3, loss="squared", **how)
    model.prepare(32)
    buffers = model._buffers
    arrays = [buffers.x, *buffers.outputs, *buffers.slopes, buffers.targets]
    if activation_dtype == "bfloat16":
        arrays.append(buffers.deltas[-1])
    got = estimate(sizes, epsilon=3, batch_size=32, **how)
    assert got.activations == sum(array.nbytes for array in arrays)


def test_bfloat16_halves_hidden_layers_and_is_widened_for_updates_by_gradient():
    sizes, how = (64, 100_000, 100_000, 10), {"epsilon": 1, "batch_size": 64}
    plain = estimate(sizes, **how)
    rounded = estimate(sizes, activation_dtype="bfloat16", **how)
    saved = 2 * 64 * sum(sizes[1:-1]) - 2 * 64 * 10
    assert plain.activations - rounded.activations == saved
    assert plain.rewiring == rounded.rewiring
    looks = {"needs_batches": True, "update_bytes": (0.0, -16.0)}
    plain = estimate(sizes, **how, **looks)
    rounded = estimate(sizes, activation_dtype="bfloat16", **how, **looks)
    assert rounded.rewiring == 4 * 64 * 200_000 > plain.rewiring
    # Data are in float32 anyway.
    looks["update_bytes"] = (0.0, -32.0)
    rounded = estimate((10**6, 500, 10), activation_dtype="bfloat16", **how, **looks)
    assert rounded.rewiring == 4 * 64 * 510


def test_what_makes_a_run_larger():
    sizes = (64, 1000, 1000, 10)
    base = estimate(sizes, epsilon=5, batch_size=32).total
    for settings in (
        {"batch_size": 64},
        {"dtype": "float64"},
        {"optimizer": ADAM},
        {"epsilon": 6},
        {"n_bytes": 1000},
        {"clips": True},
        # Its derivative is stored.
        {"activation": "gelu"},
        # Candidates, and connections that are yet to grow.
        {"update_bytes": (16.0, 2.0)},
        {"update_bytes": (4.0, 12.0)},
        {"growth": 1.5},
    ):
        settings = {"epsilon": 5, "batch_size": 32} | settings
        assert estimate(sizes, **settings).total > base, settings
    smaller = estimate(sizes, epsilon=5, batch_size=32, evolves=False)
    assert smaller.total < base


def test_an_update_holds_marks_and_candidates_of_all_layers_at_once():
    # Of one layer 10 bytes, 4 of them new indices; of all layers 5 bytes a connection.
    given = {"density": 0.01, "update_bytes": (5.0, 6.0), "batch_size": 2}
    one = estimate((10**4, 10**4), **given).rewiring
    ten = estimate([10**4] * 11, **given).rewiring
    assert one == (5 + 10) * 10**6 + 16 * 10**4
    assert ten == (10 * 5 + 10) * 10**6 + 16 * 10**4
    # A view goes with the connections of its layer, so that the first layer counts.
    assert estimate([10**4] * 11, **given | {"batch_size": 32}).rewiring == ten


def test_growth_ends_with_all_cells():
    given = {"density": 0.6, "batch_size": 2, "growth": 2.0}
    assert estimate((10, 20), **given).weights == 4 * (200 + 2 * 20)
    fixed = estimate((10, 20), evolves=False, **given)
    assert fixed.weights == 4 * (120 + 2 * 20)


def test_drawing_counts_where_it_takes_more_than_training():
    given = {"epsilon": 20, "batch_size": 1, "evolves": False}
    sizes = (10**5, 10**5)
    totals = {}
    for name in PATTERNS:
        got = estimate(sizes, init_topology=name, **given)
        totals[name] = got.total - got.runtime
    assert totals["bsf"] > 73 * 4 * 10**6
    assert totals["csti"] > 75 * 4 * 10**6 + 160 * 10**6
    assert totals["erdos_renyi"] < totals["brf"] < totals["bsf"]


def test_the_total_counts_everything_but_the_dense_network():
    numbers = Estimate(*(10**power for power in range(10)))
    assert numbers.total == 11_111_111
    assert numbers.first_total == 111_111_111
    lines = numbers.table().splitlines()
    assert lines[0].split() == ["weights", "1", "B"]
    assert lines[-3].split() == ["total", "11.1", "MB"]
    assert lines[-2].split() == ["first,", "while", "compiling", "111", "MB"]
    assert lines[-1].split() == ["dense", "network", "instead", "1", "GB"]
    assert len({len(line) for line in lines}) == 1


def test_counts_beyond_32_and_64_bits_do_not_wrap():
    sizes = [64, *[10**9] * 100, 10]
    got = estimate(sizes, epsilon=20, batch_size=128)
    nnz = 20 * (64 + 10**9) + 99 * 20 * 2 * 10**9 + 10 * 10**9
    assert got.weights == 4 * (nnz + 2 * (10**11 + 10))
    assert got.dense == 8 * (99 * 10**18 + 74 * 10**9)
    # Positions of more than 2**31 connections take 8 bytes.
    wide = estimate((10**5, 10**5), density=0.3, batch_size=32)
    assert wide.column_view == (4 + 8) * 3 * 10**9 + 8 * (10**5 + 1)
    assert all(type(size) is int and size >= 0 for size in vars(got).values())


def test_sizes_that_no_index_holds_are_refused():
    with pytest.raises(
        UsageError, match="layer size must be a whole number from 1 to 2147483647"
    ):
        estimate((64, 2**31, 10), epsilon=1)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (123_456, "123 kB"),
        (3.2e9, "3.2 GB"),
        (5e12, "5 TB"),
        (7e15, "7 PB"),
        (7e18, "7e+03 PB"),
    ],
)
def test_sizes_for_people(size, text):
    assert human(size) == text


# Limits ------------------------------------------------------------------------------


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


@pytest.mark.compiled
def test_peak_memory_is_not_that_of_the_parent():
    # A process is started by a copy of its parent, which some counters remember.
    block = np.ones(800_000_000, np.uint8)
    got = run_script("run_estimate.py", "2", "sgd", "1", "8", "8", "8", threads=2)
    del block
    assert got["before"] + got["rise"] < 600_000_000


# The command line --------------------------------------------------------------------


def test_a_dry_run_of_an_absurd_size_answers_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["--data", "iris", "--dry-run", "--quiet"])
    capsys.readouterr()
    started = time.perf_counter()
    assert main([*ABSURD, "--data", "iris", "--dry-run"]) == 0
    assert time.perf_counter() - started < 2
    out, err = capsys.readouterr()
    got = json.loads(out)
    assert got["total"] > 4 * 10**12
    assert got["dense"] > 10**20
    assert 10**8 < got.pop("available") < got["total"]
    assert got.pop("fits") is False
    first = got.pop("first_total")
    assert first == sum(got.values()) - got["total"] - got["dense"]
    assert got["total"] == first - got["compiler"]
    assert "\navailable  " in err
    assert "total" in err
    assert "dense network instead" in err
    # Nothing is left behind.
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_that_a_run_would_fit(capsys):
    assert main(["--data", "iris", "--neurons", "100", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    got = json.loads(out)
    assert got["fits"] is (got["first_total"] <= got["available"]) is True
    assert err.splitlines()[-1].startswith("available ")
    assert err.splitlines()[-1].endswith(memory.available()[1])


def test_an_absurd_size_is_refused(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*ABSURD, "--data", "iris", "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "use fewer neurons or connections, or a smaller batch" in err
    assert list(tmp_path.iterdir()) == []


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
