"""Tables in text: numeric features, and one target column of numbers or text.

See columns.py for which column is the target. An unnamed first column is the row index
that pandas and R write, and is left out. Text in the target column is a class label;
`classes.encode_labels` numbers these later.
"""

from pathlib import Path

import numpy as np

from truesparse.datasets.columns import (
    Columns,
    Expected,
    check_n_columns,
    choose_columns,
    explain_target,
    find_name,
    warn_of_columns,
)
from truesparse.datasets.dialect import kind_of
from truesparse.datasets.raw import RawData
from truesparse.datasets.text_tables import Table, is_missing, line_of, read_table
from truesparse.errors import DataError

_SHOWN = 60  # characters of a cell in a message


def read_csv(path: Path, expected: Expected | None = None) -> RawData:
    """Read a text table with or without header, see text_tables.py.

    Parameters
    ----------
    path : Path
        An existing text file.
    expected : Expected, optional
        Columns that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If the file is no table, a feature is not a number, or a target is missing.
    """
    table = read_table(path)
    names, n_columns = table.names, len(table.columns)
    if expected is None:
        check_n_columns(n_columns, path, ", separated by comma, semicolon or tab")
    is_wide = n_columns > 2 - (expected is not None)
    index = 0 if names is not None and names[0] == "" and is_wide else None
    chosen = choose_columns(names, n_columns, path, index=index, expected=expected)
    X = _features(table, chosen, path)
    y = None if chosen.target is None else _target(table, chosen.target, path, expected)
    raw = RawData(X, y, feature_names=chosen.names)
    raw.target_name = find_name(names, chosen.target)
    if expected is None:
        raw.target_choice = explain_target(names, chosen)
        raw.warnings = warn_of_columns(names, chosen, table.columns)
    return raw


def _features(table: Table, chosen: Columns, path: Path) -> np.ndarray:
    """Return the feature columns as (n_rows, n_features) float64."""
    X = np.empty((table.n_rows, len(chosen.features)))
    for place, number in enumerate(chosen.features):
        column = table.columns[number]
        if column.dtype == object:
            kinds = [kind_of(cell or "", table.dialect.decimal) for cell in column]
            bad = np.array([kind not in ("whole", "real") for kind in kinds])
        else:
            bad = is_missing(column)
        if bad.any():
            row = int(bad.argmax())
            cell = column[row] if column.dtype == object else None
            what = "holds no value" if cell is None else f"holds {cell[:_SHOWN]!r}"
            raise DataError(
                f"cannot read {path}: line {line_of(path, table, row)}, column "
                f"{number + 1} {what}; give a number in every column but the target"
            )
        X[:, place] = column
    return X


def _target(
    table: Table, number: int, path: Path, expected: Expected | None
) -> np.ndarray | None:
    """Return the target column; None where rows for a model have no full one."""
    column = table.columns[number]
    missing = is_missing(column)
    if missing.any():
        if expected is not None:
            return None
        line = line_of(path, table, int(missing.argmax()))
        raise DataError(
            f"{path}: the target column has {missing.sum()} empty cells, the first in "
            f"line {line}; drop those rows"
        )
    return column.astype(str) if column.dtype == object else column
