"""Tensors of a model file, looked at without being loaded as a whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from truesparse.sparse.connections import position_dtype
from truesparse.tensors import DTYPES, KINDS

_BLOCK = 1 << 22  # index entries read at a time: 16 or 32 MB


class StoredTensors:
    """The tensors of an open file: shapes and blocks, checked, nothing as a whole."""

    def __init__(self, file: Any):
        self.file = file
        self.names = set(file.keys())
        self.unread = set(self.names)

    def slice(self, name: str, n_dims: int, *dtypes: str) -> Any:
        """Return a tensor as one that can be cut, if it is of one of the dtypes."""
        if name not in self.names:
            raise ValueError(f"it has no tensor {name}")
        self.unread.discard(name)
        found = self.file.get_slice(name)
        accepted = [KINDS[dtype] for dtype in dtypes]
        if found.get_dtype() not in accepted:
            raise ValueError(f"{name} is {found.get_dtype()}, not {accepted}")
        if len(found.get_shape()) != n_dims:
            raise ValueError(f"{name} has shape {found.get_shape()}")
        return found

    def bytes_of(self, names: set[str]) -> int:
        """Return what tensors take, by their headers."""
        total = 0
        for name in names:
            found = self.file.get_slice(name)
            size = np.dtype(DTYPES.get(found.get_dtype(), "uint8")).itemsize
            total += size * int(np.prod(found.get_shape(), dtype=np.int64))
        return total


def read_links(
    tensors: StoredTensors, prefix: str, n_in: int, n_out: int, values: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have connections (n_in,), and how many columns have (n_out,).

    Raises
    ------
    ValueError
        Unless the arrays are those of a CSR matrix, apart from the order in a row.
    """
    indptr = tensors.slice(f"{prefix}.indptr", 1, "int64")
    indices = tensors.slice(f"{prefix}.indices", 1, "int32")
    (nnz,) = values.get_shape()
    if indptr.get_shape() != [n_in + 1] or indices.get_shape() != [nnz]:
        raise ValueError(f"index arrays of {prefix} do not fit {n_in} x {n_out}")
    has_output = np.empty(n_in, bool)
    starts = indptr[:1]  # all there is where condensing left no inputs
    # Of a block, the first entry is the last one of the block before.
    for start in range(0, n_in, _BLOCK):
        starts = indptr[start : min(start + _BLOCK, n_in) + 1]
        steps = np.diff(starts)
        if (start == 0 and starts[0] != 0) or (steps < 0).any():
            raise ValueError(f"{prefix}.indptr does not rise from 0")
        has_output[start : start + steps.size] = steps > 0
    if starts[-1] != nnz:
        raise ValueError(f"{prefix}.indptr ends at {starts[-1]}, not at {nnz}")
    fan_in = np.zeros(n_out, np.int32)
    for block in _blocks(indices):
        if block.min() < 0 or block.max() >= n_out:
            raise ValueError(f"{prefix}.indices are not from 0 to {n_out - 1}")
        # With other types than these NumPy takes 20 to 50 times as long (2.4, 2026-11).
        np.add.at(fan_in, block.astype(np.intp), np.int32(1))
    return has_output, fan_in


def _blocks(tensor: Any) -> Iterator[np.ndarray]:
    (size,) = tensor.get_shape()
    for start in range(0, size, _BLOCK):
        yield tensor[start : min(start + _BLOCK, size)]


def extent(counts: np.ndarray, nnz: int) -> dict[str, Any]:
    """Return the least, mean and greatest of counts that add up to `nnz`."""
    if counts.size == 0:
        return {"min": 0, "mean": 0.0, "max": 0}
    low, high = int(counts.min()), int(counts.max())
    return {"min": low, "mean": nnz / counts.size, "max": high}


def view_bytes(nnz: int, n_out: int) -> int:
    """Return what the column view of a layer takes."""
    return (4 + np.dtype(position_dtype(nnz)).itemsize) * nnz + 8 * (n_out + 1)
