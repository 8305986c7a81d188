"""Tables in .csv text: numeric features, and one target column of numbers or text.

See columns.py for which column is the target. An unnamed first column is the row index
that pandas and R write, and is left out. Text in the target column is a class label;
`classes.encode_labels` numbers these later.

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

from truesparse.datasets.columns import (
    TARGET_NAMES,
    Columns,
    Expected,
    check_n_columns,
    choose_columns,
)
from truesparse.datasets.raw import RawData, first_line
from truesparse.errors import DataError

DELIMITERS = (",", ";", "\t")


class Layout(NamedTuple):
    """Layout of a .csv file, judged by its first two rows."""

    delimiter: str
    n_skipped: int
    n_columns: int
    columns: Columns

    @property
    def left_out(self) -> set[int]:
        """Columns that need not hold numbers."""
        return set(range(self.n_columns)).difference(self.columns.features)


def read_csv(path: Path, expected: Expected | None = None) -> RawData:
    """Read comma-, semicolon- or tab-separated values with or without header.

    Parameters
    ----------
    path : Path
        An existing UTF-8 text file.
    expected : Expected, optional
        Columns that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If the file is not text, has no rows, or a feature is not a number.
    """
    try:
        layout = _read_layout(path, expected)
        features, target, names = layout.columns
        converters: dict[int | str, Callable[[str], float]] = {
            column: lambda s: 0.0 for column in layout.left_out
        }
        # The target's distinct texts, numbered as they come.
        numbers: dict[str, int] = {}
        if target is not None:
            converters[target] = lambda s: numbers.setdefault(s.strip(), len(numbers))
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
        raise DataError(
            f"cannot read {path} as .csv text: {first_line(error)}; store the table as "
            "UTF-8 text"
        ) from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"cannot read {path}: {_find_fault(path, layout) or first_line(error)}; "
            "give every row the same columns, with a number in each but the target"
        ) from error
    X = table[:, features]
    if target is None or (expected is not None and "" in numbers):
        return RawData(X, None, feature_names=names)
    labels = _target_labels(list(numbers), path)
    y = labels[table[:, target].astype(np.int64)]
    return RawData(X, y, feature_names=names)


def _target_labels(texts: list[str], path: Path) -> np.ndarray:
    """Return the distinct texts of a target column as numbers if all are numbers."""
    if "" in texts:
        raise DataError(f"{path}: the target column has empty cells; drop those rows")
    labels = np.array(texts)
    try:
        return labels.astype(np.float64)
    except ValueError:
        return labels


def _find_fault(path: Path, layout: Layout) -> str:
    """Return where the first bad cell is, by line of the file as an editor counts."""
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
                        value = repr(cell) if cell else "nothing"
                        return f"{where}, column {i + 1} holds {value}"
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
        raise DataError(
            f"cannot read {path} as .csv text: it is a binary file; give a text file, "
            "or one with the ending of its format"
        )
    delimiter = max(DELIMITERS, key=first.count)
    row = next(csv.reader([first], delimiter=delimiter), [])
    cells = [cell.strip() for cell in row]
    n = len(cells)
    if expected is None:
        check_n_columns(n, path, ", separated by comma, semicolon or tab")
    if not _is_header(cells):
        columns = choose_columns(None, n, path, expected=expected)
        return Layout(delimiter, 0, n, columns)
    if not second:
        raise DataError(f"{path} has a header but no rows; give at least two rows")
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
