"""Configuration files: the options of a run as TOML, written and read."""

import contextlib
import dataclasses
import json
import math
import pathlib
import tomllib
import typing
from typing import Any

from truesparse.commands.config import KINDS, RunConfig, base_type
from truesparse.common.checks import choose
from truesparse.errors import UsageError

# Options of which each file that `to_toml` wrote has a line.
ALWAYS_WRITTEN = frozenset(
    field.name
    for field in dataclasses.fields(RunConfig)
    if field.default is not None and field.name not in ("out", "neurons", "depth")
)


def to_toml(config: RunConfig) -> str:
    """Return a configuration as the text of a TOML file for ``--config``.

    It leaves out `out`, as another run needs a folder of its own.
    """
    lines = ["# truesparse run; use it again with --config"]
    void = ("out",) if config.hidden is None else ("out", "neurons", "depth")
    for name, value in dataclasses.asdict(config).items():
        if value is not None and name not in void:
            lines.append(f"{name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def read_toml(path: str) -> dict[str, Any]:
    """Return the options that a TOML file sets.

    Raises
    ------
    UsageError
        If the file cannot be read, or has an unknown key or a value of the wrong type.
    """
    if str(path) == "":
        raise UsageError("--config must name a TOML file, got ''")
    return _check_table(read_table(path), path)


def parse_toml(text: str, path: str) -> dict[str, Any]:
    """Return the options that the text of a TOML file sets; see read_toml."""
    return _check_table(_parse_table(text, path), path)


def read_table(path: str | pathlib.Path) -> dict[str, Any]:
    """Return the table of a TOML file, with whatever keys and types it has.

    Raises
    ------
    UsageError
        If the file cannot be read or is not TOML.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise UsageError(f"cannot read configuration {path}: {error}") from None
    return _parse_table(text, path)


def read_text(path: str | pathlib.Path) -> str:
    """Return the text of a TOML file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    UsageError
        If it cannot be read.
    """
    try:
        # Not as text with any ends of lines: one of old Macs is no TOML.
        return pathlib.Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read configuration {path}: {error}") from None


def _parse_table(text: str, path: str | pathlib.Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read configuration {path}: {error}") from None


def _check_table(table: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the options of a table by their names in RunConfig, with its types."""
    hints = typing.get_type_hints(RunConfig)
    options = {}
    for key, value in table.items():
        name = choose(key.replace("-", "_"), hints, "key", f" in {path}")
        options[name] = _convert(name, value, base_type(hints[name]), path)
    return options


def _convert(name: str, value: Any, kind: Any, path: str) -> Any:
    if kind is float and type(value) is int:
        with contextlib.suppress(OverflowError):
            return float(value)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        if all(type(item) is typing.get_args(kind)[0] for item in value):
            return tuple(value)
    elif type(value) is kind:
        return value
    what = KINDS[kind]
    raise UsageError(f"{name} in {path} must be {what}, got {value!r}")


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, dict):
        parts = (f"{_toml_value(key)} = {_toml_value(v)}" for key, v in value.items())
        return "{ " + ", ".join(parts) + " }"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    # TOML strings may hold what JSON strings do, except for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
