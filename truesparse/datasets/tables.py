"""From the columns of a table, in whatever format it was, to features and a target.

    column of          as a feature                      as the target
    numbers            itself                            labels or values
    true and false     0 or 1                            two classes
    text               categories, see encoding.py       labels
    dates              refused, as they are no number and no category

A column of text that holds only numbers is one of numbers, as in a text table. Text
that stands among many different numbers is more likely an error than a category, and is
refused with its line.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.datasets.columns import (
    Columns,
    check_n_columns,
    choose_columns,
    explain_target,
    find_name,
    label_of,
    warn_of_columns,
    warn_of_target,
)
from truesparse.datasets.dialect import WORDS_FOR_NOTHING, is_number
from truesparse.datasets.encoded_rows import stack
from truesparse.datasets.encoding import shorten
from truesparse.datasets.feature_columns import FILLS, FeatureColumns
from truesparse.datasets.model_columns import Expected, choose_for_model
from truesparse.datasets.notations import is_amount, is_date
from truesparse.datasets.raw import RawData, TableLayout
from truesparse.datasets.table_options import TableOptions, say
from truesparse.datasets.targets import MAX_RARE_CLASSES
from truesparse.datasets.typed_columns import (
    holds_truth,
    is_missing,
    truth_as_numbers,
)
from truesparse.errors import DataError

_SHOWN = 60  # characters of a cell in a message
# Whole numbers up to this size are float64, which holds a column with gaps.
_LARGEST_EXACT = 2**53


class ReadTable(NamedTuple):
    """A table as a reader returns it.

    Attributes
    ----------
    path : Path
    names : list of str or None
        Names of all columns, if the table has any; ``""`` for row names without one.
    columns : list of ndarray, shape (n_rows,)
        As typed_columns.py has them, or dates (datetime64 or timedelta64), of which a
        missing one is NaT.
    line_of : callable or None
        Returns the line of the file that a row, from 0, ends with.
    decimal : str
        Decimal sign of numbers in the text.
    separation : str
        End of the message about too few columns: what separates them.
    """

    path: Path
    names: list[str] | None
    columns: list[np.ndarray]
    line_of: Callable[[int], int] | None = None
    decimal: str = "."
    separation: str = ""

    def locate(self, row: int) -> str:
        """Return what messages call a row: its line, or its number from 1."""
        return f"row {row + 1}" if self.line_of is None else f"line {self.line_of(row)}"

    def stated(self, number: int) -> str | int:
        """Return how an option states a column."""
        return (self.names and self.names[number]) or number + 1


def take_columns(
    table: ReadTable, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Separate features and target of a table.

    Parameters
    ----------
    table : ReadTable
    options : TableOptions
    expected : Expected, optional
        Columns that a model takes: the target may then be absent, and features are
        encoded as in training.

    Returns
    -------
    RawData
        Its X_train is an array, or `FeatureColumns` that are still to be encoded.

    Raises
    ------
    DataError
        If the columns do not suit, or hold what is refused.
    UsageError
        If an option names a column that the table lacks.
    """
    if table.columns and not len(table.columns[0]):
        raise DataError(f"{table.path} holds no rows; give at least one")
    if expected is not None:
        return _take_for_model(table, options, expected)
    n_columns = len(table.columns)
    check_n_columns(n_columns, table.path, table.separation)
    chosen = choose_columns(table.names, n_columns, table.path, options)
    assert chosen.target is not None
    table, dropped = _without_gaps(table, chosen, options)
    _refuse_dates(table, chosen)
    for number in chosen.features:
        _check_text(table, number, options)
    raw = RawData(
        _features(table, chosen, options),
        _target(table, chosen.target),
        feature_names=chosen.names,
        target_name=find_name(table.names, chosen.target),
        layout=TableLayout(chosen.target, chosen.left_out),
        target_choice=explain_target(table.names, chosen.target, options),
    )
    raw.left_out = [_label_left_out(table, number) for number in chosen.left_out]
    raw.warnings = dropped + warn_of_columns(table.names, chosen, table.columns)
    if options.target is None:
        raw.warnings += warn_of_target(table.names, chosen, table.columns)
    return raw


def _label_left_out(table: ReadTable, number: int) -> str:
    has_no_name = table.names is not None and not table.names[number]
    return f"{number + 1} (row names)" if has_no_name else label_of(table.names, number)


