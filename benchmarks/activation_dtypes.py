"""Test accuracy with activations in float32 and in bfloat16.

    python -m benchmarks.activation_dtypes --data-home DIR
    python -m benchmarks.activation_dtypes --data-home DIR --sets madelon,20news

DIR holds the files that estimator_data.py describes, for each of `SETS`. SET and RigL
train each set with both dtypes: with the same net, samples, order and settings for a
seed, so that runs are compared in pairs. Nothing is chosen by test accuracy: that of
the last epoch counts.

The file is written after every run; a later start resumes and takes the runs that are
missing. Results do not depend on the number of threads.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from truesparse.commands.shell import limit_spinning
from truesparse.errors import UsageError

from . import estimator_data
from .options import OUT_HELP, names, program, whole_numbers
from .stored import (
    git_commit,
    read_runs,
    results_file,
    results_in,
    write_results,
)


class DataSet(NamedTuple):
    """A data set: how tables name it, and how many epochs it is trained."""

    title: str
    epochs: int
    is_text: bool = False


SETS = {
    "mnist": DataSet("MNIST", 30),
    "fashion_mnist": DataSet("Fashion-MNIST", 30),
    "cifar10": DataSet("CIFAR-10", 30),
    "madelon": DataSet("Madelon", 100),
    "higgs_sample": DataSet("HIGGS", 100),
    "20news": DataSet("20 newsgroups, CSR", 30, is_text=True),
}
METHODS = ("set", "rigl")
DTYPES = ("float32", "bfloat16")
# Settings that all runs of a file share.
SETTINGS = ("hidden", "epsilon", "lr", "momentum", "dropout", "batch_size", "epochs")
KEY = ("data", "method", "activation_dtype", "seed")


def load(name: str, data_home: Path | None) -> estimator_data.Parts:
    """Return a data set, scaled by its training part; text as TF-IDF."""
    is_text = SETS[name].is_text
    parts = estimator_data.read(name, data_home, is_scaled=not is_text)
    return estimator_data.weigh_words(parts) if is_text else parts


def train(
    data: estimator_data.Parts, run: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Train one net and return its record.

    Parameters
    ----------
    data : Parts
    run : dict
        An entry for each of `KEY`.
    settings : dict
        An entry for each of `SETTINGS`; without epochs, those of the data set count.
    """
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.schedules import LearningRate
    from truesparse.training.trainer import Trainer

    n_classes = int(max(data.y_train.max(), data.y_test.max())) + 1
    model = SparseMLP(
        (data.X_train.shape[1], *settings["hidden"], n_classes),
        epsilon=settings["epsilon"],
        dropout=settings["dropout"],
        weight_init="he_normal",
        activation_dtype=run["activation_dtype"],
        seed=run["seed"],
    )
    history = Trainer(
        model,
        optimizer=Optimizer("sgd", momentum=settings["momentum"]),
        lr=LearningRate(settings["lr"], "linear"),
        topology=run["method"],
        epochs=settings["epochs"] or SETS[run["data"]].epochs,
        batch_size=settings["batch_size"],
    ).fit(data.X_train, data.y_train, X_val=data.X_test, y_val=data.y_test)
    return run | {
        "commit": git_commit(),
        "nnz": model.nnz,
        "scores": [record.val_score for record in history],
        "train_losses": [record.train_loss for record in history],
        "final": history[-1].val_score,
        "seconds_per_epoch": statistics.median(record.seconds for record in history),
    }


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each data set and method, of the seeds that have both dtypes.

    `difference` is the mean over the seeds of bfloat16 less float32, `difference_sd`
    the deviation of these differences (n - 1). Both are `equal` if the mean is no
    larger than that; with a single seed this is None.
    """
    finals = {tuple(run[key] for key in KEY): run["final"] for run in runs}
    rows = []
    for data, method in dict.fromkeys((run["data"], run["method"]) for run in runs):
        pairs = [
            tuple(finals.get((data, method, name, seed)) for name in DTYPES)
            for seed in sorted({run["seed"] for run in runs})
        ]
        if not (pairs := [pair for pair in pairs if None not in pair]):
            continue
        row: dict[str, Any] = {"data": data, "method": method, "seeds": len(pairs)}
        for name, scores in zip(DTYPES, zip(*pairs, strict=True), strict=True):
            row[f"{name}_mean"] = statistics.mean(scores)
            row[f"{name}_sd"] = deviation(scores)
        differences = [rounded - plain for plain, rounded in pairs]
        mean, spread = statistics.mean(differences), deviation(differences)
        row |= {"difference": mean, "difference_sd": spread}
        rows.append(row | {"equal": None if spread is None else abs(mean) <= spread})
    return rows


def deviation(values: Sequence[float]) -> float | None:
    """Return the deviation of a sample, None of a single number."""
    return statistics.stdev(values) if len(values) > 1 else None


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.activation_dtypes",
        description="Compare test accuracy with activations in float32 and bfloat16.",
    )
    add = parser.add_argument
    add("--data-home", type=Path, metavar="DIR", help="folder of the data files")
    add("--sets", help=f"some of {', '.join(SETS)} (default: all)")
    add("--methods", help=f"some of {', '.join(METHODS)} (default: all)")
    add("--seeds", type=int, default=3, metavar="N", help="number of seeds, 0 to N - 1")
    add("--epochs", type=int, metavar="N", help="of every set (default: by the set)")
    add("--hidden", default="1000,1000,1000", metavar="N,N,...", help="hidden layers")
    add("--epsilon", type=float, default=20.0)
    add("--lr", type=float, default=0.1, help="learning rate, which falls to 0")
    add("--momentum", type=float, default=0.9)
    add("--dropout", type=float, default=0.1, help="share of hidden neurons")
    add("--batch-size", type=int, default=64)
    add("--threads", type=int, help="default: all cores")
    add("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    options.sets = names(options.sets, SETS, "data set")
    options.methods = names(options.methods, METHODS, "method")
    options.hidden = whole_numbers(options.hidden, "--hidden")
    if options.seeds < 1 or (options.epochs is not None and options.epochs < 1):
        raise UsageError("--seeds and --epochs must be at least 1")
    options.out = results_file(options.out, "activation_dtypes.json")
    return options


def missing_runs(
    options: argparse.Namespace, runs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the runs that are asked for and not there, set by set."""
    done = {tuple(run[key] for key in KEY) for run in runs}
    wanted = [
        (data, method, name, seed)
        for data in options.sets
        for seed in range(options.seeds)
        for method in options.methods
        for name in DTYPES
    ]
    return [dict(zip(KEY, key, strict=True)) for key in wanted if key not in done]


