"""Ctrl-C during a fit: what was learned so far is kept, and the program ends."""

import signal
import threading

from truesparse.callbacks import StopOnSignal


class StopOnInterrupt(StopOnSignal):
    """End a fit after the current step; a second Ctrl-C ends it at once.

    The fit then raises KeyboardInterrupt, as a search or a loop around it must end too.

    It does nothing in another thread than the main one, nor where the program handles
    SIGINT itself.
    """

    _SIGNALS = (signal.SIGINT,)

    def on_train_begin(self, run) -> None:
        """Install the handler in place of Python's default one, and of no other."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            super().on_train_begin(run)

    def _receive(self, number, frame) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
