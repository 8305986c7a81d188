"""The JSON files in a results folder, which tables are made of."""

import json
from pathlib import Path
from typing import Any

from truesparse.errors import DataError


class MissingResultsError(Exception):
    """There are no results for a table; the message is the program to run."""


class Results:
    """The files of a results folder.

    Parameters
    ----------
    folder : Path
        With step.json, scale.json, accuracy-NAME.json and regrow-NAME.json, as far as
        they exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def one(self, name: str) -> dict[str, Any]:
        """Return NAME.json.

        Raises
        ------
        MissingResultsError
            If there is none.
        DataError
            If it is no JSON.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return _read(path)

    def part(self, name: str, key: str) -> tuple[dict[str, Any], Any]:
        """Return NAME.json and its entry `key`, which not every run has."""
        results = self.one(name)
        if key not in results:
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return results, results[key]

    def several(self, name: str, program: str) -> list[dict[str, Any]]:
        """Return all NAME-*.json in order of their names."""
        paths = sorted(self.folder.glob(f"{name}-*.json"))
        if not paths:
            raise MissingResultsError(f"python -m benchmarks.{program}")
        return [_read(path) for path in paths]


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read results {path}: {error}") from error
