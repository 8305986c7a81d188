"""Which columns of a table are features and which one is the target.

The target is the column named y, target, label or class (in any case), or else the
last. Where a trained model says what it expects, the width of a table decides whether
it has a target; where table and model both have names, these decide which columns are
taken and in which order, and which one is the target.
"""

import difflib
from pathlib import Path
from typing import NamedTuple

from truesparse.errors import DataError

TARGET_NAMES = ("y", "target", "label", "class")


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
