"""Columns of a table before they become features, and what is learnt from them.

What stands for a missing value is what scikit-learn's SimpleImputer puts there.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from truesparse.common.checks import choose
from truesparse.datasets.encoding import (
    ColumnEncoding,
    TableEncoding,
    count_from_1,
    refuse_gap,
)
from truesparse.datasets.table_options import (
    CATEGORICAL_CHOICES,
    MISSING_CHOICES,
    say,
)
from truesparse.datasets.typed_columns import is_missing
from truesparse.errors import DataError

# What fills a missing number; a missing text is the most frequent one.
FILLS = ("mean", "median", "most_frequent")


class FeatureColumns(NamedTuple):
    """Columns of a table, (n_rows,) each, before they become features.

    See `fit_encoding` for what they hold, and for `missing` and `categorical`.
    `has_names` says whether `names` are those of a header, which tell columns apart, or
    numbers for messages.
    """

    columns: list[np.ndarray]
    names: list[str]
    has_names: bool
    missing: str
    categorical: str

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0])

    def fit(self, rows: np.ndarray) -> "TableEncoding":
        """Learn from some rows how the columns become features."""
        return fit_encoding(
            (column[rows] for column in self.columns),
            self.names,
            missing=self.missing,
            categorical=self.categorical,
            has_names=self.has_names,
        )


def fit_encoding(
    columns: Iterable[np.ndarray],
    names: list[str],
    *,
    missing: str = "error",
    categorical: str = "auto",
    has_names: bool = True,
) -> TableEncoding:
    """Learn from the training part how columns become features.

    Parameters
    ----------
    columns : iterable of ndarray, shape (n_rows,)
        Numbers, bools, or object with text and None; a missing number is NaN.
    names : list of str
        Name of each, for messages and features.
    missing : {"error", "drop", "mean", "median", "most_frequent"}
        What stands for a missing number; a missing text is the most frequent one under
        the last three. "drop" has left such rows out already, and refuses others.
    categorical : {"auto", "onehot", "ordinal", "error"}
        What becomes of text; "auto" is "onehot".
    has_names : bool
        Whether `names` are those of a header.

    Raises
    ------
    DataError
        If a column holds text that is refused, missing values under "error", or no
        value at all.
    """
    choose(missing, MISSING_CHOICES, "missing")
    choose(categorical, CATEGORICAL_CHOICES, "categorical")
    fitted = tuple(
        _fit_column(column, name, missing, categorical)
        for column, name in zip(columns, names, strict=True)
    )
    return TableEncoding(fitted, has_names)


def _fit_column(
    column: np.ndarray, name: str, missing: str, categorical: str
) -> ColumnEncoding:
    gaps = is_missing(column)
    if gaps.all():
        raise DataError(
            f"column {name!r} holds no values in the training part; leave it out with "
            f"{say('drop', name)}"
        )
    fill: float | str | None = None
    if missing in FILLS:
        fill = _fill_value(column, gaps, missing)
    elif gaps.any():
        raise DataError(refuse_gap(name, count_from_1(int(gaps.argmax())), True))
    if column.dtype != object:
        return ColumnEncoding(name, fill=fill)
    values = sorted(set(column[~gaps]))
    if categorical == "error":
        raise DataError(
            f"column {name!r} holds text such as {values[0]!r}; make categories of it "
            f"with {say('categorical', 'onehot')} or ordinal, or leave it out with "
            f"{say('drop', name)}"
        )
    return ColumnEncoding(name, tuple(values), categorical != "ordinal", fill)


def _fill_value(column: np.ndarray, gaps: np.ndarray, missing: str) -> float | str:
    """Return what scikit-learn's SimpleImputer puts where a value is missing."""
    present = column[~gaps]
    if column.dtype == object or missing == "most_frequent":
        # The least of the most frequent ones.
        values, counts = np.unique(present, return_counts=True)
        value = values[counts.argmax()]
        return str(value) if column.dtype == object else float(value)
    average = np.mean if missing == "mean" else np.median
    return float(average(present.astype(np.float64)))
