"""Tables of the defaults of truesparse beside those of scikit-learn."""

from typing import Any

from .default_sets import REGRESSION, SETS, WIDE
from .defaults import CLASSIFIERS, REGRESSORS, TOO_LARGE
from .markdown import ABSENT, digits, listed, missing, source, table
from .stored import MissingResultsError, Results

TITLES = {
    "sparse": "**truesparse**",
    "train": "**truesparse.train**",
    "logistic": "logistic regression",
    "ridge": "ridge regression",
    "forest": "random forest",
    "svm": "linear SVM",
    "boosting": "gradient boosting",
    "mlp": "MLP",
}


def wide(results: Results) -> str:
    """Accuracy and fit times on tables with more features than rows."""
    return _scores(results, WIDE, CLASSIFIERS, 100.0, "%")


def regression(results: Results) -> str:
    """R2 and fit times on regressions."""
    return _scores(results, REGRESSION, REGRESSORS, 1.0, "R2")


def readme_wide(results: Results) -> str:
    """Mean accuracy and seconds of a fit on wide tables, a row for each method."""
    rows_of = _by_set(results, WIDE)
    complete = _complete(rows_of, CLASSIFIERS)
    if not complete:
        raise MissingResultsError("python -m benchmarks.defaults")
    lines = []
    for method in CLASSIFIERS:
        score, fit_s = (_mean(complete, method, key) for key in ("score", "fit_s"))
        if score is None or fit_s is None:
            continue
        lines.append([TITLES[method], f"{100 * score:.1f} %", f"{digits(fit_s)} s"])
    lines.sort(key=lambda line: -float(line[1].split()[0]))
    names = listed(
        SETS[name].title
        for name in sorted(rows_of, key=list(SETS).index)
        if rows_of[name] in complete
    )
    note = f"\n\nMeans over {len(complete)} sets ({names}), each split five times."
    shown = table(["method, with its defaults", "accuracy", "a fit"], lines)
    return shown + note + source(results.one("defaults"))


def _by_set(results: Results, kind: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the rows of one kind of sets, by set and method."""
    rows_of: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results.one("defaults")["rows"]:
        if SETS[row["data"]].kind == kind:
            rows_of.setdefault(row["data"], {})[row["method"]] = row
    if not rows_of:
        raise MissingResultsError("python -m benchmarks.defaults")
    return rows_of


def _complete(rows_of: dict, methods: tuple[str, ...]) -> list[dict]:
    """Return the sets that all methods were measured on which can be."""
    return [
        of_set
        for name, of_set in rows_of.items()
        if {m for m in methods if (name, m) not in TOO_LARGE} <= of_set.keys()
    ]


def _mean(sets: list[dict], method: str, key: str) -> float | None:
    """Return a mean over sets; None if the method lacks one, so that none is unfair."""
    if any(method not in of_set for of_set in sets):
        return None
    return sum(of_set[method][key] for of_set in sets) / len(sets)


def _scores(
    results: Results, kind: str, methods: tuple[str, ...], factor: float, unit: str
) -> str:
    """Return scores, a row for each set, then their means and the seconds of fits."""
    rows_of = _by_set(results, kind)
    places = 1 if factor > 1.0 else 3

    def score(value: float | None) -> str:
        return ABSENT if value is None else f"{factor * value:.{places}f}"

    lines = []
    for name in sorted(rows_of, key=list(SETS).index):
        of_set = rows_of[name]
        first = next(iter(of_set.values()))
        cells = [score(of_set[m]["score"]) if m in of_set else ABSENT for m in methods]
        shape = f"{first['n_train']:,} x {first['n_features']:,}"
        lines.append([SETS[name].title, shape, *cells])
    complete = _complete(rows_of, methods)
    if complete:
        for title, key, show in (
            (f"mean, {unit}", "score", score),
            ("mean fit, s", "fit_s", digits),
        ):
            means = [_mean(complete, method, key) for method in methods]
            lines.append([f"**{title}**", "", *map(show, means)])
    head = ["data", "training rows x features", *(TITLES[m] for m in methods)]
    splits = {row["splits"] for of_set in rows_of.values() for row in of_set.values()}
    absent = [each.title for name, each in SETS.items() if each.kind == kind]
    absent = [title for title in absent if title not in {line[0] for line in lines}]
    note = f"Means over {min(splits)} splits; every method with its defaults."
    return (
        table(head, lines, n_text=2)
        + f"\n\n{note} {missing(absent)}".rstrip()
        + source(results.one("defaults"))
    )
