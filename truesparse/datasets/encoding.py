"""Columns of a table as features: numbers, truth values, categories, missing values.

    number      itself, or what stands for it where it is missing
    truth       0 or 1
    category    a 0/1 column for each value that the training part has ("onehot"), or
                the number of the value in their order, from 0 ("ordinal")

All is learnt from the training part. A value that it lacks gives zeros in the columns
of "onehot" and -1 under "ordinal". scikit-learn's imputer and encoders do the work.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.checks import choose
from truesparse.datasets.text_tables import is_missing
from truesparse.errors import DataError

MISSING_CHOICES = ("error", "drop", "mean", "median", "most_frequent")
CATEGORICAL_CHOICES = ("auto", "onehot", "ordinal", "error")
# More values than this in a column, and the features become CSR.
MOST_DENSE_VALUES = 100
_SHOWN = 3


@dataclass(frozen=True)
class ColumnEncoding:
    """How one column becomes features.

    Attributes
    ----------
    name : str
        Name of the column, for messages.
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
    def feature_names(self) -> list[str]:
        """Names of the features: that of the column, or NAME=VALUE."""
        if not self.is_onehot or self.categories is None:
            return [self.name]
        return [f"{self.name}={value}" for value in self.categories]


@dataclass(frozen=True)
class TableEncoding:
    """How the columns of a table become features, see `fit_encoding`.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.encoding import fit_encoding
    >>> colour = np.array(["red", "blue", "red"], dtype=object)
    >>> encoding = fit_encoding([np.arange(3), colour], ["size", "colour"])
    >>> encoding.feature_names
    ['size', 'colour=blue', 'colour=red']
    >>> encoding.transform([np.arange(3), colour]).tolist()
    [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [2.0, 0.0, 1.0]]
    """

    columns: tuple[ColumnEncoding, ...] = field(default_factory=tuple)

    @property
    def feature_names(self) -> list[str]:
        """Names of all features, in order."""
        return [name for column in self.columns for name in column.feature_names]

    @property
    def is_sparse(self) -> bool:
        """Whether features are CSR: a column has many categories."""
        return any(column.n_features > MOST_DENSE_VALUES for column in self.columns)

    def transform(self, columns: list[np.ndarray]) -> np.ndarray | sparse.csr_array:
        """Return the features of rows, (n_rows, n_features) float64.

        Parameters
        ----------
        columns : list of ndarray, shape (n_rows,)
            As many as the training part had, in its order.

        Raises
        ------
        DataError
            If a column is of another kind than in training, or lacks values that
            nothing stands for.
        """
        blocks = [
            _encode(how, column, self.is_sparse)
            for how, column in zip(self.columns, columns, strict=True)
        ]
        if self.is_sparse:
            return sparse.csr_array(sparse.hstack(blocks, format="csr"))
        return np.hstack(blocks)

    def to_json(self) -> list[dict[str, Any]]:
        """Return what `from_json` makes the encoding of again."""
        return [dict(vars(column)) for column in self.columns]

    @classmethod
    def from_json(cls, description: list[dict[str, Any]]) -> "TableEncoding":
        """Return the encoding of a description; LookupError for what it lacks."""
        columns = []
        for column in description:
            given = column["categories"]
            categories = None if given is None else tuple(given)
            fill, is_onehot = column["fill"], bool(column["is_onehot"])
            columns.append(ColumnEncoding(column["name"], categories, is_onehot, fill))
        return cls(tuple(columns))


