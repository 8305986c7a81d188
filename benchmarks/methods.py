r"""Test accuracy of every topology algorithm at several sparsities.

    python -m benchmarks.methods --data mnist --data-home DIR --jobs 2
    python -m benchmarks.methods --data fashion_mnist --data-home DIR --jobs 2 \
        --hidden 1000,1000,1000 --sparsities 0.99
    python -m benchmarks.methods ... --methods cht,cht:chain_removal=false,static
    python -m benchmarks.methods --setup chts --data mnist --data-home DIR

The net is LeNet-300-100 by default. Its budget is split over the layers by ERK, and all
layers evolve. Data, sample order, optimiser and learning rate are the same for all
methods; each has the defaults of truesparse.topology, except that

    updates come every 300 steps, half a pass over MNIST, unless a method has a pace
    a fraction that is constant by default falls by a cosine; but that of dsr, a fifth,
        stays up to 95 % of the run
    granet and chtss start with 5 times the budget, magnitude and lottery with a full
        net; snip, grasp and synflow choose among all cells; srigl starts with a
        constant fan-in
    snip, grasp, synflow, top_kast and nets that start with over a fifth of all cells
        have a fifth of the learning rate

`--setup chts` is the setting of a published table, see setups.py.

Options of a method follow its name after colons; `start`, for granet and chtss, is the
number of first connections as a multiple of the budget. The accuracy after the last
epoch counts. SETTINGS.md describes how settings were chosen. The file is written after
every run; a later start resumes and takes the runs that are missing. The dense net is
density 1 in the same storage; torch_dense leaves its arithmetic to torch. Each of
`--jobs` processes uses one thread.
"""

import argparse
import concurrent.futures
import multiprocessing
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.commands.shell import limit_spinning
from truesparse.common.workers import end_with_parent
from truesparse.drawing.patterns import pattern_of
from truesparse.errors import TruesparseError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import ALGORITHMS

from .options import DENSE, OUT_HELP, numbers, program, whole_numbers
from .setups import SETUPS, Plan, Setup, parse_method, prepare, setup_of
from .stored import (
    git_commit,
    read_runs,
    results_file,
    results_in,
    write_results,
)
from .torch_dense import TorchDense, check_torch_dense

# Settings that all runs of a file share.
SETTINGS = (
    *("hidden", "init_topology", "lr", "lr_schedule", "momentum", "weight_decay"),
    *("dropout", "batch_size", "epochs", "update_every", "holdout"),
)
KEY = ("method", "sparsity", "seed")


