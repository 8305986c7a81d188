"""The estimate against what runs really take, and what the command says of it."""

import itertools
import json
import time

import numpy as np
import pytest
from support.estimates import estimate
from support.processes import run_script

from truesparse.commands.estimate import Estimate
from truesparse.common import memory
from truesparse.common.memory import human
from truesparse.drawing.patterns import PATTERNS
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.topology import ALGORITHMS
from truesparse.train import main
from truesparse.training.trainer import Trainer

MOMENTUM, ADAM = Optimizer("sgd"), Optimizer("adam")
# Pages of shared libraries in the runtime of the estimate, as they were measured.
LIBRARY_BYTES = 104_000_000
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
    # How many pages of libraries are in memory is up to the system.
    before = got["before"] - got["libraries"] + LIBRARY_BYTES
    peak, total = before + got["rise"], got["runtime"] + got["estimate"]
    # An estimate too low would be paid for with a killed process.
    assert 0.97 * peak < total < 1.1 * peak
    assert 0.9 * got["rise"] < got["estimate"] < 1.2 * got["rise"]
    # Libraries only: data sets and their reader come on top in a run.
    assert before < 1.03 * got["runtime"]


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
    shared = 70 * np.dtype(dtype).itemsize
    assert got.weights == values + biases + shared
    indices = sum(each.indices.nbytes + each.indptr.nbytes for each in connections)
    # One more pointer a layer than neurons.
    assert got.indices == indices - 8 * len(connections)
    moments = [m.nbytes for each in model.layers for m in each.bias_moments]
    moments += [m.nbytes for each in connections for m in each.moments]
    assert got.optimizer == sum(moments)
    cells = sum(a * b for a, b in itertools.pairwise(sizes))
    n_moments = optimizer.needs_first + optimizer.needs_second
    assert got.dense == np.dtype(dtype).itemsize * (1 + n_moments) * cells


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("activation", ["relu", "srelu"])
def test_gradients_of_neurons_are_counted_exactly(activation, clip_norm):
    sizes = (30, 70, 50, 4)
    model = SparseMLP(sizes, epsilon=3, activation=activation)
    model.prepare(32)
    x, y = np.ones((32, 30), np.float32), np.zeros(32, np.int64)
    settings = {"epochs": 1, "batch_size": 32, "clip_norm": clip_norm}
    Trainer(model, topology="static", **settings).fit(x, y)
    nets = model.layers
    stored = [k.bias.nbytes for k in nets if k._bias_gradient is not None]
    stored += [k.srelu.gradient.nbytes for k in nets if k.srelu is not None]
    room = model._buffers.bias_gradients[0].base
    held = sum(a.nbytes for k in nets for a in (k.connections.values, k.bias))
    held += sum(k.srelu.values.nbytes for k in nets if k.srelu is not None)
    how = {"activation": activation, "clips": clip_norm is not None}
    got = estimate(sizes, epsilon=3, batch_size=32, **how)
    assert got.weights == held + sum(stored) + room.nbytes
    assert room.nbytes == 4 * 70


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
    assert estimate((10, 20), **given).weights == 4 * (200 + 20)
    fixed = estimate((10, 20), evolves=False, **given)
    assert fixed.weights == 4 * (120 + 20)


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


def test_more_kernels_take_more_to_compile():
    sizes, plain = (8, 6, 4), 123_000_000
    rounded = {"activation_dtype": "bfloat16"}
    for settings, compiler in (
        ({}, plain),
        (rounded, plain + 40_000_000),
        (rounded | {"activation": "srelu"}, plain + 68_000_000),
        ({"compiler_bytes": ALGORITHMS["rigl"].compiler_bytes}, plain + 26_000_000),
        ({"compiler_bytes": ALGORITHMS["chtss"].compiler_bytes}, plain + 14_000_000),
    ):
        assert estimate(sizes, epsilon=1, **settings).compiler == compiler


def test_counts_beyond_32_and_64_bits_do_not_wrap():
    sizes = [64, *[10**9] * 100, 10]
    got = estimate(sizes, epsilon=20, batch_size=128)
    nnz = 20 * (64 + 10**9) + 99 * 20 * 2 * 10**9 + 10 * 10**9
    assert got.weights == 4 * (nnz + 10**11 + 10 + 10**9)
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
