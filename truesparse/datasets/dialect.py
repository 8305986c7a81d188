"""How a text table is written: its delimiter, decimal sign, header and row names.

All are read off the first rows; what the caller states wins. Nothing is guessed where
two readings make sense: the file is refused, with what would make it clear.

A cell is missing, whole (``3``), real (``3.5``), a truth value or text. The first row
is a header where a cell is text above numbers, which no row of data can be.
"""

import csv
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from truesparse.datasets.table_options import say
from truesparse.errors import DataError

DELIMITERS = (",", ";", "\t", "|", " ")
# What stands for a value that is not there: pandas' list, and that of UCI and Weka.
GAPS = frozenset(("", "na", "n/a", "nan", "-nan", "null", "?", "#n/a", "<na>"))
# What does so among numbers and truth values; among text it is a value, as in "none",
# "some", "marked".
WORDS_FOR_NOTHING = frozenset(("none", "nil"))
MISSING = GAPS | WORDS_FOR_NOTHING
TRUTH = {"true": True, "false": False}

_SAMPLE_ROWS = 1000
_SAMPLE_CHARACTERS = 1 << 19
_ENOUGH_ROWS = 10  # to see what is unlike them
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_WHOLE = re.compile(r"[+-]?\d+$")
_SPECIAL = frozenset(("inf", "infinity", "+inf", "-inf", "+infinity", "-infinity"))
_SEPARATOR_LINE = re.compile(r"sep=(.)\s*$", re.IGNORECASE)


class Dialect(NamedTuple):
    """How to cut a text table into cells, and what its columns are called.

    Attributes
    ----------
    delimiter : str
        A space stands for any run of spaces and tabs.
    decimal : str
        ``"."`` or ``","``.
    n_skipped : int
        Lines before the first row of data.
    names : list of str or None
        Names of all columns; ``""`` for row names without one. None without header.
    n_columns : int
    has_row_names : bool
        Whether the first column holds names of rows that the header leaves out, as R
        writes them.
    kinds : tuple of set of str
        Kinds of the cells of each column among the first rows, see `kind_of`.
    """

    delimiter: str
    decimal: str
    n_skipped: int
    names: list[str] | None
    n_columns: int
    has_row_names: bool
    kinds: tuple[set[str], ...]


def sniff(
    lines: Iterable[str],
    path: Path,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
) -> Dialect:
    """Return the dialect of a table.

    Parameters
    ----------
    lines : iterable of str
        The file from its beginning, with line ends; only the first are read.
    path : Path
        Path of the file, for messages.
    delimiter, decimal : str, optional
        Given by the caller.
    header : bool, optional
        Whether the first row holds names.

    Raises
    ------
    DataError
        If the file holds no rows, rows of different lengths, or a first row that may
        be a header as well as data.

    Examples
    --------
    >>> from pathlib import Path
    >>> from truesparse.datasets.dialect import sniff
    >>> rows = ["width;kind", "1,5;a", "2,5;b"]
    >>> found = sniff(rows, Path("small.csv"))
    >>> found.delimiter, found.decimal, found.names
    (';', ',', ['width', 'kind'])
    """
    sample = list(_first(lines))
    stated, n_lines = _stated_delimiter(sample)
    sample = sample[n_lines:]
    cut = functools.cache(functools.partial(_cut, sample))
    delimiter = delimiter or stated or _choose_delimiter(cut, decimal, path)
    rows = cut(delimiter)
    if not rows:
        raise DataError(f"cannot read {path}: it holds no rows; give some")
    decimal = decimal or _choose_decimal(rows, delimiter)
    has_header = _has_header(rows, decimal, path) if header is None else header
    first, body = rows[0], rows[1:] if has_header else rows
    if not body:
        raise DataError(f"{path} has a header but no rows; give some")
    n_columns = len(body[0].cells)
    has_row_names = has_header and len(first.cells) == n_columns - 1
    # A header that has lost a cell is none of R's.
    has_row_names &= all(kind_of(row.cells[0], decimal) != "real" for row in body)
    if has_row_names and not any(row.cells[-1] for row in body):
        raise DataError(
            f"{path}: rows end with a delimiter, which the header does not; end all of "
            "them with one, or none"
        )
    if has_header and not has_row_names and len(first.cells) != n_columns:
        raise DataError(
            f"{path}: line {body[0].line + n_lines} has {n_columns} cells, the header "
            f"{len(first.cells)}; every row needs a cell for each column"
        )
    for row in body:
        if len(row.cells) != n_columns:
            raise DataError(
                f"{path}: line {row.line + n_lines} has {len(row.cells)} cells, line "
                f"{body[0].line + n_lines} has {n_columns}; every row needs a cell for "
                "each column, and text that contains the delimiter needs quotes"
            )
    names = [""] * has_row_names + first.cells if has_header else None
    n_skipped = n_lines + (first.line if has_header else 0)
    cells = zip(*(row.cells for row in body), strict=True)
    kinds = tuple({kind_of(cell, decimal) for cell in set(column)} for column in cells)
    how = delimiter, decimal, n_skipped, names, n_columns, has_row_names
    return Dialect(*how, kinds)


