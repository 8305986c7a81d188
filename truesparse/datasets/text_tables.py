"""Text tables as columns: .csv and its relatives, compressed or not.

pandas reads where it is installed, NumPy where it is not (two to four times as slowly)
and, for what that does not take, the csv module of Python. Tests hold that all of them
give the same columns.

typed_columns.py says what a column is.
"""

import csv
import importlib.util
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from truesparse.datasets.dialect import (
    GAPS,
    Dialect,
    is_blank,
    sniff,
)
from truesparse.datasets.gather import Gatherer, MixedKindsError, rows_of_block
from truesparse.datasets.raw import first_line
from truesparse.datasets.table_options import say
from truesparse.datasets.text_files import BROKEN, encoding_of, open_text
from truesparse.datasets.typed_columns import (
    column_of,
    from_pandas,
    holds_truth,
    is_missing,
    settle_truth,
)
from truesparse.errors import DataError

_LARGEST_EXACT = 2**53


class Table(NamedTuple):
    """The columns of a table.

    Attributes
    ----------
    names : list of str or None
        Names of the columns, if the table has any.
    columns : list of ndarray, shape (n_rows,)
        See typed_columns.py.
    dialect : Dialect
    encoding : str
    """

    names: list[str] | None
    columns: list[np.ndarray]
    dialect: Dialect
    encoding: str

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])


def read_table(
    path: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    together: Callable[[list[str] | None, int], list[int]] | None = None,
) -> Table:
    """Read a text table.

    Parameters
    ----------
    path : Path
        Path of an existing file, which may end in .gz, .bz2 or .xz.
    encoding : str, optional
        UTF-8 by default, or what a byte order mark says.
    delimiter, decimal, header
        As `dialect.sniff` takes them.
    together : callable, optional
        Takes the names and the number of the columns, and returns which of them to lay
        side by side in one array, as far as they are numbers.

    Raises
    ------
    DataError
        If the file is no text table; the message names the line where there is one.
    """
    encoding = encoding or encoding_of(path)
    try:
        with open_text(path, encoding) as file:
            dialect = sniff(
                file, path, delimiter=delimiter, decimal=decimal, header=header
            )
        side_by_side = together(dialect.names, dialect.n_columns) if together else []
        has_pandas = importlib.util.find_spec("pandas") is not None
        read = _read_with_pandas if has_pandas else _read_with_python
        columns = read(path, encoding, dialect, side_by_side)
        n_rows = _count_filled(columns)
        if n_rows < len(columns[0]):
            if any(map(_may_be_inexact, columns)):
                # Whole numbers above empty cells were read as float64.
                columns = read(path, encoding, dialect, side_by_side, n_rows)
            columns = [column[:n_rows] for column in columns]
            columns = [settle_truth(c) if holds_truth(c) else c for c in columns]
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(
            f"cannot read {path} as a text table: {first_line(error)}; store the "
            "table as UTF-8 text, or name its encoding, as in "
            f"{say('encoding', 'latin-1')}"
        ) from error
    except ValueError as error:
        fault = _find_fault(path, encoding, dialect)
        raise DataError(f"cannot read {path}: {fault or error}") from error
    return Table(dialect.names, columns, dialect, encoding)


def line_of(path: Path, table: Table, row: int) -> int:
    """Return the line of the file, from 1, that a row of the table ends with."""
    rows = _rows(path, table.encoding, table.dialect)
    return next(itertools.islice(rows, row, None))[0]


def _read_with_pandas(
    path: Path,
    encoding: str,
    dialect: Dialect,
    together: list[int],
    n_rows: int | None = None,
) -> list[np.ndarray]:
    """Read columns, those `together` side by side; only `n_rows` rows if given."""
    # Blocks of rows, so that the table takes its memory once.
    block = rows_of_block(dialect.n_columns)
    try:
        return _read_blocks(path, encoding, dialect, together, n_rows, block)
    except MixedKindsError:
        # Which kind the column is of, all its cells say.
        return _read_blocks(path, encoding, dialect, together, n_rows, None)


def _read_blocks(
    path: Path,
    encoding: str,
    dialect: Dialect,
    together: list[int],
    n_rows: int | None,
    block: int | None,
) -> list[np.ndarray]:
    """Read columns by blocks of so many rows, or all in one."""
    import pandas as pd

    # The last bit of a number counts; from version 3 on it always does.
    is_old = int(pd.__version__.split(".")[0]) < 3
    exact: Any = {"float_precision": "round_trip"} if is_old else {}
    marks = {variant for mark in GAPS for variant in _spellings(mark)}
    gatherer = Gatherer(together)
    is_even = False  # once all rows are known to have as many cells
    with open_text(path, encoding) as file, warnings.catch_warnings():
        # A row with more cells than the first, which must not be cut short.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        for _ in range(dialect.n_skipped):
            file.readline()
        frames = pd.read_csv(
            file,
            sep=r"\s+" if dialect.delimiter == " " else dialect.delimiter,
            decimal=dialect.decimal,
            header=None,
            names=range(dialect.n_columns),
            index_col=False,
            na_values=sorted(marks),
            keep_default_na=False,
            skipinitialspace=True,
            **exact,
            low_memory=False,
            iterator=True,
        )
        while n_rows != 0:
            size = block if n_rows is None else min(block or n_rows, n_rows)
            try:
                frame = frames.read(size)
            except StopIteration:
                break
            columns = _columns_of(frame)
            n_read = len(frame)
            del frame
            # Short rows are filled up in silence.
            if not is_even and is_missing(columns[-1]).any():
                if _find_fault(path, encoding, dialect):
                    raise ValueError("rows differ in length")
                is_even = True
            gatherer.add(columns)
            if n_rows is not None:
                n_rows -= n_read
    return gatherer.finish()


