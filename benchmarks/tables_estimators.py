"""Table of SparseMLPClassifier beside MLPClassifier, with what it must reach."""

from typing import Any

from .estimator_data import SETS
from .markdown import ABSENT, VERDICTS, count, digits, size, source, table
from .stored import Results

# Of the fit with three layers of 1000; accuracy may be lower by so much.
FASTER, POINTS = 10.0, 0.3
# Seconds for the text, which must stay sparse.
TEXT_S = 60.0
HIDDEN = [1000, 1000, 1000]


def estimators(results: Results) -> str:
    """Accuracy, times and memory of both estimators, data set by data set."""
    found = results.one("estimators")
    settings = found["settings"]
    has_targets = settings["hidden"] == HIDDEN and not settings["smoke"]
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for row in found["rows"]:
        pairs.setdefault(row["data"], {})[row["method"]] = row
    rows = []
    for name in sorted(pairs, key=list(SETS).index):
        dense, own = pairs[name].get("mlp"), pairs[name].get("sparse")
        for row in filter(None, (dense, own)):
            cells = [
                SETS[name].title,
                "MLPClassifier" if row is dense else "**SparseMLPClassifier**",
                str(row["epochs"]),
                str(row["seeds"]),
                count(round(row["weights"])),
                accuracy(row),
                ABSENT,
                digits(row["fit_s"]),
                ABSENT,
                digits(1e3 * row["predict_s"]),
                digits(1e3 * row["predict_one_s"]),
                ABSENT if row["memory_mb"] is None else size(row["memory_mb"] * 1e6),
            ]
            if dense and row is own:
                cells[6] = difference(dense, own, has_targets)
                cells[8] = ratio(dense, own, has_targets)
            rows.append(cells)
    head = ["data", "estimator", "epochs", "seeds", "weights", "test accuracy"]
    head += ["accuracy difference", "fit, s", "faster", "predict the test part, ms"]
    head += ["one sample, ms", "memory of the fit"]
    return table(head, rows, n_text=2) + notes(found, pairs, has_targets)


def accuracy(row: dict[str, Any]) -> str:
    """Return the mean with the deviation over seeds, if there are several."""
    spread = row["accuracy_sd"]
    mean = f"{row['accuracy_mean']:.2%}"
    return mean if spread is None else f"{mean} ± {spread:.2%}"


def difference(
    dense: dict[str, Any], own: dict[str, Any], has_target: bool = True
) -> str:
    """Return by how many points SparseMLPClassifier is better, and the verdict."""
    points = 100 * (own["accuracy_mean"] - dense["accuracy_mean"])
    text = f"{points:+.2f}"
    # As it is shown: 0.30 is within 0.3.
    return f"{text}: {VERDICTS[float(text) >= -POINTS]}" if has_target else text


def ratio(dense: dict[str, Any], own: dict[str, Any], has_target: bool = True) -> str:
    """Return how many times as fast its fit is, and the verdict."""
    times = dense["fit_s"] / own["fit_s"]
    text = f"{digits(times)}x"
    return f"{text}: {VERDICTS[times >= FASTER]}" if has_target else text


def notes(found: dict[str, Any], pairs: dict, has_targets: bool) -> str:
    """Return what stands below the table."""
    settings, text = found["settings"], ""
    if has_targets:
        text += (
            f"\n\nTargets: a fit at least {FASTER:g} times as fast, accuracy not more "
            f"than {POINTS:g} points lower"
        )
        words = pairs.get("20news", {}).get("sparse")
        if words:
            dense_x = 4 * words["n_train"] * words["n_features"]
            text += (
                f"; 20 newsgroups in under a minute: {digits(words['fit_s'])} s, "
                f"{VERDICTS[words['fit_s'] < TEXT_S]}, where X alone would take "
                f"{size(dense_x)} as a dense array"
            )
        text += "."
    options = next(
        (run["options"] for run in found["runs"] if run["method"] == "sparse"), {}
    )
    text += (
        f"\n\nHidden {'-'.join(map(str, settings['hidden']))}, float32, "
        f"{settings['threads']} threads each; MLPClassifier's defaults; "
        "SparseMLPClassifier: "
        f"{', '.join(f'{key} {value}' for key, value in options.items())}."
    )
    for kind, first in found["first_fit"].items():
        text += (
            f" A first fit that has to compile ({kind} X, a few samples) takes "
            f"{digits(first['cold_s'])} s, in a later process "
            f"{digits(first['warm_s'])} s."
        )
    folds = [SETS[name].title for name in pairs if SETS[name].folds > 1]
    if folds:
        text += f" {', '.join(folds)}: {SETS['micro_nakayama'].folds}-fold "
        text += "cross-validation, times of one fold."
    text += source(found)
    commits = {run["commit"] or "unknown" for run in found["runs"]}
    if others := commits - {found["commit"] or "unknown"}:
        text = text[:-1] + f", some runs {' and '.join(sorted(others))}."
    return text