def _take_for_model(
    table: ReadTable, options: TableOptions, expected: Expected
) -> RawData:
    names, n_columns = table.names, len(table.columns)
    chosen = choose_for_model(names, n_columns, table.path, options, expected)
    _refuse_dates(table, chosen._replace(target=None))
    columns = [table.columns[number] for number in chosen.features]
    encoding = expected.encoding
    wants_text = [False] * len(columns)
    if encoding is not None:
        wants_text = [how.categories is not None for how in encoding.columns]
    columns = [
        column if is_text else _as_numbers(_without_words(column), table.decimal)
        for column, is_text in zip(columns, wants_text, strict=True)
    ]
    if encoding is None:
        for number, column in zip(chosen.features, columns, strict=True):
            _check_numbers(table, number, column)
        X = stack(columns)
    else:
        try:
            X = encoding.transform(columns, table.locate)
        except DataError as error:
            raise DataError(f"{table.path}: {error}") from error
    raw = RawData(X, None, target_name=find_name(names, chosen.target))
    if chosen.target is not None:
        gaps = is_missing(table.columns[chosen.target])
        if gaps.any() and not gaps.all():
            raw.warnings.append(
                f"{gaps.sum()} rows lack a target, the first in "
                f"{table.locate(int(gaps.argmax()))}, so that there is no score"
            )
        elif not gaps.any():
            raw.y_train = _target(table, chosen.target)
    return raw


def _without_gaps(
    table: ReadTable, chosen: Columns, options: TableOptions
) -> tuple[ReadTable, list[str]]:
    """Leave out rows that lack a value, or refuse them, as the caller says.

    Returns the table, and a warning if rows were left out.
    """
    assert chosen.target is not None
    target = is_missing(table.columns[chosen.target])
    if target.any() and "drop" not in (options.missing, options.missing_target):
        lacking = [is_missing(table.columns[number]) for number in chosen.features]
        n_gone = int(np.any([target, *lacking], axis=0).sum())
        raise DataError(
            f"{table.path}: the target column has {target.sum()} empty cells, the "
            f"first in {table.locate(int(target.argmax()))}; leave out these rows with "
            f"{say('missing_target', 'drop')}, or all rows that lack a value ({n_gone} "
            f"of {len(target)}) with {say('missing', 'drop')}, or, as the target is "
            f"{explain_target(table.names, chosen.target, options)}, name another with "
            "target (--target)"
        )
    gaps_of = {}
    for number in chosen.features if options.missing not in FILLS else ():
        gaps = is_missing(table.columns[number]) & ~target
        if gaps.any():
            gaps_of[number] = gaps
    if gaps_of and options.missing == "error":
        raise DataError(_describe_gaps(table, gaps_of))
    gone = np.any([target, *gaps_of.values()], axis=0)
    if not gone.any():
        return table, []
    if gone.all():
        raise DataError(
            f"{table.path}: every row lacks a value; leave out the columns that do "
            "with drop (--drop)"
        )
    column = table.columns[chosen.target]
    is_float = column.dtype.kind == "f"
    if target.any() and is_float and np.nanmax(np.abs(column)) > _LARGEST_EXACT:
        raise DataError(
            f"{table.path}: the target column has empty cells beside numbers above "
            "2^53, which may not be exact then; remove those rows from the file"
        )
    rows = np.flatnonzero(~gone)
    line_of = table.line_of
    left = table._replace(
        columns=[column[rows] for column in table.columns],
        line_of=None if line_of is None else lambda row: line_of(int(rows[row])),
    )
    what = "value" if options.missing == "drop" else "target"
    return left, [
        f"{gone.sum()} of {len(gone)} rows lack a {what} and are left out, as you say"
    ]


def _describe_gaps(table: ReadTable, gaps_of: dict[int, np.ndarray]) -> str:
    """Return the message that refuses features with gaps."""
    first, *others = gaps_of
    row = int(gaps_of[first].argmax())
    n_rows = int(np.any(list(gaps_of.values()), axis=0).sum())
    labels = [label_of(table.names, number) for number in others]
    also = f", and neither do cells of {shorten(labels)}" if others else ""
    return (
        f"cannot read {table.path}: {table.locate(row)}, column {first + 1} holds no "
        f"value{also} ({n_rows} rows in all); fill gaps with "
        f"{say('missing', 'mean')}, median or most_frequent, leave out their rows with "
        f"{say('missing', 'drop')}, or columns, as in "
        f"{say('drop', table.stated(first))}"
    )