def _columns_of(frame: Any) -> list[np.ndarray]:
    kinds = [dtype.kind for dtype in frame.dtypes]
    if not set(kinds) <= {"i", "f"}:
        return [from_pandas(frame[i]) for i in frame.columns]
    table = frame.to_numpy()  # in one go, as a wide table has thousands of columns
    columns = list(table.T)
    if table.dtype.kind == "f":
        for i, kind in enumerate(kinds):
            if kind == "i":
                columns[i] = frame[i].to_numpy()  # exact, also above 2^53
    return columns


def _spellings(mark: str) -> set[str]:
    return {mark, mark.upper(), mark.capitalize(), mark.title(), _camel(mark)}


def _camel(mark: str) -> str:
    return "NaN" if mark == "nan" else "-NaN" if mark == "-nan" else mark


def _read_with_python(
    path: Path,
    encoding: str,
    dialect: Dialect,
    together: list[int],
    n_rows: int | None = None,
) -> list[np.ndarray]:
    """Read columns, as `_read_with_pandas` does."""
    if n_rows is None:
        try:
            return _read_with_numpy(path, encoding, dialect, together)
        except ValueError:
            pass  # a column changes its kind below the first rows, or a row its length
    rows = [row for _, row in _rows(path, encoding, dialect)]
    if any(len(row) != dialect.n_columns for row in rows):
        raise ValueError("rows differ in length")
    gatherer = Gatherer(together)
    gatherer.add(
        [
            column_of([cell.strip() for cell in column], dialect.decimal)
            for column in zip(*rows[:n_rows], strict=True)
        ]
    )
    return gatherer.finish()


def _read_with_numpy(
    path: Path, encoding: str, dialect: Dialect, together: list[int]
) -> list[np.ndarray]:
    """Read a table most of whose columns are numbers: a fifth of the time and memory.

    Raises
    ------
    ValueError
        Where np.loadtxt and the csv module may read different things.
    """
    if dialect.decimal != "." or dialect.delimiter == " ":
        raise ValueError("a decimal comma, or runs of spaces")
    # Other columns are read as numbers of their distinct texts.
    texts: dict[int, dict[str, int]] = {
        i: {} for i, kinds in enumerate(dialect.kinds) if kinds - {"whole", "real"}
    }
    converters: Any = {i: _numbering(numbers) for i, numbers in texts.items()}
    with open_text(path, encoding) as file:
        lines = itertools.islice(file, dialect.n_skipped, None)
        table = np.loadtxt(
            lines,
            delimiter=dialect.delimiter,
            converters=converters or None,
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    if table.shape[1] != dialect.n_columns:
        raise ValueError("the number of columns is another one")
    gatherer = Gatherer(together)
    block = rows_of_block(dialect.n_columns)
    # A column of whole numbers is so in all blocks.
    is_whole = [
        kinds == {"whole"} and bool((column == np.floor(column)).all())
        for kinds, column in zip(dialect.kinds, table.T, strict=True)
    ]
    values = {i: column_of(list(numbers)) for i, numbers in texts.items()}
    for start in range(0, len(table), block):
        columns = list(table[start : start + block].T)
        for i, column in enumerate(columns):
            if i in texts:
                columns[i] = values[i][column.astype(np.intp)]
            elif is_whole[i]:
                if np.abs(column).max() >= _LARGEST_EXACT:
                    raise ValueError("whole numbers that float64 does not hold")
                columns[i] = column.astype(np.int64)
        gatherer.add(columns)
    return gatherer.finish()


def _numbering(numbers: dict[str, int]) -> Callable[[str], float]:
    """Return a function that numbers distinct texts as they come."""

    def number(text: str) -> float:
        if '"' in text:
            raise ValueError("quotes within a cell")
        return numbers.setdefault(text.strip(), len(numbers))

    return number


def _count_filled(columns: list[np.ndarray]) -> int:
    """Count the rows before the empty ones with which spreadsheets end."""
    n_rows = len(columns[0])
    filled = np.zeros(n_rows, bool)
    for column in columns:
        filled |= ~is_missing(column)
        if n_rows == 0 or filled[-1]:
            return n_rows
    return int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0


def _may_be_inexact(column: np.ndarray) -> bool:
    return column.dtype.kind == "f" and bool((np.abs(column) >= _LARGEST_EXACT).any())


def _rows(
    path: Path, encoding: str, dialect: Dialect
) -> Iterator[tuple[int, list[str]]]:
    """Yield line number, as an editor counts, and cells of each row of data."""
    with open_text(path, encoding) as file:
        lines: Iterator[str] = itertools.islice(file, dialect.n_skipped, None)
        if dialect.delimiter == " ":
            lines = (line.strip().replace("\t", " ") for line in lines)
        reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=True)
        for cells in reader:
            if not is_blank(cells):
                yield dialect.n_skipped + reader.line_num, cells


def _find_fault(path: Path, encoding: str, dialect: Dialect) -> str:
    """Return which row has another number of cells than the first; "" if none has."""
    try:
        for line, cells in _rows(path, encoding, dialect):
            if len(cells) != dialect.n_columns:
                return (
                    f"line {line} has {len(cells)} cells, the first row "
                    f"{dialect.n_columns}; every row needs a cell for each column, and "
                    "text that contains the delimiter needs quotes"
                )
    except csv.Error as error:
        return str(error)
    return ""
