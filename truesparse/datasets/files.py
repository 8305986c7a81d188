"""Data sets from files, by the ending of their name."""

from pathlib import Path

from truesparse.datasets.csv_table import read_csv
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.npz import read_npz
from truesparse.datasets.parquet_table import read_parquet
from truesparse.datasets.raw import RawData
from truesparse.datasets.svmlight import read_svmlight
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.text_tables import COMPRESSED
from truesparse.errors import DataError

READERS = {
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".data": read_csv,
    ".parquet": read_parquet,
    ".svm": read_svmlight,
    ".libsvm": read_svmlight,
    ".svmlight": read_svmlight,
}


def read_file(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a data set from a file.

    Parameters
    ----------
    path : Path
        File with one of the endings of ``READERS``.
    options : TableOptions
        Options that mean something for the format.
    expected : Expected, optional
        Features that a model takes: targets may then be absent.

    Raises
    ------
    DataError
        If there is no such file, its ending is unknown, or it cannot be read.
    UsageError
        If an option means nothing for the format.
    """
    if path.is_dir():
        raise DataError(f"cannot read {path}: it is a folder; give a file in it")
    name = Path(path.stem) if path.suffix.lower() in COMPRESSED else path
    reader = READERS.get(name.suffix.lower())
    if name is not path and reader is not read_csv:
        reader = None  # only text tables are read compressed
    if reader is None:
        raise DataError(
            f"cannot read {path}: unknown ending {path.suffix!r}; "
            f"use one of {', '.join(READERS)}; only text tables may be compressed"
        )
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if is_empty:
        raise DataError(f"cannot read {path}: the file is empty; give one with rows")
    return reader(path, options, expected)
