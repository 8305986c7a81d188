"""SparseMLPClassifier beside scikit-learn's MLPClassifier: accuracy, time, memory.

    python -m benchmarks.estimators --data-home DIR
    python -m benchmarks.estimators --data-home DIR --sets digits,mnist --seeds 1
    python -m benchmarks.estimators --smoke               seconds, figures of no meaning
    python -m benchmarks.estimators --data-home DIR --sets mnist --methods sparse \
        --holdout 0.2 --options epsilon=20:learning_rate_init=0.003

Both get the same float32 samples, hidden layers and epochs, and the cores of the
machine. Each run has a process of its own. MLPClassifier has its defaults, except that
the loss does not end a run early, so that both do all epochs; SparseMLPClassifier has
`SPARSE`, one setting for all data, chosen on parts of the training data (``--holdout``)
as SETTINGS.md describes, never on test data.

``fit_s`` is the first fit of a process, so that loading compiled kernels counts, as it
does for a user; they were compiled before. A first fit that has to compile them is
measured once, on a few samples. ``memory_mb`` is by how much the fit raises the peak
of resident memory above what data and libraries need. Predictions are medians, without
the first.

The file is written after every run; a later start with the same settings resumes and
takes the runs that are missing. Smoke and holdout runs go to no file unless `--out`
names one.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truesparse.errors import UsageError

from .estimator_data import SETS, load
from .harness import WorkerError
from .options import OUT_HELP, assignments, names, program, whole_numbers
from .peers.machine import machine
from .probe import clean_environment, run_json
from .stored import (
    git_commit,
    read_runs,
    refuse_other_settings,
    results_file,
    results_in,
    write_results,
)

METHODS = ("mlp", "sparse")
KEY = ("data", "method", "seed", "fold")
# Chosen on parts of the training data; SETTINGS.md has the figures.
SPARSE: dict[str, Any] = {
    "epsilon": 20,
    "learning_rate": "linear",
    "learning_rate_init": 0.006,
}
# Epochs of a fit that only compiles: the topology changes between two epochs.
FEW_EPOCHS = 2
SMOKE_HIDDEN, SMOKE_EPOCHS = [30, 20], 2


def plan(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield every run; the methods take turns."""
    for name in options.sets:
        for seed in range(options.seeds):
            for fold in range(SETS[name].folds):
                for method in options.methods:
                    yield {
                        "data": name,
                        "method": method,
                        "seed": seed,
                        "fold": fold,
                        "epochs": options.epochs or SETS[name].epochs,
                        "options": {} if method == "mlp" else options.options,
                    }


def identity(run: dict[str, Any]) -> tuple:
    """Return what distinguishes a run from the others of a file."""
    return tuple(run[key] for key in KEY)


