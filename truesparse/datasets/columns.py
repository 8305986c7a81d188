"""Which columns of a table are features and which one is the target.

The target is the column named y, target, label or class (in any case), or else the
last. Where a trained model says what it expects, the width of a table decides whether
it has a target; where table and model both have names, these decide which columns are
taken and in which order, and which one is the target.
"""

import difflib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.errors import DataError

TARGET_NAMES = ("y", "target", "label", "class")
# Names of columns that say which row it is, which is no feature.
ROW_NAMES = ("id", "index", "unnamed: 0", "row", "row_id", "rownames")
# Labels have at most so many values.
_MOST_LABELS = 20


class Expected(NamedTuple):
    """What rows for a trained model must look like.

    `feature_names` and `target_name` are those of the training data if they had any,
    and `first_index` is the number of the first feature in their SVMlight file, 0 or 1.
    """

    n_features: int
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None
    target_name: str | None = None


class Columns(NamedTuple):
    """Column numbers of the features, in order, and of the target if there is one."""

    features: list[int]
    target: int | None
    names: tuple[str, ...] | None


def check_n_columns(n_columns: int, path: Path, separation: str = "") -> None:
    """Raise DataError if a table is too narrow for a feature and a target."""
    if n_columns < 2:
        raise DataError(
            f"{path} has {n_columns} column{'s' * (n_columns != 1)}; give a table with "
            f"at least one feature and a target{separation}"
        )


def find_target(columns: list[str], path: Path) -> int:
    """Return the number of the target column.

    Raises
    ------
    DataError
        If several columns have the name of a target.
    """
    named = [i for i, name in enumerate(columns) if name.lower() in TARGET_NAMES]
    if len(named) > 1:
        names = ", ".join(repr(columns[i]) for i in named)
        raise DataError(
            f"{path} has {len(named)} columns that could be the target: {names}; "
            "rename or remove all but one"
        )
    return named[0] if named else len(columns) - 1


def choose_columns(
    names: list[str] | None,
    n_columns: int,
    path: Path,
    *,
    index: int | None = None,
    expected: Expected | None = None,
) -> Columns:
    """Separate the features from the target.

    Parameters
    ----------
    names : list of str or None
        Names of all columns, if the table has a header.
    n_columns : int
        Number of columns.
    path : Path
        File of the table, for messages.
    index : int, optional
        Column that numbers the rows.
    expected : Expected, optional
        Columns that a model takes; without it there is a target.

    Raises
    ------
    DataError
        If columns are missing that the model takes, or the target is not clear.
    """
    if expected is None:
        last = n_columns - 1 if names is None else find_target(names, path)
        features = [i for i in range(n_columns) if i not in (last, index)]
        return Columns(features, last, _unique_names(names, features))
    present = [i for i in range(n_columns) if i != index]
    if expected.feature_names is not None and _unique_names(names, present):
        assert names is not None
        return _by_name(names, expected, present, path)
    n_more = len(present) - expected.n_features
    if n_more not in (0, 1):
        raise DataError(
            f"{path} has {len(present)} columns, but the model takes "
            f"{expected.n_features} features; give as many columns, or one more for "
            "the target"
        )
    target: int | None = None
    if n_more:
        target = n_columns - 1 if names is None else find_target(names, path)
    return Columns([i for i in present if i != target], target, None)


def explain_target(names: list[str] | None, chosen: Columns) -> str:
    """Return which column is the target and why, as a part of a sentence."""
    assert chosen.target is not None
    name = names[chosen.target] if names else ""
    column = f"column {name!r}" if name else f"column {chosen.target + 1}"
    is_named = name.lower() in TARGET_NAMES
    return f"{column}, {'by its name' if is_named else 'the last one'}"


def warn_of_columns(
    names: list[str] | None, chosen: Columns, columns: list[np.ndarray]
) -> list[str]:
    """Return warnings of features that number the rows, or look like the target.

    Parameters
    ----------
    names : list of str or None
        Names of all columns.
    chosen : Columns
    columns : list of ndarray, shape (n_rows,)
        All columns.
    """
    warnings = []
    counting = np.arange(len(columns[0]))
    for number in chosen.features:
        name, column = names[number] if names else "", columns[number]
        counts = len(column) > 2 and any(
            np.array_equal(column, counting + first) for first in (0, 1)
        )
        if counts or name.lower() in ROW_NAMES:
            label = repr(name) if name else str(number + 1)
            reason = "counts the rows" if counts else "has the name of one"
            warnings.append(
                f"column {label} {reason}, like a row number, but is taken as a "
                "feature; remove it from the file unless it is one"
            )
    first, last = columns[0], columns[-1]
    if names is None and chosen.target == len(columns) - 1 and len(columns) > 2:
        is_label = first.dtype.kind in "iOb" and len(set(first)) <= _MOST_LABELS
        is_real = last.dtype.kind == "f" and bool((last != np.floor(last)).any())
        if is_label and is_real and len(set(first)) < len(first) / 2:
            warnings.append(
                "the first column looks like a label and the last one, which is taken "
                "as the target, like a feature; if so, put the label last, or add a "
                "header that names it 'y'"
            )
    return warnings


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


def _by_name(
    names: list[str], expected: Expected, present: list[int], path: Path
) -> Columns:
    wanted = expected.feature_names or ()
    place = {names[i]: i for i in present}
    missing = [name for name in wanted if name not in place]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if missing[5:] else "")
        close = difflib.get_close_matches(missing[0], place, n=1)
        hint = f" (it has {close[0]!r})" if close else ""
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(wanted)} columns that the model "
            f"was trained on: {shown}{hint}; add or rename them"
        )
    features = [place[name] for name in wanted]
    if expected.target_name is not None:
        # Without a column of that name there is no target: a guess would be scored.
        return Columns(features, place.get(expected.target_name), wanted)
    others = set(present).difference(features)
    named = [i for i in sorted(others) if names[i].lower() in TARGET_NAMES]
    return Columns(features, named[0] if len(named) == 1 else None, wanted)
