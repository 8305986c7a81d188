"""Tables in .parquet files, by pandas and pyarrow; see columns.py for the target."""

from pathlib import Path

import numpy as np

from truesparse.datasets.columns import (
    Expected,
    check_n_columns,
    choose_columns,
    explain_target,
    find_name,
    warn_of_columns,
)
from truesparse.datasets.raw import RawData, first_line
from truesparse.errors import DataError


def read_parquet(path: Path, expected: Expected | None = None) -> RawData:
    """Read a .parquet table.

    Parameters
    ----------
    path : Path
        An existing file.
    expected : Expected, optional
        Columns that a model takes: the target may then be absent.

    Raises
    ------
    DataError
        If pandas or pyarrow is missing, the file is damaged, or a feature is not a
        number.
    """
    require_parquet(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except Exception as error:
        # Damaged metadata can raise any error of the two libraries.
        raise DataError(
            f"cannot read {path} as .parquet: {first_line(error)}; the file seems to "
            "be damaged or of another format"
        ) from error
    if expected is None:
        check_n_columns(frame.shape[1], path)
    names = [str(name) for name in frame.columns]
    chosen = choose_columns(names, len(names), path, expected=expected)
    y = None if chosen.target is None else frame.iloc[:, chosen.target]
    features = frame.iloc[:, chosen.features]
    for name, dtype in features.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype):
            raise DataError(
                f"{path}: column {name!r} holds {dtype} values; features must be "
                "numbers, so convert or remove it"
            )
    if y is not None and y.isna().any():
        if expected is None:
            raise DataError(
                f"{path}: the target column has {y.isna().sum()} empty cells; drop "
                "those rows"
            )
        y = None
    if all(isinstance(dtype, np.dtype) for dtype in features.dtypes):
        X = features.to_numpy()
    else:
        X = features.to_numpy(dtype=np.float64, na_value=np.nan)
    target = None if y is None else y.to_numpy()
    raw = RawData(X, target, feature_names=chosen.names)
    raw.target_name = find_name(names, chosen.target)
    if expected is None:
        raw.target_choice = explain_target(names, chosen)
        columns = [frame.iloc[:, i].to_numpy() for i in range(len(names))]
        raw.warnings = warn_of_columns(names, chosen, columns)
    return raw


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
