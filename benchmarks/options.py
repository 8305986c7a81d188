"""What the benchmarks' programs share: words of their command lines, and errors."""

import functools
import sys
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

from truesparse.common.checks import choose
from truesparse.errors import TruesparseError, UsageError

OUT_HELP = "results file, by default in benchmarks/results"
# Methods that train a full net, in the storage of truesparse or by torch.
DENSE = ("dense", "torch_dense")


def program(function: Callable[..., int | None]) -> Callable[..., int]:
    """Return the main function of a program: it returns an exit code, and never raises.

    An error that a user can cause becomes one line on stderr.

    Parameters
    ----------
    function : callable
        Does the work; returns an exit code, or None for 0.

    Examples
    --------
    >>> from benchmarks.options import program
    >>> program(lambda words: print(*words))(["some", "words"])
    some words
    0
    """

    @functools.wraps(function)
    def main(*arguments: Any) -> int:
        try:
            return function(*arguments) or 0
        except TruesparseError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code

    return main


def names(text: str | None, known: Iterable[str], what: str) -> list[str]:
    """Return the names in a list with commas, all if there is none.

    Parameters
    ----------
    text : str or None
        Names with commas; an empty text is an empty list.
    known : iterable of str
        The names that exist.
    what : str
        Kind of thing that a name stands for, used in messages.

    Raises
    ------
    UsageError
        For an unknown name.

    Examples
    --------
    >>> from benchmarks.options import names
    >>> names("b", ["a", "b"], "letter"), names(None, ["a", "b"], "letter")
    (['b'], ['a', 'b'])
    """
    known = list(known)
    if text is None:
        return known
    return [choose(name, known, what) for name in text.split(",") if name]


def numbers(text: str, flag: str) -> list[float]:
    """Return the numbers in a list with commas.

    Raises
    ------
    UsageError
        If the list is empty or holds anything but positive numbers.

    Examples
    --------
    >>> from benchmarks.options import numbers
    >>> numbers("0.01,5", "--lrs")
    [0.01, 5.0]
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not min(values) > 0:
        raise UsageError(f"{flag} takes positive numbers with commas, got {text!r}")
    return values


def whole_numbers(text: str, flag: str) -> list[int]:
    """Return the whole numbers in a list with commas, such as sizes of layers.

    Raises
    ------
    UsageError
        If the list is empty or holds anything but positive whole numbers.

    Examples
    --------
    >>> from benchmarks.options import whole_numbers
    >>> whole_numbers("1000,1e6", "--neurons")
    [1000, 1000000]
    """
    values = numbers(text, flag)
    if not all(value.is_integer() for value in values):
        raise UsageError(f"{flag} takes whole numbers with commas, got {text!r}")
    return [int(value) for value in values]


def assignments(words: Iterable[str]) -> dict[str, Any]:
    """Return the options that words ``key=value`` assign; values are TOML, or text.

    Examples
    --------
    >>> from benchmarks.options import assignments
    >>> assignments(["zeta=0.1", "chain_removal=false", "solver=sgd"])
    {'zeta': 0.1, 'chain_removal': False, 'solver': 'sgd'}
    """
    options: dict[str, Any] = {}
    for word in filter(None, words):
        key, _, value = word.partition("=")
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[key] = value
    return options