def finished(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the results file holds: ``runs`` and ``first_fit``.

    Raises
    ------
    UsageError
        If it has other settings.
    DataError
        If it is not a file of this program.
    """
    keys = (*KEY, "epochs", "options")
    file = {"first_fit": {}} | read_runs(options.out, settings, keys)
    done = {identity(run): run for run in file["runs"]}
    for run in plan(options):
        if stored := done.get(identity(run)):
            wanted = {key: run[key] for key in keys}
            refuse_other_settings(options.out, stored, wanted)
    return file


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each data set and method.

    The accuracy is the mean over seeds; that of a cross-validation is the share of all
    samples that were predicted correctly. Times and memory are medians.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["data"], run["method"]), []).append(run)
    rows = []
    for (name, method), group in groups.items():
        scores = []
        for seed in sorted({run["seed"] for run in group}):
            folds = [run for run in group if run["seed"] == seed]
            correct = sum(run["accuracy"] * run["n_test"] for run in folds)
            scores.append(correct / sum(run["n_test"] for run in folds))
        figures = ("fit_s", "predict_s", "predict_one_s", "weights")
        memory = [r["memory_mb"] for r in group if r["memory_mb"] is not None]
        rows.append(
            {
                "data": name,
                "method": method,
                "seeds": len(scores),
                "runs": len(group),
                "epochs": group[0]["epochs"],
                "n_train": group[0]["n_train"],
                "n_features": group[0]["n_features"],
                "accuracy_mean": statistics.mean(scores),
                "accuracy_sd": statistics.stdev(scores) if len(scores) > 1 else None,
                **{
                    key: statistics.median(run[key] for run in group) for key in figures
                },
                "memory_mb": statistics.median(memory) if memory else None,
            }
        )
    return rows


def line(run: dict[str, Any]) -> str:
    """Return a line about a run."""
    return (
        f"{run['data']:<14} {run['method']:<6} seed {run['seed']} fold {run['fold']}: "
        f"{run['accuracy']:.4f}, fit {run['fit_s']:.2f} s ({run['epochs']} epochs), "
        f"predict {1e3 * run['predict_s']:.1f} ms, one {1e3 * run['predict_one_s']:.2f}"
        f" ms, memory {run['memory_mb']} MB, {run['weights']:,} weights"
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.estimators",
        description="Compare SparseMLPClassifier with scikit-learn's MLPClassifier.",
    )
    parser.add_argument("--data-home", metavar="DIR", help="folder of NAME.npz")
    parser.add_argument(
        "--sets", metavar="NAME,NAME", help=f"some of {', '.join(SETS)}"
    )
    parser.add_argument("--methods", metavar="NAME,NAME", help=" and ".join(METHODS))
    parser.add_argument("--seeds", type=int, metavar="N", help="3; 0 to N - 1")
    parser.add_argument("--epochs", type=int, help="those of estimator_data.py")
    parser.add_argument("--hidden", default="1000,1000,1000", metavar="N,N,...")
    parser.add_argument(
        "--options",
        default="",
        metavar="KEY=VALUE:...",
        help="options of SparseMLPClassifier",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the training data that replaces the test data",
    )
    parser.add_argument("--threads", type=int, default=machine()["usable_cores"])
    parser.add_argument(
        "--smoke", action="store_true", help="digits, tiny, not published"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    default = "digits" if options.smoke else None
    options.sets = names(options.sets or default, SETS, "data set")
    options.methods = names(options.methods, METHODS, "method")
    options.hidden = whole_numbers(options.hidden, "--hidden")
    if options.smoke:
        options.hidden = SMOKE_HIDDEN
        options.epochs = options.epochs or SMOKE_EPOCHS
    options.seeds = (
        (1 if options.smoke else 3) if options.seeds is None else options.seeds
    )
    if min(options.seeds, options.threads, options.epochs or 1) < 1:
        raise UsageError("--seeds, --threads and --epochs must be at least 1")
    if not 0.0 <= options.holdout < 1.0:
        raise UsageError(f"--holdout must be in [0, 1), got {options.holdout}")
    options.options = SPARSE | assignments(options.options.split(":"))
    is_published = not (options.smoke or options.holdout)
    options.out = results_file(
        options.out, "estimators.json", is_published=is_published
    )
    return options


@program
def main(arguments: list[str] | None = None) -> None:
    """Take the runs that are missing and write the results after each."""
    options = parse(arguments)
    with results_in(options.out):
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Take the runs of a command line that has been read."""
    settings = {
        key: getattr(options, key) for key in ("hidden", "holdout", "threads", "smoke")
    }
    file = finished(options, settings)
    runs, first_fit = file["runs"], file["first_fit"]
    done = {identity(run) for run in runs}
    missing = [run for run in plan(options) if identity(run) not in done]
    for name in dict.fromkeys(run["data"] for run in missing):
        # Absent data are reported before hours have passed.
        load(name, options.data_home, holdout=options.holdout)
    if not options.smoke:
        prepare(options, missing, first_fit)
    for run in missing:
        got = in_new_process(options, run)
        if got["epochs_done"] != run["epochs"]:
            raise WorkerError(
                f"{run['data']}, {run['method']}: ended after {got['epochs_done']} "
                f"epochs, not {run['epochs']}"
            )
        runs.append(run | got | {"commit": git_commit()})
        print(line(runs[-1]), flush=True)
        payload = {"settings": settings, "first_fit": first_fit}
        write_results(options.out, payload | {"rows": summarise(runs), "runs": runs})


def prepare(
    options: argparse.Namespace, missing: list[dict[str, Any]], first_fit: dict
) -> None:
    """Compile the kernels that runs will need, and time that once for dense and CSR."""
    firsts = {
        run["data"]: run for run in reversed(missing) if run["method"] == "sparse"
    }
    for name, run in firsts.items():
        few = run | {"epochs": FEW_EPOCHS, "few": True}
        kind = "csr" if SETS[name].is_text else "dense"
        if kind not in first_fit and not options.holdout:
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = (
                    in_new_process(options, few, cache)["fit_s"] for _ in range(2)
                )
            first_fit[kind] = {"data": name, "cold_s": cold, "warm_s": warm}
            print(f"first fit, {kind}: {cold:.1f} s; kernels compiled: {warm:.2f} s")
        in_new_process(options, few)


def in_new_process(
    options: argparse.Namespace, run: dict[str, Any], cache: str | None = None
) -> dict[str, Any]:
    """Measure a run in a process of its own."""
    shared = {"hidden": options.hidden, "holdout": options.holdout, "few": False}
    home = None if options.data_home is None else str(Path(options.data_home).resolve())
    task = shared | {"data_home": home} | run
    return run_json(
        "benchmarks.estimator_run",
        json.dumps(task),
        environment=clean_environment(options.threads, cache),
    )


if __name__ == "__main__":
    sys.exit(main())
