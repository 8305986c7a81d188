"""Matrix Market files, .mtx: sparse matrices as lines of row, column and value.

scipy.io.mmread is not used: damaged files, and numbers of many digits, can end the
process (https://github.com/scipy/scipy/issues/19949). Tests compare the two.
"""

from pathlib import Path
from typing import TextIO

import numpy as np
from scipy import sparse

from truesparse.datasets.raw import first_line
from truesparse.datasets.room import require_room_for_rows
from truesparse.datasets.text_files import BROKEN, encoding_of, open_text
from truesparse.errors import DataError, MemoryLimitError

_TYPES = {"real": "f8", "double": "f8", "integer": "i8", "pattern": None}
_SIGNS = {"general": 0, "symmetric": 1, "skew-symmetric": -1}
_MOST = 2**31 - 1  # rows or columns


def read_matrix_market(path: Path) -> sparse.csr_array | np.ndarray:
    """Read a Matrix Market file, compressed or not.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    csr_array or ndarray, shape (n_rows, n_columns)
        float64 or int64; an array where the file is dense. Values of a pattern are 1.

    Raises
    ------
    DataError
        If the file is damaged, or holds complex numbers.
    MemoryLimitError
        If it declares more rows or columns than fit in memory.
    """
    try:
        with open_text(path, encoding_of(path)) as file:
            return _read(file)
    except MemoryLimitError:
        raise
    except (*BROKEN, ValueError, OverflowError, MemoryError) as error:
        raise DataError(
            f"cannot read {path} as a Matrix Market file: {first_line(error)}; write "
            "it with scipy.io.mmwrite"
        ) from error


def _read(file: TextIO) -> sparse.csr_array | np.ndarray:
    words = file.readline().lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise ValueError("the first line is not '%%MatrixMarket matrix ...'")
    layout, field, symmetry = words[2:]
    if layout not in ("coordinate", "array") or field not in _TYPES:
        raise ValueError(f"{layout} {field} is not read; store real numbers")
    if symmetry not in _SIGNS or (layout == "array" and symmetry != "general"):
        raise ValueError(f"{layout} {symmetry} is not read; store a general matrix")
    line = "%"
    while line.startswith("%") or line.isspace():
        line = file.readline()
    shape = [int(number) for number in line.split()]
    if len(shape) != (3 if layout == "coordinate" else 2) or min(shape) < 0:
        raise ValueError(f"{line.strip()[:60]!r} is no size")
    if max(shape[:2]) > _MOST:
        raise ValueError(f"more than {_MOST:,} rows or columns")
    require_room_for_rows(max(shape[:2]))  # or columns, which may become rows
    kind = _TYPES[field]
    if layout == "array":
        if kind is None:
            raise ValueError("an array holds values, no pattern")
        values = _lines(file, np.dtype(kind), shape[0] * shape[1])
        return np.ascontiguousarray(values.reshape(shape[1], shape[0]).T)
    columns = [("row", "i8"), ("column", "i8")]
    entries = _lines(
        file, np.dtype(columns + [("value", kind)] * (kind is not None)), shape[2]
    )
    return _sparse(entries, (shape[0], shape[1]), _SIGNS[symmetry])


def _lines(file: TextIO, dtype: np.dtype, n_lines: int) -> np.ndarray:
    """Return the values of the lines that remain, which must be so many."""
    lines = (line for line in file if not line.isspace())
    first = next(lines, None)
    values = np.empty(0, dtype)
    if first is not None:
        values = np.loadtxt((line for part in ([first], lines) for line in part), dtype)
    values = np.atleast_1d(values)
    if values.shape != (n_lines,):
        raise ValueError(f"{len(values)} lines of values, but {n_lines} are declared")
    return values


def _sparse(entries: np.ndarray, shape: tuple[int, int], sign: int) -> sparse.csr_array:
    """Return entries as CSR; `sign` is that of their mirrored ones, or 0 for none."""
    rows, columns = entries["row"] - 1, entries["column"] - 1
    for name, numbers, size in zip("ij", (rows, columns), shape, strict=True):
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < size:
            raise ValueError(f"an index {name} is not between 1 and {size}")
    has_values = "value" in (entries.dtype.names or ())
    values = entries["value"] if has_values else np.ones(len(entries))
    if sign:
        mirrored = rows != columns
        if shape[0] != shape[1]:
            raise ValueError("it is symmetric but not square")
        values = np.concatenate([values, sign * values[mirrored]])
        rows, columns = (
            np.concatenate([rows, columns[mirrored]]),
            np.concatenate([columns, rows[mirrored]]),
        )
    return sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
