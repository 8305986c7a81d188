"""The benchmark of all methods: what it trains, resumes, refuses and writes."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from support.training import save_small_data

from benchmarks import methods, report, stored
from benchmarks.methods import Worker, build, train
from benchmarks.setups import SETUPS, parse_method, prepare
from benchmarks.stored import ROOT
from truesparse.drawing.patterns.csti import csti
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import ALGORITHMS, UpdateSchedule

SETTINGS = {
    **{"hidden": [20, 16], "init_topology": "erk", "lr": 0.1, "momentum": 0.9},
    **{"lr_schedule": "linear", "weight_decay": 0.0, "dropout": 0.0},
    **{"batch_size": 8, "epochs": 5, "update_every": 7, "holdout": 0},
}


@pytest.fixture
def flags(tmp_path):
    """Return flags for a data set that a small net can learn, and small runs."""
    save_small_data(tmp_path)
    return (
        f"--data small --data-home {tmp_path} --hidden 20,16 --batch-size 8 --epochs 5 "
        f"--lr 0.1 --update-every 7 --out {tmp_path / 'methods-mnist.json'}"
    ).split()


@pytest.mark.parametrize("method", ["dense", *ALGORITHMS])
def test_every_method_has_its_budget_in_the_end(method, flags):
    data = methods.load(flags[1], flags[3], 0)
    run = {"method": method, "sparsity": 0.0 if method == "dense" else 0.6, "seed": 0}
    got = train(data, run, SETTINGS)
    cells = 12 * 20 + 20 * 16 + 16 * 2
    density = 1.0 if method == "dense" else 0.4
    # These two keep no budget; SRigL's neurons all have the same number of inputs.
    if method == "accset":
        assert 0 < got["nnz"] <= density * cells + 1
    elif method == "nest":
        assert 0 < got["nnz"] < 2 * density * cells
    else:
        off = 20 + 16 + 2 if method == "srigl" else 3
        assert got["nnz"] == pytest.approx(density * cells, abs=off)
    assert len(got["scores"]) == 5
    assert got["final"] == got["scores"][-1] <= got["best"] == max(got["scores"])
    if method == "deepr":
        assert got["explored"] is None
    else:
        assert got["nnz"] / cells <= got["explored"] + 1e-9 <= 1.0 + 1e-9
    assert 0 < got["active_neurons"] <= 36


def test_runs_are_kept_and_those_missing_are_taken(flags, tmp_path, capsys):
    words = [*flags, "--methods", "static,dense", "--sparsities", "0.99", "--seeds"]
    assert methods.main([*words, "1"]) == 0
    path = tmp_path / "methods-mnist.json"
    first = json.loads(path.read_text())
    assert methods.main([*words, "2"]) == 0
    again = json.loads(path.read_text())
    assert again["runs"][:2] == first["runs"]
    keys = {(run["method"], run["sparsity"], run["seed"]) for run in again["runs"]}
    assert keys == {("static", 0.99, 0), ("dense", 0.0, 0)} | {
        ("static", 0.99, 1),
        ("dense", 0.0, 1),
    }
    row = next(row for row in again["rows"] if row["method"] == "static")
    finals = [run["final"] for run in again["runs"] if run["method"] == "static"]
    assert row["final_mean"] == pytest.approx(np.mean(finals))
    assert row["final_sd"] == pytest.approx(np.std(finals, ddof=1))
    text = report.table("methods_mnist", stored.Results(tmp_path))
    assert (
        f"| `static` | {row['final_mean']:.2%} ± {100 * row['final_sd']:.2f} |" in text
    )
    assert "above 97.6%" in text
    path.rename(tmp_path / "methods-fashion_mnist.json")
    text = report.table("methods_fashion", stored.Results(tmp_path))
    assert "| +0.00 |" in text
    absent = report.table("methods_fashion_32", stored.Results(tmp_path))
    assert "--out methods-fashion_mnist-32.json" in absent
    path = tmp_path / "methods-fashion_mnist-32.json"
    (tmp_path / "methods-fashion_mnist.json").rename(path)
    other = report.table("methods_fashion_32", stored.Results(tmp_path))
    rows, says, *rest = text.split("\n\n")
    other_rows, other_says, *other_rest = other.split("\n\n")
    assert (other_rows, other_rest) == (rows, rest)
    assert " 2 of 3 |" in rows
    # Each table names the methods that it is meant to have.
    assert "Not measured with the present code: `set`, `accset`" in says
    assert other_says.endswith(": `granet:start=20:zeta=0.1` and `chts`.")
    path.rename(tmp_path / "claims-x.json")
    assert "| `static` | 0.99 |" in report.table("claims", stored.Results(tmp_path))
    capsys.readouterr()
    other = [*words, "2", "--lr", "0.2", "--out", str(tmp_path / "claims-x.json")]
    assert methods.main(other) == 2
    assert "other settings" in capsys.readouterr().err


def test_a_failed_run_is_reported_and_the_others_are_stored(flags, tmp_path, capsys):
    words = "--methods", "static,set:zeta=2", "--sparsities", "0.5", "--seeds", "1"
    assert methods.main([*flags, *words]) == 1
    assert "failed: zeta must be" in capsys.readouterr().out
    stored_runs = json.loads((tmp_path / "methods-mnist.json").read_text())["runs"]
    assert [run["method"] for run in stored_runs] == ["static"]


def test_a_worker_returns_what_went_wrong(flags):
    Worker.start(flags[1], flags[3], 0)
    run = {"method": "set:zeta=2", "sparsity": 0.5, "seed": 0}
    assert "zeta" in Worker.train(run, SETTINGS)["error"]


def test_held_out_samples_stand_for_the_test_data(flags):
    everything = methods.load(flags[1], flags[3], 0)
    data = methods.load(flags[1], flags[3], 20)
    np.testing.assert_array_equal(data.X_test, everything.X_train[-20:])
    np.testing.assert_array_equal(data.X_train, everything.X_train[:-20])


def test_options_of_a_method():
    assert parse_method("set:zeta=0.1:removal=magnitude") == (
        "set",
        {"zeta": 0.1, "removal": "magnitude"},
    )
    net, name, options, cycles = prepare("granet:zeta=0.1", 0.9, SETTINGS)
    assert net["density"] == pytest.approx(0.5)
    assert (name, cycles) == ("granet", 1)
    assert options["final_share"] == pytest.approx(0.2)
    assert options["zeta"] == 0.1
    net, _, options, _ = prepare("granet:start=2", 0.9, SETTINGS)
    assert net["density"] == pytest.approx(0.2)
    assert options["final_share"] == pytest.approx(0.5)
    assert "start" not in options


CHTS = SETTINGS | {"setup": "chts", "init_topology": "csti", "update_every": None}


def test_the_setup_of_chts_is_the_published_one():
    options = methods.parse(["--setup", "chts", "--lr", "0.1"])
    got = {key: getattr(options, key) for key in methods.SETTINGS}
    assert got == {
        **{"hidden": [1568] * 3, "init_topology": "csti", "lr": 0.1, "momentum": 0.9},
        **{"lr_schedule": "linear", "weight_decay": 5e-4, "dropout": 0.0},
        **{"batch_size": 32, "epochs": 100, "update_every": None, "holdout": 0},
    }
    assert options.sparsities == [0.99]
    assert options.out.name == "methods-chts-mnist.json"
    assert SETUPS["chts"].last_rate == 0.01


def test_pace_of_methods_in_the_setup_of_chts():
    for name in ("set", "chts:rule='ch2_l3n'", "mest", "rigl", "snfs", "srigl"):
        options = prepare(name, 0.99, CHTS).options
        assert options["schedule"] == UpdateSchedule(1, "epoch")
        assert (options["zeta"], options["evolve_output"]) == (0.3, False)
        assert "decay" not in options
    assert prepare("chts:zeta=0.1", 0.99, CHTS).options["zeta"] == 0.1
    for name in ("deepr", "top_kast", "snip", "magnitude", "lottery"):
        options = prepare(name, 0.99, CHTS).options
        assert not {"schedule", "zeta"} & set(options)
        assert options["evolve_output"] is False
    for name in ("granet", "chtss"):
        plan = prepare(name, 0.99, CHTS)
        assert plan.net["density"] == pytest.approx(0.5)
        assert plan.options["final_share"] == pytest.approx(0.02)


def test_the_net_of_chts_has_a_full_output_and_inputs_by_correlation(flags):
    data = methods.load(flags[1], flags[3], 0, SETUPS["chts"])
    assert data.X_train.dtype == np.float32
    assert data.X_train.mean() == pytest.approx(0.0, abs=1e-6)
    assert data.X_train.std() == pytest.approx(1.0, abs=1e-6)
    # Not scaled feature by feature, and the test part with the same two numbers.
    plain = methods.load(flags[1], flags[3], 0)
    shift, factor = plain.X_train.mean(), plain.X_train.std()
    np.testing.assert_allclose(data.X_test, (plain.X_test - shift) / factor, atol=1e-5)
    run = {"method": "set", "sparsity": 0.8, "seed": 3}
    model = build(data, run, CHTS, prepare("set", 0.8, CHTS))
    n_cells = 12 * 20, 20 * 16
    assert [layer.connections.nnz for layer in model.layers] == [
        *(round(0.2 * cells) for cells in n_cells),
        16 * 2,
    ]
    draw = np.random.default_rng(0)
    by_correlation = csti(12, 20, 48, draw, X=data.X_train)
    first = model.layers[0].connections
    np.testing.assert_array_equal(first.indptr, by_correlation.indptr)
    np.testing.assert_array_equal(first.indices, by_correlation.indices)
    # The output layer is drawn as in a full net of the same seed.
    full = SparseMLP((12, 20, 16, 2), density=1.0, weight_init="he_normal", seed=3)
    got, expected = (each.layers[-1].connections.values for each in (model, full))
    np.testing.assert_array_equal(got, expected)


def test_runs_of_a_setup_have_files_of_their_own(flags, tmp_path, capsys):
    path = tmp_path / "methods-chts-small.json"
    words = [*flags[:-2], "--out", str(path), "--seeds", "1", "--sparsities", "0.5"]
    index = words.index("--update-every")
    del words[index : index + 2]
    words += ["--methods", "chts,dense"]
    assert methods.main([*words, "--setup", "chts"]) == 0
    file = json.loads(path.read_text())
    assert file["settings"]["setup"] == "chts"
    assert file["settings"]["update_every"] is None
    sizes = {run["method"]: run["nnz"] for run in file["runs"]}
    assert sizes == {"chts": 120 + 160 + 32, "dense": 240 + 320 + 32}
    assert methods.main([*words, "--setup", "chts"]) == 0
    assert json.loads(path.read_text())["runs"] == file["runs"]
    capsys.readouterr()
    assert methods.main(words) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--methods nope", "unknown method 'nope'"),
        ("--sparsities 1.5", "below 1"),
        ("--seeds 0", "at least 1"),
        ("--methods torch_dense --momentum 0", "torch"),
    ],
)
def test_bad_command_lines(words, message, flags, capsys):
    assert methods.main([*flags, *words.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_end_with_a_benchmark_that_is_killed(flags):
    words = [
        *flags,
        "--methods",
        "static",
        "--sparsities",
        "0.5",
        "--epochs",
        "1000000",
    ]
    command = [sys.executable, "-m", "benchmarks.methods", *words]
    benchmark = subprocess.Popen(command, cwd=ROOT)
    children = pathlib.Path(f"/proc/{benchmark.pid}/task/{benchmark.pid}/children")

    def workers():
        result = [int(number) for number in children.read_text().split()]
        return [pid for pid in result if b"spawn_main" in command_of(pid)]

    try:
        assert wait_for(workers)
        started = workers()
    finally:
        benchmark.kill()
        benchmark.wait()
    assert wait_for(lambda: not any(command_of(pid) for pid in started))


def command_of(pid):
    """Return how a process was called, or nothing if there is none or it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return result
