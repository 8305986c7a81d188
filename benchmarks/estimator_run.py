"""One fit of the estimators' benchmark, in a process of its own; prints JSON.

    python -m benchmarks.estimator_run TASK

TASK is JSON as well; `measure` describes it and what is measured.
"""

import gc
import json
import os
import statistics
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.commands.shell import limit_spinning

from .estimator_data import load
from .options import program
from .peers.machine import peak_rss_mb

# Samples of a fit that only compiles kernels or loads compiled ones.
FEW = 600
# Seconds after which a prediction has been timed often enough.
LONG_S = 1.0


def make(task: dict[str, Any]) -> Any:
    """Return the estimator of a run."""
    shared = {
        "hidden_layer_sizes": tuple(task["hidden"]),
        "max_iter": task["epochs"],
        "random_state": task["seed"],
        # More than there are epochs, so that the loss ends no run.
        "n_iter_no_change": task["epochs"] + 1,
    }
    if task["method"] == "mlp":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(**shared, **task["options"])
    from truesparse import SparseMLPClassifier

    limit_spinning()  # as the commands do
    return SparseMLPClassifier(**shared, **task["options"])


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Fit in this process, which must be a new one, and predict.

    ``memory_mb`` is by how much the fit raises the peak of resident memory.

    Parameters
    ----------
    task : dict
        ``data``, ``method``, ``seed``, ``fold``, ``epochs``, ``options``, ``hidden``,
        ``data_home``, ``holdout``, and ``few``: whether a few samples will do.
    """
    parts = load(
        task["data"],
        task["data_home"],
        seed=task["seed"],
        fold=task["fold"],
        holdout=task["holdout"],
    )
    X, y = parts.X_train, parts.y_train
    if task["few"]:
        X, y = X[:FEW], y[:FEW]
    estimator = make(task)
    before = reset_peak()
    start = time.perf_counter()
    with warnings.catch_warnings():
        # It says that the last epoch came before the loss had settled.
        warnings.filterwarnings("ignore", category=_convergence_warning())
        estimator.fit(X, y)
    fit_s = time.perf_counter() - start
    after = peak_rss_mb()
    is_known = before is not None and after is not None
    predicted = estimator.predict(parts.X_test)
    sizes = (
        [coefs.size for coefs in estimator.coefs_]
        if task["method"] == "mlp"
        else [estimator.model_.nnz]
    )
    return {
        "accuracy": float(np.mean(predicted == parts.y_test)),
        "fit_s": fit_s,
        "predict_s": median_seconds(estimator, parts.X_test, 5),
        "predict_one_s": median_seconds(estimator, parts.X_test[:1], 50),
        "memory_mb": round(after - before, 1) if is_known else None,
        "peak_mb": after,
        "weights": int(sum(sizes)),
        "n_train": int(X.shape[0]),
        "n_test": int(parts.X_test.shape[0]),
        "n_features": int(X.shape[1]),
        "epochs_done": int(estimator.n_iter_),
        "loss": float(estimator.loss_),
    }


def _convergence_warning() -> type[Warning]:
    from sklearn.exceptions import ConvergenceWarning

    return ConvergenceWarning


def reset_peak() -> float | None:
    """Reset peak memory to what is resident now, and return that in 10^6 bytes.

    Where the kernel does not allow it, the peak so far is returned: a fit that stays
    below what loading the data took then seems to need nothing.
    """
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_rss_mb()


def median_seconds(estimator: Any, X: Any, repeats: int) -> float:
    """Return the median seconds of `repeats` predictions, fewer if they are slow."""
    times: list[float] = []
    while len(times) < 3 or (len(times) < repeats and sum(times) < LONG_S):
        start = time.perf_counter()
        estimator.predict(X)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@program
def main(arguments: list[str] | None = None) -> None:
    """Measure and print, whatever libraries print going to stderr."""
    [task] = sys.argv[1:] if arguments is None else arguments
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps(measure(json.loads(task))), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
