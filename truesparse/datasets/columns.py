"""Which columns of a table are features, which one is the target, which are left out.

The target is the column that the caller states, or that is named y, target, label or
class (in any case), or else the last. A y beside x and more may be a coordinate, and is
refused. A first column without a name holds the row numbers that pandas and R write,
and is left out.

model_columns.py finds the columns that a trained model takes.
"""

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.datasets.notations import find_unit
from truesparse.datasets.table_options import Column, TableOptions, say
from truesparse.errors import DataError, UsageError

TARGET_NAMES = ("y", "target", "label", "class")
# Names of columns that say which row it is, which is no feature.
ROW_NAMES = ("id", "index", "unnamed: 0", "row", "row_id", "rownames")
# Labels have at most so many values.
_MOST_LABELS = 20
# A text in which more of the values differ than this is a name or free text.
_SHARE_OF_NAMES = 0.9


class Columns(NamedTuple):
    """Column numbers of the features, in order, and of the target if there is one.

    `names` are those of the features, if they tell them apart; `left_out` are the
    numbers of all other columns.
    """

    features: list[int]
    target: int | None
    names: tuple[str, ...] | None
    left_out: tuple[int, ...] = ()


def check_n_columns(n_columns: int, path: Path, separation: str = "") -> None:
    """Raise DataError if a table is too narrow for a feature and a target."""
    if n_columns < 2:
        raise DataError(
            f"{path} has {n_columns} column{'s' * (n_columns != 1)}; give a table with "
            f"at least one feature and a target{separation}"
        )


def choose_columns(
    names: list[str] | None, n_columns: int, path: Path, options: TableOptions
) -> Columns:
    """Separate the features from the target of training data.

    Parameters
    ----------
    names : list of str or None
        Names of all columns, if the table has a header.
    n_columns : int
        Number of columns.
    path : Path
        Path of the table, for messages.
    options : TableOptions

    Raises
    ------
    DataError
        If the target is not clear, or no feature is left.
    UsageError
        If an option names a column that the table lacks.
    """
    out, target = find_stated(names, n_columns, path, options, n_least=2)
    if target is None:
        present = [i for i in range(n_columns) if i not in out]
        target = find_target(names, present, path)
    features = [i for i in range(n_columns) if i not in out and i != target]
    if not features:
        raise DataError(
            f"{path} has no feature besides the target and the columns left out; give "
            "a table with one, or leave fewer columns out"
        )
    return Columns(features, target, _unique_names(names, features), tuple(sorted(out)))


def find_stated(
    names: list[str] | None,
    n_columns: int,
    path: Path,
    options: TableOptions,
    n_least: int = 1,
) -> tuple[set[int], int | None]:
    """Return the columns to leave out, and the target if it is stated.

    Row names without a name are left out where `n_least` columns remain.
    """

    def find(option: str, column: Column) -> int:
        return _find_column(option, column, names, n_columns, path)

    target = None if options.target is None else find("target", options.target)
    out = {find("drop", column) for column in options.drop}
    if options.index is not None:
        out.add(find("index", options.index))
    if target in out:
        raise UsageError(
            f"{say('target', options.target)} is one of the columns to leave out; "
            "choose another target or keep it"
        )
    if names is not None and names[0] == "" and n_columns > n_least and target != 0:
        out.add(0)
    return out, target


def _find_column(
    option: str, column: Column, names: list[str] | None, n_columns: int, path: Path
) -> int:
    """Return the place of a column that an option states."""
    places = [i for i, name in enumerate(names or ()) if name == column]
    if len(places) == 1:
        return places[0]
    stated = say(option, column)
    if places:
        numbers = ", ".join(str(i + 1) for i in places)
        raise UsageError(
            f"{stated}: {path} has columns {numbers} of this name; give the number of "
            "one"
        )
    if isinstance(column, int) or column.isdecimal():
        if 1 <= int(column) <= n_columns:
            return int(column) - 1
        raise UsageError(f"{stated}: {path} has columns 1 to {n_columns}")
    close = difflib.get_close_matches(column, names or (), n=1)
    hint = f" (it has {close[0]!r})" if close else ""
    if option == "drop" and set(column.split(",")) <= set(names or ()):
        hint = ", but one of each part: give --drop once for each"
    reason = "has no column of this name" if names else "has no header with names"
    raise UsageError(
        f"{stated}: {path} {reason}{hint}; give a name, or a number from 1 to "
        f"{n_columns}"
    )


def find_target(names: list[str] | None, present: list[int], path: Path) -> int:
    """Return the column that has the name of a target, or else the last."""
    named = named_targets(names, present)
    if len(named) > 1:
        assert names is not None
        shown = ", ".join(repr(names[i]) for i in named)
        raise DataError(
            f"{path} has {len(named)} columns that could be the target: {shown}; "
            f"say which, as in {say('target', names[named[0]])}"
        )
    if not present:
        raise DataError(f"{path} has no column left for the target; leave fewer out")
    if named and _is_coordinate(names, named[0], present):
        assert names is not None
        raise DataError(
            f"{path} has a column {names[named[0]]!r}, which may be the target, or a "
            f"coordinate as 'x' is; say {say('target', names[named[0]])}, or which "
            "other column is the target"
        )
    return named[0] if named else present[-1]


