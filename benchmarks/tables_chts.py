"""The table of the CHTs paper, 99 % sparse: what it publishes, and what comes out."""

import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

from truesparse.topology import ALGORITHMS

from .markdown import ABSENT, VERDICTS, count, digits, listed, score, source, table
from .options import DENSE
from .stored import MissingResultsError, Results
from .tables_methods import SEEDS, TOLERANCE, is_below, seeds_measured, settings_of

# Test accuracy: Zhang et al., "Brain network science modelling of sparse neural
# networks enables Transformers and LLMs to perform as fully connected" (NeurIPS 2025),
# table 7. Its EMNIST has 112,800 training samples, that of the third file 2,000.
PUBLISHED = {
    "mnist": {
        **{"torch_dense": 0.9878, "set": 0.9814, "rigl": 0.9861, "cht": 0.9848},
        **{"chts": 0.9881, "chts:rule=ch2_l3n": 0.9876, "granet": 0.9881},
        **{"chtss:rule=ch2_l3n": 0.9883},
    },
    "fashion_mnist": {
        **{"torch_dense": 0.9088, "set": 0.8900, "rigl": 0.8991, "cht": 0.8870},
        **{"chts": 0.9093, "chts:rule=ch2_l3n": 0.9067, "granet": 0.8998},
        **{"chtss:rule=ch2_l3n": 0.9081},
    },
    "emnist_balanced_small": {},
}
# What is to be measured.
METHODS = (
    *("torch_dense", *ALGORITHMS),
    *("chts:rule=ch2_l3n", "chtss:rule=ch2_l3n"),
)
_PROGRAM = "python -m benchmarks.methods --setup chts --data {}"


class _Cell(NamedTuple):
    """What a method reaches on one data set, and in the paper."""

    method: str
    row: dict[str, Any]
    published: float | None


def methods_chts(results: Results) -> str:
    """Every method in the setting of the CHTs paper, beside its figures."""
    files = _files(results)
    parts = [_table(file) for file in files]
    return "\n\n".join(parts)


def _files(results: Results) -> list[dict[str, Any]]:
    """Return the files of the data sets that have one, and have the first."""
    files, first = [], next(iter(PUBLISHED))
    for data in PUBLISHED:
        try:
            files.append(results.one(f"methods-chts-{data}"))
        except MissingResultsError:
            if data == first:
                raise MissingResultsError(_PROGRAM.format(data)) from None
    return files


def _table(file: dict[str, Any]) -> str:
    """Return the table of one data set, with its verdicts and its origin."""
    data = file["data"]
    cells = [
        _Cell(row["method"], row, PUBLISHED[data].get(_dense(row["method"])))
        for row in file["rows"]
    ]
    cells.sort(key=lambda cell: -cell.row["final_mean"])
    lines = [
        (
            cell.method if cell.method in DENSE else f"`{cell.method}`",
            score(cell.row["final_mean"], cell.row["final_sd"]),
            ABSENT if cell.published is None else f"{cell.published:.2%}",
            _points(cell),
            count(round(cell.row["nnz_mean"])),
            digits(cell.row["seconds_per_epoch"]),
            seeds_measured([cell.row]),
        )
        for cell in cells
    ]
    head = ["method", "test accuracy", "published", "difference", "weights"]
    head += ["s an epoch", "seeds measured"]
    text = " ".join(filter(None, (*_verdicts(cells), _absent(cells))))
    return f"{table(head, lines)}\n\n{text}\n\n{settings_of(file)}{source(file)}"


def _verdicts(cells: Iterable[_Cell]) -> list[str]:
    """Return whether figures are the published ones, and whether one is the dense."""
    cells = list(cells)
    verdicts = []
    if compared := [cell for cell in cells if cell.published is not None]:
        below = [
            f"{cell.method} ({_points(cell)})"
            for cell in compared
            if is_below(cell.row["final_mean"], cell.published)
        ]
        verdict = f"**missed** by {listed(below)}" if below else VERDICTS[True]
        verdicts.append(
            f"Not more than {100 * TOLERANCE:g} points below the published figures: "
            f"{verdict}."
        )
    if dense := [cell for cell in cells if cell.method in DENSE]:
        least = max(cell.row["final_mean"] for cell in dense)
        # Methods that keep no budget have more, and do not count; most have the same.
        budget = 1.01 * statistics.median(cell.row["nnz_mean"] for cell in cells)
        reach = [
            cell.method
            for cell in cells
            if cell.method not in DENSE
            and cell.row["final_mean"] >= least
            and cell.row["nnz_mean"] <= budget
        ]
        names = listed(reach) if reach else "**none**"
        verdicts.append(f"Not below the dense net: {names}.")
    if verdicts and min(cell.row["seeds"] for cell in cells) < SEEDS:
        verdicts[0] = f"As far as measured: {verdicts[0][0].lower()}{verdicts[0][1:]}"
    return verdicts


def _points(cell: _Cell) -> str:
    """Return measured less published, in percentage points."""
    if cell.published is None:
        return ABSENT
    return f"{100 * (cell.row['final_mean'] - cell.published):+.2f}"


def _absent(cells: Iterable[_Cell]) -> str:
    measured = {_dense(cell.method) for cell in cells}
    names = [f"`{name}`" for name in METHODS if name not in measured]
    return f"Not measured with the present code: {listed(names)}." if names else ""


def _dense(method: str) -> str:
    """Return the name that the dense net has here, whoever trains it."""
    return "torch_dense" if method in DENSE else method