def train(data: Any, run: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Train one net and return its record."""
    from truesparse import topology
    from truesparse.optimizers import Optimizer
    from truesparse.schedules import LearningRate
    from truesparse.topology import Exploration
    from truesparse.training.trainer import Trainer

    setup = setup_of(settings)
    plan = prepare(run["method"], run["sparsity"], settings)
    model = build(data, run, settings, plan)
    is_slow = plan.name in setup.slow or model.density > setup.many_cells
    lr = settings["lr"] * (setup.slow_rate if is_slow else 1.0)
    rate = LearningRate(
        lr, settings["lr_schedule"], final=setup.last_rate, cycles=plan.cycles
    )
    # After each of DeepR's updates, one a step, it would take longer than the step.
    tracked = [] if plan.name == "deepr" else [Exploration()]
    history = Trainer(
        model,
        optimizer=Optimizer(
            "sgd",
            momentum=settings["momentum"],
            weight_decay=settings["weight_decay"],
        ),
        lr=rate,
        topology=topology.make(plan.name, **plan.options),
        epochs=settings["epochs"],
        batch_size=settings["batch_size"],
        callbacks=tracked,
    ).fit(data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test)
    scores = [record.val_score for record in history]
    hidden = [layer.connections for layer in model.layers[:-1]]
    active = sum(np.count_nonzero(np.bincount(c.indices)) for c in hidden)
    return run | {
        "commit": git_commit(),
        "nnz": model.nnz,
        "explored": tracked[0].rate if tracked else None,
        "active_neurons": int(active),
        "scores": scores,
        "final": scores[-1],
        "best": max(scores),
        "seconds": sum(record.seconds for record in history),
        "seconds_per_epoch": statistics.median(r.seconds for r in history),
        "topology_s_per_epoch": statistics.mean(r.topology_s for r in history),
    }


def build(
    data: Any, run: dict[str, Any], settings: dict[str, Any], plan: Plan
) -> SparseMLP:
    """Return the net of a run before training."""
    sizes = data.n_features, *settings["hidden"], data.n_outputs
    common = {"weight_init": "he_normal", "seed": run["seed"]}
    common["dropout"] = settings["dropout"]
    if run["method"] == "torch_dense":
        return TorchDense(sizes, threads=1, **common)
    net = dict(plan.net)
    if pattern_of(net["init_topology"]).needs_data:
        net["init_data"] = data.X_train
    model = SparseMLP(sizes, **common, **net)
    if not setup_of(settings).has_full_output:
        return model
    # Narrow layers in front leave the full one the random numbers of its place.
    narrow = (1,) * len(settings["hidden"]) + sizes[-2:]
    full = SparseMLP(narrow, density=1.0, **common).layers[-1]
    return SparseMLP.from_layers([*model.layers[:-1], full], model.loss, run["seed"])


def load(
    name: str, data_home: str | None, holdout: int, setup: Setup = SETUPS["lenet"]
) -> Any:
    """Load data; `holdout` samples at the end of the training part replace the test."""
    from truesparse import datasets
    from truesparse.kernels import jit

    limit_spinning()  # as the commands do
    jit.set_threads(1)
    data = datasets.load(name, data_home)
    if setup.is_standardised:
        mean = float(data.X_train.mean(dtype=np.float64))
        deviation = float(data.X_train.std(dtype=np.float64))
        parts = {each: getattr(data, each) for each in ("X_train", "X_test")}
        parts = {each: (X - mean) / deviation for each, X in parts.items()}
        data = replace(data, **parts)
    if holdout:
        X, y = data.X_train, data.y_train
        parts = {"X_train": X[:-holdout], "y_train": y[:-holdout]}
        data = replace(data, **parts, X_test=X[-holdout:], y_test=y[-holdout:])
    return data


class Worker:
    """A process that takes runs and loads the data once."""

    data: Any = None

    @classmethod
    def start(cls, *arguments: Any) -> None:
        """Load the data, and end when the benchmark is killed."""
        end_with_parent()
        cls.data = load(*arguments)

    @classmethod
    def train(cls, run: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        """Take one run and return its record, or why it failed."""
        try:
            return train(cls.data, run, settings)
        except TruesparseError as error:
            return run | {"error": str(error)}


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each method and sparsity: mean and deviation over seeds."""
    groups: dict[tuple, list] = {}
    for run in runs:
        groups.setdefault((run["method"], run["sparsity"]), []).append(run)
    rows = []
    for (method, sparsity), group in groups.items():
        finals = [run["final"] for run in group]
        means = {
            f"{key}_mean": statistics.mean(run[key] for run in group)
            for key in ("final", "best", "nnz", "active_neurons")
        }
        explored = [run["explored"] for run in group if run["explored"] is not None]
        # Area across epochs: how early a method is how good.
        area = statistics.mean(statistics.mean(run["scores"]) for run in group)
        early = statistics.mean(statistics.mean(run["scores"][:5]) for run in group)
        rows.append(
            {
                "method": method,
                "sparsity": sparsity,
                "seeds": len(group),
                **means,
                "explored_mean": statistics.mean(explored) if explored else None,
                "final_sd": statistics.stdev(finals) if len(finals) > 1 else None,
                "area_mean": area,
                "early_mean": early,
                "seconds_per_epoch": statistics.median(
                    run["seconds_per_epoch"] for run in group
                ),
            }
        )
    return sorted(rows, key=lambda row: (row["sparsity"], row["method"]))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description="Compare the test accuracy of topology algorithms.",
    )
    add = parser.add_argument
    add("--setup", default="lenet", choices=SETUPS, help="defaults, see setups.py")
    add("--data", default="mnist", metavar="NAME|FILE", help="NAME or NAME.npz")
    add("--data-home", metavar="DIR", help="folder of NAME.npz")
    known = ", ".join((*DENSE, *ALGORITHMS))
    add("--methods", help=f"some of {known}; options after colons")
    add("--sparsities", default="0.9,0.95,0.98,0.99", metavar="F,F")
    add("--hidden", default="300,100", metavar="N,N,...", help="hidden layers")
    add("--init-topology", default="erk", help="how layers share the budget")
    add("--seeds", type=int, default=3, metavar="N", help="number of seeds")
    add("--epochs", type=int, default=50)
    add("--lr", type=float, default=0.5, help="learning rate")
    add("--lr-schedule", default="linear", help="as in python -m truesparse.train")
    add("--momentum", type=float, default=0.9)
    add("--weight-decay", type=float, default=1e-4)
    add("--dropout", type=float, default=0.0, help="share of hidden neurons")
    add("--batch-size", type=int, default=96)
    add("--update-every", type=int, default=300, metavar="N", help="steps")
    add(
        "--holdout",
        type=int,
        default=0,
        metavar="N",
        help="training samples that replace the test data",
    )
    add("--jobs", type=int, default=1, metavar="N", help="processes of one thread")
    add("--out", type=Path, metavar="FILE", help=OUT_HELP)
    first, _ = parser.parse_known_args(arguments)
    parser.set_defaults(**SETUPS[first.setup].flags)
    options = parser.parse_args(arguments)
    if options.methods is None:
        options.methods = ",".join(SETUPS[options.setup].methods)
    options.methods = options.methods.split(",")
    for method in options.methods:
        parse_method(method)
    options.hidden = whole_numbers(options.hidden, "--hidden")
    options.sparsities = numbers(options.sparsities, "--sparsities")
    if max(options.sparsities) >= 1.0:
        raise UsageError(f"--sparsities must be below 1, got {options.sparsities}")
    if min(options.seeds, options.jobs) < 1:
        raise UsageError("--seeds and --jobs must be at least 1")
    options.stem = Path(options.data).stem
    middle = "" if options.setup == "lenet" else f"{options.setup}-"
    options.out = results_file(options.out, f"methods-{middle}{options.stem}.json")
    return options


