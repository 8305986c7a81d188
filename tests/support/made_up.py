"""Columns and texts of small files like public ones; all values are made up here.

A `Case` says what a file holds and how it is rightly read. Options, if it needs any,
are given one after another, each because the error before names it.
"""

from typing import NamedTuple

N_ROWS = 48


class Column(NamedTuple):
    """Name, and text of each cell; `kind` is number, text or none (no feature)."""

    name: str
    cells: list[str]
    kind: str = "number"


class Case(NamedTuple):
    """A file and its right reading."""

    name: str
    content: bytes
    target: str
    task: str
    columns: list[Column]
    options: dict = {}  # noqa: RUF012 - never changed
    gaps: str = ""  # how a cell without value is written


def real(name, factor=11, low=0):
    return Column(name, [f"{low + i * factor % 97 / 8}" for i in range(N_ROWS)])


def whole(name, most=9, low=1):
    return Column(name, [str(low + (i * 7 + i // 5) % most) for i in range(N_ROWS)])


def amount(name):
    """Return whole numbers most of which are rare."""
    return Column(name, [str(100 + i * 37 % 997) for i in range(N_ROWS)])


def pick(name, *words, kind="text"):
    cells = [words[(i * 5 + i // 3) % len(words)] for i in range(N_ROWS)]
    return Column(name, cells, kind)


def number(name, first=0):
    return Column(name, [str(first + i) for i in range(N_ROWS)], "none")


def some(column, mark, every=11):
    """Return a column that lacks every so-manieth value."""
    cells = [mark if i % every == 5 else c for i, c in enumerate(column.cells)]
    return column._replace(cells=cells)


def case(
    name,
    task,
    *columns,
    target=None,
    sep=",",
    head=True,
    quotes=False,
    decimal=".",
    end="\n",
    options=None,
    gaps="",
    encode=None,
    before="",
    after="",
):
    """Return a text table as a case; its target is the last column by default."""
    rows = [[c.name for c in columns]] if head else []
    rows += [list(cells) for cells in zip(*(c.cells for c in columns), strict=True)]
    for row in rows[head:]:
        for i, column in enumerate(columns):
            if column.kind == "number":
                row[i] = row[i].replace(".", decimal)
            elif quotes:
                row[i] = f'"{row[i]}"'
    if quotes and head:
        rows[0] = [f'"{cell}"' for cell in rows[0]]
    text = before + "".join(sep.join(row) + end for row in rows) + after
    content = (encode or str.encode)(text)
    target = target or columns[-1].name
    return Case(name, content, target, task, list(columns), options or {}, gaps)


CLASS, REAL = "classification", "regression"
