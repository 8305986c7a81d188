"""The records of a run's epochs, as a tensor of a checkpoint.

The header of a safetensors file takes 100 MB at most, too little for the records of
some hundred thousand epochs, so they are stored as an array of the bytes of JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.training.run import EpochRecord

_NAMES = tuple(field.name for field in fields(EpochRecord))


def pack(history: Sequence[EpochRecord]) -> np.ndarray:
    """Return the records as bytes: JSON, with a list for each of their numbers."""
    columns = {name: [getattr(record, name) for record in history] for name in _NAMES}
    return np.frombuffer(json.dumps(columns).encode(), np.uint8)


def unpack(array: np.ndarray) -> list[EpochRecord]:
    """Return the records that `pack` has stored.

    Raises
    ------
    ValueError, TypeError, LookupError
        If these are not such bytes, or hold something else.
    """
    columns = json.loads(array.tobytes())
    rows = zip(*(columns[name] for name in _NAMES), strict=True)
    return [make_record(dict(zip(_NAMES, row, strict=True))) for row in rows]


def make_record(values: dict[str, Any]) -> EpochRecord:
    """Return a record with these numbers.

    Raises
    ------
    ValueError, TypeError
        If some are missing, unknown, or no numbers.
    """
    for name in ("epoch", "step", "nnz"):
        check_whole(name, values[name], 0)
    for name, value in values.items():
        is_missing = value is None and name in ("val_loss", "val_score")
        if not is_missing and type(value) not in (int, float):
            raise ValueError(f"the history has {name} {value!r}")
    return EpochRecord(**values)
