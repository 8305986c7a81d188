"""Progress of work between steps: drawing a large net, updating its topology."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import IO

import tqdm

from truesparse.common.work import Advance

# Work on fewer connections takes a few seconds: 0.1 to 0.2 us each (Xeon, 2026-11).
_LEAST_CONNECTIONS = 20_000_000
# A line for each of many layers would flood a log file.
_LINE_SECONDS = 2.0


class WorkProgress:
    """Show a bar on a terminal, and lines of text elsewhere; a listener of work.

    Parameters
    ----------
    stream : text file, optional
        By default stderr as it is when the work begins.
    least : int
        Connections below which nothing is shown.

    Examples
    --------
    >>> import sys
    >>> from truesparse import SparseMLP
    >>> from truesparse.callbacks import WorkProgress
    >>> from truesparse.common.work import listening
    >>> with listening(WorkProgress(sys.stdout, least=1000)):
    ...     model = SparseMLP([100, 200, 10], epsilon=5)
    drawing connections: 2,550 in all
    """

    def __init__(self, stream: IO[str] | None = None, least: int = _LEAST_CONNECTIONS):
        self.stream, self.least = stream, least

    @contextlib.contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Advance]:
        """Show the work until the end of a ``with`` statement."""
        stream = sys.stderr if self.stream is None else self.stream
        if stream is None or total < self.least:  # stderr may be closed
            yield lambda n: None
        elif stream.isatty():
            with tqdm.tqdm(
                total=total,
                desc=what,
                file=stream,
                unit=" connections",
                unit_scale=True,
                dynamic_ncols=True,
                leave=False,
            ) as bar:
                yield bar.update
        else:
            print(f"{what}: {total:,} in all", file=stream, flush=True)
            yield _Lines(what, total, stream).advance


class _Lines:
    """Lines of text about one piece of work."""

    def __init__(self, what: str, total: int, stream: IO[str]):
        self.what, self.total, self.stream = what, total, stream
        self.done, self.began = 0, time.perf_counter()
        self.last_line = self.began

    def advance(self, n: int) -> None:
        """Count `n` more connections, and say so if the last line is old."""
        self.done += n
        now = time.perf_counter()
        if now - self.last_line < _LINE_SECONDS:
            return
        self.last_line = now
        rate = self.done / (now - self.began)
        print(
            f"{self.what}  {self.done:,}/{self.total:,}  {rate:,.0f} connections/s  "
            f"{(self.total - self.done) / rate:.0f} s left",
            file=self.stream,
            flush=True,
        )
