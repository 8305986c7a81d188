"""States of topology algorithms and callbacks, as checkpoints store them.

Arrays become tensors of the file, ``states.N``; the rest stands in its metadata.
"""

from typing import Any

import numpy as np

from truesparse.errors import UsageError
from truesparse.storage.tensors import ALL_KINDS, read_tensor

_TENSOR = "tensor"  # {_TENSOR: name} stands for an array in the JSON


def pack(value: Any, states: dict[str, np.ndarray]) -> Any:
    """Return a state in types that JSON has; arrays are added to `states`.

    Raises
    ------
    UsageError
        If the state holds anything but numbers, strings, lists, dicts and arrays.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.name not in ALL_KINDS:
            raise UsageError(
                f"a checkpoint cannot store an array of {value.dtype} in a state; use "
                f"one of {', '.join(ALL_KINDS)}"
            )
        name = f"states.{len(states)}"
        states[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            raise UsageError(
                f"a checkpoint cannot store a dict whose only key is {_TENSOR!r}, the "
                "mark of an array; use another key"
            )
        return {str(key): pack(each, states) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [pack(each, states) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(
        f"a checkpoint cannot store a {type(value).__name__} in a state; use numbers, "
        "strings, lists, dicts and arrays"
    )


def unpack(value: Any, file) -> Any:
    """Return a state as it was packed; its arrays come from an open file."""
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return read_tensor(file, value[_TENSOR], *ALL_KINDS)
        return {key: unpack(each, file) for key, each in value.items()}
    if isinstance(value, list):
        return [unpack(each, file) for each in value]
    return value