def _refuse_dates(table: ReadTable, chosen: Columns) -> None:
    target = [] if chosen.target is None else [chosen.target]
    for number in chosen.features + target:
        column = table.columns[number]
        if column.dtype.kind in "mM":
            example = str(column[0])
        elif _is_text(column):
            present = [value for value in _without_words(column) if value is not None]
            if not present or not all(map(is_date, set(present))):
                continue
            example = present[0]
        else:
            continue
        advice = f"leave it out with {say('drop', table.stated(number))}"
        if number == chosen.target:
            advice = (
                "choose another target with target (--target) and leave this column "
                f"out with {say('drop', table.stated(number))}"
            )
        raise DataError(
            f"{table.path}: column {label_of(table.names, number)} holds dates or "
            f"times such as {example[:_SHOWN]!r}, which are neither numbers nor "
            f"categories; make numbers of them (days, weekday, month), or {advice}"
        )


def _check_text(table: ReadTable, number: int, options: TableOptions) -> None:
    """Refuse text in a feature where it is unwanted, or looks like an error."""
    column = table.columns[number]
    if not _is_text(column) or options.categorical in ("onehot", "ordinal"):
        return
    values, counts = np.unique(column[~is_missing(column)], return_counts=True)
    is_text = np.array([not is_number(value, table.decimal) for value in values], bool)
    n_numbers = len(values) - int(is_text.sum())
    texts = set(values[is_text])
    amounts = {text for text in texts if text.lower() not in WORDS_FOR_NOTHING}
    are_amounts = bool(amounts) and all(map(is_amount, amounts))
    if options.categorical == "auto" and not are_amounts:
        is_rare = bool((counts[is_text] == 1).any())
        if not n_numbers or not (n_numbers > MAX_RARE_CLASSES or is_rare):
            return
    if not texts:
        return
    shown = amounts if are_amounts else texts
    row = next(row for row, cell in enumerate(column) if cell in shown)
    among = f" among {n_numbers} different numbers" if n_numbers else ""
    if are_amounts:
        among += ", a number in a notation that is not read"
    mend = "mend the cell, or empty it if the value is missing, " if among else ""
    raise DataError(
        f"cannot read {table.path}: {table.locate(row)}, column {number + 1} holds "
        f"{column[row][:_SHOWN]!r}{among}; {mend}make categories of the column "
        f"with {say('categorical', 'onehot')} or ordinal, or leave it out with "
        f"{say('drop', table.stated(number))}"
    )


def _without_words(column: np.ndarray) -> np.ndarray:
    """Return a column of text without words such as "none", which are no text here."""
    if column.dtype != object:
        return column
    left = column.copy()
    left[[str(value).lower() in WORDS_FOR_NOTHING for value in column]] = None
    return left


def _as_numbers(column: np.ndarray, decimal: str) -> np.ndarray:
    """Return text that holds only numbers as float64, and so truth values with gaps."""
    if not _is_text(column):
        return truth_as_numbers(column)
    gaps = is_missing(column)
    cells = column[~gaps]
    if not all(is_number(cell, decimal) for cell in cells):
        return column
    numbers = np.full(len(column), np.nan)
    numbers[~gaps] = [float(cell.replace(decimal, ".")) for cell in cells]
    return numbers


def _check_numbers(table: ReadTable, number: int, column: np.ndarray) -> None:
    """Refuse a column that is not all numbers, though the model was trained on such."""
    bad = is_missing(column)
    if column.dtype == object:
        bad |= [not is_number(cell or "", table.decimal) for cell in column]
    elif column.dtype.kind not in "biuf":
        bad[:] = True
    if bad.any():
        row = int(bad.argmax())
        cell = None if column.dtype.kind == "f" else column[row]
        what = "holds no value" if cell is None else f"holds {str(cell)[:_SHOWN]!r}"
        raise DataError(
            f"cannot read {table.path}: {table.locate(row)}, column {number + 1} "
            f"{what}; the model takes a number there"
        )


def _features(
    table: ReadTable, chosen: Columns, options: TableOptions
) -> np.ndarray | FeatureColumns:
    columns = [
        _as_numbers(table.columns[number], table.decimal) for number in chosen.features
    ]
    is_plain = all(column.dtype != object for column in columns)
    if is_plain and options.missing not in FILLS:
        return stack(columns)
    names = chosen.names or [str(table.stated(number)) for number in chosen.features]
    has_names = chosen.names is not None
    how = options.missing, options.categorical
    return FeatureColumns(columns, list(names), has_names, *how)


def _target(table: ReadTable, number: int) -> np.ndarray:
    column = table.columns[number]
    if holds_truth(column):
        return column.astype(bool)
    return column.astype(str) if column.dtype == object else column


def _is_text(column: np.ndarray) -> bool:
    return column.dtype == object and not holds_truth(column)
