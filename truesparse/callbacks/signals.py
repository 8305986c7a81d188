"""Stopping a run by a signal, at a step from which it can be resumed."""

import contextlib
import os
import select
import signal
import sys
from typing import Any

from truesparse.common import end_signals
from truesparse.common.checks import check_bools
from truesparse.training.events import Callback


class Interrupted(Exception):
    """A signal has stopped the run; the process should return `exit_code`."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class StopOnSignal(Callback):
    """Raise Interrupted after the step during which a signal arrived.

    The signals are SIGINT, SIGTERM, SIGHUP and SIGXCPU, see common.end_signals.

    Between steps the arrays of the model are consistent and can be saved. A second
    signal ends the process at once, but for one that only repeats that the terminal is
    closed. SIGXCPU raises the soft limit of the processor's time to the hard one, since
    it would come again every second. Outside the main thread this callback does
    nothing, as Python passes signals to the main thread only.

    Parameters
    ----------
    tells : bool
        Say on stderr, when a signal arrives, what it does and what another one would.
    """

    _SIGNALS: tuple[signal.Signals, ...] = end_signals.ENDING

    def __init__(self, tells: bool = False):
        check_bools(tells=tells)
        self.tells = tells
        self._received: int | None = None
        self._previous: dict[int, Any] = {}

    def on_train_begin(self, run) -> None:
        """Install the handlers."""
        self._received = None
        self._previous = end_signals.handle(self._SIGNALS, self._receive)

    def on_batch_end(self, run) -> None:
        """Raise Interrupted if a signal has arrived."""
        if self._received is not None:
            raise Interrupted(self._received)

    def on_train_end(self, run) -> None:
        """Put the earlier handlers back."""
        end_signals.put_back(self._previous)
        self._previous = {}

    def _receive(self, number, frame) -> None:
        name, before = signal.Signals(number).name, self._received
        self._received = number
        if before is not None:
            self._tell(f"{name} once more: ended at once, what was not saved is lost")
            os._exit(128 + number)
        self._tell(f"{name}: stops after this step and saves; once more ends at once")

    def _tell(self, text: str) -> None:
        if not self.tells or sys.stderr is None:
            return
        with contextlib.suppress(OSError, ValueError):
            # By the system's call: a signal may come while stderr is written to. A
            # terminal that is held, or a full pipe, is not waited for.
            if select.select([], [2], [], 0)[1]:
                os.write(2, f"{text}\n".encode())
