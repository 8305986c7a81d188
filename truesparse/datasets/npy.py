"""Single .npy arrays: a table without header, or one of several named arrays.

table.npy                   the last column is the target, see tables.py
X.npy, y.npy                beside each other; also X_train.npy, ..., y_test.npy
"""

import math
from pathlib import Path
from typing import IO

import numpy as np

from truesparse.common import memory
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.named_arrays import (
    as_raw_data,
    as_rows,
    choose_arrays,
    role_of,
)
from truesparse.datasets.raw import DAMAGED, RawData, first_line
from truesparse.datasets.table_options import COLUMN_OPTIONS, TableOptions
from truesparse.datasets.tables import ReadTable, take_columns
from truesparse.datasets.typed_columns import column_of
from truesparse.errors import DataError, MemoryLimitError

_NEEDED = (
    "it as .npy beside this file, or name the file otherwise if its last column is the "
    "target"
)


def read_npy(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read an .npy file that NumPy wrote.

    A file with the name of features (X.npy, x_train.npy, ...) has its targets in files
    beside it, and its test part too; any other is a table, whose target is the last
    column or the one that `options` states.

    Parameters
    ----------
    path : Path
        An existing file.
    options : TableOptions
    expected : Expected, optional
        Features that a model takes: targets may then be absent.

    Raises
    ------
    DataError
        If the file is damaged, holds Python objects, or has another shape; or if the
        targets are lacking.
    UsageError
        If an option concerns text, or names a column that the table lacks.
    """
    options.accept_only(COLUMN_OPTIONS, "an .npy file")
    role = role_of(path.stem)
    if role is not None and role.is_features and options.target is None:
        options.accept_only((), f"{path.name}, whose target is in another file")
        return _read_beside(path, role.part, expected)
    array = _load(path)
    if array.ndim > 2 and expected is not None:
        return RawData(as_rows(array), None)
    names, columns = _columns_of(array, path)
    return take_columns(ReadTable(path, names, columns), options, expected)


def _read_beside(path: Path, part: str, expected: Expected | None) -> RawData:
    """Read features, and targets and test part from files beside."""
    parts = {part, "test"} if part == "train" and expected is None else {part}
    paths = {}
    for other in sorted(path.parent.glob("*.npy")):
        role = role_of(other.stem)
        is_rival = role is not None and role.is_features and role.part == part
        if role is not None and role.part in parts and (other == path or not is_rival):
            paths[other.stem] = other
    # A part by itself is a whole.
    plain = {_without(part, name): name for name in paths}
    if len(plain) < len(paths):
        raise DataError(
            f"{path.parent} has several arrays for one purpose: {', '.join(paths)}; "
            "leave one of each there"
        )
    keys = paths if len(parts) > 1 else plain
    names = choose_arrays(keys, path, _NEEDED, needs_targets=expected is None)
    arrays = [
        name and _load(paths[name if len(parts) > 1 else plain[name]])
        for name in names[:4]
    ]
    return as_raw_data(names, arrays, path)


def _without(part: str, name: str) -> str:
    return name.lower().replace(part, "").strip("_") if part else name


def _columns_of(
    array: np.ndarray, path: Path
) -> tuple[list[str] | None, list[np.ndarray]]:
    """Return names, if there are any, and columns of an array."""
    names, columns = None, []
    if array.dtype.names and array.ndim == 1:
        names = list(array.dtype.names)
        columns = [array[name] for name in names]
    elif array.ndim == 2:
        columns = list(array.T)
    if not len(array.shape) or not array.size or not columns:
        raise DataError(
            f"{path} has shape {array.shape}; give a table, (n_rows, n_columns), whose "
            "last column is the target, or features X.npy and targets y.npy"
        )
    for i, column in enumerate(columns):
        if column.dtype.kind == "U" and column.ndim == 1:
            columns[i] = column_of([cell.strip() for cell in column.tolist()])
        elif column.dtype.kind not in "biufmM" or column.ndim != 1:
            raise DataError(
                f"{path} holds {column.dtype} values; give numbers, bools or text"
            )
    return names, columns


def read_array(file: IO[bytes]) -> np.ndarray:
    """Return the array that a file, or a member of an archive, holds and nothing else.

    Parameters
    ----------
    file : binary file
        Open at its beginning.

    Raises
    ------
    ValueError or others of DAMAGED
        If the content is no array, or more or less than its header says, of which
        NumPy does not tell (2.4, 2026-11).
    MemoryLimitError
        If it does not fit in memory.
    """
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0
    if version > (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    n_bytes = math.prod(shape) * dtype.itemsize
    if dtype.subdtype is not None or min(shape, default=0) < 0 or n_bytes >= 2**63:
        raise ValueError(f"shape {shape} of {dtype} is none")
    memory.require(n_bytes, "the file declares an array of that size")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError(f"it holds more than the {array.shape} of its header")
    return array


def _load(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                raise DataError(f"{path} is an .npz archive; name it so")
            file.seek(0)
            return read_array(file)
    except (DataError, MemoryLimitError):
        raise
    except DAMAGED as error:
        raise DataError(
            f"cannot read {path} as .npy: {first_line(error)}; write it with "
            "numpy.save, without Python objects"
        ) from error
