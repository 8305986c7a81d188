"""The frame of all commands: exit codes, errors in one line, signals, flags.

    0 done   1 bug, or a pipe that was closed   2 usage
    3 would not fit in memory   4 data missing or invalid   5 diverged
    6 model or checkpoint unreadable or changed
    7 a file or standard output could not be written
    more than 128: stopped by a signal, 130 by Ctrl-C

Results go to stdout, everything for people to stderr.
"""

import argparse
import contextlib
import difflib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import NoReturn

from truesparse.commands import streams
from truesparse.common import end_signals
from truesparse.errors import (
    MemoryLimitError,
    StorageError,
    TruesparseError,
    UsageError,
)

_CODES = {
    2: "usage",
    3: "would not fit in memory",
    4: "data missing or invalid",
    5: "diverged",
    6: "model unreadable or changed",
    7: "could not be written",
}
_NO_BUGS = (
    *(TruesparseError, MemoryError, KeyboardInterrupt, OSError),
    UnicodeEncodeError,  # a terminal that cannot show a label
)

# More threads than cores only take turns, which costs time; thousands of them make
# Numba hang or crash.
_THREADS_PER_CORE = 4


class Terminated(KeyboardInterrupt):
    """A signal other than SIGINT arrived where nothing else handles it."""

    def __init__(self, number: int = signal.SIGTERM):
        super().__init__()
        self.number = signal.Signals(number)


class CommandParser(argparse.ArgumentParser):
    """A parser of flags whose errors are UsageErrors of one line.

    Every command has ``--debug``, which `run_command` obeys.

    Parameters
    ----------
    module : str
        Module that ``python -m`` runs.
    description : str
    codes : tuple of int
        Exit codes that the help explains, besides 0, 7 and those of signals.
    """

    def __init__(self, module: str, description: str, codes: tuple[int, ...]):
        # Each may meet a stdout that takes nothing.
        codes = tuple(sorted({*codes, StorageError.exit_code}))
        explained = ", ".join(f"{code} {_CODES[code]}" for code in codes)
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            epilog=f"Exit codes: 0 done, {explained}, above 128 stopped by a signal.",
            # A new option would break abbreviations.
            allow_abbrev=False,
        )
        self.add_argument("--debug", action="store_true", help="show tracebacks")

    def add_model(self) -> None:
        """Add the argument that names a model, as `models.find_model` takes it."""
        self.add_argument("model", metavar="MODEL", help="model file or run folder")

    def add_no_verify(self) -> None:
        """Add the flag that skips the comparison of files with their digests."""
        self.add_argument(
            "--no-verify",
            dest="verify",
            action="store_false",
            help="read a model or checkpoint even if its digest says it has changed",
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; --help lists what is accepted")

    def print_help(self, file=None) -> None:
        """Write the help; raise OSError if that fails, where argparse is silent."""
        if (stream := file or sys.stdout) is not None:
            stream.write(self.format_help())

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Return the options that the words of a command line give.

        Raises
        ------
        UsageError
            For an unknown flag; the message suggests the closest one.
        """
        known, unknown = self.parse_known_args(words)
        if unknown:
            name = unknown[0].split("=")[0]
            # At difflib's default of 0.6, --nope would suggest --no-fetch.
            options = self._option_string_actions
            close = difflib.get_close_matches(name, options, n=1, cutoff=0.75)
            hint = f" (did you mean {close[0]}?)" if close else ""
            self.error(f"unknown argument {name}{hint}")
        return known


def run_command(
    function: Callable[[list[str]], None],
    arguments: list[str] | None = None,
    *,
    stopped: str = "nothing was written",
) -> int:
    """Run a command and return its exit code; errors become one line on stderr.

    Parameters
    ----------
    function : callable
        Takes the words of the command line; raises TruesparseError for errors that a
        user can cause, and SystemExit after it has reported an error itself.
    arguments : list of str, optional
        The words; by default those that the process was started with.
    stopped : str
        Text that follows "stopped by SIGTERM;".

    Examples
    --------
    >>> from truesparse.commands.shell import run_command
    >>> run_command(lambda words: print(*words), ["some", "words"])
    some words
    0
    """
    words = sys.argv[1:] if arguments is None else arguments
    limit_spinning()
    try:
        with _terminable(), streams.watched(), _warnings_in_a_line():
            try:
                function(words)
            finally:
                streams.flush_stdout()
        return 0
    except BrokenPipeError:
        return 1
    except _NO_BUGS as error:
        text, code = str(error), getattr(error, "exit_code", 1)
        if isinstance(error, KeyboardInterrupt):
            number = getattr(error, "number", signal.SIGINT)
            text, code = f"stopped by {number.name}; {stopped}", 128 + number
        elif isinstance(error, MemoryError) and not isinstance(error, TruesparseError):
            text, code = f"out of memory: {text}", MemoryLimitError.exit_code
        # If stderr is full as well, only the code is left.
        with contextlib.suppress(OSError):
            if "--debug" in words:
                say(traceback.format_exc().rstrip())
            say("truesparse: " + text.replace("\n", " "))
        return code


def check_threads(threads: int | None) -> None:
    """Raise UsageError for fewer threads than 1 or far more than there are cores."""
    n_cores = os.cpu_count() or 1
    most = _THREADS_PER_CORE * n_cores
    if threads is not None and not 1 <= threads <= most:
        raise UsageError(
            f"--threads must be from 1 to {most}, {_THREADS_PER_CORE} for each of "
            f"{n_cores} cores (more only take turns), got {threads}"
        )


def allow_threads(threads: int | None) -> None:
    """Let Numba use more threads than there are cores; call it before Numba loads."""
    check_threads(threads)
    if threads is not None:
        # Numba reads this when it is imported, and never allows more later.
        most = max(threads, os.cpu_count() or 1)
        os.environ.setdefault("NUMBA_NUM_THREADS", str(most))


def limit_spinning() -> None:
    """Limit how long idle OpenMP threads spin; call it before the first kernel runs.

    The setting concerns the whole process, so programs make it, not the library; see
    kernels/jit.py for what it gains.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")


def start_engine(threads: int | None) -> int:
    """Set the process up, load Numba, and return how many threads kernels use.

    Parameters
    ----------
    threads : int, optional
        By default as many as there are cores.

    Raises
    ------
    UsageError
        If that is more than the process may have.
    """
    allow_threads(threads)
    from truesparse.common import memory
    from truesparse.kernels import jit

    memory.return_freed_arrays()
    return jit.set_threads(threads)


def announcing_compilation(
    say: Callable[[str], None],
) -> contextlib.AbstractContextManager[None]:
    """Say once in a ``with`` why it takes a while, if a kernel has to be compiled."""
    from truesparse.kernels import jit

    text = "compiling kernels, once on this machine ..."
    return jit.when_compiling(lambda: say(text))


def say(text: str) -> None:
    """Print a text for people, on stderr."""
    # With stderr closed, print(file=None) would write to stdout.
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def say_nothing(text: str) -> None:
    """Print nothing, in place of `say`."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let other signals raise an exception, as SIGINT does, unless they are handled."""

    def terminate(number, frame):
        raise Terminated(number)

    others = [number for number in end_signals.ENDING if number != signal.SIGINT]
    before = end_signals.handle(others, terminate)
    try:
        yield
    finally:
        end_signals.put_back(before)


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Print warnings that are meant for users without a place in the source."""

    def show(message, category, filename, lineno, file=None, line=None):
        if category is UserWarning:
            say(f"warning: {message}")
        else:
            before(message, category, filename, lineno, file, line)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
