"""Which method to choose: accuracy and seconds of training of all, by sparsity."""

import statistics
from typing import Any, NamedTuple

from .markdown import digits, score, source, table
from .stored import MissingResultsError, Results
from .tables_methods import SEEDS, seeds_measured, settings_of

FILE = "methods-mnist"
SPARSITIES = (0.9, 0.95, 0.99)
# Methods this close to the most accurate one are as good: a standard deviation over
# seeds is about as large.
AS_GOOD = 0.001


class Choice(NamedTuple):
    """A method at a sparsity: accuracy, seconds of training, and the row of results.

    The dense net stands at sparsity 0.
    """

    method: str
    accuracy: float
    seconds: float
    row: dict[str, Any]


def choices(results: Results) -> dict[float, list[Choice]]:
    """Return the methods of each sparsity, and the dense net at 0, fastest first.

    Raises
    ------
    MissingResultsError
        If there are no results.
    """
    file = _file(results)
    by_sparsity: dict[float, list[Choice]] = {each: [] for each in (0.0, *SPARSITIES)}
    for row in file["rows"]:
        if row["sparsity"] in by_sparsity:
            seconds = statistics.mean(
                # Runs of a former program only have the median of their epochs.
                run.get("seconds", len(run["scores"]) * run["seconds_per_epoch"])
                for run in file["runs"]
                if (run["method"], run["sparsity"]) == (row["method"], row["sparsity"])
            )
            each = Choice(row["method"], row["final_mean"], seconds, row)
            by_sparsity[row["sparsity"]].append(each)
    for group in by_sparsity.values():
        group.sort(key=lambda each: (each.seconds, -each.accuracy))
    return by_sparsity


def unbeaten(group: list[Choice]) -> list[Choice]:
    """Return the methods that none is both faster and at least as accurate as."""
    best, front = -1.0, []
    for each in sorted(group, key=lambda each: (each.seconds, -each.accuracy)):
        if each.accuracy > best:
            best = each.accuracy
            front.append(each)
    return front


def recommended(group: list[Choice]) -> Choice:
    """Return the fastest method that is as good as the most accurate one."""
    least = max(each.accuracy for each in group) - AS_GOOD
    as_good = [each for each in group if round(each.accuracy - least, 6) >= 0.0]
    return min(as_good, key=lambda each: each.seconds)


def choice(results: Results) -> str:
    """Methods that none beats in both accuracy and time, at each sparsity."""
    file, lines = _file(results), []
    groups = choices(results)
    for sparsity in SPARSITIES:
        if not (group := groups[sparsity]):
            continue
        best, chosen = max(each.accuracy for each in group), recommended(group)
        for each in unbeaten(group):
            name = f"`{each.method}`"
            lines.append(
                (
                    f"{sparsity:.0%}",
                    f"**{name}**" if each == chosen else name,
                    score(each.accuracy, each.row["final_sd"]),
                    f"{100 * (each.accuracy - best):.2f}",
                    digits(each.seconds),
                    seeds_measured([each.row]),
                )
            )
    head = ["sparsity", "method", "test accuracy", "points below the best"]
    head += ["seconds of training", "seeds measured"]
    measured = [each for sparsity in SPARSITIES for each in groups[sparsity]]
    names = {each.method for each in measured}
    text = f"Chosen among {len(names)} methods"
    if min(each.row["seeds"] for each in measured) < SEEDS:
        text += ", some of them with fewer seeds than planned"
    for each in groups[0.0]:
        text += (
            f". The dense net ({each.method}): {each.accuracy:.2%} in "
            f"{digits(each.seconds)} s"
        )
    return f"{table(head, lines, 2)}\n\n{text}.\n\n{settings_of(file)}{source(file)}"


def _file(results: Results) -> dict[str, Any]:
    try:
        return results.one(FILE)
    except MissingResultsError:
        raise MissingResultsError("python -m benchmarks.methods --data mnist") from None
