"""How many cores of the processor this process may use."""

import os


def usable_cores() -> int | None:
    """Return how many logical cores this process may run on, None if unknown."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
