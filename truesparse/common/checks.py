"""Checks of arguments: names, numbers, flags, paths, types, optional libraries."""

import difflib
import importlib
import math
import numbers
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

from truesparse.errors import UsageError


def choose(name: str, accepted: Iterable[str], what: str, where: str = "") -> str:
    """Return `name` if it is one of `accepted`, else raise.

    Parameters
    ----------
    name : str
        Name that the user gave.
    accepted : iterable of str
        Names that exist.
    what : str
        Kind of thing that is named, e.g. ``"activation"``; used in the message.
    where : str
        Where the name stands, if that is not clear, e.g. ``" in run.toml"``.

    Raises
    ------
    UsageError
        If `name` is not accepted; the message suggests the closest accepted name
        and lists all of them.
    """
    names = sorted(accepted)
    if name in names:
        return name
    # Case is the smallest slip: without this, 'Relu' would be closest to 'elu'.
    by_lower = {each.lower(): each for each in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    given = f"unknown {what} {name!r}{where}"
    raise UsageError(f"{given}; use one of {', '.join(names)}.{hint}")


def check_compressed(matrix: Any) -> None:
    """Raise ValueError unless the index arrays of a compressed matrix are valid.

    SciPy's own check passes over bounds that fall, if the last one is 0, and its
    kernels then write outside of their arrays (1.17, 2026-11).

    Parameters
    ----------
    matrix : scipy.sparse matrix
        One with `indptr`: CSR, CSC or BSR.
    """
    bounds = matrix.indptr
    if bounds.ndim != 1 or bounds.dtype.kind not in "iu":
        raise ValueError("indptr must be whole numbers in one dimension")
    if bounds.size == 0 or bounds[0] != 0 or (bounds[1:] < bounds[:-1]).any():
        raise ValueError("indptr must rise from 0")
    matrix.check_format(full_check=True)


def first_fall(indices: Any, indptr: Any, strictly: bool = True) -> int | None:
    """Return the first position where indices do not ascend within a row.

    Parameters
    ----------
    indices : (nnz,) array of int
    indptr : (n_rows + 1,) array of int
        Bounds of the rows, which rise from 0 to nnz.
    strictly : bool
        Whether an index that is as large as the one before falls, too.

    Returns
    -------
    int or None
        None if there is no such position.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.common.checks import first_fall
    >>> first_fall(np.array([1, 3, 0, 2, 2]), np.array([0, 2, 5]))
    4
    """
    falls = indices[1:] <= indices[:-1] if strictly else indices[1:] < indices[:-1]
    # Marks, since np.isin takes 20 times as long for millions of rows (NumPy 2.4).
    falls[indptr[(indptr > 0) & (indptr < indices.size)] - 1] = False
    return int(falls.argmax()) + 1 if falls.any() else None


def check_numbers(**values: Any) -> None:
    """Raise UsageError unless each value is a real number; a bool is none."""
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise UsageError(f"{name} must be a number, got {value!r}")


def check_finite(**values: Any) -> None:
    """Raise UsageError unless each value is a finite number."""
    _check_range(values, math.isfinite, "finite")


def check_positive(**values: Any) -> None:
    """Raise UsageError unless each value is a number above 0 and finite."""
    _check_range(values, lambda value: 0.0 < value < math.inf, "above 0 and finite")


def check_not_negative(**values: Any) -> None:
    """Raise UsageError unless each value is a number of at least 0 and finite."""
    _check_range(values, lambda value: 0.0 <= value < math.inf, "at least 0 and finite")


def check_at_least_one(**values: Any) -> None:
    """Raise UsageError unless each value is a number of at least 1, or infinity."""
    _check_range(values, lambda value: value >= 1.0, "at least 1")


def check_share(**values: Any) -> None:
    """Raise UsageError unless each value is a number from 0 to 1."""
    _check_range(values, lambda value: 0.0 <= value <= 1.0, "from 0 to 1")


def check_share_above_zero(**values: Any) -> None:
    """Raise UsageError unless each value is a number above 0 and at most 1."""
    _check_range(values, lambda value: 0.0 < value <= 1.0, "above 0 and at most 1")


def check_share_below_one(**values: Any) -> None:
    """Raise UsageError unless each value is a number from 0 up to but not 1."""
    _check_range(values, lambda value: 0.0 <= value < 1.0, "from 0 up to but not 1")


def _check_range(
    values: dict[str, Any], is_within: Callable[[Any], bool], accepted: str
) -> None:
    for name, value in values.items():
        # None is refused with what is accepted, as a number out of range is.
        if value is not None:
            check_numbers(**{name: value})
        if value is None or not is_within(value):
            raise UsageError(f"{name} must be {accepted}, got {value}")


def check_bools(**values: Any) -> None:
    """Raise UsageError unless each value is True or False, of Python or of NumPy."""
    import numpy as np

    for name, value in values.items():
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"{name} must be true or false, got {value!r}")


def check_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` if it is a whole number from `low` to `high`, else raise.

    Raises
    ------
    UsageError
        If it is not; a bool does not count as a number.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < low or (high is not None and value > high):
        accepted = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} must be a whole number {accepted}, got {value!r}")
    return int(value)


def import_extra(library: str, need: str, extra: str) -> Any:
    """Return a library that truesparse does not require.

    Parameters
    ----------
    library : str
        Name of the module.
    need : str
        Start of the message: what needs the library.
    extra : str
        Extra of truesparse that installs it.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        return importlib.import_module(library)
    except ImportError:
        raise UsageError(f"{need}: pip install 'truesparse[{extra}]'") from None


def as_path(given: Any, what: str) -> pathlib.Path:
    """Return the path of a file to write; UsageError if what is given is none.

    Parameters
    ----------
    given : str or path
    what : str
        What is to be written there, for the message.
    """
    try:
        return pathlib.Path(given)
    except TypeError:
        raise UsageError(f"cannot write {what} {given!r}: give a path") from None


def float_type(dtype) -> type:
    """Return float32 or float64 for its name or dtype, else raise UsageError."""
    import numpy as np

    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype
    dtypes = {"float32": np.float32, "float64": np.float64}
    return dtypes[choose(name, dtypes, "dtype")]
