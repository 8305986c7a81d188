"""Fuzzing: readers get damaged files, and what they do is judged.

A reader may refuse a file with a documented error of one line; it may load what the
file says, as a naive reader of the format confirms; and it may load the same as before
the damage. All else is a fault: another exception, a value that the file does not say
("silent"), code that runs, a file that is written, a raw warning, a read of seconds, or
of much memory.
"""

import contextlib
import dataclasses
import functools
import importlib
import os
import pathlib
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from support.mutations import Mutation

from truesparse.common.memory import human, peak_rss

_SLOW_SECONDS = 10.0
_MOST_CPU = 3  # seconds, of a guarded process
# Files have some kilobytes; libraries take more than those when they are first used.
MOST_GROWTH = 1 << 27
_OF_MEMORY = " of memory"
_OUTCOMES = ("refused", "same", "other", "stuck", "crashed", "grown")
# Audit events that no reader of a file causes, as far as it runs no code of the file.
_FORBIDDEN = {
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn"),
    *("subprocess.Popen", "pickle.find_class", "socket.connect"),
    *("ctypes.dlopen", "os.remove", "os.rename", "os.chmod", "shutil.rmtree"),
}
# Libraries whose modules may be loaded late, as are those of the standard library.
_LIBRARIES = {
    *("truesparse", "numpy", "scipy", "sklearn", "pandas", "pyarrow", "safetensors"),
    *(
        "onnx",
        "google",
        "h5py",
        "dateutil",
        "pytz",
        "six",
        "joblib",
        "threadpoolctl",
        "numba",
        "llvmlite",
    ),
}


class Case(NamedTuple):
    """A kind of file, and how it is read.

    Attributes
    ----------
    name : str
        Name of the file.
    content : bytes
        A whole one.
    mutations : tuple of Mutation
    load : callable
        Takes the path and returns a value to compare with ``==``.
    agrees : callable
        Takes the content and a value that differs from that of the whole file, and
        returns whether the content says so; any exception is a no.
    refusals : tuple of exception types
        The documented ones.
    is_guarded : bool
        Whether processes of their own read the files, by which a library may be caught
        in an endless loop ("stuck"), end the process ("crashed"), or take gigabytes for
        a moment ("grown").
    """

    name: str
    content: bytes
    mutations: tuple[Mutation, ...]
    load: Callable[[pathlib.Path], Any]
    agrees: Callable[[bytes, Any], bool]
    refusals: tuple[type[Exception], ...]
    is_guarded: bool = False


@dataclasses.dataclass
class Figures:
    """What became of the files.

    Attributes
    ----------
    files : int
    counts : Counter
        Files that were "refused", and those that loaded the "same" or "other" values;
        and of guarded ones those by which the library was "stuck", "crashed" or
        "grown".
    faults : list of str
    grown : int
        Bytes by which the peak memory of the process rose.
    """

    files: int = 0
    counts: Counter = dataclasses.field(default_factory=Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    grown: int = 0


class _Watch:
    """Audit events while a reader is at work; a hook cannot be removed, but rest."""

    def __init__(self):
        # What a reader loads late runs code of its own.
        for library in ("pandas", "pyarrow.parquet", "sklearn.datasets", "h5py"):
            with contextlib.suppress(ImportError):
                importlib.import_module(library)
        self.is_on = False
        self.events: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if not self.is_on:
            return
        if event in _FORBIDDEN or _is_odd(event, arguments):
            self.events.append(f"{event} {str(arguments)[:200]}")


def _is_odd(event: str, arguments: tuple) -> bool:
    """Whether an event is one by which libraries load, but of something else."""
    if event == "import":
        top = arguments[0].partition(".")[0]
        return top not in sys.stdlib_module_names and top not in _LIBRARIES
    if event == "exec":  # of a module, whose code has a file, or makes its classes
        is_file = os.path.exists(getattr(arguments[0], "co_filename", ""))
        return not (is_file or _is_importing())
    mode = arguments[1] if event == "open" else None
    return isinstance(mode, str) and bool(set(mode) & set("wax+"))


def _is_importing() -> bool:
    """Whether a module is being loaded: named tuples and data classes run code then."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@functools.cache
def _watch() -> _Watch:
    return _Watch()


def fuzz(case: Case, seed: int, count: int, folder: pathlib.Path) -> Figures:
    """Read `count` damaged files, the same ones for the same seed."""
    figures = Figures()
    path = pathlib.Path(folder) / case.name
    path.write_bytes(case.content)
    _watch()
    expected = case.load(path)
    before = peak_rss()
    for number in range(count):
        content = damaged(case, seed, number)
        if content == case.content:
            continue
        path.write_bytes(content)
        figures.files += 1
        outcome = (_guard if case.is_guarded else _read)(case, path, content, expected)
        if outcome in _OUTCOMES:
            figures.counts[outcome] += 1
        else:
            figures.faults.append(f"{case.name}, file {number} of {seed}: {outcome}")
    figures.grown = peak_rss() - before
    return figures


def damaged(case: Case, seed: int, number: int) -> bytes:
    """Return a damaged file; most have been through one mutation, others up to four."""
    draw = random.Random(f"{case.name} {seed} {number}")
    content = case.content
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        try:
            content = draw.choice(case.mutations)(content, draw) or b"\0"
        except Exception:
            # What unpacks a container does not take a damaged one.
            break
    return content


def _read(case: Case, path: pathlib.Path, content: bytes, expected: Any) -> str:
    """Return what became of a file, or what is wrong with that."""
    watch, started, before = _watch(), time.monotonic(), peak_rss()
    watch.events.clear()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        watch.is_on = True
        try:
            value = case.load(path)
        except case.refusals as error:
            outcome = (
                "refused" if _is_readable(str(error)) else f"message {error!s:.99}"
            )
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = pathlib.Path(place.filename).name
            outcome = f"{error!r:.200} at {name}:{place.lineno}"
        else:
            outcome = "same" if value == expected else ""
        finally:
            watch.is_on = False
    if watch.events:
        return f"audit event {watch.events[0]}"
    if time.monotonic() - started > _SLOW_SECONDS:
        return f"{time.monotonic() - started:.0f} s"
    if (grown := peak_rss() - before) > MOST_GROWTH:
        return f"{human(grown)}{_OF_MEMORY}"
    raw = [each for each in raised if each.category is not UserWarning]
    if raw:
        return f"{raw[0].category.__name__} {raw[0].message!s:.100}"
    if outcome:
        return outcome
    try:
        is_right = case.agrees(content, value)
    except Exception as error:
        return f"silent: the file is not valid ({error!r:.100})"
    return "other" if is_right else "silent: it says something else"


def _guard(case: Case, path: pathlib.Path, content: bytes, expected: Any) -> str:
    """Return what became of a file that a process of its own reads."""
    end, start = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which rest
        child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_MOST_CPU, _MOST_CPU + 1))
            os.write(start, _read(case, path, content, expected).encode())
        finally:
            os._exit(0)
    os.close(start)
    with open(end, "rb") as file:
        outcome = file.read().decode()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return "stuck" if os.WTERMSIG(status) == signal.SIGXCPU else "crashed"
    return "grown" if outcome.endswith(_OF_MEMORY) else outcome


def _is_readable(message: str) -> bool:
    """Whether a message is of one line that ends."""
    return 0 < len(message) < 2000 and len(message.strip().splitlines()) == 1
