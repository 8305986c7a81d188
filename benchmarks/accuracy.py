"""Test accuracy of SET beside a static sparse net and a dense one.

    python -m benchmarks.accuracy --data fashion_mnist --data-home DIR
    python -m benchmarks.accuracy --data mnist --data-home DIR --seeds 1 --epochs 30
    python -m benchmarks.accuracy --data mnist --data-home DIR --regrow-init-study

DIR holds NAME.npz with X_train, y_train, X_test and y_test; --data may be such a file.
All methods share data, sample order, optimiser and schedule. The dense net is density 1
in the same storage, so that nothing but the connections differs. --methods
set,static,torch_dense leaves its arithmetic to torch, if that is installed, which takes
less than half the time (torch_dense.py).

Within a run nothing is chosen by test accuracy: the accuracy after the last epoch
counts, and the best one stands beside it. `DEFAULTS` were chosen by test accuracy, as
SETTINGS.md describes.

Standard output has one JSON object an epoch; the summary goes to standard error and
everything to ``results/accuracy-NAME.json`` (or ``regrow-NAME.json``), with the number
of epochs in the name if it is not the default: ``accuracy-NAME-30.json``. The file is
written after every run. A later start with the same settings resumes: it keeps the runs
of the file and takes those that are missing.
"""

import argparse
import itertools
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truesparse.commands.config import CHOICES
from truesparse.commands.shell import limit_spinning
from truesparse.common.checks import choose
from truesparse.errors import UsageError

from .options import DENSE, OUT_HELP, names, numbers, program, whole_numbers
from .stored import (
    git_commit,
    read_runs,
    refuse_uncommitted,
    results_file,
    write_results,
)

if TYPE_CHECKING:
    from truesparse.datasets import Dataset

METHODS = ("set", "static", "dense", "torch_dense")
STUDY_INITS = ("zero", "he_normal", "he_uniform", "set_normal")
# Chosen as SETTINGS.md describes.
DEFAULTS = {
    "epsilons": "13,20",
    "seeds": 3,
    "epochs": 100,
    "lrs": "0.1",
    "lr_schedule": "linear",
    "dropout": 0.1,
    "batch_size": 64,
}
STUDY_DEFAULTS = {
    "epsilons": "20",
    "seeds": 1,
    "epochs": 30,
    "lrs": "0.01,0.05",
    "lr_schedule": "constant",
    "dropout": 0.2,
    "batch_size": 128,
}
# Settings that the runs of one row of the summary share.
ROW = ("method", "epsilon", "lr", "regrow_init")
# Settings that all runs of a file share.
SETTINGS = (
    *("hidden", "lr_schedule", "momentum", "weight_decay", "dropout", "batch_size"),
    *("zeta", "weight_init", "activation", "epochs"),
)


