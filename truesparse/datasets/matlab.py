"""MATLAB's .mat files: those of version 7.3 are read by h5py, of version 4 by scipy."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.datasets.features import as_dense
from truesparse.datasets.hdf5 import (
    compressed_matrix,
    member,
    open_hdf5,
    read_whole,
)
from truesparse.datasets.mat5 import Mat5File, is_mat5
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.named_arrays import as_raw_data, choose_arrays
from truesparse.datasets.raw import DAMAGED, RawData, first_line
from truesparse.datasets.table_options import TableOptions
from truesparse.errors import DataError, TruesparseError

_NEEDED = "X and Y, or data and label"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def read_mat(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read features and targets of a .mat file; they are chosen by their names.

    Sparse features stay sparse. Targets are a column or a row.

    Parameters
    ----------
    path : Path
        An existing file.
    options : TableOptions
        None may be given.
    expected : Expected, optional
        Features that a model takes: targets may then be absent.

    Raises
    ------
    DataError
        If the file is damaged, lacks arrays, or they are structs, cells or images.
    UsageError
        If an option of tables is given, or the file needs h5py, which is missing.
    """
    options.accept_only((), "a .mat file")
    with path.open("rb") as file:
        # HDF5 starts after MATLAB's own header.
        start = file.read(1024)
    read = _read_with_scipy
    if _SIGNATURE in (start[:8], start[512:520]):
        read = _read_with_h5py
    elif is_mat5(start):
        read = _read
    names, arrays = read(path, needs_targets=expected is None)
    for name, array in zip(names[:4], arrays, strict=True):
        if array is not None and array.ndim != 2:
            raise DataError(
                f"{path}: {name} has shape {array.shape}; give a matrix with one row "
                "for each sample"
            )
    for i in (1, 3):
        arrays[i] = _upright(arrays[i], arrays[i - 1])
    return as_raw_data(names, arrays, path)


def _read(path: Path, needs_targets: bool) -> tuple[Any, list[Any]]:
    try:
        file = Mat5File(path.read_bytes())
        names = _choose(path, file.kinds, needs_targets)
        arrays = [name and file.read(name) for name in names[:4]]
    except DAMAGED as error:
        raise _damaged(path, error) from error
    return names, [
        name and _plain(array, file.kinds[name])
        for name, array in zip(names[:4], arrays, strict=True)
    ]


def _read_with_scipy(path: Path, needs_targets: bool) -> tuple[Any, list[Any]]:
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import matfile_version

    try:
        if matfile_version(path, appendmat=False)[0] != 0:
            raise ValueError("it begins as no .mat file does")
        kinds = {name: kind for name, _, kind in whosmat(path, appendmat=False)}
        names = _choose(path, kinds, needs_targets)
        wanted = [name for name in names[:4] if name]
        # Otherwise doubles come in the type that stores them, such as uint8.
        arrays = loadmat(path, appendmat=False, variable_names=wanted, mat_dtype=True)
    except Exception as error:
        # A damaged file can raise any error.
        raise _damaged(path, error) from error
    return names, [name and _plain(arrays[name], kinds[name]) for name in names[:4]]


def _choose(path: Path, kinds: dict[str, str], needs_targets: bool) -> Any:
    """Return the names of the arrays to read, see choose_arrays."""
    names = choose_arrays(kinds, path, _NEEDED, needs_targets)
    for name in filter(None, names[:4]):
        _check_kind(path, name, kinds[name])
    return names


def _damaged(path: Path, error: Exception) -> Exception:
    """Return the error that says that a file cannot be read, unless one says why."""
    if isinstance(error, TruesparseError):
        return error
    return DataError(
        f"cannot read {path} as .mat: {first_line(error)}; the file seems to be "
        "damaged or of another format"
    )


def _read_with_h5py(path: Path, needs_targets: bool) -> tuple[Any, list[Any]]:
    with open_hdf5(path, "a .mat file of version 7.3") as file:
        held = [name for name in file if not name.startswith("#")]
        names = choose_arrays(held, path, _NEEDED, needs_targets)
        return names, [
            name and _stored(path, name, member(file, name)) for name in names[:4]
        ]


def _stored(path: Path, name: str, stored: Any) -> Any:
    """Return an array of a file of version 7.3, which stores them transposed."""
    kind = stored.attrs.get("MATLAB_class", b"struct").decode()
    n_rows = stored.attrs.get("MATLAB_sparse")
    if n_rows is not None:
        shape = int(n_rows), len(member(stored, "jc")) - 1
        return compressed_matrix(stored, "ir", shape, by_rows=False)
    _check_kind(path, name, kind if hasattr(stored, "dtype") else "struct")
    if "MATLAB_empty" in stored.attrs:
        raise DataError(f"{path}: {name} is empty; give at least one row")
    array = read_whole(stored).T
    if kind == "char":
        lines = ["".join(map(chr, row)).rstrip() for row in array]
        return np.array(lines)[:, None]
    return _plain(array, kind)


def _check_kind(path: Path, name: str, kind: str) -> None:
    if kind in ("struct", "cell", "object", "opaque", "function", "function_handle"):
        raise DataError(
            f"{path}: {name} is a {kind} of MATLAB; store the matrix of features and "
            "the column of labels as variables of their own"
        )


def _plain(array: Any, kind: str) -> Any:
    """Return an array with logical values as 0 and 1, not as grey values."""
    if kind == "char" and array.ndim == 1:
        return np.char.rstrip(array)[:, None]
    return array.astype(np.int8) if kind == "logical" else array


def _upright(y: Any, X: Any) -> Any:
    """Return a row of targets as the column that is meant."""
    if y is None:
        return None
    if sparse.issparse(y) and min(y.shape) == 1:
        y = as_dense(y, "y")
    return y.T if y.shape[0] == 1 and X.shape[0] > 1 else y
