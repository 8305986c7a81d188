"""Which columns of a table a trained model takes, and which one is the target.

Names decide if the table and the model's training data both have them. Otherwise
columns have the places that they had in the training data, and the width of the table
says which of those are there: all, or the features alone, with the target if no other
column was left out in training.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from truesparse.datasets.columns import (
    Columns,
    find_stated,
    find_target,
    label_of,
    named_targets,
)
from truesparse.datasets.encoding import TableEncoding
from truesparse.datasets.raw import TableLayout
from truesparse.datasets.table_options import TableOptions, say
from truesparse.errors import DataError, UsageError

_SHOWN = 5  # names in a message


class Expected(NamedTuple):
    """What rows for a trained model must look like.

    `feature_names`, `target_name`, `encoding` and `layout` are those of the training
    data if these had any, see `Preprocessing`, and `first_index` is the number of the
    first feature in their SVMlight file, 0 or 1.
    """

    n_features: int
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None
    target_name: str | None = None
    encoding: TableEncoding | None = None
    layout: TableLayout | None = None

    @property
    def n_columns(self) -> int:
        """Number of columns that become the features."""
        return self.n_features if self.encoding is None else len(self.encoding.columns)

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of these columns, if they tell them apart."""
        if self.encoding is None:
            return self.feature_names
        return self.encoding.column_names


def choose_for_model(
    names: list[str] | None,
    n_columns: int,
    path: Path,
    options: TableOptions,
    expected: Expected,
) -> Columns:
    """Find the columns that a model takes, and the target if it is there.

    Parameters are those of `choose_columns`.

    Raises
    ------
    DataError
        If columns are missing that the model takes, or it is not clear which they are.
    UsageError
        If an option names a column that the table lacks.
    """
    out, target = find_stated(names, n_columns, path, options, n_least=1)
    present = [i for i in range(n_columns) if i not in out]
    if expected.column_names is not None and names is not None:
        return _by_name(names, expected, present, target, path)
    if target is not None:
        features = [i for i in present if i != target]
        if len(features) != expected.n_columns:
            raise DataError(
                f"{path} has {len(features)} columns besides the target, but the model "
                f"takes {expected.n_columns}; leave others out with drop (--drop)"
            )
        return Columns(features, target, None)
    layout = expected.layout
    if layout is not None:
        if options.drop or options.index is not None:
            gone = _left_out_by_caller(layout, out, n_columns, expected.n_columns)
        else:
            gone = out.intersection(layout.left_out)
        layout = _without(layout, gone)
    return _by_place(names, expected, present, layout, path)


def _left_out_by_caller(
    layout: TableLayout, out: set[int], n_given: int, n_columns: int
) -> set[int]:
    """Return which columns left out in training a caller has left out again.

    Parameters
    ----------
    layout : TableLayout
    out : set of int
        Places in the table of what the caller leaves out.
    n_given, n_columns : int
        Columns of the table, and those that the model takes.
    """
    n_all = n_columns + len(layout.left_out) + 1
    if n_given == n_all:
        return out.intersection(layout.left_out)
    if n_given == n_all - 1:
        # All but the target.
        places = {place + (place >= layout.target) for place in out}
        return places.intersection(layout.left_out)
    return set(layout.left_out[: len(out)])