def kind_of(cell: str, decimal: str = ".") -> str:
    """Return "missing", "whole", "real", "truth" or "text".

    Examples
    --------
    >>> from truesparse.datasets.dialect import kind_of
    >>> [kind_of(cell) for cell in ("NA", "3", "-3e5", "True", "1,5")]
    ['missing', 'whole', 'real', 'truth', 'text']
    >>> kind_of("1,5", decimal=",")
    'real'
    """
    cell = cell.strip()
    lower = cell.lower()
    if lower in MISSING:
        return "missing"
    if _WHOLE.match(cell):
        return "whole"
    if decimal != "." and "." not in cell:
        cell = cell.replace(decimal, ".", 1)
    if _NUMBER.match(cell) or lower in _SPECIAL:
        return "real"
    return "truth" if lower in TRUTH else "text"


def is_number(cell: str, decimals: str = ".,") -> bool:
    """Whether a cell is a number, with one of some decimal signs.

    Examples
    --------
    >>> from truesparse.datasets.dialect import is_number
    >>> is_number("1.5"), is_number("1,5"), is_number("1,5", "."), is_number("1.5.2024")
    (True, True, False, False)
    """
    return any(kind_of(cell, sign) in ("whole", "real") for sign in decimals)


def is_blank(cells: list[str]) -> bool:
    """Whether a line holds no cells; empty ones between delimiters count."""
    return len(cells) == 0 or (len(cells) == 1 and not cells[0].strip())


class _Row(NamedTuple):
    """The cells of a row, and the line of the file that it ends with, from 1."""

    line: int
    cells: list[str]