def _is_coordinate(names: list[str] | None, number: int, present: list[int]) -> bool:
    """Whether a column called y stands beside x, and neither is all that there is."""
    if names is None or names[number].lower() != "y":
        return False
    return len(present) > 2 and "x" in {names[i].lower() for i in present}


def named_targets(names: list[str] | None, present: Collection[int]) -> list[int]:
    """Return which of some columns have the name of a target."""
    if names is None:
        return []
    return [i for i in sorted(present) if names[i].lower() in TARGET_NAMES]


def explain_target(names: list[str] | None, target: int, options: TableOptions) -> str:
    """Return which column is the target and why, as a part of a sentence."""
    name = names[target] if names else ""
    reason = "the last one"
    if options.target is not None:
        reason = "as you say"
    elif name.lower() in TARGET_NAMES:
        reason = "by its name"
    return f"column {label_of(names, target)}, {reason}"


def label_of(names: list[str] | None, number: int) -> str:
    """Return what messages call a column: its name in quotes, or its number from 1."""
    return repr(names[number]) if names and names[number] else str(number + 1)


def warn_of_columns(
    names: list[str] | None, chosen: Columns, columns: list[np.ndarray]
) -> list[str]:
    """Return warnings of features that are none, and of one that may be the target.

    Parameters
    ----------
    names : list of str or None
        Names of all columns.
    chosen : Columns
    columns : list of ndarray, shape (n_rows,)
        All columns.
    """
    warnings = []
    for number in chosen.features:
        name, column = names[number] if names else "", columns[number]
        stated = name or number + 1
        if reason := _why_row_number(name, column):
            warnings.append(
                f"column {label_of(names, number)} {reason}, like a row number, but is "
                f"taken as a feature; leave it out with {say('index', stated)} unless "
                "it is one"
            )
        elif column.dtype != object:
            continue
        elif unit := find_unit(value for value in column if isinstance(value, str)):
            warnings.append(
                f"column {label_of(names, number)} holds numbers with a unit ({unit}), "
                "which become categories; remove the unit from the cells to make them "
                "numbers"
            )
        elif _is_free_text(column):
            warnings.append(
                f"column {label_of(names, number)} holds text that differs in almost "
                "every row, like names, which says nothing about new rows; leave it "
                f"out with {say('drop', stated)}"
            )
    first, last = columns[0], columns[-1]
    if (
        names is None
        and chosen.target == len(columns) - 1
        and 0 in chosen.features[:-1]
    ):
        is_label = _is_whole_or_text(first) and len(set(first)) <= _MOST_LABELS
        is_quantity = last.dtype.kind in "iuf" and len(set(last)) > _MOST_LABELS
        if is_label and is_quantity and len(set(first)) < len(first) / 2:
            warnings.append(
                "the first column looks like a label and the last one, which is taken "
                f"as the target, like a feature; if so, say {say('target', 1)}"
            )
    return warnings


def warn_of_target(
    names: list[str] | None, chosen: Columns, columns: list[np.ndarray]
) -> list[str]:
    """Return warnings of a target that the caller did not state and may not mean.

    Parameters
    ----------
    names : list of str or None
        Names of all columns.
    chosen : Columns
    columns : list of ndarray, shape (n_rows,)
        All columns.
    """
    target = chosen.target
    assert target is not None
    name = names[target] if names else ""
    label = label_of(names, target)
    first, *_, last = sorted([*chosen.features, target])
    if reason := _why_row_number(name, columns[target]):
        return [
            f"column {label}, which is taken as the target, {reason}, like a row "
            "number; if another column is the target, say which with target (--target)"
        ]
    if name.lower() in TARGET_NAMES and target not in (first, last):
        return [
            f"column {label} is taken as the target by its name, though it stands "
            f"amid the others; say {say('target', name)} if it is the target, or "
            "which other column is"
        ]
    return []


def _why_row_number(name: str, column: np.ndarray) -> str:
    """Return why a column looks like one that numbers the rows, or ""."""
    counting = np.arange(len(column))
    if len(column) > 2 and any(
        column[0] == first and np.array_equal(column, counting + first)
        for first in (0, 1)
    ):
        return "counts the rows"
    return "has the name of one" if name.lower() in ROW_NAMES else ""


def _is_whole_or_text(column: np.ndarray) -> bool:
    return column.dtype.kind != "f" or bool((column == np.floor(column)).all())


def _is_free_text(column: np.ndarray) -> bool:
    present = [value for value in column if value is not None]
    n_distinct = len(set(present))
    return n_distinct > max(_MOST_LABELS, _SHARE_OF_NAMES * len(present))


def find_name(names: list[str] | None, column: int | None) -> str | None:
    """Return the name of a column, if there is one that no other column has."""
    if names is None or column is None:
        return None
    name = names[column]
    return name if name and names.count(name) == 1 else None


def _unique_names(names: list[str] | None, chosen: list[int]) -> tuple[str, ...] | None:
    """Return the names of these columns if they differ and none is empty, or None."""
    if names is None:
        return None
    unique = tuple(names[i] for i in chosen)
    return unique if len(set(unique)) == len(unique) and all(unique) else None
