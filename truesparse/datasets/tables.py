"""Tables, .csv and .parquet: numeric features and one target column.

The target is the column named y, target, label or class (in any case), or else the
last. Text in the target column is a class label. An unnamed first column is the row
index that pandas and R write, and is left out. See columns.py for tables without a
target, which a trained model is given.

.csv is read by NumPy alone, so that a file gives the same numbers on every machine
whether pandas is installed or not: 20,000 rows x 785 columns take 1.6 s, 0.4 s with
pandas (2 cores of an AMD EPYC, 2026-11).
"""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.datasets.build import Parts, reason
from truesparse.datasets.columns import TARGET_NAMES, Columns, Expected, choose_columns
from truesparse.errors import DataError

DELIMITERS = (",", ";", "\t")


class Layout(NamedTuple):
    """What the first rows of a .csv file say about it."""

    delimiter: str
    n_skipped: int
    n_columns: int
    columns: Columns

    @property
    def left_out(self) -> set[int]:
        """Columns that need not hold numbers."""
        return set(range(self.n_columns)).difference(self.columns.features)


def read_csv(path: Path, expected: Expected | None = None) -> Parts:
    """Read comma-, semicolon- or tab-separated values with or without header.

    Parameters
    ----------
    path : Path
        Of an existing UTF-8 text file.
    expected : Expected, optional
        What a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If it is no text, has no rows, or a feature is not a number.
    """
    try:
        layout = _read_layout(path, expected)
        codes: dict[str, int] = {}
        converters: dict[int | str, Callable[[str], float]] = {
            column: lambda s: 0.0 for column in layout.left_out
        }
        features, target, names = layout.columns
        if target is not None:
            converters[target] = lambda s: codes.setdefault(s.strip(), len(codes))
        table = np.loadtxt(
            path,
            delimiter=layout.delimiter,
            skiprows=layout.n_skipped,
            converters=converters,
            comments=None,
            quotechar='"',
            encoding="utf-8-sig",
            ndmin=2,
        )
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"cannot read {path} as .csv text: {reason(error)}") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"cannot read {path}: {_find_fault(path, layout) or reason(error)}; every "
            "row needs the same columns, with numbers in all but the target"
        ) from error
    X = table[:, features]
    if target is None or (expected is not None and "" in codes):
        return Parts(X, None, feature_names=names)
    labels = _numbers_or_text(np.array(list(codes)), path)
    y = labels[table[:, target].astype(np.int64)]
    return Parts(X, y, feature_names=names)


def _numbers_or_text(labels: np.ndarray, path: Path) -> np.ndarray:
    if "" in labels:
        raise DataError(f"{path}: the target column has empty cells; drop those rows")
    try:
        return labels.astype(np.float64)
    except ValueError:
        return labels


def _find_fault(path: Path, layout: Layout) -> str:
    """Say where the first bad cell is, by line of the file as an editor counts."""
    left_out = layout.left_out
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=layout.delimiter)
            rows = (row for row in reader if any(cell.strip() for cell in row))
            first = next(rows)
            for row in rows if layout.n_skipped else itertools.chain([first], rows):
                where = f"line {reader.line_num}"
                if len(row) != len(first):
                    return f"{where} has {len(row)} columns, not {len(first)}"
                for i, cell in enumerate(row):
                    if i not in left_out and not _is_number(cell):
                        return f"{where}, column {i + 1} holds {cell!r}"
    except (csv.Error, UnicodeError):
        pass
    return ""


def _read_layout(path: Path, expected: Expected | None) -> Layout:
    with path.open(encoding="utf-8-sig", newline="") as file:
        # Blank lines, which np.loadtxt skips too.
        filled = ((n, line) for n, line in enumerate(file) if line.strip())
        number, first = next(filled, (0, ""))
        second = next(filled, (0, ""))[1]
    if "\0" in first:
        raise DataError(f"cannot read {path} as .csv text: it is a binary file")
    delimiter = max(DELIMITERS, key=first.count)
    row = next(csv.reader([first], delimiter=delimiter), [])
    cells = [cell.strip() for cell in row]
    if len(cells) < 2 and expected is None:
        raise DataError(
            f"{path} has {len(cells)} columns in its first row; a table needs a "
            "feature and a target, separated by comma, semicolon or tab"
        )
    n = len(cells)
    if not _is_header(cells):
        columns = choose_columns(None, n, path, expected=expected)
        return Layout(delimiter, 0, n, columns)
    if not second:
        raise DataError(f"{path} has a header but no rows")
    index = 0 if cells[0] == "" and n > 2 - (expected is not None) else None
    columns = choose_columns(cells, n, path, index=index, expected=expected)
    return Layout(delimiter, number + 1, n, columns)


def _is_header(cells: list[str]) -> bool:
    numeric = [cell for cell in cells if _is_number(cell)]
    if not numeric:
        return True
    # pandas names columns without names 0, 1, 2, ...
    counting = numeric == [str(i) for i in range(len(numeric))]
    named = any(cell.lower() in TARGET_NAMES for cell in cells)
    return counting and (named or len(numeric) == len(cells) > 2)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_parquet(path: Path, expected: Expected | None = None) -> Parts:
    """Read a .parquet table with pandas and pyarrow.

    Parameters
    ----------
    path : Path
        Of an existing file.
    expected : Expected, optional
        What a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If pandas or pyarrow is missing, the file is damaged, or a feature is not a
        number.
    """
    require_parquet(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except Exception as error:
        # Damaged metadata raises whatever the two libraries stumble over.
        raise DataError(f"cannot read {path} as .parquet: {reason(error)}") from error
    if frame.shape[1] < 2 and expected is None:
        raise DataError(
            f"{path} has {frame.shape[1]} columns; give a feature and a target at least"
        )
    names = [str(name) for name in frame.columns]
    chosen = choose_columns(names, len(names), path, expected=expected)
    y = None if chosen.target is None else frame.iloc[:, chosen.target]
    features = frame.iloc[:, chosen.features]
    for name, dtype in features.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            raise DataError(
                f"{path}: column {name!r} holds {dtype} values; features are numbers"
            )
    if y is not None and y.isna().any():
        if expected is None:
            raise DataError(f"{path}: the target lacks {y.isna().sum()} values")
        y = None
    if all(isinstance(dtype, np.dtype) for dtype in features.dtypes):
        X = features.to_numpy()
    else:
        X = features.to_numpy(dtype=np.float64, na_value=np.nan)
    target = None if y is None else y.to_numpy()
    return Parts(X, target, feature_names=chosen.names)


def save_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write named columns, (n,) each, as a .parquet table.

    Raises
    ------
    DataError
        If pandas or pyarrow is missing, or the file cannot be written.
    """
    require_parquet(path)
    import pandas as pd

    try:
        pd.DataFrame(columns).to_parquet(path, engine="pyarrow", index=False)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def require_parquet(path: Path) -> None:
    """Raise DataError unless pandas and pyarrow are there."""
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401 - pandas says less clearly that it is missing
    except ImportError as error:
        raise DataError(
            f"cannot use {path}: {error.name} is not installed, and .parquet needs "
            "pandas and pyarrow (pip install pandas pyarrow); or convert it to .npz"
        ) from error
