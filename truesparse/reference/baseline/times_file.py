"""The JSON files of times: written, read, and checked when they are read.

TIMES.md describes every entry. Rows are flat, and five of their entries make a key, so
that files of several machines and implementations can be joined.
"""

import datetime
import json
import math
import pathlib
from typing import Any

from truesparse.common import writing
from truesparse.errors import DataError
from truesparse.reference.baseline.machine_record import engine_state, machine_record

FORMAT, VERSION = "truesparse-times", 1
KEY = ("net", "operation", "method", "batch", "activation_dtype")
Key = tuple[str, str, str | None, int | None, str]

_SECONDS = ("minimum_s", "q1_s", "median_s", "q3_s")
# Entries of a row and what they may be.
_ROW: dict[str, tuple[type, ...]] = {
    "net": (str,),
    "operation": (str,),
    "method": (str, type(None)),
    "batch": (int, type(None)),
    "activation_dtype": (str,),
    "connections": (int,),
    "runs": (int,),
    **dict.fromkeys(_SECONDS, (int, float)),
    "peak_bytes": (int, type(None)),
    "energy_j": (int, float, type(None)),
}
_FILE: dict[str, tuple[type, ...]] = {
    "date": (str,),
    "commit": (str, type(None)),
    "is_clean": (bool, type(None)),
    "implementation": (dict,),
    "machine": (dict,),
    "settings": (dict,),
    "nets": (dict,),
    "not_measured": (list,),
    "rows": (list,),
}


def key_of(row: dict[str, Any]) -> Key:
    """Return what a row is joined by.

    Examples
    --------
    >>> from truesparse.reference.baseline.times_file import key_of
    >>> row = {"net": "tiny", "operation": "predict", "method": None, "batch": 1}
    >>> key_of(row | {"activation_dtype": "float32", "median_s": 1e-5})
    ('tiny', 'predict', None, 1, 'float32')
    """
    net, operation, method, batch, dtype = (row[name] for name in KEY)
    return net, operation, method, batch, dtype


def header() -> dict[str, Any]:
    """Return what a file begins with: format, date, commit and machine."""
    commit, is_clean = engine_state()
    now = datetime.datetime.now(datetime.UTC)
    return {
        "format": FORMAT,
        "version": VERSION,
        "date": now.isoformat(timespec="seconds"),
        "commit": commit,
        "is_clean": is_clean,
        "machine": machine_record(),
    }


def write(path: Any, content: dict[str, Any]) -> None:
    """Write times, a row a line; see `writing.replacing` for the errors."""
    check(content, str(path))
    with writing.replacing(path, "times") as partial:
        partial.write_text(_as_lines(content), encoding="utf-8")


def read(path: Any) -> dict[str, Any]:
    """Return the times in a file.

    Raises
    ------
    DataError
        If the file cannot be read, or holds anything but times of this version.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read times {str(path)!r}: {error}") from None
    check(content, str(path))
    return content


def check(content: Any, name: str) -> None:
    """Raise DataError, which names the file, unless `content` are valid times."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(
            f"{name!r} holds no times; give a file that "
            "python -m truesparse.reference times has written"
        )
    if content.get("version") != VERSION:
        raise DataError(
            f"{name!r} has version {content.get('version')!r} of the format of times, "
            f"and this release reads version {VERSION}; measure again, or compare with "
            "the release that wrote it"
        )
    _check_entries(content, _FILE, f"{name!r}")
    if not isinstance(content["implementation"].get("name"), str):
        raise DataError(f"{name!r}: implementation has no name")
    seen: set[Key] = set()
    for number, row in enumerate(content["rows"], 1):
        where = f"{name!r}, row {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where} must be an object, got {type(row).__name__}")
        _check_entries(row, _ROW, where)
        _check_numbers(row, where)
        if row["net"] not in content["nets"]:
            raise DataError(f"{where} is about {row['net']!r}, which nets lacks")
        if (key := key_of(row)) in seen:
            raise DataError(f"{where} repeats an earlier one: {describe(key)}")
        seen.add(key)


def describe(key: Key) -> str:
    """Return the key of a row in words.

    Examples
    --------
    >>> from truesparse.reference.baseline.times_file import describe
    >>> describe(("tiny", "update+train", "set", 32, "float32"))
    'tiny, update+train by set, batch 32, float32'
    """
    net, operation, method, batch, dtype = key
    parts = [net, operation if method is None else f"{operation} by {method}"]
    parts += [] if batch is None else [f"batch {batch}"]
    return ", ".join([*parts, dtype])


def _check_entries(
    entries: dict[str, Any], wanted: dict[str, tuple[type, ...]], where: str
) -> None:
    for key, types in wanted.items():
        if key not in entries:
            raise DataError(f"{where} lacks {key!r}")
        value = entries[key]
        # True is an int to Python, not to a reader of JSON.
        is_number = int in types or float in types
        if not isinstance(value, types) or (is_number and isinstance(value, bool)):
            names = " or ".join(
                "null" if kind is type(None) else kind.__name__ for kind in types
            )
            raise DataError(f"{where}: {key} must be {names}, got {value!r}")


def _check_numbers(row: dict[str, Any], where: str) -> None:
    seconds = [row[name] for name in _SECONDS]
    is_valid = all(math.isfinite(value) and value >= 0 for value in seconds)
    if not is_valid or seconds != sorted(seconds) or row["median_s"] == 0:
        raise DataError(
            f"{where}: seconds must be finite, positive and in the order "
            f"{' <= '.join(_SECONDS)}, got {seconds}"
        )
    for name in ("peak_bytes", "energy_j"):
        value = row[name]
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise DataError(f"{where}: {name} must be at least 0, got {value}")
    if row["runs"] < 1:
        raise DataError(f"{where}: runs must be at least 1, got {row['runs']}")


def _as_lines(content: dict[str, Any]) -> str:
    """Return JSON with a line for each entry, row and net, for git diff."""
    lines = []
    for key, value in content.items():
        text = json.dumps(value, allow_nan=False)
        if value and isinstance(value, list):
            rows = (json.dumps(each, allow_nan=False) for each in value)
            text = "[\n" + ",\n".join(rows) + "\n]"
        elif value and key == "nets":
            nets = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            text = "{\n" + ",\n".join(nets) + "\n}"
        lines.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
