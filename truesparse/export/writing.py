"""Files of exports: complete when they appear under their name, or not there at all."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

from truesparse.errors import UsageError


@contextlib.contextmanager
def writing(path: Any, what: str) -> Iterator[pathlib.Path]:
    """Yield a path to write to, and at the end move that file to `path`.

    An existing file is replaced then; if the body raises, it stays as it was.

    Parameters
    ----------
    path : str or path
    what : str
        What the file is, for messages.

    Raises
    ------
    UsageError
        If `path` is no name for a file, or the file cannot be written.
    """
    try:
        target = pathlib.Path(path)
    except TypeError:
        raise UsageError(f"cannot write {what} {path!r}: give a path") from None
    if os.path.isdir(target) or not target.name:
        raise UsageError(
            f"cannot write {what} {str(path)!r}: it is a folder; add a name"
        )
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in str(target)):
        # Some writers would notice only at the end.
        raise UsageError(f"cannot write {what} {str(path)!r}: it is not UTF-8")
    # A unique name: other processes may write to the same path.
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield partial
        os.replace(partial, target)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {what} {str(path)!r}: {reason}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
