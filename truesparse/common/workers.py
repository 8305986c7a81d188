"""Processes that another one has started, and that must not outlive it."""

import multiprocessing
import os
import threading
from typing import Any


def end_with_parent() -> None:
    """Let this process end when the one that started it has ended, even if killed.

    A worker would finish its task otherwise, for nobody. It does nothing in a process
    that multiprocessing did not start.
    """
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(process: Any) -> None:
    process.join()
    os._exit(1)