def _first(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines until they are enough to judge by; the last row is whole."""
    size = n_quotes = 0
    for number, line in enumerate(lines):
        yield line
        size += len(line)
        n_quotes += line.count('"')
        is_enough = number >= _SAMPLE_ROWS or size > _SAMPLE_CHARACTERS
        # A cell of several lines has ended where quotes are even in number; a quote
        # that stands alone must not make the whole file the sample.
        if is_enough and (n_quotes % 2 == 0 or size > 2 * _SAMPLE_CHARACTERS):
            return


def _stated_delimiter(sample: list[str]) -> tuple[str | None, int]:
    """Return what a first line ``sep=;`` states, and how many lines that takes."""
    stated = _SEPARATOR_LINE.match(sample[0]) if sample else None
    return (stated[1], 1) if stated else (None, 0)


def _cut(sample: list[str], delimiter: str) -> list[_Row]:
    """Return the rows of a sample; blank lines are none."""
    if delimiter == " ":
        sample = [line.strip().replace("\t", " ") for line in sample]
    reader = csv.reader(sample, delimiter=delimiter, skipinitialspace=True)
    rows = []
    try:
        for cells in reader:
            if not is_blank(cells):
                cells = [cell.strip() for cell in cells]
                rows.append(_Row(reader.line_num, cells))
    except csv.Error as error:
        if "limit" in str(error):
            raise  # a cell longer than the csv module takes
        # Otherwise a quote that does not end within the sample.
    return rows


def _choose_delimiter(
    cut: Callable[[str], list[_Row]], decimal: str | None, path: Path
) -> str:
    """Return the delimiter that cuts most rows alike, into numbers where it can."""

    def merit(delimiter: str) -> tuple[float, float]:
        try:
            rows = cut(delimiter)
        except csv.Error:  # it leaves a wide row as one cell, longer than csv takes
            return 0.0, 0.0
        lengths = Counter(len(row.cells) for row in rows)
        length, n_alike = max(lengths.items(), key=lambda pair: pair[1], default=(0, 0))
        if length < 2 or delimiter == decimal:
            return 0.0, 0.0
        marks = (decimal,) if decimal else (".", "," if delimiter != "," else ".")
        cells = Counter(cell for row in rows for cell in row.cells)
        n_typed = sum(
            count
            for cell, count in cells.items()
            if any(kind_of(cell, mark) != "text" for mark in marks)
        )
        return round(n_alike / len(rows), 2), n_typed / cells.total()

    merits = {delimiter: merit(delimiter) for delimiter in DELIMITERS}
    # Of equal ones the first of the list.
    best = max(DELIMITERS, key=lambda delimiter: merits[delimiter])
    rivals = [
        delimiter
        for delimiter in (";", "\t", "|")
        if merits[delimiter][0] >= merits[best][0] and merits[delimiter][1] > 0
    ]
    if best == "," and merits[" "] >= merits[","] > (0, 0):
        # As in 6,25 ash, but not in 6, 25.
        after = (cell[-1:] for row in cut(" ") for cell in row.cells)
        rivals += [" "] * ("," not in after)
    if best == "," and "\t" in rivals and ".tsv" in path.suffixes:
        return "\t"
    if best == "," and rivals:
        # As in 6,25;ash, where the comma may be a decimal sign.
        rival = {"\t": "tab", " ": "space"}.get(rivals[0], rivals[0])
        raise DataError(
            f"{path}: the delimiter may be ',' or {rival!r}; say which, as in "
            f"{say('delimiter', rival)}"
        )
    return best


def _choose_decimal(rows: list[_Row], delimiter: str) -> str:
    """Return "," where columns hold numbers only if it is the decimal sign."""
    if delimiter == ",":
        return "."
    commas = points = 0
    for cell, count in Counter(cell for row in rows for cell in row.cells).items():
        is_number = kind_of(cell) in ("whole", "real")
        points += count * (is_number and "." in cell)
        commas += count * (not is_number and kind_of(cell, ",") == "real")
    return "," if commas > points else "."


def _has_header(rows: list[_Row], decimal: str, path: Path) -> bool:
    first, below = rows[0].cells, rows[1:]
    if not below:
        return all(kind_of(cell, decimal) in ("text", "missing") for cell in first)
    # R leaves the name of the row names out.
    shift = len(below[0].cells) - len(first)
    columns = (
        [
            _Column(
                cell,
                kind_of(cell, decimal),
                {row.cells[i + shift] for row in below if i + shift < len(row.cells)},
                decimal,
            )
            for i, cell in enumerate(first)
        ]
        if shift in (0, 1)
        else []
    )
    if not columns:
        return False
    if any(column.names_numbers for column in columns):
        return True
    texts = [column for column in columns if column.kind == "text"]
    numbers = [column for column in columns if column.kind in ("whole", "real")]
    if any(column.recurs for column in texts):
        return False
    if not numbers:
        return bool(texts)
    counts = [column.cell for column in numbers]
    if counts == [str(i) for i in range(len(counts))] and len(first) > 2:
        return True  # pandas names columns without names 0, 1, 2, ...
    looks_like_names = (len(below) >= _ENOUGH_ROWS and _count_up(numbers)) or (
        len(numbers) > 1 and all(column.is_whole_above_real for column in numbers)
    )
    looks_like_label = any(column.is_unlike_labels(len(below)) for column in texts)
    if looks_like_names and texts:
        return True
    are_whole = len(numbers) > 1 and all(column.kind == "whole" for column in numbers)
    may_be_names = any(column.kinds_below == {"text"} for column in numbers) or (
        are_whole and any(column.is_whole_above_real for column in numbers)
    )
    may_be_names &= len(below) >= _ENOUGH_ROWS
    if looks_like_names or looks_like_label or may_be_names:
        shown = ", ".join(first[:4]) + (", ..." if len(first) > 4 else "")
        raise DataError(
            f"{path}: the first row ({shown}) may hold names or data; give a "
            f"column a name with letters, or {say('header', 'yes')} if these are "
            f"names and {say('header', 'no')} if they are data"
        )
    return False


def _count_up(columns: list["_Column"]) -> bool:
    """Whether the first cells are whole numbers at even steps, as no data are.

    Up to four may be so by chance, but hardly if all lie outside their columns.
    """
    if len(columns) < 3 or any(column.kind != "whole" for column in columns):
        return False
    numbers = [int(column.cell) for column in columns]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    is_even = len(steps) == 1 and 0 not in steps
    return is_even and (len(columns) > 4 or all(c.is_outside for c in columns))


class _Column(NamedTuple):
    """The first cell of a column beside those below it."""

    cell: str
    kind: str
    below: set[str]
    decimal: str

    @property
    def kinds_below(self) -> set[str]:
        kinds = {kind_of(cell, self.decimal) for cell in self.below}
        return kinds - {"missing"}

    @property
    def names_numbers(self) -> bool:
        """Whether text stands above numbers or truth values."""
        is_text = self.kind == "text"
        return is_text and bool(self.kinds_below) and "text" not in self.kinds_below

    @property
    def recurs(self) -> bool:
        """Whether the cell stands below itself, as a name never does."""
        return self.cell in self.below

    @property
    def is_whole_above_real(self) -> bool:
        return self.kind == "whole" and self.kinds_below == {"real"}

    @property
    def is_outside(self) -> bool:
        """Whether a number is below or above all others of its column."""
        others = [
            float(cell.replace(self.decimal, "."))
            for cell in self.below
            if kind_of(cell, self.decimal) in ("whole", "real")
        ]
        return not others or not min(others) <= float(self.cell) <= max(others)

    def is_unlike_labels(self, n_rows: int) -> bool:
        """Whether labels recur below but this one does not."""
        return 2 * len(self.below) <= n_rows and not self.recurs
