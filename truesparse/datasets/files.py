"""Data sets from files: by the ending of their name, texts also by what they hold."""

import os
from pathlib import Path

from truesparse.datasets.arff import read_arff
from truesparse.datasets.content import read_text
from truesparse.datasets.matlab import read_mat
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.npy import read_npy
from truesparse.datasets.npz import read_npz
from truesparse.datasets.parquet_table import read_parquet
from truesparse.datasets.raw import RawData
from truesparse.datasets.single_cells import (
    find_matrix,
    read_cells,
    read_h5ad,
    read_mtx,
)
from truesparse.datasets.svmlight import read_svmlight
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.text_files import ending_of, is_compressed
from truesparse.errors import DataError

BINARY_READERS = {
    ".npz": read_npz,
    ".npy": read_npy,
    ".parquet": read_parquet,
    ".mat": read_mat,
    ".h5ad": read_h5ad,
}
READERS = BINARY_READERS | {
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".data": read_text,
    ".t": read_text,
    ".arff": read_arff,
    ".mtx": read_mtx,
    ".svm": read_svmlight,
    ".libsvm": read_svmlight,
    ".svmlight": read_svmlight,
}


def read_file(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a data set from a file, or from a folder that 10x Genomics' tools wrote.

    Parameters
    ----------
    path : Path
        File with one of the endings of ``READERS``, to which those of a compressed
        text may be added, or text of any name.
    options : TableOptions
        Options that mean something for the format.
    expected : Expected, optional
        Features that a model takes: targets may then be absent.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    UsageError
        If an option means nothing for the format.
    """
    if os.path.isdir(path):
        if find_matrix(path) is not None:
            return read_cells(path, options, expected)
        raise DataError(f"cannot read {path}: it is a folder; give a file in it")
    ending = ending_of(path)
    if is_compressed(path) and ending in BINARY_READERS:
        raise DataError(f"cannot read {path}: only text may be compressed; unpack it")
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if is_empty:
        raise DataError(f"cannot read {path}: the file is empty; give one with rows")
    if ending in READERS:
        return READERS[ending](path, options, expected)
    try:
        return read_text(path, options, expected)
    except DataError as error:
        if not ending:
            raise
        raise DataError(
            f"{error}; the ending {ending!r} is unknown, so the file was taken for "
            f"text; known endings are {', '.join(READERS)}"
        ) from error