def fit_encoding(
    columns: list[np.ndarray],
    names: list[str],
    *,
    missing: str = "error",
    categorical: str = "auto",
) -> TableEncoding:
    """Learn from the training part how columns become features.

    Parameters
    ----------
    columns : list of ndarray, shape (n_rows,)
        Columns as `text_tables.Table` has them.
    names : list of str
        Name of each, for messages and features.
    missing : {"error", "drop", "mean", "median", "most_frequent"}
        What stands for a missing number; a missing text is the most frequent one under
        the last three. "drop" has left such rows out already, and refuses others.
    categorical : {"auto", "onehot", "ordinal", "error"}
        What becomes of text; "auto" is "onehot".

    Raises
    ------
    DataError
        If a column holds text that is refused, dates, missing values under "error", or
        no value at all.
    """
    choose(missing, MISSING_CHOICES, "treatment of missing values")
    choose(categorical, CATEGORICAL_CHOICES, "treatment of text")
    return TableEncoding(
        tuple(
            _fit_column(column, name, missing, categorical)
            for column, name in zip(columns, names, strict=True)
        )
    )


def _fit_column(
    column: np.ndarray, name: str, missing: str, categorical: str
) -> ColumnEncoding:
    gaps = is_missing(column)
    if gaps.all():
        raise DataError(f"column {name!r} holds no values; leave it out with --drop")
    fill: float | str | None = None
    if missing not in ("error", "drop"):
        fill = _fill_value(column, missing)
    elif gaps.any():
        raise DataError(_missing_text(name, gaps))
    if column.dtype != object:
        return ColumnEncoding(name, fill=fill)
    values = sorted(set(column[~gaps]))
    if all(map(_is_date, values)):
        raise DataError(
            f"column {name!r} holds dates such as {values[0]!r}, which are no features "
            "by themselves; make numbers of them (days, weekday, month), or leave it "
            "out with --drop"
        )
    if categorical == "error":
        raise DataError(
            f"column {name!r} holds text such as {values[0]!r}; features are numbers: "
            "make categories of it with --categorical onehot or ordinal, or leave it "
            "out with --drop"
        )
    return ColumnEncoding(name, tuple(values), categorical != "ordinal", fill)


def _fill_value(column: np.ndarray, missing: str) -> float | str:
    from sklearn.impute import SimpleImputer

    is_text = column.dtype == object
    strategy = "most_frequent" if is_text else missing
    imputer = SimpleImputer(
        strategy=strategy, missing_values=None if is_text else np.nan
    )
    values = column if is_text else column.astype(np.float64)
    value = imputer.fit(values[:, None]).statistics_[0]
    return str(value) if is_text else float(value)


def _encode(how: ColumnEncoding, column: np.ndarray, is_sparse: bool):
    gaps = is_missing(column)
    if gaps.any() and how.fill is None:
        raise DataError(_missing_text(how.name, gaps))
    if how.categories is None:
        if column.dtype == object:
            first = column[~gaps][0] if not gaps.all() else None
            if first is not None:
                raise DataError(
                    f"column {how.name!r} holds {first!r}; it holds numbers in the "
                    "training data"
                )
        values = np.where(gaps, how.fill or 0.0, column).astype(np.float64)[:, None]
        return sparse.csr_array(values) if is_sparse else values
    texts = column.astype(str).astype(object)
    texts[gaps] = how.fill
    texts = texts[:, None]
    encoder = _encoder(how, is_sparse)
    return encoder.transform(texts)


def _encoder(how: ColumnEncoding, is_sparse: bool) -> Any:
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    categories = np.array(how.categories, dtype=object)
    settings: dict[str, Any] = {"categories": [categories], "dtype": np.float64}
    if how.is_onehot:
        encoder: Any = OneHotEncoder(
            handle_unknown="ignore", sparse_output=is_sparse, **settings
        )
    else:
        encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, **settings
        )
    return encoder.fit(categories[:, None])


def _missing_text(name: str, gaps: np.ndarray) -> str:
    rows = np.flatnonzero(gaps)
    shown = ", ".join(map(str, rows[:_SHOWN] + 1)) + (", ..." * (rows.size > _SHOWN))
    return (
        f"column {name!r} lacks {rows.size} values (rows {shown}, counted from 1); "
        "drop these rows with --missing drop, or fill them with --missing mean, median "
        "or most_frequent"
    )


def _is_date(text: str) -> bool:
    import datetime

    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
