"""Files that are complete when they appear under their name, or not there at all.

A file is written beside its place under a hidden name, flushed to the disk, and then
moved. Readers see the old file or the new one, and after a crash, too, one of them is
whole.
"""

import contextlib
import errno
import os
import pathlib
import re
import stat
import time
from collections.abc import Iterator
from typing import Any

from truesparse.common.checks import as_path
from truesparse.errors import StorageError, TruesparseError, UsageError

# What the system says of a path that cannot be meant; all else is the fault of a disk,
# of rights or of room.
_WRONG_PATH = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}
# What file systems say that cannot flush folders, as some on networks and Windows.
_NO_FLUSHING = {
    *(errno.EACCES, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS),
    *(errno.ENOTSUP, errno.EPERM),
}
# A file that was not written to for so long belongs to a process that is gone.
_STALE_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(
    path: Any, what: str, *, previous: pathlib.Path | None = None
) -> Iterator[pathlib.Path]:
    """Yield a path to write to, in the same folder, and then move it to `path`.

    If the body raises, `path` stays as it was and the new file is removed. The new
    file has the ending of `path`, in lower case, as some writers append theirs
    otherwise.

    Parameters
    ----------
    path : str or path
    what : str
        What the file is, for messages.
    previous : path, optional
        Second name, in the same folder, that an existing file is kept under. At any
        moment there is a file at `path`, or, where the file system has no hard links,
        at one of the two. Give it only if the existing file is known to be good.

    Raises
    ------
    UsageError
        If `path` is no name for a file in an existing folder.
    StorageError
        If the system refuses to write the file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from truesparse.common.writing import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "page.html")
    ...     with replacing(path, "page") as partial:
    ...         _ = partial.write_text("new")
    ...     path.read_text(), len(list(path.parent.iterdir()))
    ('new', 1)
    """
    target = _check_name(path, what)
    partial = _partial_name(target)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and target.exists():
            _keep(target, previous)
        os.replace(partial, target)
        _flush_folder(target.parent)
    except OSError as error:
        if isinstance(error, TruesparseError):
            raise
        raise write_error(what, path, error) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
        _sweep(target.parent, target)


def _keep(target: pathlib.Path, previous: pathlib.Path) -> None:
    """Give a file a second name, or another one where there are no hard links.

    What had that name goes last: if the system refuses any of it, both files stay.
    """
    spare = _partial_name(target)
    try:
        os.link(target, spare)
    except OSError:
        os.replace(target, previous)
        return
    try:
        os.replace(spare, previous)
    finally:
        # To rename one of two names of a file to the other does nothing.
        spare.unlink(missing_ok=True)


def _partial_name(target: pathlib.Path) -> pathlib.Path:
    """Return a hidden name beside a file, which `sweep` knows."""
    number = os.urandom(4).hex()
    return target.with_name(f".{target.stem}.{number}.part{target.suffix.lower()}")


def check_file(path: Any, what: str) -> pathlib.Path:
    """Return the path of a file that is written later, if that seems possible now.

    Raises
    ------
    UsageError
        If `path` is no name for a file in an existing folder.
    StorageError
        If the system does not show the folder.
    """
    target = _check_name(path, what)
    try:
        if not stat.S_ISDIR(os.stat(target.parent).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        raise write_error(what, path, error) from None
    return target


def write_error(
    what: str,
    path: Any,
    error: OSError,
    hint: str | None = None,
) -> TruesparseError:
    """Return the error that says why a file cannot be written, and what to do."""
    text = f"cannot write {what} {str(path)!r}: {error.strerror or error}"
    if error.errno in _WRONG_PATH:
        return UsageError(f"{text}; {hint or 'give a file in a folder that exists'}")
    return StorageError(text if hint is None else f"{text}; {hint}")


def sweep(folder: pathlib.Path) -> None:
    """Remove what processes that are gone left half written in a folder of this one."""
    _sweep(folder, None, 0.0)


def _sweep(
    folder: pathlib.Path, target: pathlib.Path | None, age: float = _STALE_SECONDS
) -> None:
    """Remove partial files of a target, or of any, that are old."""
    stem = ".+" if target is None else re.escape(target.stem)
    name = re.compile(rf"\.{stem}\.[0-9a-f]{{8}}\.part(\.\w+)?")
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            is_partial = name.fullmatch(entry.name)
            if is_partial and time.time() - entry.stat().st_mtime >= age:
                os.unlink(entry.path)


def _check_name(path: Any, what: str) -> pathlib.Path:
    """Return a path to write to, or raise UsageError if it cannot name a file."""
    target = as_path(path, what)
    if os.path.isdir(target) or not target.name:
        raise UsageError(
            f"cannot write {what} {str(path)!r}: it is a folder; add a file name"
        )
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in str(target)):
        # Some writers would notice only at the end.
        raise UsageError(f"cannot write {what} {str(path)!r}: it is not UTF-8")
    return target


def _flush_folder(folder: pathlib.Path) -> None:
    """Flush the names of a folder to the disk, where the file system can."""
    try:
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        if error.errno not in _NO_FLUSHING:
            raise
