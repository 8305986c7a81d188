"""Tensor files in the safetensors format: written without a copy, read with care."""

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
from truesparse.errors import ModelFileError, UsageError, choose
from truesparse.inputs import is_finite

# What a description that makes no sense raises on the way to a model.
_NOT_VALID = (ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
# What the format calls the dtypes of numbers, and the other way round.
KINDS = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}
DTYPES = {kind: dtype for dtype, kind in KINDS.items()}
# Bits too, for those who ask for them.
_ALL_KINDS = {**KINDS, "uint8": "U8"}


def write_tensors(path, tensors: dict[str, np.ndarray], metadata: dict[str, str]):
    """Write arrays in the safetensors format, one by one.

    The library's own writer first turns all arrays into one bytes object, a copy of
    the whole model in memory.
    """
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": _ALL_KINDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        target = pathlib.Path(path)
    except TypeError:
        raise UsageError(f"cannot write model {path!r}: give a path") from None
    if os.path.isdir(target):
        raise UsageError(
            f"cannot write model {str(path)!r}: it is a folder; add a name"
        )
    partial = None
    try:
        partial = target.with_name(target.name + ".part")
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for array in tensors.values():
                np.ascontiguousarray(array).tofile(file)
        os.replace(partial, target)
    except (OSError, ValueError) as error:
        if partial is not None:
            with contextlib.suppress(OSError, ValueError):
                partial.unlink()
        raise UsageError(f"cannot write model {str(path)!r}: {error}") from None
    return target


@contextlib.contextmanager
def open_tensors(path) -> Iterator[Any]:
    """Open a file to make a model of it, within the ``with`` statement.

    Raises
    ------
    ModelFileError
        If the file cannot be read, and for whatever a file raises that describes no
        model.
    """
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            yield file
    except ModelFileError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"cannot read model {path}: {error}") from None
    except _NOT_VALID as error:
        raise ModelFileError(f"model {path} is not valid: {error}") from None


def read_tensor(file: Any, name: str, *dtypes: str) -> np.ndarray:
    """Return a tensor of one of the dtypes, if any are named; ValueError otherwise.

    Floating-point numbers must be finite.
    """
    kinds = [_ALL_KINDS[dtype] for dtype in dtypes or KINDS]
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
