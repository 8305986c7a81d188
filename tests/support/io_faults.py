"""Faults of the system: a call that concerns files of a folder fails, as disks do.

`injected` counts these calls, of `os`, `open` and the files that `open` returns, and
lets those fail that a Fault names. All others, and those of other folders, are real.
"""

import builtins
import contextlib
import errno
import io
import os
from dataclasses import dataclass

# What to call a fault of a write that took half of the bytes.
SHORT = "short write"
CAUSES = (
    *(errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT),
    SHORT,
)
# Which calls fail: only one; it and all later ones of the function; all later ones.
EXTENTS = ("once", "function", "all")

# Calls by the kind of their first argument. `rename` is what some libraries use.
_OF_PATHS = (
    *("open", "replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir"),
    *("listdir", "scandir", "stat", "lstat", "truncate"),
)
_OF_NUMBERS = ("fsync", "close", "fstat", "ftruncate")
_OF_FILES = ("write", "writelines", "flush", "truncate", "close")


@dataclass(frozen=True)
class Fault:
    """A fault of one call, or of all from there on.

    Attributes
    ----------
    index : int
        Number of the call, from 0.
    cause : int or str
        An errno, or SHORT.
    extent : str
        One of EXTENTS.
    """

    index: int
    cause: int | str = errno.ENOSPC
    extent: str = "once"

    def __str__(self) -> str:
        name = self.cause if self.cause == SHORT else errno.errorcode[self.cause]
        return f"call {self.index}, {name}, {self.extent}"


class Calls:
    """The calls that concern a folder, and which of them fail.

    Attributes
    ----------
    names : list of str
        The calls so far, as "write model.safetensors".
    """

    def __init__(self, folder, fault=None):
        self.folder, self.fault = os.path.abspath(folder), fault
        self.names = []
        self.paths = {}  # of the open numbers
        self.failing = None

    def concerns(self, path) -> bool:
        try:
            path = os.path.abspath(os.fsdecode(path))
        except TypeError:
            return False
        return f"{path}/".startswith(f"{self.folder}/")

    def check(self, function, path, half=None) -> None:
        """Count a call; raise if it is to fail, a short write after `half` of it."""
        name = os.path.basename(os.path.abspath(os.fsdecode(path)))
        self.names.append(f"{function} {name}")
        fault = self.fault
        if fault is None:
            return
        if len(self.names) - 1 == fault.index:
            self.failing = function
        elif (
            self.failing is None
            or fault.extent == "once"
            or (fault.extent == "function" and function != self.failing)
        ):
            return
        cause = fault.cause
        if cause == SHORT:
            cause = errno.ENOSPC
            if half is not None:
                half()
        raise OSError(cause, os.strerror(cause), os.fsdecode(path))


class _File:
    """An open file whose calls are counted."""

    def __init__(self, file, path, calls):
        self._file, self._path, self._calls = file, path, calls

    def __getattr__(self, name):
        method = getattr(self._file, name)
        if name not in _OF_FILES or self._file.closed:
            return method

        def call(*arguments):
            half = None
            if name == "close":
                self._calls.paths.pop(self._file.fileno(), None)
            if name == "write":
                [data] = arguments
                half = lambda: self._file.write(data[: len(data) // 2])  # noqa: E731
            try:
                self._calls.check(name, self._path, half)
            except OSError:
                if name == "close":
                    # The number is free again, as on Linux.
                    self._file.close()
                raise
            return method(*arguments)

        return call

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __iter__(self):
        return iter(self._file)

    def __next__(self):
        return next(self._file)

    def __del__(self):
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def injected(folder, fault=None):
    """Count the calls that concern a folder; let those fail that `fault` names.

    Yields
    ------
    Calls
    """
    calls = Calls(folder, fault)
    real = {name: getattr(os, name) for name in (*_OF_PATHS, *_OF_NUMBERS)}
    real_open = builtins.open

    def of_path(name):
        def call(path=".", *arguments, **options):
            concerned = calls.concerns(path)
            if concerned:
                calls.check(name, path)
            result = real[name](path, *arguments, **options)
            if concerned and name == "open":
                calls.paths[result] = path
            return result

        return call

    def of_number(name):
        def call(number, *arguments):
            path = calls.paths.get(number)
            if name == "close":
                calls.paths.pop(number, None)
            if path is not None:
                try:
                    calls.check(name, path)
                except OSError:
                    if name == "close":
                        real[name](number)
                    raise
            return real[name](number, *arguments)

        return call

    def open_counted(path, mode="r", *arguments, **options):
        if not calls.concerns(path):
            return real_open(path, mode, *arguments, **options)
        calls.check("open", path)
        file = real_open(path, mode, *arguments, **options)
        calls.paths[file.fileno()] = path
        return _File(file, path, calls)

    replaced = {name: of_path(name) for name in _OF_PATHS}
    replaced |= {name: of_number(name) for name in _OF_NUMBERS}
    try:
        for name, function in replaced.items():
            setattr(os, name, function)
        builtins.open = io.open = open_counted
        yield calls
    finally:
        builtins.open = io.open = real_open
        for name, function in real.items():
            setattr(os, name, function)
