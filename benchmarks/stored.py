"""The JSON files of benchmarks/results: written by the benchmarks, read by the tables.

    write_results(RESULTS / "scale.json", {"threads": 2, "table": rows})
    rows = Results(RESULTS).one("scale")["table"]

A file begins with the date, the commit and the machine. Each entry of the file, and
each element of a list in it, stands on a line of its own, so that a new run is one new
line in ``git diff``.

What lies in benchmarks/results is published, and must be what a commit gives: nothing
is written there while truesparse/ or a program of benchmarks/ has changes that are not
committed.
"""

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import DataError, UsageError
from truesparse.reference.baseline.machine_record import code_state

from .peers.machine import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
# What figures depend on; results files and documents do not count.
CODE = ("truesparse", ":(glob)benchmarks/**/*.py")
DIRTY = "-dirty"


class MissingResultsError(Exception):
    """There are no results for a table; the message is the program to run."""


class Results:
    """The files of a results folder.

    Parameters
    ----------
    folder : Path
        Folder that holds step.json, scale.json, accuracy-NAME.json and so on; each of
        them may be absent.
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
            If it is not JSON.
        """
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return _read(path)

    def part(self, name: str, key: str) -> tuple[dict[str, Any], Any]:
        """Return NAME.json and its entry `key`, which some runs leave out."""
        results = self.one(name)
        if key not in results:
            raise MissingResultsError(f"python -m benchmarks.{name}")
        return results, results[key]

    def several(self, name: str, program: str) -> list[dict[str, Any]]:
        """Return all NAME-*.json in the order of their names."""
        paths = sorted(self.folder.glob(f"{name}-*.json"))
        if not paths:
            raise MissingResultsError(f"python -m benchmarks.{program}")
        return [_read(path) for path in paths]

    def refuse_uncommitted(self) -> None:
        """Raise DataError if a run was measured with code that was not committed."""
        for path in sorted(self.folder.glob("*.json")):
            commits = {str(commit) for commit in _commits(_read(path))}
            if dirty := sorted(c for c in commits if c.endswith(DIRTY)):
                raise DataError(
                    f"{path} holds runs of code that was not committed "
                    f"({', '.join(dirty)}); remove these runs, and measure again after "
                    "a commit"
                )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read results {path}: {error}") from error


def _commits(value: Any) -> Iterator[str | None]:
    """Yield every commit that a file names: its own and those of its runs."""
    if isinstance(value, dict):
        if "commit" in value:
            yield value["commit"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _commits(each)


@functools.cache
def git_commit() -> str | None:
    """Return the commit of the code that runs, or None outside a git checkout.

    "-dirty" is appended if truesparse/ or a program of benchmarks/ has changes that are
    not committed. The answer is that of the first call: later changes of the files do
    not reach a process that has imported them.
    """
    commit, is_clean = code_state(ROOT, CODE)
    return commit if commit is None or is_clean else commit + DIRTY


def results_file(
    given: Path | None, name: str, *, is_published: bool = True
) -> Path | None:
    """Return the file that results go to: `given`, or `name` in benchmarks/results.

    Smoke runs and the like are not published: without `given` they go to no file.
    """
    return given or (RESULTS / name if is_published else None)


def refuse_uncommitted(path: Path | None) -> None:
    """Raise UsageError if `path` is a published file and the code is not committed.

    Programs call this before they measure anything; None stands for no file.
    """
    if path is None or RESULTS not in path.resolve().parents:
        return
    if (git_commit() or "").endswith(DIRTY):
        raise UsageError(
            f"{path} would be published, but truesparse/ or benchmarks/ has changes "
            "that are not committed; commit them, or write elsewhere with --out"
        )


@contextlib.contextmanager
def results_in(path: Path | None) -> Iterator[None]:
    """Take the work of a program: refuse its results file first, name it at the end.

    Raises
    ------
    UsageError
        As `refuse_uncommitted`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from benchmarks.stored import results_in
    >>> with results_in(Path("mine.json")):
    ...     print("measured")
    measured
    results: mine.json
    """
    refuse_uncommitted(path)
    yield
    if path is not None:
        print(f"results: {path}")


def read_runs(
    path: Path | None, settings: dict[str, Any], keys: Iterable[str]
) -> dict[str, Any]:
    """Return what an earlier start has written, so that its runs can be resumed.

    Parameters
    ----------
    path : Path or None
        Results file; where there is none, there are no runs.
    settings : dict
        Settings that must be those of the file, and ``data`` if it has one data set.
    keys : iterable of str
        Entries that every run must have.

    Raises
    ------
    UsageError
        If the file has other settings.
    DataError
        If the file was not written by a program that has these settings and runs.
    """
    if path is None or not path.exists():
        return {"runs": []}
    try:
        file = json.loads(path.read_text(encoding="utf-8"))
        stored = file["settings"] | {"data": file.get("data")}
        stored = {key: stored[key] for key in settings}
        for run in file["runs"]:
            _ = [run[key] for key in keys]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds no results of this program ({error!r}); choose another "
            "--out or remove it"
        ) from error
    refuse_other_settings(path, stored, settings)
    return file


def refuse_other_settings(path: Path, stored: dict, settings: dict) -> None:
    """Raise UsageError unless the settings in a file are those that are asked for."""
    differences = [
        f"{key} {stored[key]}, not {settings[key]}"
        for key in settings
        if stored[key] != settings[key]
    ]
    if differences:
        raise UsageError(
            f"{path} holds results of other settings ({'; '.join(differences)}); "
            "choose another --out or remove it"
        )


def write_results(path: Path | None, payload: dict[str, Any]) -> dict[str, Any]:
    """Write `payload` as JSON below the date (UTC), the git commit and the machine.

    Parameters
    ----------
    path : Path or None
        File to write; its folder is made. None writes nothing.
    payload : dict
        JSON types, NumPy scalars, and dataclasses such as Timing. Its keys come
        beside ``machine``, ``date`` and ``commit``, which it may not contain.

    Returns
    -------
    dict
        All entries of the file; empty where none is written.

    Raises
    ------
    UsageError
        If `payload` has one of the three keys, or `refuse_uncommitted` refuses `path`.
    DataError
        If the file cannot be written, or a value has no JSON form.
    """
    if path is None:
        return {}
    refuse_uncommitted(path)
    header = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": machine(),
    }
    if clash := header.keys() & payload.keys():
        raise UsageError(f"payload has {sorted(clash)}; give these another name.")
    entries = header | payload
    try:
        text = as_lines(entries)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except (OSError, TypeError) as error:
        raise DataError(f"cannot write results to {path}: {error}") from error
    return entries


def as_lines(entries: dict[str, Any]) -> str:
    """Return JSON with a line for each entry and each element of its lists.

    A comma begins a line, so that a new last element changes no other line.

    Examples
    --------
    >>> from benchmarks.stored import as_lines
    >>> print(as_lines({"threads": 2, "runs": [{"ms": 1.5}, {"ms": 1.4}]}), end="")
    {
    "threads": 2,
    "runs": [
    {"ms": 1.5}
    ,{"ms": 1.4}
    ]
    }
    """
    lines = []
    for key, value in entries.items():
        if not isinstance(value, list) or not value:
            text = json.dumps(value, default=_to_json)
        else:
            elements = (json.dumps(each, default=_to_json) for each in value)
            text = "[\n" + "\n,".join(elements) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _to_json(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