def train(
    data: "Dataset", run: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Train one net, printing a JSON line an epoch, and return its record.

    Parameters
    ----------
    data : Dataset
    run : dict
        ``method``, ``epsilon`` (None if dense), ``lr``, ``regrow_init`` (None if
        nothing regrows) and ``seed``.
    options : argparse.Namespace
        As `parse` returns them.
    """
    from truesparse import topology
    from truesparse.callbacks import Callback
    from truesparse.kernels import jit
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.schedules import LearningRate
    from truesparse.training.run import EpochRecord, Run
    from truesparse.training.trainer import Trainer

    from .torch_dense import TorchDense

    records: list[EpochRecord] = []

    class Lines(Callback):
        def on_epoch_end(self, _: Run, record: EpochRecord) -> None:
            records.append(record)
            print(json.dumps({"data": options.stem} | run | asdict(record)), flush=True)

    sizes = (data.n_features, *options.hidden, data.n_outputs)
    net = {
        "dropout": options.dropout,
        "weight_init": options.weight_init,
        "seed": run["seed"],
    }
    if run["method"] == "torch_dense":
        model = TorchDense(sizes, threads=jit.set_threads(options.threads), **net)
    else:
        model = SparseMLP(
            sizes,
            epsilon=run["epsilon"],
            density=1.0 if run["epsilon"] is None else None,
            activation=options.activation,
            **net,
        )
    algorithm = topology.make("static")
    if run["method"] == "set":
        algorithm = topology.make(
            "set", zeta=options.zeta, regrow_init=run["regrow_init"]
        )
    Trainer(
        model,
        optimizer=Optimizer(
            "sgd", momentum=options.momentum, weight_decay=options.weight_decay
        ),
        lr=LearningRate(run["lr"], options.lr_schedule),
        topology=algorithm,
        epochs=options.epochs,
        batch_size=options.batch_size,
        callbacks=[Lines()],
    ).fit(data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test)
    scores = [r.val_score for r in records if r.val_score is not None]
    return run | {
        "nnz": model.nnz,
        "density": model.density,
        "scores": scores,
        "train_losses": [record.train_loss for record in records],
        "final": scores[-1],
        "best": max(scores),
        "seconds_per_epoch": statistics.mean(r.seconds for r in records),
        "topology_s_per_epoch": statistics.mean(r.topology_s for r in records),
    }


def plan(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return every run, all methods with one seed before the next seed."""
    if options.regrow_init_study:
        rows = [
            {"method": "set", "epsilon": epsilon, "lr": lr, "regrow_init": init}
            for epsilon, lr, init in itertools.product(
                options.epsilons, options.lrs, STUDY_INITS
            )
        ]
    else:
        rows = []
        for method, lr in itertools.product(options.methods, options.lrs):
            regrow = options.regrow_init if method == "set" else None
            for epsilon in (None,) if method in DENSE else options.epsilons:
                rows.append(
                    {
                        "method": method,
                        "epsilon": epsilon,
                        "lr": lr,
                        "regrow_init": regrow,
                    }
                )
    return [row | {"seed": seed} for seed in options.seeds for row in rows]


def identity(run: dict[str, Any]) -> tuple:
    """Return what distinguishes a run from the others of a file."""
    return *(run[key] for key in ROW), run["seed"]


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each setting: mean and deviation over its seeds.

    Deviations are of a sample (n - 1); with one seed there is none.
    """
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(tuple(run[key] for key in ROW), []).append(run)
    rows = []
    for setting, group in groups.items():
        finals = [run["final"] for run in group]
        rows.append(
            dict(zip(ROW, setting, strict=True))
            | {
                "seeds": len(group),
                "nnz": group[0]["nnz"],
                "final_mean": statistics.mean(finals),
                "final_sd": statistics.stdev(finals) if len(finals) > 1 else None,
                "best_mean": statistics.mean(run["best"] for run in group),
                "epochs": len(group[0]["scores"]),
                "seconds_per_epoch": statistics.mean(
                    run["seconds_per_epoch"] for run in group
                ),
            }
        )
    return rows


def describe(rows: list[dict[str, Any]]) -> str:
    """Return the summary as lines of text."""
    lines = [
        f"{'method':<11} {'eps':>4} {'lr':>5} {'regrown':<11} {'weights':>9}"
        f" {'seeds':>5} {'final':>8} {'sd':>7} {'best':>8} {'s/epoch':>8}"
    ]
    for row in rows:
        spread = "-" if row["final_sd"] is None else f"{row['final_sd']:.4f}"
        epsilon = "-" if row["epsilon"] is None else f"{row['epsilon']:g}"
        lines.append(
            f"{row['method']:<11} {epsilon:>4} {row['lr']:>5g}"
            f" {row['regrow_init'] or '-':<11} {row['nnz']:>9,} {row['seeds']:>5}"
            f" {row['final_mean']:>8.4f} {spread:>7} {row['best_mean']:>8.4f}"
            f" {row['seconds_per_epoch']:>8.2f}"
        )
    return "\n".join(lines)


def described(defaults: dict[str, Any]) -> str:
    """Return defaults as text."""
    return ", ".join(f"{k.replace('_', '-')} {v}" for k, v in defaults.items())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description="Compare the test accuracy of SET, static and dense nets.",
        epilog=f"Defaults: {described(DEFAULTS)}. Defaults of --regrow-init-study, "
        f"which compares initial weights: {described(STUDY_DEFAULTS)}.",
    )
    add = parser.add_argument
    add("--data", default="fashion_mnist", metavar="NAME|FILE", help="NAME or NAME.npz")
    add("--data-home", metavar="DIR", help="folder of NAME.npz")
    add("--regrow-init-study", action="store_true", help="compare initial weights")
    add("--methods", default="set,static,dense", help=f"some of {', '.join(METHODS)}")
    add("--hidden", default="1000,1000,1000", metavar="N,N,...", help="hidden layers")
    add("--epsilons", metavar="E,E", help="budgets of sparse nets")
    add("--seeds", type=int, metavar="N", help="number of seeds, 0 to N - 1")
    add("--epochs", type=int)
    add("--lrs", metavar="F,F", help="learning rates")
    add("--lr-schedule", help="as in python -m truesparse.train")
    add("--dropout", type=float, help="share of hidden neurons")
    add("--batch-size", type=int)
    add("--momentum", type=float, default=0.9)
    add("--weight-decay", type=float, default=0.0)
    add("--zeta", type=float, default=0.3, help="share that an update of SET replaces")
    add("--regrow-init", default="zero", help="initial weight of regrown connections")
    add("--weight-init", default="he_normal", help="initial weights of the net")
    add("--activation", default="relu", help="activation of hidden layers")
    add("--threads", type=int, help="default: all cores")
    add("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    study = options.regrow_init_study
    defaults = STUDY_DEFAULTS if study else DEFAULTS
    for name, value in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.stem = Path(options.data).stem
    options.methods = names(options.methods, METHODS, "method")
    options.hidden = whole_numbers(options.hidden, "--hidden")
    options.epsilons = numbers(options.epsilons, "--epsilons")
    options.lrs = numbers(options.lrs, "--lrs")
    if options.seeds < 1:
        raise UsageError(f"--seeds must be at least 1, got {options.seeds}")
    options.seeds = list(range(options.seeds))
    choose(options.regrow_init, CHOICES["regrow_init"], "initialiser")
    name = f"{'regrow' if study else 'accuracy'}-{options.stem}"
    if options.epochs != defaults["epochs"]:
        name += f"-{options.epochs}"
    options.out = results_file(options.out, f"{name}.json")
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark and write its results."""
    options = parse(arguments)
    refuse_uncommitted(options.out)
    compare(options)
    # The epochs on stdout are JSON.
    print(f"results: {options.out}", file=sys.stderr)


def compare(options: argparse.Namespace) -> None:
    """Take the runs of a command line that has been read."""
    # The number of threads may differ: results do not depend on it.
    settings = {key: getattr(options, key) for key in SETTINGS}
    wanted = {"data": options.stem} | settings
    runs = read_runs(options.out, wanted, (*ROW, "seed"))["runs"]
    done = {identity(run) for run in runs}
    missing = [run for run in plan(options) if identity(run) not in done]
    if runs:
        print(
            f"{len(runs)} finished runs kept from {options.out}, {len(missing)} to do",
            file=sys.stderr,
        )
    from truesparse import datasets
    from truesparse.kernels import jit

    from .torch_dense import check_torch_dense

    if any(run["method"] == "torch_dense" for run in missing):
        check_torch_dense(options.activation, options.momentum)
    limit_spinning()  # as the commands do
    threads = jit.set_threads(options.threads)
    data = datasets.load(options.data, options.data_home)
    settings["threads"] = threads
    for run in missing:
        # Runs of one file may come from several starts.
        origin = {"commit": git_commit(), "threads": threads}
        runs.append(train(data, run, options) | origin)
        print(describe(summarise(runs[-1:])).splitlines()[1], file=sys.stderr)
        payload = {
            "data": options.stem,
            "settings": settings,
            "rows": summarise(runs),
            "runs": runs,
        }
        write_results(options.out, payload)
    print(f"\n{options.stem}\n{describe(summarise(runs))}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
