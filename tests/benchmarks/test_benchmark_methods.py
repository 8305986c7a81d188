"""The benchmark of all methods: what it trains, resumes, refuses and writes."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from support.processes import wait_for
from support.training import save_small_data

from benchmarks import methods, report, stored
from benchmarks.methods import Worker, train
from benchmarks.setups import parse_method, prepare
from benchmarks.stored import ROOT
from truesparse.topology import ALGORITHMS

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
    # The first three keep no budget; SRigL's neurons all have as many inputs.
    if method == "accset":
        assert 0 < got["nnz"] <= density * cells + 1
    elif method in ("nest", "soft_deepr"):
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
