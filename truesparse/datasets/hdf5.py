"""HDF5 files, which .h5ad and version 7.3 of .mat are; h5py is an extra."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from truesparse.common import memory
from truesparse.common.checks import check_compressed, import_extra
from truesparse.datasets.raw import first_line
from truesparse.datasets.room import require_room_for_rows
from truesparse.errors import DataError, MemoryLimitError, UsageError


@contextlib.contextmanager
def open_hdf5(path: Path, kind: str) -> Iterator[Any]:
    """Open an HDF5 file to read it in a ``with`` statement.

    Parameters
    ----------
    path : Path
    kind : str
        What the file is, for messages.

    Raises
    ------
    DataError
        If the file is damaged or not laid out as it is read.
    UsageError
        If h5py is not installed.
    """
    h5py = import_extra("h5py", f"{path}: {kind} needs h5py", "formats")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (DataError, MemoryLimitError, UsageError):
        raise
    except Exception as error:
        # A damaged file can raise any error.
        raise DataError(
            f"cannot read {path} as {kind}: {first_line(error)}; the file seems to be "
            "damaged or of another format"
        ) from error


def read_whole(stored: Any, *, as_text: bool = False) -> np.ndarray:
    """Return a stored array, (*shape), as it is or with its bytes as text.

    Raises
    ------
    MemoryLimitError
        If it does not fit in memory: a few bytes of a file may declare any shape.
    """
    memory.require(stored.nbytes, "the file declares an array of that size")
    array: np.ndarray = (stored.asstr() if as_text else stored)[()]
    return array


def compressed_matrix(
    group: Any, indices: str, shape: tuple[int, int], by_rows: bool
) -> sparse.csr_array:
    """Return a matrix that is stored as compressed rows or columns, as CSR.

    Parameters
    ----------
    group : h5py.Group
        Holds `data`, the indices, and the bounds: `indptr`, or MATLAB's `jc`.
    indices : str
        Name of the indices.
    shape : tuple of int
    by_rows : bool
        Whether rows are compressed.
    """
    require_room_for_rows(shape[0])
    bounds = read_whole(group["indptr" if "indptr" in group else "jc"])
    # MATLAB leaves both out where no value is stored.
    values = read_whole(group["data"]) if "data" in group else np.zeros(0)
    numbers = read_whole(group[indices]) if indices in group else np.zeros(0)
    kind = sparse.csr_array if by_rows else sparse.csc_array
    matrix = kind((values, numbers.astype("i8"), bounds.astype("i8")), shape=shape)
    check_compressed(matrix)
    return matrix.tocsr()
