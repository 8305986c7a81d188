"""Test accuracy of SET beside a static sparse net and a dense one.

    python -m benchmarks.accuracy --data fashion_mnist --data-home DIR
    python -m benchmarks.accuracy --data mnist --data-home DIR --seeds 1 --epochs 30
    python -m benchmarks.accuracy --data mnist --data-home DIR --regrow-init-study

DIR holds NAME.npz with X_train, y_train, X_test and y_test; --data may be such a file.
All methods share data, sample order, optimiser and schedule. The dense net is density
1 in the same storage, so that nothing but the connections differs. Nothing is chosen by
test accuracy: what counts is the accuracy after the last epoch; the best one stands
beside it for comparison with papers that report that.

Standard output has one JSON object an epoch; the summary goes to standard error and
everything to ``results/accuracy-NAME.json`` (or ``regrow-NAME.json``).
"""

import argparse
import itertools
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truesparse.config import CHOICES
from truesparse.errors import TruesparseError, UsageError, choose

from .harness import ROOT, write_results
from .options import names, numbers

if TYPE_CHECKING:
    from truesparse.datasets import Dataset

METHODS = ("set", "static", "dense")
STUDY_INITS = ("zero", "he_normal", "he_uniform", "set_normal")
EPOCHS, STUDY_EPOCHS = 100, 30
# What runs of one row of the summary share.
ROW = ("method", "epsilon", "lr", "regrow_init")


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
    from truesparse.model import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.schedules import LearningRate
    from truesparse.trainer import EpochRecord, Run, Trainer

    records: list[EpochRecord] = []

    class Lines(Callback):
        def on_epoch_end(self, _: Run, record: EpochRecord) -> None:
            records.append(record)
            print(json.dumps({"data": options.stem} | run | asdict(record)), flush=True)

    model = SparseMLP(
        (data.n_features, *options.hidden, data.n_outputs),
        epsilon=run["epsilon"],
        density=1.0 if run["epsilon"] is None else None,
        activation=options.activation,
        dropout=options.dropout,
        weight_init=options.weight_init,
        seed=run["seed"],
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
    scores = [record.val_score for record in records]
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
            for epsilon in (None,) if method == "dense" else options.epsilons:
                rows.append(
                    {
                        "method": method,
                        "epsilon": epsilon,
                        "lr": lr,
                        "regrow_init": regrow,
                    }
                )
    return [row | {"seed": seed} for seed in options.seeds for row in rows]


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
        f"{'method':<8} {'eps':>4} {'lr':>5} {'regrown':<11} {'weights':>9}"
        f" {'seeds':>5} {'final':>8} {'sd':>7} {'best':>8} {'s/epoch':>8}"
    ]
    for row in rows:
        spread = "-" if row["final_sd"] is None else f"{row['final_sd']:.4f}"
        epsilon = "-" if row["epsilon"] is None else f"{row['epsilon']:g}"
        lines.append(
            f"{row['method']:<8} {epsilon:>4} {row['lr']:>5g}"
            f" {row['regrow_init'] or '-':<11} {row['nnz']:>9,} {row['seeds']:>5}"
            f" {row['final_mean']:>8.4f} {spread:>7} {row['best_mean']:>8.4f}"
            f" {row['seconds_per_epoch']:>8.2f}"
        )
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description="Compare the test accuracy of SET, static and dense nets.",
    )
    parser.add_argument("--data", default="fashion_mnist", metavar="NAME|FILE")
    parser.add_argument("--data-home", metavar="DIR", help="folder of NAME.npz")
    parser.add_argument("--regrow-init-study", action="store_true")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--hidden", default="1000,1000,1000", metavar="N,N,...")
    parser.add_argument("--epsilons", metavar="E,E", help="13,20; 20 in the study")
    parser.add_argument("--seeds", type=int, help="how many; 3, or 1 in the study")
    parser.add_argument(
        "--epochs", type=int, help=f"{EPOCHS}; {STUDY_EPOCHS} in the study"
    )
    parser.add_argument("--lrs", metavar="F,F", help="0.05; 0.01,0.05 in the study")
    parser.add_argument("--lr-schedule", default="constant")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--zeta", type=float, default=0.3)
    parser.add_argument("--regrow-init", default="zero")
    parser.add_argument("--weight-init", default="he_normal")
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    study = options.regrow_init_study
    options.stem = Path(options.data).stem
    options.methods = names(options.methods, METHODS, "method")
    options.hidden = [int(size) for size in numbers(options.hidden, "--hidden")]
    defaults = ("20", "0.01,0.05") if study else ("13,20", "0.05")
    options.epsilons = numbers(options.epsilons or defaults[0], "--epsilons")
    options.lrs = numbers(options.lrs or defaults[1], "--lrs")
    seeds = (1 if study else 3) if options.seeds is None else options.seeds
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1, got {seeds}")
    options.seeds = list(range(seeds))
    options.epochs = options.epochs or (STUDY_EPOCHS if study else EPOCHS)
    choose(options.regrow_init, CHOICES["regrow_init"], "initialiser")
    kind = "regrow" if study else "accuracy"
    results = ROOT / "benchmarks" / "results"
    options.out = options.out or results / f"{kind}-{options.stem}.json"
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark and write its results."""
    try:
        options = parse(arguments)
        from truesparse import datasets, jit

        threads = jit.set_threads(options.threads)
        data = datasets.load(options.data, options.data_home)
        runs = []
        for run in plan(options):
            runs.append(train(data, run, options))
            print(describe(summarise(runs[-1:])).splitlines()[1], file=sys.stderr)
        rows = summarise(runs)
        kept = ("hidden", "lr_schedule", "momentum", "weight_decay", "dropout")
        kept += ("batch_size", "zeta", "weight_init", "activation", "epochs")
        settings = {key: getattr(options, key) for key in kept} | {"threads": threads}
        payload = {
            "data": options.stem,
            "settings": settings,
            "rows": rows,
            "runs": runs,
        }
        write_results(options.out, payload)
    except TruesparseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"\n{options.stem}\n{describe(rows)}", file=sys.stderr)
    print(f"results: {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
