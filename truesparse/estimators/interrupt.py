"""Ctrl-C in a fit: what has been learnt stays."""

import signal
import threading

from truesparse.callbacks import StopOnSignal


class StopOnInterrupt(StopOnSignal):
    """End a fit after the step that is being taken; a second Ctrl-C ends it at once.

    Where SIGINT means something else already, or in another thread, it does nothing.
    """

    _SIGNALS = (signal.SIGINT,)

    def on_train_begin(self, run) -> None:
        """Install the handler, if it is ours to install."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            super().on_train_begin(run)

    def _receive(self, number, frame) -> None:
        if self._received is not None:
            raise KeyboardInterrupt
        self._received = number
