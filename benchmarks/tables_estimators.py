"""Table of SparseMLPClassifier beside MLPClassifier, with what it must reach."""

from typing import Any

from .estimator_data import SETS
from .markdown import ABSENT, VERDICTS, count, digits, score, size, source, table
from .stored import Results

# With three layers of 1000, a fit must be so many times as fast, and accuracy at most
# so many points lower.
FASTER, POINTS = 10.0, 0.3
# Seconds that a fit of the text may take, which must stay sparse.
TEXT_S = 60.0
HIDDEN = [1000, 1000, 1000]


def estimators(results: Results) -> str:
    """Accuracy, times and memory of both estimators, data set by data set."""
    file = results.one("estimators")
    settings = file["settings"]
    has_targets = settings["hidden"] == HIDDEN and not settings["smoke"]
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for row in file["rows"]:
        pairs.setdefault(row["data"], {})[row["method"]] = row
    rows = []
    for name in sorted(pairs, key=list(SETS).index):
        dense, sparse = pairs[name].get("mlp"), pairs[name].get("sparse")
        for row in filter(None, (dense, sparse)):
            cells = [
                SETS[name].title,
                "MLPClassifier" if row is dense else "**SparseMLPClassifier**",
                str(row["epochs"]),
                str(row["seeds"]),
                count(round(row["weights"])),
                score(row["accuracy_mean"], row["accuracy_sd"]),
                ABSENT,
                digits(row["fit_s"]),
                ABSENT,
                digits(1e3 * row["predict_s"]),
                digits(1e3 * row["predict_one_s"]),
                ABSENT if row["memory_mb"] is None else size(row["memory_mb"] * 1e6),
            ]
            if dense and row is sparse:
                cells[6] = difference(dense, sparse, has_targets)
                cells[8] = ratio(dense, sparse, has_targets)
            rows.append(cells)
    head = ["data", "estimator", "epochs", "seeds", "weights", "test accuracy"]
    head += ["accuracy difference", "fit, s", "faster", "predict the test part, ms"]
    head += ["one sample, ms", "memory of the fit"]
    return table(head, rows, n_text=2) + notes(file, pairs, has_targets)


def difference(
    dense: dict[str, Any], sparse: dict[str, Any], is_judged: bool = True
) -> str:
    """Return by how many points SparseMLPClassifier is better, and the verdict."""
    points = 100 * (sparse["accuracy_mean"] - dense["accuracy_mean"])
    text = f"{points:+.2f}"
    # As it is shown: 0.30 is within 0.3.
    return f"{text}: {VERDICTS[float(text) >= -POINTS]}" if is_judged else text


def ratio(dense: dict[str, Any], sparse: dict[str, Any], is_judged: bool = True) -> str:
    """Return how many times as fast its fit is, and the verdict."""
    times = dense["fit_s"] / sparse["fit_s"]
    text = f"{digits(times)}x"
    return f"{text}: {VERDICTS[times >= FASTER]}" if is_judged else text


def notes(file: dict[str, Any], pairs: dict, has_targets: bool) -> str:
    """Return what stands below the table."""
    settings, text = file["settings"], ""
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
        (run["options"] for run in file["runs"] if run["method"] == "sparse"), {}
    )
    text += (
        f"\n\nHidden {'-'.join(map(str, settings['hidden']))}, float32, "
        f"{settings['threads']} threads each; MLPClassifier's defaults; "
        "SparseMLPClassifier: "
        f"{', '.join(f'{key} {value}' for key, value in options.items())}."
    )
    for kind, first in file["first_fit"].items():
        text += (
            f" A first fit that has to compile ({kind} X, a few samples) takes "
            f"{digits(first['cold_s'])} s, in a later process "
            f"{digits(first['warm_s'])} s."
        )
    folds = [SETS[name].title for name in pairs if SETS[name].folds > 1]
    if folds:
        text += f" {', '.join(folds)}: {SETS['micro_nakayama'].folds}-fold "
        text += "cross-validation, times of one fold."
    return text + source(file)
