"""A resumable runner of many settings: one process a core, and a journal.

The journal is a text file with one JSON object a line, a setting and its result,
written as each ends. A sweep can be stopped at any time: what has ended is read from
the journal, and the rest is run, when it is started again.
"""

import contextlib
import json
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from truesparse.common.checks import check_whole
from truesparse.common.writing import check_file, write_error
from truesparse.errors import DataError, UsageError

Setting = dict[str, Any]
Result = dict[str, Any]


class Progress(NamedTuple):
    """Where a sweep is, each time a setting ends."""

    n_done: int
    n_settings: int
    remaining_seconds: float  # at the pace of this call
    setting: Setting
    result: Result


def run_sweep(
    work: Callable[[Setting], Result],
    settings: Iterable[Setting],
    journal: Any,
    *,
    n_workers: int | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[tuple[Setting, Result]]:
    """Run every setting that the journal lacks, and return all results in order.

    Parameters
    ----------
    work : callable
        Takes a setting and returns its result, both dicts of what JSON has. With
        several workers it must be a function of a module, which they import.
    settings : iterable of dict
        No two the same.
    journal : str or path
        File that is made or continued; its folder must exist.
    n_workers : int, optional
        Processes, each with one thread; by default one for each core. With 1 the
        settings run in this process.
    report : callable, optional
        Takes a Progress each time a setting ends.

    Raises
    ------
    DataError
        If the journal cannot be read.
    StorageError
        If a result cannot be written to it.
    UsageError
        If a setting is given twice, an argument is not accepted, or `work` returns what
        JSON does not have.

    Notes
    -----
    With several workers, which import the script, it starts the sweep below
    ``if __name__ == "__main__":``.

    What `work` raises ends the sweep, with a note that names the setting. Results that
    are in the journal stay.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse.analysis import run_sweep
    >>> settings = [{"x": 1}, {"x": 2}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "journal.jsonl")
    ...     rows = run_sweep(lambda s: {"y": 2 * s["x"]}, settings, path, n_workers=1)
    >>> rows
    [({'x': 1}, {'y': 2}), ({'x': 2}, {'y': 4})]
    """
    listed = list(settings)
    wanted = {_key(setting): setting for setting in listed}
    if len(wanted) < len(listed):
        raise UsageError("settings must differ: one of them is given twice")
    if n_workers is None:
        n_workers = os.cpu_count() or 1
    check_whole("n_workers", n_workers, 1)
    path = check_file(journal, "journal")
    results = {k: r for k, r in read_journal(path).items() if k in wanted}
    left = {key: setting for key, setting in wanted.items() if key not in results}
    started, n_before = time.monotonic(), len(results)
    for key, result in _run(work, left, n_workers):
        _append(path, left[key], text := _as_json(result))
        # As a resumed sweep reads it: tuples are lists, and keys are text.
        results[key] = result = json.loads(text)
        if report is not None:
            n_new = len(results) - n_before
            pace = (time.monotonic() - started) / n_new
            rest = len(wanted) - len(results)
            report(Progress(len(results), len(wanted), pace * rest, left[key], result))
    return [(setting, results[key]) for key, setting in wanted.items()]


def read_journal(path: Any) -> dict[str, Result]:
    """Return the results in a journal by setting, written as JSON with sorted keys.

    A line that was cut off when the process was killed is left out.

    Raises
    ------
    DataError
        If the file exists but cannot be read.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"cannot read journal {str(path)!r}: {error}") from None
    results = {}
    for line in lines:
        try:
            entry = json.loads(line)
            results[_key(entry["setting"])] = entry["result"]
        except (ValueError, TypeError, KeyError):
            continue
    return results


def _run(
    work: Callable[[Setting], Result], settings: dict[str, Setting], n_workers: int
) -> Iterator[tuple[str, Result]]:
    """Yield keys and results as they end."""
    if n_workers == 1 or not settings:
        for key, setting in settings.items():
            with _naming(key):
                result = work(setting)
            yield key, result
        return
    name = getattr(work, "__qualname__", "")
    if "<" in name:  # <lambda>, or <locals> of a function
        raise UsageError(
            f"several processes cannot import {name!r}: make work a function of a "
            "module, or give n_workers=1"
        )
    # A forked process would share the threads of compiled code, which hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_workers, context, initializer=_begin_worker)
    try:
        futures = {pool.submit(work, each): key for key, each in settings.items()}
        while futures:
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                with _naming(key := futures.pop(future)):
                    result = future.result()
                yield key, result
    except BrokenProcessPool as error:
        error.add_note(
            "either it had not enough memory, or the script that starts the sweep does "
            'so outside of: if __name__ == "__main__":'
        )
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _naming(key: str) -> Iterator[None]:
    """Add the setting to what is raised in a ``with`` statement."""
    try:
        yield
    except BrokenProcessPool:
        raise  # of all settings at once
    except Exception as error:
        error.add_note(f"in setting {key}")
        raise


def _begin_worker() -> None:
    from truesparse.common.workers import end_with_parent
    from truesparse.kernels import jit

    end_with_parent()
    jit.set_threads(1)


def _append(path: pathlib.Path, setting: Setting, result: str) -> None:
    """Write a line, on a line of its own even after one that was cut off."""
    line = f'{{"setting": {_as_json(setting)}, "result": {result}}}\n'
    try:
        with open(path, "a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise write_error("journal", path, error) from None


def _key(setting: Setting) -> str:
    return _as_json(setting, is_sorted=True)


def _as_json(item: Any, *, is_sorted: bool = False) -> str:
    """Return a setting or a result as JSON; UsageError if it has no such form."""
    try:
        if not isinstance(item, dict):
            raise TypeError(f"{type(item).__name__} is no dict")
        return json.dumps(item, allow_nan=False, sort_keys=is_sorted)
    except (TypeError, ValueError) as error:
        raise UsageError(
            "settings and results must be dicts of what JSON has, with float() and "
            f"int() of numbers of NumPy, and None for NaN ({error}), got {item!r}"
        ) from None
