"""What a caller states about a table: its target, its dialect, what is left out.

Nothing stated is the default of every field: the table speaks for itself. Messages name
an option as Python takes it and as the command line does, see `say`.
"""

import codecs
import numbers
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from truesparse.common.checks import choose
from truesparse.errors import UsageError

HEADERS = ("auto", "no", "yes")
MISSING_CHOICES = ("drop", "error", "mean", "median", "most_frequent")
MISSING_TARGET_CHOICES = ("drop", "error")
CATEGORICAL_CHOICES = ("auto", "error", "onehot", "ordinal")
DECIMALS = (".", ",")
# Delimiters that a shell or a configuration file hardly shows.
_NAMED_DELIMITERS = {"tab": "\t", r"\t": "\t", "space": " "}
# Options that say which columns there are, and how their text is written.
COLUMN_OPTIONS = (
    *("target", "drop", "index"),
    *("missing", "missing_target", "categorical"),
)
TEXT_OPTIONS = ("header", "delimiter", "decimal", "encoding")

Column = str | int


@dataclass(frozen=True)
class TableOptions:
    r"""Options of a table, checked.

    A column is named by its name or by its number, which counts from 1 as messages do;
    text that is a number is a name where a column has that name.

    Attributes
    ----------
    target : str or int or None
        Column of the target; None is the one named y, target, label or class, or else
        the last.
    drop : sequence of str or int, or one of them
        Columns that are left out.
    index : str or int or None
        Column that names the rows, which is left out too.
    header : {"auto", "yes", "no"}
        Whether the first row holds names; ``"auto"`` sees for itself.
    delimiter : str or None
        One character, ``"tab"`` or ``"space"``, which stands for any run of spaces.
    decimal : {".", ","} or None
    encoding : str or None
        Encoding of the text, as Python names it.
    missing : {"error", "drop", "mean", "median", "most_frequent"}
        What becomes of a row that lacks a feature: it is refused, left out, or the gap
        filled with this statistic of the training part. ``"drop"`` leaves out rows
        without a target too.
    missing_target : {"error", "drop"}
        What becomes of a row that lacks the target, which nothing fills: it is refused
        or left out.
    categorical : {"auto", "onehot", "ordinal", "error"}
        What becomes of a feature of text, see encoding.py.

    Raises
    ------
    UsageError
        If a value is not accepted.

    Examples
    --------
    >>> from truesparse.datasets.table_options import TableOptions
    >>> options = TableOptions(target="price", drop="name", delimiter="tab")
    >>> options.delimiter, options.drop, options.has_header
    ('\t', ('name',), None)
    """

    target: Column | None = None
    drop: Sequence[Column] = ()
    index: Column | None = None
    header: str = "auto"
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    missing: str = "error"
    missing_target: str = "error"
    categorical: str = "auto"

    def __post_init__(self):
        choose(self.header, HEADERS, "header")
        choose(self.missing, MISSING_CHOICES, "missing")
        choose(self.missing_target, MISSING_TARGET_CHOICES, "missing target")
        choose(self.categorical, CATEGORICAL_CHOICES, "categorical")
        if self.decimal is not None:
            choose(self.decimal, DECIMALS, "decimal")
        # A frozen record is filled in this way once.
        object.__setattr__(self, "drop", _columns_of(self.drop))
        object.__setattr__(self, "delimiter", _delimiter_of(self.delimiter))
        for name in ("target", "index"):
            column = getattr(self, name)
            if column is not None:
                object.__setattr__(self, name, _column_of(name, column))
        if self.delimiter is not None and self.delimiter == self.decimal:
            raise UsageError(
                f"delimiter and decimal are both {self.decimal!r}; give two characters"
            )
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _encoding_of(self.encoding))

    @property
    def has_header(self) -> bool | None:
        """Whether the first row holds names; None if it is to see."""
        return None if self.header == "auto" else self.header == "yes"

    def accept_only(self, accepted: tuple[str, ...], source: str) -> None:
        """Raise UsageError if an option is given that means nothing for a source.

        Parameters
        ----------
        accepted : tuple of str
            Names of the options that its reader obeys.
        source : str
            What is read, e.g. ``"an .npz file"``.

        Examples
        --------
        >>> from truesparse.datasets.table_options import TableOptions
        >>> TableOptions(target="y").accept_only((), "an .npz file")
        Traceback (most recent call last):
          ...
        truesparse.errors.UsageError: target='y' (--target y) means nothing for an \
.npz file; leave it out
        """
        for option in fields(self):
            value = getattr(self, option.name)
            if value == option.default or option.name in accepted:
                continue
            shown = value[0] if option.name == "drop" else value
            raise UsageError(
                f"{say(option.name, shown)} means nothing for {source}; leave it out"
            )


def say(name: str, value: object) -> str:
    """Return an option with its value as Python and the command line take it.

    Examples
    --------
    >>> from truesparse.datasets.table_options import say
    >>> say("header", "yes")
    "header='yes' (--header yes)"
    """
    flag = name.replace("_", "-")
    return f"{name}={value!r} (--{flag} {shlex.quote(str(value))})"


def _columns_of(columns: object) -> tuple[Column, ...]:
    """Return one column, or several, as a tuple."""
    if isinstance(columns, str) or not hasattr(columns, "__iter__"):
        columns = (columns,)
    return tuple(_column_of("drop", column) for column in columns)


def _column_of(option: str, column: object) -> Column:
    """Return the name of a column, or its number as an int of Python."""
    if isinstance(column, str) and column:
        return str(column)
    if isinstance(column, numbers.Integral) and not isinstance(column, bool):
        number = int(column)
        if number >= 1:
            return number
    raise UsageError(
        f"{option} takes names of columns or their numbers from 1, got {column!r}"
    )


def _delimiter_of(delimiter: object) -> str | None:
    if delimiter is None:
        return None
    if isinstance(delimiter, str):
        delimiter = _NAMED_DELIMITERS.get(delimiter, delimiter)
        if len(delimiter) == 1 and delimiter not in '\r\n"':
            return delimiter
    raise UsageError(
        "delimiter takes one character other than a quote, 'tab' or 'space', got "
        f"{delimiter!r}"
    )


def _encoding_of(encoding: Any) -> str:
    """Return an encoding of text; a byte order mark is none of the first cell."""
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
        return "utf-8-sig" if name == "utf-8" else name
    except (LookupError, TypeError, ValueError):
        raise UsageError(
            f"unknown encoding {encoding!r}; use utf-8, utf-16, latin-1, cp1252 or "
            "another that Python knows"
        ) from None
