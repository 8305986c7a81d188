"""Weka's .arff files, whose rows are all of its attributes.

scipy.io.arff is not used: it leaves out the cells by which a row is too long, takes a
cell such as 1? for a missing value, holds whole numbers as float64 and changes how long
a cell the csv module takes in the whole process. Tests compare the two on files that
both read.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import numpy as np

from truesparse.datasets.dialect import kind_of
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData, first_line
from truesparse.datasets.table_options import COLUMN_OPTIONS, TableOptions, say
from truesparse.datasets.tables import ReadTable, take_columns
from truesparse.datasets.text_files import BROKEN, encoding_of, open_text
from truesparse.datasets.typed_columns import column_of
from truesparse.errors import DataError

_ATTRIBUTE = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{'"]+)\s*(.+)$""",
    re.IGNORECASE,
)
# A cell with or without quotes, and what ends it.
_CELL = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"]*?))\s*(,|$)"""
)
_ESCAPED = re.compile(r"\\(.)")
# What Weka and liac-arff write for some characters, and what is read of that.
_ESCAPES = dict(zip("nrtbf", "\n\r\t\b\f", strict=True))
_ESCAPES |= {each: each for each in "\\'\"%"}
_ODD = (
    "quotes that do not enclose a cell, or a backslash before another character than "
    "n, r, t, b, f, %, a quote or a backslash; mend it"
)
_NUMBERS = ("numeric", "real", "integer")


class Attribute(NamedTuple):
    """A column: its name, and its type in small letters or its nominal values."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


def read_arff(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read an .arff file.

    Nominal and text attributes are categories, or numbers where all declared values
    are numbers; ``?`` is a missing value. The target is the attribute named y, target,
    label or class, or else the last.

    Parameters
    ----------
    path : Path
        An existing file, compressed or not.
    options : TableOptions
    expected : Expected, optional
        Features that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If the file is damaged or sparse, or its columns do not suit.
    UsageError
        If an option names a column that the file lacks, or concerns other text.
    """
    options.accept_only((*COLUMN_OPTIONS, "encoding"), "an .arff file")
    try:
        with open_text(path, options.encoding or encoding_of(path)) as file:
            attributes, rows, lines = _read(file, path)
    except BROKEN as error:
        raise DataError(
            f"cannot read {path} as .arff: {first_line(error)}; store it as UTF-8 "
            f"text, or name its encoding, as in {say('encoding', 'latin-1')}"
        ) from error
    columns = [
        _column(attribute, [row[i] for row in rows], lines, path)
        for i, attribute in enumerate(attributes)
    ]
    names = [attribute.name for attribute in attributes]
    table = ReadTable(path, names, columns, line_of=lines.__getitem__)
    return take_columns(table, options, expected)


def _read(
    file: TextIO, path: Path
) -> tuple[list[Attribute], list[list[str | None]], list[int]]:
    """Return the attributes, and the cells and the line of each row."""
    numbered = _content(file)
    attributes: list[Attribute] = []
    for number, line in numbered:
        keyword = line.split(None, 1)[0].lower()
        if keyword == "@data":
            break
        if keyword == "@attribute":
            attributes.append(_attribute(number, line, path))
        elif keyword != "@relation":
            _refuse(path, number, "is neither @relation, @attribute nor @data")
    if not attributes:
        raise DataError(f"{path} declares no attributes; give @attribute lines")
    rows, lines = [], []
    for number, line in numbered:
        if line.startswith("{"):
            _refuse(path, number, "is sparse ARFF; store all values, or SVMlight text")
        cells = _cells(line)
        if cells is None:
            _refuse(path, number, f"has {_ODD}")
        if len(cells) != len(attributes):
            _refuse(
                path,
                number,
                f"has {len(cells)} cells, but {len(attributes)} attributes are "
                "declared; every row needs a cell for each",
            )
        rows.append(cells)
        lines.append(number)
    if not rows:
        raise DataError(f"{path} has no rows after @data; give some")
    return attributes, rows, lines


def _content(file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and text of lines that are neither blank nor comments."""
    for number, line in enumerate(file, 1):
        line = line.strip()
        if line and not line.startswith("%"):
            yield number, line


def _refuse(path: Path, number: int, reason: str) -> NoReturn:
    raise DataError(f"cannot read {path} as .arff: line {number} {reason}")


def _attribute(number: int, line: str, path: Path) -> Attribute:
    matched = _ATTRIBUTE.match(line)
    if matched is None:
        _refuse(path, number, "declares no attribute; write @attribute NAME TYPE")
    names, kind = _cells(matched[1]), matched[2].strip()
    if names is None:
        _refuse(path, number, f"has a name with {_ODD}")
    name = names[0]
    if kind.startswith("{"):
        values = _cells(kind.removeprefix("{").removesuffix("}"))
        if not kind.endswith("}") or values is None:
            _refuse(path, number, f"does not end its values with }}, or has {_ODD}")
        return Attribute(name or "?", "nominal", tuple(v or "?" for v in values))
    kind = kind.lower().split()[0]
    if kind not in (*_NUMBERS, "string", "date"):
        _refuse(path, number, f"declares the type {kind!r}; use numeric or {{A,B}}")
    return Attribute(name or "?", kind)


def _cells(line: str) -> list[str | None] | None:
    """Return the cells of a line, None where one is missing; None for bad quotes."""
    if "'" not in line and '"' not in line:
        cells = [cell.strip() for cell in line.split(",")]
        return [None if cell == "?" else cell for cell in cells]
    quoted: list[str | None] = []
    start = 0
    while True:
        matched = _CELL.match(line, start)
        if matched is None:
            return None
        single, double, plain, end = matched.groups()
        text = single if single is not None else double
        if text is None:
            quoted.append(None if plain == "?" else plain)
        else:
            if not set(_ESCAPED.findall(text)) <= _ESCAPES.keys():
                return None
            quoted.append(_ESCAPED.sub(lambda each: _ESCAPES[each[1]], text))
        start = matched.end()
        if not end:
            return quoted


def _column(
    attribute: Attribute, cells: list[str | None], lines: list[int], path: Path
) -> np.ndarray:
    """Return the cells of an attribute as `ReadTable` takes them."""
    if attribute.kind in _NUMBERS:
        for cell, line in zip(cells, lines, strict=True):
            if cell is not None and kind_of(cell) not in ("whole", "real"):
                _refuse(
                    path, line, f"holds {cell[:60]!r} for the number {attribute.name!r}"
                )
        return column_of(cells)
    if attribute.kind == "nominal":
        declared = set(attribute.values)
        for cell, line in zip(cells, lines, strict=True):
            if cell is not None and cell not in declared:
                _refuse(
                    path,
                    line,
                    f"holds {cell[:60]!r}, which {attribute.name!r} does not declare",
                )
        kinds = {kind_of(value) for value in declared}
        if kinds <= {"whole", "real"} or kinds == {"truth"}:
            return column_of(cells)
    return np.array(cells, object)
