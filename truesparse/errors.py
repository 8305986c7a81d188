"""Every error a user can cause, each with the exit code of the command line."""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


class TruesparseError(Exception):
    """Base of all errors that are not bugs; ``exit_code`` is what the CLI returns."""

    exit_code = 1


class UsageError(TruesparseError, ValueError):
    """An option or argument has a value that is not accepted."""

    exit_code = 2


class MemoryLimitError(TruesparseError, MemoryError):
    """The run would not fit in memory and was refused before any allocation."""

    exit_code = 3


class DataError(TruesparseError, ValueError):
    """Data are missing, unreadable or invalid."""

    exit_code = 4


class DivergedError(TruesparseError, ArithmeticError):
    """The loss became NaN or infinite; the last finite model was kept."""

    exit_code = 5


class ModelFileError(TruesparseError, ValueError):
    """A model or checkpoint file cannot be read or fails validation."""

    exit_code = 6


def choose(name: str, accepted: Iterable[str], what: str) -> str:
    """Return `name` if it is one of `accepted`, else say which one was meant.

    Parameters
    ----------
    name : str
        What the user asked for.
    accepted : iterable of str
        The names that exist.
    what : str
        What the name stands for, e.g. ``"activation"``; used in the message.

    Raises
    ------
    UsageError
        If `name` is not accepted; the message lists the names and the closest.
    """
    names = sorted(accepted)
    if name in names:
        return name
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"unknown {what} {name!r}; use one of {', '.join(names)}.{hint}")


def check_numbers(**values: Any) -> None:
    """Raise UsageError unless each value is a real number, or None; bool is neither."""
    for name, value in values.items():
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if value is not None and not is_number:
            raise UsageError(f"{name} must be a number, got {value!r}")


def check_bools(**values: Any) -> None:
    """Raise UsageError unless each value is True or False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} must be true or false, got {value!r}")


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` if it is a whole number from `low` to `high`, else raise.

    Raises
    ------
    UsageError
        Naming what was given and what is accepted; bool is no number here.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        accepted = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} must be a whole number {accepted}, got {value!r}")
    return int(value)