def missing_runs(options: argparse.Namespace, runs: list) -> list[dict[str, Any]]:
    """Return the runs that are asked for and not there, seed by seed."""
    done = {tuple(run[key] for key in KEY) for run in runs}
    wanted = {
        (method, 0.0 if method in DENSE else sparsity, seed): None
        for seed in range(options.seeds)
        for sparsity in options.sparsities
        for method in options.methods
    }
    return [dict(zip(KEY, key, strict=True)) for key in wanted if key not in done]


@program
def main(arguments: list[str] | None = None) -> int:
    """Take the runs that are missing and write the results after each."""
    options = parse(arguments)
    settings = {key: getattr(options, key) for key in SETTINGS}
    if options.setup != "lenet":  # files of lenet do not name it
        settings["setup"] = options.setup
    header = {"data": options.stem, "settings": settings}
    wanted = {"data": options.stem} | settings
    runs = read_runs(options.out, wanted, KEY)["runs"]
    todo = missing_runs(options, runs)
    if any(run["method"] == "torch_dense" for run in todo):
        check_torch_dense("relu", options.momentum)
    setup = SETUPS[options.setup]
    arguments_ = options.data, options.data_home, options.holdout, setup
    failed = False
    with (
        results_in(options.out),
        concurrent.futures.ProcessPoolExecutor(
            options.jobs,
            multiprocessing.get_context("spawn"),
            Worker.start,
            arguments_,
        ) as pool,
    ):
        futures = [pool.submit(Worker.train, run, settings) for run in todo]
        for future in concurrent.futures.as_completed(futures):
            run = future.result()
            print(line(run), flush=True)
            if "error" in run:
                failed = True
                continue
            runs.append(run)
            write_results(options.out, header | {"rows": summarise(runs), "runs": runs})
    return int(failed)


def line(run: dict[str, Any]) -> str:
    """Return a line about a run."""
    head = f"{run['method']:<12} {run['sparsity']:.2f} seed {run['seed']}: "
    if "error" in run:
        return f"{head}failed: {run['error']}"
    return (
        f"{head}{run['final']:.4f} (best {run['best']:.4f}), {run['nnz']:,} weights, "
        f"{run['seconds_per_epoch']:.2f} s an epoch"
    )


if __name__ == "__main__":
    sys.exit(main())
