"""What the defaults predict: truesparse beside scikit-learn, each without options.

    python -m benchmarks.defaults --data-home DIR
    python -m benchmarks.defaults --data-home DIR --sets colon,boston --splits 1
    python -m benchmarks.defaults --smoke               seconds, figures of no meaning

Each set of default_sets.py is split five times into a training part and a fifth for
the test, classes in proportion. Dense features and targets of regressions are
standardised by the training part, sparse features divided by their largest value. The
score is accuracy or R2 on the test part. ``train`` is the command line with ``--hidden
200,200``. All fits run in one process, one after the other, on all cores; kernels are
compiled before.

With ``--validate`` the test part is a fifth of the training part instead: defaults are
chosen by that, never by the test part.

The file is written after every run; a later start with the same settings resumes and
takes the runs that are missing.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.errors import UsageError

from .default_sets import REGRESSION, SETS, load
from .options import OUT_HELP, names, program
from .peers.machine import machine
from .stored import (
    git_commit,
    read_runs,
    results_file,
    results_in,
    write_results,
)

CLASSIFIERS = ("sparse", "logistic", "forest", "svm", "boosting", "mlp")
REGRESSORS = ("train", "sparse", "ridge", "forest", "boosting", "mlp")
METHODS = tuple(dict.fromkeys((*REGRESSORS, *CLASSIFIERS)))
KEY = ("data", "method", "split")
# Dense, these features would take a gigabyte, and the fit hours.
TOO_LARGE = {("20news", "boosting")}
TEST_SHARE = 0.2
HIDDEN = (200, 200)
SMOKE_SETS = ("digits", "diabetes")


def make(method: str, is_regression: bool) -> Any:
    """Return an estimator with its defaults."""
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.neural_network
    import sklearn.svm

    import truesparse

    kind = "Regressor" if is_regression else "Classifier"
    if method == "logistic":
        # 100 iterations are too few for many of these sets.
        return sklearn.linear_model.LogisticRegression(max_iter=2000)
    if method == "ridge":
        return sklearn.linear_model.Ridge()
    if method == "svm":
        return sklearn.svm.LinearSVC(random_state=0)
    home, name = {
        "sparse": (truesparse, "SparseMLP"),
        "mlp": (sklearn.neural_network, "MLP"),
        "forest": (sklearn.ensemble, "RandomForest"),
        "boosting": (sklearn.ensemble, "HistGradientBoosting"),
    }[method]
    return getattr(home, name + kind)(random_state=0)


def split(
    X: Any, y: np.ndarray, is_regression: bool, seed: int, validate: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the training part and of what is predicted."""
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    kind = ShuffleSplit if is_regression else StratifiedShuffleSplit
    train, test = next(kind(1, test_size=TEST_SHARE, random_state=seed).split(X, y))
    if not validate:
        return train, test
    # A class of one row cannot be split in proportion.
    inner = ShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
    rows, held_out = next(inner.split(train))
    return train[rows], train[held_out]


def measure(name: str, method: str, seed: int, options: argparse.Namespace) -> dict:
    """Fit one method on one split, and return its score and seconds."""
    X, y = load(name, options.data_home)
    is_regression = SETS[name].kind == REGRESSION
    train, test = split(X, y, is_regression, seed, options.validate)
    parts = prepare(X, y, train, test, is_regression)
    if method == "boosting" and scipy.sparse.issparse(X):
        # It takes no sparse features.
        X_train, y_train, X_test, y_test = parts
        parts = X_train.toarray(), y_train, X_test.toarray(), y_test
    fit = fit_command if method == "train" else fit_estimator
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(method, is_regression, parts)
        fit_s = time.perf_counter() - started
        score = float(fitted(parts))
    return {
        "data": name,
        "method": method,
        "split": seed,
        "score": score,
        "fit_s": fit_s,
        "n_train": len(train),
        "n_test": len(test),
        "n_features": X.shape[1],
        "commit": git_commit(),
    }


