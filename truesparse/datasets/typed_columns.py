"""Columns of a table, each of one type, from its cells or from a column of pandas.

numbers        int64 or uint64; float64 where some are real or missing (NaN)
truth values   bool; object with True, False and None where some are missing
text           object with text and None
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from truesparse.datasets.dialect import GAPS, TRUTH, WORDS_FOR_NOTHING, kind_of


def column_of(cells: list[str | None], decimal: str = ".") -> np.ndarray:
    """Return the column of cells, which are text; None is missing."""
    filled = [None if c is None or c.lower() in GAPS else c for c in cells]
    kinds = {kind_of(cell, decimal) for cell in set(filled) if cell is not None}
    if "missing" in kinds:  # one of WORDS_FOR_NOTHING
        kinds.remove("missing")
        if not kinds or "text" in kinds:
            return np.array(filled, dtype=object)
        filled = [
            None if c is None or c.lower() in WORDS_FOR_NOTHING else c for c in filled
        ]
    present = [cell for cell in filled if cell is not None]
    if kinds == {"truth"}:
        return settle_truth([None if c is None else TRUTH[c.lower()] for c in filled])
    if kinds == {"whole"} and len(present) == len(filled):
        return _whole_numbers(present)
    if not kinds <= {"whole", "real"}:
        return np.array(filled, dtype=object)
    return np.array(
        [np.nan if c is None else float(c.replace(decimal, ".")) for c in filled]
    )


def _whole_numbers(cells: list[str]) -> np.ndarray:
    """Return whole numbers as they are, where 64 bits hold them; else as text."""
    numbers = [int(cell) for cell in cells]
    low, high = min(numbers), max(numbers)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(numbers, dtype)
    return np.array(cells, dtype=object)


def settle_truth(values: Iterable[bool | None]) -> np.ndarray:
    """Return truth values as bool where none is missing, else as objects."""
    listed = list(values)
    return np.array(listed, object if None in listed else bool)


def holds_truth(column: np.ndarray) -> bool:
    """Whether a column holds truth values, all of them or with gaps."""
    if column.dtype != object:
        return column.dtype == bool
    present = next((value for value in column if value is not None), None)
    return isinstance(present, bool)


def truth_as_numbers(column: np.ndarray) -> np.ndarray:
    """Return truth values with gaps as 1, 0 and NaN; other columns as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.typed_columns import truth_as_numbers
    >>> truth_as_numbers(np.array([True, None, False], object))
    array([ 1., nan,  0.])
    """
    if column.dtype == object and holds_truth(column):
        return column.astype(np.float64)  # None becomes NaN
    return column


def from_pandas(series: Any) -> np.ndarray:
    """Return a column of pandas as numbers, bool, or object with text and None."""
    if series.dtype.kind in "iufb" and isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    values = series.to_numpy(dtype=object, na_value=None)
    return column_of([None if v is None else str(v).strip() for v in values])


def is_missing(column: np.ndarray) -> np.ndarray:
    """Return a mark for each missing value of a column, (n_rows,) bool."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    if column.dtype == object:
        return np.array([value is None for value in column], bool)
    return np.zeros(len(column), bool)
