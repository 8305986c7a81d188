"""Tensor files in the safetensors format: written without a copy, checked when read."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.common.checks import choose
from truesparse.common.writing import replacing
from truesparse.errors import ModelFileError
from truesparse.network.inputs import is_finite
from truesparse.sparse.connections import position_dtype
from truesparse.storage import digest

# Raised where the contents of a file that is not valid are used.
NOT_VALID = (
    *(ArithmeticError, AttributeError, LookupError),
    *(RecursionError, TypeError, ValueError),
)
# Metadata entry that tells condensed models from others.
CONDENSED_KEY = "truesparse-condensed"
# The format's names of the dtypes of numbers, and the other way round.
KINDS = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}
DTYPES = {kind: dtype for dtype, kind in KINDS.items()}
# With packed bits, which only states of topology algorithms have.
ALL_KINDS = {**KINDS, "uint8": "U8"}
_BLOCK = 1 << 22  # index entries read at a time: 16 or 32 MB
# What this process has written: paths, and what `_state_of` said of the files then.
_written: dict[str, tuple[int, int, int] | None] = {}


def write_tensors(
    path,
    tensors: dict[str, np.ndarray],
    metadata: dict[str, str],
    previous: pathlib.Path | None = None,
) -> pathlib.Path:
    """Write arrays in the safetensors format, one by one, and return the path.

    The writer of the safetensors library first copies all arrays into one bytes object,
    which doubles the memory of the model. The metadata get a digest of the whole file.

    Parameters
    ----------
    path : str or path
    tensors : dict of str to ndarray
    metadata : dict of str to str
    previous : path, optional
        Name that an existing file is kept under, if its digest shows that it is as it
        was written; otherwise, and by default, it is lost.
    """
    if previous is not None and not (_is_ours(path) or digest.is_intact(path)):
        # What is there may be the only file that can be read.
        previous = None
    header: dict[str, object] = {"__metadata__": {digest.KEY: digest.BLANK, **metadata}}
    offset = 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": ALL_KINDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # Before the first byte is written, as it stands in front of the tensors.
    head = len(text).to_bytes(8, "little") + text
    head = digest.stamp(head, map(_bytes, tensors.values()))
    with (
        replacing(path, "model", previous=previous) as partial,
        open(partial, "xb") as file,
    ):
        file.write(head)
        for array in tensors.values():
            # Unlike ndarray.tofile, this says why it fails.
            file.write(_bytes(array))
    _written[os.path.abspath(path)] = _state_of(path)
    return pathlib.Path(path)


def _is_ours(path) -> bool:
    """Whether this process wrote a file, and no one has touched it since.

    To compare a file with its digest would read all of it before each checkpoint.
    """
    state = _state_of(path)
    return state is not None and _written.get(os.path.abspath(path)) == state


def _state_of(path) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _bytes(array: np.ndarray) -> memoryview:
    """Return the bytes of an array, without a copy if it is contiguous."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view("uint8").data


@contextlib.contextmanager
def open_tensors(path) -> Iterator[Any]:
    """Open a file from which the body of the ``with`` statement makes a model.

    Raises
    ------
    ModelFileError
        If the file cannot be read, or the body raises because its contents are not
        valid.
    """
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            yield file
    except ModelFileError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ModelFileError(f"cannot read model {path}: {reason}") from None
    except NOT_VALID as error:
        raise ModelFileError(f"model {path} is not valid: {error}") from None


def read_tensor(file: Any, name: str, *dtypes: str) -> np.ndarray:
    """Return a tensor of one of the dtypes; by default any of KINDS.

    Raises
    ------
    ValueError
        If there is no such tensor, or it holds NaN or infinity.
    """
    kinds = [ALL_KINDS[dtype] for dtype in dtypes or KINDS]
    try:
        kind = file.get_slice(name).get_dtype()
    except safetensors.SafetensorError:
        raise ValueError(f"it has no tensor {name}") from None
    if kind not in kinds:
        raise ValueError(f"{name} is {kind}, not {' or '.join(kinds)}")
    array = file.get_tensor(name)
    if array.dtype.kind == "f" and not is_finite(array):
        raise ValueError(f"{name} holds NaN or infinity")
    return array


def read_activation(spec: dict[str, Any], dropout: float = 0.0) -> LayerActivation:
    """Return the activation that the description of a layer names."""
    name, parameter = spec["activation"], spec["parameter"]
    choose(name, ACTIVATIONS, "activation")
    if not math.isfinite(parameter):
        raise ValueError(f"{name} has parameter {parameter}")
    return LayerActivation(name, parameter, dropout)


class StoredTensors:
    """The tensors of an open file, by shape or block by block, never as a whole."""

    def __init__(self, file: Any):
        self.file = file
        self.names = set(file.keys())
        self.unread = set(self.names)

    def slice(self, name: str, n_dims: int, *dtypes: str) -> Any:
        """Return a tensor to be read by slices, if it has one of the dtypes."""
        if name not in self.names:
            raise ValueError(f"it has no tensor {name}")
        self.unread.discard(name)
        tensor = self.file.get_slice(name)
        accepted = [KINDS[dtype] for dtype in dtypes]
        if tensor.get_dtype() not in accepted:
            raise ValueError(
                f"{name} is {tensor.get_dtype()}, not {' or '.join(accepted)}"
            )
        if len(tensor.get_shape()) != n_dims:
            raise ValueError(
                f"{name} has shape {tensor.get_shape()}, not {n_dims} dimensions"
            )
        return tensor

    def bytes_of(self, names: set[str]) -> int:
        """Return the bytes of tensors, according to the header of the file."""
        total = 0
        for name in names:
            tensor = self.file.get_slice(name)
            size = np.dtype(DTYPES.get(tensor.get_dtype(), "uint8")).itemsize
            total += size * int(np.prod(tensor.get_shape(), dtype=np.int64))
        return total


def scan_connections(
    tensors: StoredTensors, prefix: str, n_in: int, n_out: int, values: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return which inputs have connections (n_in,), and each output's fan-in (n_out,).

    Raises
    ------
    ValueError
        If the arrays are not those of a CSR matrix; the order in a row is not checked.
    """
    indptr = tensors.slice(f"{prefix}.indptr", 1, "int64")
    indices = tensors.slice(f"{prefix}.indices", 1, "int32")
    (nnz,) = values.get_shape()
    if indptr.get_shape() != [n_in + 1] or indices.get_shape() != [nnz]:
        raise ValueError(f"index arrays of {prefix} do not fit {n_in} x {n_out}")
    has_output = np.empty(n_in, bool)
    starts = indptr[:1]  # the only entry if condensing left no inputs
    # The first entry of a block is the last one of the block before.
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
    """Return the bytes of the column view of a layer."""
    return (4 + np.dtype(position_dtype(nnz)).itemsize) * nnz + 8 * (n_out + 1)
