"""Columns of a table as features: numbers, truth values, categories, missing values.

    number      itself, or what stands for it where it is missing
    truth       0 or 1
    category    a 0/1 column for each value that the training part has ("onehot"), or
                the number of the value in their order, from 0 ("ordinal")

All is learnt from the training part, see feature_columns.py. A value that it lacks
gives zeros in the columns of "onehot" and -1 under "ordinal". The results are those of
scikit-learn's OneHotEncoder and OrdinalEncoder; numbers stay float64 until they are
scaled, and one array holds them all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.datasets.dialect import TRUTH, is_number
from truesparse.datasets.encoded_rows import Codes, EncodedRows
from truesparse.datasets.table_options import say
from truesparse.datasets.typed_columns import (
    holds_truth,
    is_missing,
    truth_as_numbers,
)
from truesparse.errors import DataError

# More values than this in a column, and the features become CSR.
MOST_DENSE_VALUES = 100

_MOST_LISTED = 5

Locate = Callable[[int], str]


def count_from_1(row: int) -> str:
    """Return what messages call a row that has no line of a file."""
    return f"row {row + 1}"


def shorten(names: list[str]) -> str:
    """Return the first of some names, and how many there are if they are many."""
    listed = ", ".join(names[:_MOST_LISTED])
    n_more = len(names) - _MOST_LISTED
    return f"{listed} and {n_more} more" if n_more > 0 else listed


@dataclass(frozen=True)
class ColumnEncoding:
    """How one column becomes features.

    Attributes
    ----------
    name : str
        Name of the column, or its number from 1.
    categories : tuple of str or None
        Values of the training part in ascending order; None for numbers.
    is_onehot : bool
        Whether each category has a feature.
    fill : float or str or None
        What stands for a missing value; None refuses it.
    """

    name: str
    categories: tuple[str, ...] | None = None
    is_onehot: bool = False
    fill: float | str | None = None

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.categories) if self.is_onehot and self.categories else 1

    @property
    def number_fill(self) -> float:
        """What stands for a missing number; NaN for nothing."""
        return np.nan if self.fill is None else float(self.fill)

    @property
    def feature_names(self) -> list[str]:
        """Names of the features: that of the column, or NAME=VALUE."""
        if not self.is_onehot or self.categories is None:
            return [self.name]
        return [f"{self.name}={value}" for value in self.categories]


@dataclass(frozen=True)
class TableEncoding:
    """How the columns of a table become features, see `feature_columns.fit_encoding`.

    Attributes
    ----------
    columns : tuple of ColumnEncoding
    has_names : bool
        Whether the columns had names in the training data, which tell them apart.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.feature_columns import fit_encoding
    >>> colour = np.array(["red", "blue", "red"], dtype=object)
    >>> encoding = fit_encoding([np.arange(3), colour], ["size", "colour"])
    >>> encoding.feature_names
    ['size', 'colour=blue', 'colour=red']
    >>> encoding.transform([np.arange(3), colour]).tolist()
    [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [2.0, 0.0, 1.0]]
    """

    columns: tuple[ColumnEncoding, ...] = field(default_factory=tuple)
    has_names: bool = True

    @property
    def feature_names(self) -> list[str]:
        """Names of all features, in order."""
        return [name for column in self.columns for name in column.feature_names]

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if they had any."""
        if not self.has_names:
            return None
        return tuple(column.name for column in self.columns)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return sum(column.n_features for column in self.columns)

    @property
    def is_sparse(self) -> bool:
        """Whether features are CSR: a column has many categories."""
        return any(column.n_features > MOST_DENSE_VALUES for column in self.columns)

    def transform(
        self, columns: list[np.ndarray], locate: Locate = count_from_1
    ) -> np.ndarray | sparse.csr_array:
        """Return the features of rows, (n_rows, n_features) float64.

        Parameters
        ----------
        columns : list of ndarray, shape (n_rows,)
            As many as the training part had, in its order.
        locate : callable
            Returns what messages call the row of a number.

        Raises
        ------
        DataError
            If a column is of another kind than in training, or lacks values that
            nothing stands for.
        """
        if not self.is_sparse:
            return self.encode(columns, locate)[:]
        pairs = zip(self.columns, columns, strict=True)
        blocks = [_sparse_block(how, column, locate) for how, column in pairs]
        return sparse.csr_array(sparse.hstack(blocks, format="csr"))

    def encode(
        self, columns: list[np.ndarray], locate: Locate = count_from_1
    ) -> EncodedRows:
        """Return dense features that are made when they are read, see `transform`."""
        numbers, places, fills, codes = [], [], [], []
        start = 0
        for how, column in zip(self.columns, columns, strict=True):
            if how.categories is None:
                numbers.append(_numbers(how, column, locate))
                places.append(start)
                fills.append(how.number_fill)
            else:
                chosen = _codes(how, column, locate)
                codes.append(Codes(start, how.is_onehot, chosen))
            start += how.n_features
        shape = (len(columns[0]), self.n_features)
        return EncodedRows(numbers, places, fills, codes, shape)

    def describe(self) -> str:
        """Return which columns hold categories, and how many."""
        texts = [
            f"{repr(column.name) if self.has_names else column.name} "
            f"({len(column.categories)} values)"
            for column in self.columns
            if column.categories is not None
        ]
        return shorten(texts)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` makes the encoding of again."""
        columns = [dict(vars(column)) for column in self.columns]
        return {"columns": columns, "has_names": self.has_names}

    @classmethod
    def from_json(cls, description: dict[str, Any]) -> "TableEncoding":
        """Return the encoding of a description.

        Raises
        ------
        ValueError, TypeError or KeyError
            If `to_json` does not make such a description.
        """
        columns = tuple(map(_column_from_json, description["columns"]))
        if not columns:
            raise ValueError("an encoding needs columns")
        return cls(columns, bool(description["has_names"]))


def _column_from_json(column: dict[str, Any]) -> ColumnEncoding:
    name, given, fill = column["name"], column["categories"], column["fill"]
    categories = None if given is None else tuple(given)
    texts = (name, *(categories or ()))
    is_text = all(type(text) is str for text in texts)
    kinds = (str,) if categories is not None else (float, int)
    is_sorted = categories is None or list(categories) == sorted(set(categories))
    is_fill = fill is None or (
        type(fill) in kinds
        and (math.isfinite(fill) if categories is None else fill in categories)
    )
    is_onehot = column["is_onehot"]
    if not (
        is_text
        and is_sorted
        and is_fill
        and categories != ()
        and type(is_onehot) is bool
        and (categories is not None or not is_onehot)
    ):
        raise ValueError(f"the encoding of column {name!r} is not valid")
    return ColumnEncoding(name, categories, is_onehot, fill)


def refuse_gap(name: str, place: str, in_training: bool) -> str:
    """Return the message of a value that is missing and that nothing stands for."""
    start = f"column {name!r} holds no value in {place}"
    if not in_training:
        return (
            f"{start}, and the model has nothing to stand for it; give a value, or "
            f"train with {say('missing', 'mean')}, median or most_frequent"
        )
    return (
        f"{start}; fill it with {say('missing', 'mean')}, median or most_frequent, "
        f"leave out such rows with {say('missing', 'drop')}, or the column with "
        f"{say('drop', name)}"
    )


def _refuse_gaps(how: ColumnEncoding, gaps: np.ndarray, locate: Locate) -> None:
    if gaps.any() and how.fill is None:
        place = locate(int(gaps.argmax()))
        raise DataError(refuse_gap(how.name, place, in_training=False))


def _numbers(how: ColumnEncoding, column: np.ndarray, locate: Locate) -> np.ndarray:
    """Return the numbers of a column; NaN where one is missing and filled later."""
    gaps = is_missing(column)
    _refuse_gaps(how, gaps, locate)
    column = truth_as_numbers(column)
    if column.dtype != object:
        return column
    if not gaps.all():
        is_text = (cell is not None and not is_number(cell) for cell in column)
        row = next((row for row, it_is in enumerate(is_text) if it_is), 0)
        raise DataError(
            f"column {how.name!r} holds {column[row]!r} in {locate(row)}; it holds "
            "numbers in the training data"
        )
    return np.full(len(column), np.nan)


def _codes(how: ColumnEncoding, column: np.ndarray, locate: Locate) -> np.ndarray:
    """Return the numbers of the categories of a column, int32; -1 for others."""
    assert how.categories is not None
    gaps = is_missing(column)
    _refuse_gaps(how, gaps, locate)
    number = {value: i for i, value in enumerate(how.categories)}
    texts = _as_categories(column, number)
    codes = [-1 if text is None else number.get(text, -1) for text in texts]
    chosen = np.array(codes, np.int32)
    chosen[gaps] = number.get(str(how.fill), -1)
    return chosen


def _as_categories(column: np.ndarray, number: dict[str, int]) -> list[str | None]:
    """Return the text of each value as the training part wrote it.

    A column that holds text among numbers in one file may hold numbers alone in
    another: there 2, 2.0 and 02 are the same value.
    """
    if column.dtype == object and not holds_truth(column):
        return column.tolist()
    if holds_truth(column):
        spelling: dict[Any, str] = {
            TRUTH[value.lower()]: value for value in number if value.lower() in TRUTH
        }
    else:
        spelling = {
            float(value.replace(",", ".")): value
            for value in reversed(number)
            if is_number(value)
        }
    return [
        text if (text := str(value)) in number else spelling.get(value)
        for value in column.tolist()
    ]


def _sparse_block(
    how: ColumnEncoding, column: np.ndarray, locate: Locate
) -> sparse.csr_array:
    if how.categories is None:
        column = _numbers(how, column, locate)
        values = np.where(is_missing(column), how.number_fill, column)
        return sparse.csr_array(values[:, None])
    codes = _codes(how, column, locate)
    if not how.is_onehot:
        return sparse.csr_array(codes.astype(np.float64)[:, None])
    rows = np.flatnonzero(codes >= 0)
    cells = (rows, codes[rows].astype(np.intp))
    shape = (len(codes), how.n_features)
    return sparse.csr_array((np.ones(len(rows)), cells), shape=shape)