def require_names(
    wanted: Sequence[str],
    counts: Mapping[str, int],
    source: str,
    kind: str = "columns",
) -> None:
    """Raise DataError unless a source has each column that a model takes, once.

    Parameters
    ----------
    wanted : sequence of str
        Names of the columns that the model takes.
    counts : mapping of str to int
        How often each name stands in the source.
    source, kind : str
        What messages call the source and its columns.

    Examples
    --------
    >>> from truesparse.datasets.model_columns import require_names
    >>> require_names(["size", "colour"], {"size": 1, "color": 1}, "new.csv")
    Traceback (most recent call last):
      ...
    truesparse.errors.DataError: new.csv lacks 1 of the 2 columns that the model was \
trained on: 'colour' (it has 'color'); add or rename them
    """
    missing = [name for name in wanted if name not in counts]
    if missing:
        shown = ", ".join(map(repr, missing[:_SHOWN]))
        shown += ", ..." if missing[_SHOWN:] else ""
        others = set(counts).difference(wanted)
        close = difflib.get_close_matches(missing[0], sorted(others), n=1)
        hint = f" (it has {close[0]!r})" if close else ""
        raise DataError(
            f"{source} lacks {len(missing)} of the {len(wanted)} {kind} that the model "
            f"was trained on: {shown}{hint}; add or rename them"
        )
    twice = next((name for name in wanted if counts[name] > 1), None)
    if twice is not None:
        raise DataError(
            f"{source} has {counts[twice]} {kind} named {twice!r}, which the model "
            "takes; rename or remove all but one"
        )


def _by_name(
    names: list[str],
    expected: Expected,
    present: list[int],
    target: int | None,
    path: Path,
) -> Columns:
    wanted = expected.column_names or ()
    place = {names[i]: i for i in present}
    counts = Counter(names[i] for i in present)
    require_names(wanted, counts, str(path))
    features = [place[name] for name in wanted]
    if target is None and expected.target_name is not None:
        # Without a column of that name there is no target: a guess would be scored.
        target = place.get(expected.target_name)
        if counts[expected.target_name] > 1:
            raise DataError(
                f"{path} has {counts[expected.target_name]} columns named "
                f"{expected.target_name!r}, which was the target in training; say "
                "which one is, by its number, with target (--target), or leave out "
                "all but one with drop (--drop)"
            )
    elif target is None:
        named = named_targets(names, set(present).difference(features))
        target = named[0] if len(named) == 1 else None
    if target in features:
        raise UsageError(
            f"the target {names[target]!r} is a feature of the model; choose another"
        )
    return Columns(features, target, wanted)


def _by_place(
    names: list[str] | None,
    expected: Expected,
    present: list[int],
    layout: TableLayout | None,
    path: Path,
) -> Columns:
    """Choose columns by the width of the table."""
    n_columns, n_given = expected.n_columns, len(present)
    left_out = () if layout is None else layout.left_out
    if n_given == n_columns:
        return Columns(present, None, None)
    if not left_out and n_given == n_columns + 1:
        return _with_target(names, present, layout, path)
    n_all = n_columns + len(left_out) + 1
    if layout is not None and n_given == n_all:
        out = {layout.target, *left_out}
        features = [place for i, place in enumerate(present) if i not in out]
        return Columns(features, present[layout.target], None)
    start = f"{path} has {n_given} columns, but the model takes {n_columns} features"
    if left_out:
        # With only some of the others, the width does not tell which.
        raise DataError(
            f"{start} out of {n_all} columns; give all of these, or say which ones to "
            f"leave out, as in {say('drop', left_out[0] + 1)}, and if there is one the "
            "target (--target)"
        )
    raise DataError(
        f"{start}; give as many columns, or one more for the target, and leave others "
        "out with drop (--drop)"
    )


def _with_target(
    names: list[str] | None,
    present: list[int],
    layout: TableLayout | None,
    path: Path,
) -> Columns:
    """Separate the features from the one column more, the target."""
    named = named_targets(names, present)
    target = find_target(names, present, path)
    if layout is not None:
        target = present[_without(layout, layout.left_out).target]
        if named and named[0] != target:
            raise DataError(
                f"{path}: the target was column {layout.target + 1} in training, but "
                f"column {label_of(names, named[0])} has the name of one; say which, "
                f"as in {say('target', named[0] + 1)}"
            )
    return Columns([i for i in present if i != target], target, None)


def _without(layout: TableLayout, gone: Collection[int]) -> TableLayout:
    """Return the layout of the table without some of the columns left out."""

    def place(number: int) -> int:
        return number - sum(other < number for other in gone)

    left_out = tuple(place(i) for i in layout.left_out if i not in gone)
    return TableLayout(place(layout.target), left_out)