@program
def main(arguments: list[str] | None = None) -> None:
    """Take the runs that are missing and write the results after each."""
    options = parse(arguments)
    with results_in(options.out):
        settings = {key: getattr(options, key) for key in SETTINGS}
        runs = read_runs(options.out, settings, KEY)["runs"]
        todo = missing_runs(options, runs)
        print(f"{len(runs)} runs done, {len(todo)} to do", file=sys.stderr)
        from truesparse.kernels import jit

        limit_spinning()  # as the commands do
        jit.set_threads(options.threads)
        for name in dict.fromkeys(run["data"] for run in todo):
            data = load(name, options.data_home)
            for run in (run for run in todo if run["data"] == name):
                runs.append(train(data, run, settings))
                print(line(runs[-1]), flush=True)
                rows = summarise(runs)
                payload = {"settings": settings, "rows": rows, "runs": runs}
                write_results(options.out, payload)
        print("\n".join(map(describe, summarise(runs))))


def line(run: dict[str, Any]) -> str:
    """Return a line about a run."""
    return (
        f"{run['data']:<14} {run['method']:<5} {run['activation_dtype']:<9} seed "
        f"{run['seed']}: {run['final']:.4f}, {run['seconds_per_epoch']:.2f} s an epoch"
    )


def describe(row: dict[str, Any]) -> str:
    """Return a line about a row of the summary."""
    spread = "-" if row["difference_sd"] is None else f"{row['difference_sd']:.4f}"
    verdict = {True: "equal", False: "DIFFERENT", None: "one seed"}[row["equal"]]
    return (
        f"{row['data']:<14} {row['method']:<5} {row['float32_mean']:.4f} "
        f"{row['bfloat16_mean']:.4f}, difference {row['difference']:+.4f}, its "
        f"deviation {spread}: {verdict}"
    )


if __name__ == "__main__":
    sys.exit(main())
