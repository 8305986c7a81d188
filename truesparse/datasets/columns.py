"""Which columns of a table are features and which one is the target.

Where a model says what it expects, the width of a table decides whether it has a
target, and names, where both have them, which columns are taken and in which order.
"""

import difflib
from pathlib import Path
from typing import NamedTuple

from truesparse.errors import DataError

TARGET_NAMES = ("y", "target", "label", "class")


class Expected(NamedTuple):
    """What the rows must look like that a trained model is given.

    `feature_names` are those of the training data if they had any, and `first_index`
    is what their SVMlight file called the first feature, 0 or 1.
    """

    n_features: int
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None


class Columns(NamedTuple):
    """Column numbers of the features, in order, and of the target if there is one."""

    features: list[int]
    target: int | None
    names: tuple[str, ...] | None


def find_target(columns: list[str], path: Path) -> int:
    """Return the number of the target column.

    Raises
    ------
    DataError
        If several columns have the name of a target.
    """
    found = [i for i, name in enumerate(columns) if name.lower() in TARGET_NAMES]
    if len(found) > 1:
        names = ", ".join(repr(columns[i]) for i in found)
        raise DataError(
            f"{path} has {len(found)} columns that could be the target: {names}; "
            "rename or remove all but one"
        )
    return found[0] if found else len(columns) - 1


def choose_columns(
    names: list[str] | None,
    n_columns: int,
    path: Path,
    *,
    index: int | None = None,
    expected: Expected | None = None,
) -> Columns:
    """Tell features from the target.

    Parameters
    ----------
    names : list of str or None
        Of all columns, if the table has a header.
    n_columns : int
    path : Path
        Of the table, for messages.
    index : int, optional
        A column that numbers the rows.
    expected : Expected, optional
        What a model takes; without it there is a target.

    Raises
    ------
    DataError
        If columns lack that the model takes, or the target is not clear.
    """
    if expected is None:
        last = n_columns - 1 if names is None else find_target(names, path)
        features = [i for i in range(n_columns) if i not in (last, index)]
        return Columns(features, last, _unique_names(names, features))
    there = [i for i in range(n_columns) if i != index]
    if expected.feature_names is not None and _unique_names(names, there):
        assert names is not None
        return _by_name(names, expected.feature_names, there, path)
    more = len(there) - expected.n_features
    if more not in (0, 1):
        raise DataError(
            f"{path} has {len(there)} columns; the model takes "
            f"{expected.n_features} features, and one column more for a target"
        )
    target: int | None = None
    if more:
        target = n_columns - 1 if names is None else find_target(names, path)
    return Columns([i for i in there if i != target], target, None)


def _unique_names(names: list[str] | None, chosen: list[int]) -> tuple[str, ...] | None:
    """Return names that tell columns apart, or None."""
    if names is None:
        return None
    found = tuple(names[i] for i in chosen)
    return found if len(set(found)) == len(found) and all(found) else None


def _by_name(
    names: list[str], wanted: tuple[str, ...], there: list[int], path: Path
) -> Columns:
    place = {names[i]: i for i in there}
    missing = [name for name in wanted if name not in place]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if missing[5:] else "")
        close = difflib.get_close_matches(missing[0], place, n=1)
        hint = f"; it has {close[0]!r}" if close else ""
        raise DataError(
            f"{path} lacks {len(missing)} of the {len(wanted)} columns that the model "
            f"was trained on: {shown}{hint}"
        )
    features = [place[name] for name in wanted]
    taken = set(features)
    rest = [i for i in there if i not in taken]
    named = [i for i in rest if names[i].lower() in TARGET_NAMES]
    target = None
    if len(named) == 1:
        target = named[0]
    elif not named and rest and rest[-1] == len(names) - 1:
        # The last column is the target where none is called so.
        target = rest[-1]
    return Columns(features, target, wanted)
