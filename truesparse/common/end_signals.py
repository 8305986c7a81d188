"""Signals that end a program, and that are to leave everything in order.

Ctrl-C, `kill`, a terminal that is closed, and the soft limit of the processor's time.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
# Windows has the first two.
ENDING = tuple(
    signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__
)
# The shell and the system both say that a terminal is closed.
_ONE_HANGUP = 10.0  # seconds

_last_hangup = -_ONE_HANGUP


def handle(
    numbers: Iterable[int], handler: Callable[[int, Any], None]
) -> dict[int, Any]:
    """Let a function handle signals, and return the earlier handlers for `put_back`.

    Only the main thread may set handlers, and only Python's own can be put back; others
    are left alone. So is a signal of a closed terminal that is ignored, as below nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {}

    def receive(number: int, frame: Any) -> None:
        if not _is_repeated(number):
            handler(number, frame)

    for number in numbers:
        current = signal.getsignal(number)
        is_ignored = current == signal.SIG_IGN and number not in ENDING[:2]
        if current is not None and not is_ignored:
            before[number] = signal.signal(number, receive)
    return before


def put_back(before: dict[int, Any]) -> None:
    """Restore the handlers that `handle` returned."""
    for number, handler in before.items():
        signal.signal(number, handler)


def _is_repeated(number: int) -> bool:
    """Whether the system says again what it has just said; nobody is impatient then.

    The limit of the processor's time would be said every second, also while the model
    is saved: once passed, it becomes the hard one, for the rest of the process.
    """
    global _last_hangup
    name = signal.Signals(number).name
    if name == "SIGXCPU":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    elif name == "SIGHUP":
        before, _last_hangup = _last_hangup, time.monotonic()
        return _last_hangup - before < _ONE_HANGUP
    return False