def prepare(
    X: Any, y: np.ndarray, train: np.ndarray, test: np.ndarray, is_regression: bool
) -> tuple:
    """Return X_train, y_train, X_test, y_test, scaled by the training part."""
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    scaler = MaxAbsScaler() if scipy.sparse.issparse(X) else StandardScaler()
    X_train, X_test = scaler.fit_transform(X[train]), scaler.transform(X[test])
    if is_regression:
        mean, deviation = y[train].mean(), y[train].std()
        y = (y - mean) / deviation
    return X_train, y[train], X_test, y[test]


def fit_estimator(
    method: str, is_regression: bool, parts: tuple
) -> Callable[[tuple], float]:
    """Fit an estimator, and return what scores it."""
    estimator = make(method, is_regression).fit(*parts[:2])
    return lambda parts: estimator.score(*parts[2:])


def fit_command(
    method: str, is_regression: bool, parts: tuple
) -> Callable[[tuple], float]:
    """Train as the command line does, and return what scores it."""
    from truesparse import train
    from truesparse.commands.config import RunConfig

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data.npz"
        names_of = "X_train", "y_train", "X_test", "y_test"
        np.savez(file, **dict(zip(names_of, parts, strict=True)))
        config = RunConfig(
            data=str(file), hidden=HIDDEN, task="regression", out=f"{folder}/run"
        )
        result = train.run(config, quiet=True)
    return lambda parts: result["test_score"]


def plan(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """Yield every run; the methods take turns."""
    for name in options.sets:
        methods = REGRESSORS if SETS[name].kind == REGRESSION else CLASSIFIERS
        for seed in range(options.splits):
            for method in methods:
                if method in options.methods and (name, method) not in TOO_LARGE:
                    yield name, method, seed


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each data set and method: mean score, median seconds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["data"], run["method"]), []).append(run)
    return [
        {
            "data": name,
            "method": method,
            "splits": len(group),
            "n_train": group[0]["n_train"],
            "n_features": group[0]["n_features"],
            "score": statistics.mean(run["score"] for run in group),
            "fit_s": statistics.median(run["fit_s"] for run in group),
        }
        for (name, method), group in groups.items()
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.defaults",
        description="Compare the defaults of truesparse with those of scikit-learn.",
    )
    parser.add_argument("--data-home", metavar="DIR", help="folder of the files")
    parser.add_argument(
        "--sets", metavar="NAME,NAME", help=f"some of {', '.join(SETS)}"
    )
    parser.add_argument(
        "--methods", metavar="NAME,NAME", help=f"some of {', '.join(METHODS)}"
    )
    parser.add_argument("--splits", type=int, metavar="N", help="5; 0 to N - 1")
    parser.add_argument(
        "--validate",
        action="store_true",
        help="score on a part of the training part; not published",
    )
    parser.add_argument("--smoke", action="store_true", help="tiny, not published")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    options.sets = names(
        options.sets or (",".join(SMOKE_SETS) if options.smoke else None),
        SETS,
        "data set",
    )
    options.methods = names(options.methods, METHODS, "method")
    if options.splits is None:
        options.splits = 1 if options.smoke else 5
    if options.splits < 1:
        raise UsageError(f"--splits must be at least 1, got {options.splits}")
    is_published = not (options.smoke or options.validate)
    options.out = results_file(options.out, "defaults.json", is_published=is_published)
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
        "validate": options.validate,
        "smoke": options.smoke,
        "threads": machine()["usable_cores"],
    }
    runs = read_runs(options.out, settings, KEY)["runs"]
    done = {tuple(run[key] for key in KEY) for run in runs}
    is_compiled = False
    for name, method, seed in plan(options):
        if (name, method, seed) in done:
            continue
        if not is_compiled:
            measure("digits", "sparse", 0, options)
            measure("diabetes", "train", 0, options)
            is_compiled = True
        run = measure(name, method, seed, options)
        runs.append(run)
        print(
            f"{name:<15} {method:<9} split {seed}: {run['score']:.4f}, "
            f"fit {run['fit_s']:.2f} s",
            flush=True,
        )
        if options.out:
            results = {"settings": settings, "rows": summarise(runs), "runs": runs}
            write_results(options.out, results)


if __name__ == "__main__":
    sys.exit(main())
