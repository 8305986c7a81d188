"""Data sets in one .npz file, dense or CSR; no pickle is read or written.

    X_train, y_train, X_test, y_test        with a test part, or
    X, y                                    to be split

or with the other names of named_arrays.py.
A CSR matrix M is stored as M_data, M_indices, M_indptr and M_shape in place of M.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy import sparse

from truesparse.datasets.features import as_dense, check_features
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.named_arrays import as_raw_data, choose_arrays
from truesparse.datasets.npy import read_array
from truesparse.datasets.raw import DAMAGED, RawData, first_line
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.targets import check_one_target_a_row
from truesparse.errors import DataError, MemoryLimitError

CSR_FIELDS = ("data", "indices", "indptr", "shape")
ARRAYS = "X_train, y_train, X_test, y_test or X, y"
NEEDED = f"{ARRAYS} (or for CSR X_data, X_indices, ...)"


def read_npz(
    path: Path, options: TableOptions, expected: Expected | None = None
) -> RawData:
    """Read a data set that `save_npz` or NumPy wrote.

    Arrays are chosen by their names, see named_arrays.py. Images, (n, height, width) or
    more dimensions, become rows.

    Parameters
    ----------
    path : Path
        An existing file.
    options : TableOptions
        None may be given.
    expected : Expected, optional
        Features that a model takes: targets may then be absent, and the file may be
        one matrix of scipy.sparse.save_npz.

    Raises
    ------
    DataError
        If the file is damaged, is not .npz, needs pickle, or lacks arrays.
    UsageError
        If an option of tables is given.
    """
    options.accept_only((), "an .npz file")
    try:
        # np.load leaves a file that it opened itself open if the archive is damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path} is a single .npy array; name it so, or store {NEEDED} in "
                    "an .npz file"
                )
            with archive:
                if expected is not None and _is_scipy_matrix(archive):
                    return RawData(sparse.load_npz(path), None)
                return _read_arrays(archive, path, needs_targets=expected is None)
    except (DataError, MemoryLimitError):
        raise
    except DAMAGED as error:
        raise DataError(
            f"cannot read {path} as .npz: {first_line(error)}; write it with "
            "truesparse.datasets.save_npz or numpy.savez, without object arrays"
        ) from error


def _is_scipy_matrix(archive: np.lib.npyio.NpzFile) -> bool:
    return {"format", "shape", "data"} <= set(archive.files)


def _read_arrays(
    archive: np.lib.npyio.NpzFile, path: Path, needs_targets: bool = True
) -> RawData:
    keys = set(archive.files)
    if _is_scipy_matrix(archive):
        raise DataError(
            f"{path} is a matrix of scipy.sparse.save_npz, without targets; write "
            "features and targets with truesparse.datasets.save_npz"
        )
    names = choose_arrays(_arrays_in(keys), path, NEEDED, needs_targets)
    arrays = [name and _matrix(archive, name, path) for name in names[:4]]
    return as_raw_data(names, arrays, path)


def _arrays_in(keys: set[str]) -> set[str]:
    """Return the names of the arrays, a CSR matrix being one."""
    bases = {key.removesuffix("_indptr") for key in keys if key.endswith("_indptr")}
    fields = {base: {f"{base}_{field}" for field in CSR_FIELDS} for base in bases}
    whole = {base for base in bases if fields[base] <= keys}
    return (keys - {field for base in whole for field in fields[base]}) | whole


def _matrix(
    archive: np.lib.npyio.NpzFile, name: str, path: Path
) -> np.ndarray | sparse.csr_array:
    if name in archive.files:
        return _member(archive, name)
    data, indices, indptr, shape = (
        _member(archive, f"{name}_{field}") for field in CSR_FIELDS
    )
    if {indices.dtype.kind, indptr.dtype.kind} - {"i", "u"}:
        raise DataError(
            f"{path}: {name}_indices and {name}_indptr must be whole numbers; write "
            "the file with truesparse.datasets.save_npz"
        )
    try:
        rows, columns = (int(size) for size in shape)
        return sparse.csr_array((data, indices, indptr), shape=(rows, columns))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"{path}: {name} is not a valid CSR matrix: {first_line(error)}; write the "
            "file with truesparse.datasets.save_npz"
        ) from error


def _member(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    # The same file that `archive[name]` reads, which does not look at its end.
    assert archive.zip is not None
    with archive.zip.open(f"{name}.npy") as file:
        return read_array(file)


def save_npz(
    path: str | os.PathLike[str],
    X: object,
    y: object,
    X_test: object = None,
    y_test: object = None,
    *,
    compress: bool = False,
) -> Path:
    """Write a data set that `load` reads, dense or CSR.

    The file appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Name of the file; ``.npz`` is added if it has another ending.
    X, X_test : array-like or sparse array, shape (n, n_features)
        Features, stored in the type they have. Without a test part, `load` splits
        the rows.
    y, y_test : array-like
        Labels or values, one for each row of features.
    compress : bool
        Compress the file, which makes it several times slower to write and to read.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    DataError
        If the arrays are invalid or the file cannot be written.

    Examples
    --------
    >>> import scipy.sparse, tempfile
    >>> from truesparse.datasets import load, save_npz
    >>> X = scipy.sparse.eye_array(20, 1000, format="csr")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_npz(f"{folder}/words.npz", X, [0, 1] * 10)
    ...     load(path)
    Dataset('words.npz', classification, 16 + 4 rows x 1000 features (CSR), 2 outputs)
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        path = path.with_name(path.name + ".npz")
    if (X_test is None) != (y_test is None):
        raise DataError("X_test and y_test belong together; give both or neither")
    members = _members("X" if X_test is None else "X_train", X, y)
    if X_test is not None:
        members |= _members("X_test", X_test, y_test)
    write: Any = np.savez_compressed if compress else np.savez
    _write_atomically(path, lambda file: write(file, **members))
    return path


def _members(name: str, X: Any, y: Any) -> dict[str, np.ndarray]:
    """Return the arrays that store one part, by name."""
    members: dict[str, np.ndarray] = {}
    for key, value in ((name, X), ("y" + name[1:], y)):
        if sparse.issparse(value):
            csr: sparse.csr_array = check_features(value, None, key)
            values = (csr.data, csr.indices, csr.indptr, np.array(csr.shape))
            named = zip(CSR_FIELDS, values, strict=True)
            members |= {f"{key}_{field}": array for field, array in named}
            n_rows = csr.shape[0]
        else:
            array = as_dense(value, key)
            if array.dtype.hasobject or array.ndim == 0:
                raise DataError(
                    f"{key} must be an array of numbers or text, got "
                    f"{'Python objects' if array.dtype.hasobject else 'one value'}"
                )
            members[key] = array
            n_rows = len(array)
        if key == name:
            n_samples = n_rows
    check_one_target_a_row(n_rows, n_samples, key)
    return members


def _write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
