"""The table of the CHTs paper, 99 % sparse: what it publishes, and what comes out."""

import contextlib
import statistics
from typing import Any, NamedTuple

from .markdown import (
    ABSENT,
    VERDICTS,
    count,
    digits,
    listed,
    missing,
    score,
    source,
    table,
)
from .options import DENSE
from .setups import SETUPS
from .stored import MissingResultsError, Results
from .tables_methods import SEEDS, TOLERANCE, is_below, seeds_measured, settings_of

# Test accuracy: Zhang et al., "Brain network science modelling of sparse neural
# networks enables Transformers and LLMs to perform as fully connected" (NeurIPS 2025),
# table 7. EMNIST is the balanced split of 112,800 training samples; of these
# emnist_balanced_small has 2,000, so that nothing is published of it.
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
    "emnist": {
        **{"torch_dense": 0.8713, "set": 0.8631, "rigl": 0.8694, "cht": 0.8635},
        **{"chts": 0.8761, "chts:rule=ch2_l3n": 0.8782, "granet": 0.8694},
        **{"chtss:rule=ch2_l3n": 0.8752},
    },
    "emnist_balanced_small": {},
    # Its table of flattened images, by CH2-L3n as everything after table 7.
    "cifar10": {
        **{"torch_dense": 0.6285, "set": 0.6270, "rigl": 0.6390, "granet": 0.6931},
        **{"chts:rule=ch2_l3n": 0.6997, "chtss:rule=ch2_l3n": 0.7129},
    },
}


class _Cell(NamedTuple):
    """What a method reaches on one data set, and in the paper."""

    method: str
    row: dict[str, Any]
    published: float | None


def methods_chts(results: Results) -> str:
    """Every method in the setting of the CHTs paper, beside its figures."""
    parts = []
    for data in PUBLISHED:
        # Data sets that have not been measured are left out.
        with contextlib.suppress(MissingResultsError):
            parts.append(_table(results.one(f"methods-chts-{data}")))
    if not parts:
        raise MissingResultsError(
            "python -m benchmarks.methods --setup chts --data mnist"
        )
    return "\n\n".join(parts)


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
    measured = {_dense(cell.method) for cell in cells}
    absent = missing(
        f"`{name}`" for name in SETUPS["chts"].methods if name not in measured
    )
    text = " ".join(filter(None, (*_verdicts(cells), absent)))
    return f"{table(head, lines)}\n\n{text}\n\n{settings_of(file)}{source(file)}"


def _verdicts(cells: list[_Cell]) -> list[str]:
    """Return who misses a published figure, and who reaches the dense net."""
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


def _dense(method: str) -> str:
    """Return the name that the dense net has here, whoever trains it."""
    return "torch_dense" if method in DENSE else method
