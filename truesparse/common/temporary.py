"""Temporary folders that the next process removes if this one is killed.

The process that made a folder holds a lock on the folder itself, which the system lets
go of when the process ends, however it ends. Where folders cannot be locked, as on
Windows and some network file systems, nothing is removed.
"""

import contextlib
import functools
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable

from truesparse.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Not that of the folder for a model that its run folder does not take, which stays.
_PREFIX = "truesparse-snapshot-"
# An empty folder may be about to be locked, for a moment.
_EMPTY_SECONDS = 3600.0


def make_folder() -> tuple[str, Callable[[], None]]:
    """Make a temporary folder; return its path, and the function that removes it.

    The first call of a process removes the folders of processes that are gone.

    Raises
    ------
    StorageError
        If the system refuses to make one.
    """
    try:
        sweep(tempfile.gettempdir())
        folder = tempfile.mkdtemp(prefix=_PREFIX)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            f"cannot make a temporary folder: {reason}; free some room, or set TMPDIR "
            "to a folder on another disk"
        ) from None
    # Before anything is in the folder: an empty one is nobody's prey.
    number = _lock(folder)
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() != owner:
            return  # a copy of the process, which has no say in it
        shutil.rmtree(folder, ignore_errors=True)
        if number is not None:
            with contextlib.suppress(OSError):
                os.close(number)

    return folder, remove


@functools.cache
def sweep(place: str) -> None:
    """Remove what processes that are gone left in a folder, once in a process."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for folder in pathlib.Path(place).glob(f"{_PREFIX}*"):
            # Others may remove it at the same time.
            with contextlib.suppress(OSError):
                _remove_if_left(folder)


def _remove_if_left(folder: pathlib.Path) -> None:
    if folder.is_symlink():
        return  # not made here
    if not os.listdir(folder):
        if time.time() - folder.stat().st_mtime > _EMPTY_SECONDS:
            folder.rmdir()
        return
    number = _lock(folder)
    if number is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(number)


def _lock(folder) -> int | None:
    """Lock a folder; return None if that cannot be, or another process has done so."""
    if fcntl is None:
        return None
    number = None
    try:
        number = os.open(folder, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if number is not None:
            os.close(number)
        return None
    return number
