"""Published claims, judged by runs: the figure of each, its spread, and a verdict.

A claim says that one number is larger than another one of the same place: the same
data set and seed, and whatever else the study varies.
It holds if the mean difference over all such pairs is more than two standard errors
above 0; it does not hold if it is as far below; else these runs do not decide it. A
claim that two numbers are alike names how far apart they may be.
"""

import math
import statistics
from collections.abc import Callable, Hashable
from typing import NamedTuple

from truesparse.analysis.sweeps import Result, Setting

from . import frame

Measure = Callable[[Result], float]
Where = Callable[[Setting], bool]
Place = Callable[[Setting], Hashable]


def data_and_seed(setting: Setting) -> Hashable:
    """Return the place of a run whose study varies nothing else."""
    return setting["data"], setting["seed"]


class Claim(NamedTuple):
    """One claim: the measure of `first` exceeds that of `second`, or is alike."""

    text: str
    unit: str
    measure: Measure
    first: str
    second: str
    # Of the second, another measure than of the first.
    second_measure: Measure | None = None
    margin: float = 0.0  # by more than this
    within: float | None = None  # or: the measures differ by less than this
    where: Where | None = None  # only at places of these settings


def judge(
    claim: Claim, rows: frame.Rows, place: Place = data_and_seed
) -> tuple[list[float], str]:
    """Return the difference of each pair of runs, and the verdict.

    Parameters
    ----------
    claim : Claim
    rows : list of (setting, result)
        Settings have a name. Runs that diverged are left out.
    place : callable
        Takes a setting; runs of one place are compared.
    """
    results = {
        (setting["name"], place(setting)): result
        for setting, result in rows
        if result["accuracy"] is not None
        and (claim.where is None or claim.where(setting))
    }
    of_second = claim.second_measure or claim.measure
    differences = [
        claim.measure(result) - of_second(results[claim.second, at])
        for (name, at), result in results.items()
        if name == claim.first and (claim.second, at) in results
    ]
    return differences, verdict([d - claim.margin for d in differences], claim.within)


def verdict(differences: list[float], within: float | None = None) -> str:
    """Return what differences say: that they are above 0, below it, or neither.

    With `within`, that their mean is less than this from 0, more, or neither.

    Examples
    --------
    >>> from benchmarks.studies.claims import verdict
    >>> verdict([0.3, 0.2, 0.25]), verdict([-0.3, -0.2]), verdict([0.3, -0.1])
    ('holds', 'does not hold', 'undecided')
    >>> verdict([0.01, -0.01], 0.05), verdict([0.3, 0.31], 0.05), verdict([0.1, 0], 0.1)
    ('holds', 'does not hold', 'undecided')
    """
    if len(differences) < 2:
        return "undecided"
    mean = statistics.mean(differences)
    if within is not None:
        mean = within - abs(mean)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    if mean > 2 * error:
        return "holds"
    return "does not hold" if mean < -2 * error else "undecided"


def claims_table(
    claims: list[Claim], rows: frame.Rows, place: Place = data_and_seed
) -> str:
    """Return a table with a line for each claim."""
    lines = []
    for claim in claims:
        differences, outcome = judge(claim, rows, place)
        figure = frame.mean_text(differences, 3)
        compared = f"{claim.first} - {claim.second}"
        if claim.margin:
            compared += f", more than {claim.margin:g}"
        if claim.within is not None:
            compared += f", at most {claim.within:g}"
        pairs = str(len(differences))
        lines.append([claim.text, claim.unit, compared, figure, pairs, outcome])
    head = ["claim", "figure", "difference", "mean and deviation", "pairs", "verdict"]
    return frame.table(head, lines)
