"""Tables in .parquet files, by pandas and pyarrow; see tables.py for their columns."""

import datetime
import decimal
import math
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.common import memory
from truesparse.datasets.columns import find_stated
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData, first_line
from truesparse.datasets.table_options import COLUMN_OPTIONS, TableOptions, say
from truesparse.datasets.tables import ReadTable, take_columns
from truesparse.datasets.typed_columns import settle_truth
from truesparse.errors import DataError, MemoryLimitError

_NUMBERS = (int, float, decimal.Decimal)


def read_parquet(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a .parquet table.

    Parameters
    ----------
    path : Path
        Path of an existing file.
    options : TableOptions
    expected : Expected, optional
        Columns that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If pandas or pyarrow is missing, the file is damaged, or its columns do not
        suit.
    UsageError
        If an option names a column that the table lacks, or concerns text.
    """
    options.accept_only(COLUMN_OPTIONS, "a .parquet file")
    require_parquet(path)
    import pandas as pd
    import pyarrow.parquet

    try:
        about = pyarrow.parquet.read_metadata(path)
        # Values of eight bytes, in pyarrow and in pandas: a few bytes may repeat one
        # for as many rows as they say.
        memory.require(
            16 * about.num_rows * about.num_columns, "give fewer rows or columns"
        )
        frame = pd.read_parquet(path, engine="pyarrow")
    except MemoryLimitError:
        raise
    except Exception as error:
        # Damaged metadata can raise any error of the two libraries.
        raise DataError(
            f"cannot read {path} as .parquet: {first_line(error)}; the file seems to "
            "be damaged or of another format"
        ) from error
    names = [str(name) for name in frame.columns]
    # Whatever they hold, these are not looked at.
    left_out, _ = find_stated(names, len(names), path, options)
    columns = [
        np.full(len(frame), np.nan)
        if i in left_out
        else _plain(frame.iloc[:, i], name, path)
        for i, name in enumerate(names)
    ]
    return take_columns(ReadTable(path, names, columns), options, expected)


def _plain(series: Any, name: str, path: Path) -> np.ndarray:
    """Return a column of pandas as `ReadTable` takes it."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biufmM":
        return series.to_numpy()
    gaps = series.isna().to_numpy()
    values = np.array(series.astype(object), object)
    values[gaps] = None
    present = values[~gaps].tolist()
    column: np.ndarray
    if all(isinstance(value, str) for value in present):
        return values if present else np.full(len(values), np.nan)
    if all(isinstance(value, datetime.timedelta) for value in present):
        return values.astype("m8[us]")
    if all(isinstance(value, datetime.date | datetime.time) for value in present):
        # Text, as dates are in a text table.
        return np.array([value and str(value) for value in values], object)
    if all(isinstance(value, bool) for value in present):
        return settle_truth(values.tolist())
    if all(isinstance(value, _NUMBERS) for value in present):
        is_whole = all(map(_is_whole, present))
        # As Python's whole numbers, of which float64 does not hold every one.
        column = np.array([int(v) if is_whole else float(v) for v in present])
    else:
        kinds = sorted({type(value).__name__ for value in present})
        raise DataError(
            f"{path}: column {name!r} holds values of type {', '.join(kinds)}; "
            f"give numbers, text or bools, or leave it out with {say('drop', name)}"
        )
    if not gaps.any() and column.dtype.kind in "biuf":
        return column
    with_gaps = np.full(len(values), np.nan)
    with_gaps[~gaps] = column
    return with_gaps


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) or (math.isfinite(value) and value == int(value))


def save_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Write named columns, (n,) each, as a .parquet table.

    Raises
    ------
    DataError
        If pandas or pyarrow is missing, or the file cannot be written.
    """
    require_parquet(path)
    import pandas as pd

    try:
        pd.DataFrame(columns).to_parquet(path, engine="pyarrow", index=False)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def require_parquet(path: Path) -> None:
    """Raise DataError unless pandas and pyarrow are installed."""
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401 - pandas says less clearly that it is missing
    except ImportError as error:
        raise DataError(
            f"cannot use {path}: {error.name} is not installed, and .parquet needs "
            "pandas and pyarrow (pip install pandas pyarrow); or convert it to .npz"
        ) from error
