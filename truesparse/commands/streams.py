"""stdout and stderr of a command, when they cannot be written.

Results go to stdout: a fault there ends the command, and says that it is one of stdout.
stderr is for people: what it does not take is left out, so that a full disk below a log
or a terminal that is gone costs no training.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from truesparse.errors import StorageError


class _Stream:
    """A stream with other errors than that below it."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        with self._faults():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is left."""
        with self._faults():
            self._stream.flush()

    def _faults(self) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError


class _Stdout(_Stream):
    """The standard output, whose faults say that they are its own."""

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise  # its reader has read enough
        except OSError as error:
            raise StorageError(
                f"cannot write to standard output: {error.strerror or error}"
            ) from None


class _Stderr(_Stream):
    """The standard error, which loses what cannot be written."""

    def _faults(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.suppress(OSError)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let faults of stdout be StorageErrors in a ``with``, and those of stderr none."""
    before = sys.stdout, sys.stderr
    if before[0] is not None:  # as it is after `>&-`
        sys.stdout = _Stdout(before[0])  # type: ignore[assignment]
    if before[1] is not None:
        sys.stderr = _Stderr(before[1])  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def flush_stdout() -> None:
    """Write what is left while an error can still be reported."""
    try:
        if sys.stdout is not None:  # as it is after `>&-`
            sys.stdout.flush()
    except OSError:
        # Python would try again at its end, and fail with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
