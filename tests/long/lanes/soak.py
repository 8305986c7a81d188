"""Ten thousand epochs in one process: nothing grows, nothing stays behind.

They are a hundred fits, and then a single one. What a fit has of each epoch is its
record.
"""

from support.processes import run_script

from tests.long.registry import Figures, lane

EPOCHS = 100  # of each fit
# The first fits fill caches of the allocator and of Python.
_WARM_UP = 10
_MOST_GROWTH = 1 << 20  # bytes; a leak of 1 kB an epoch would be 9 MB
_RECORD = 1000  # bytes of one at most


def growth(after: list[dict], most: int = _MOST_GROWTH) -> list[str]:
    """Return a sentence for each thing of which a process holds more and more."""
    start, end = after[_WARM_UP : 2 * _WARM_UP], after[-_WARM_UP:]
    grown = min(each["bytes"] for each in end) - min(each["bytes"] for each in start)
    wrong = [f"{grown:,} bytes more"] if grown > most else []
    for what in ("descriptors", "threads", "temporary"):
        more = end[-1][what] - start[0][what]
        if more > 0:
            wrong.append(f"{more} {what} more")
    return wrong


@lane(
    "soak",
    "ten thousand epochs leave no growth of memory, open files, threads or temporary "
    "files",
    batch=100,
    test="pytest tests/training/test_soak.py",
)
def soak(seed: int, count: int) -> Figures:
    """Fit `count` times in one process; it is the same for every seed."""
    figures = Figures()
    after = run_script("run_soak.py", str(count), str(EPOCHS), threads=1)
    wrong = growth(after)
    if wrong:
        figures.fail(f"after {count} fits of {EPOCHS} epochs: {', '.join(wrong)}")
    else:
        figures.add(f"fits of {EPOCHS} epochs", count)
    # As many epochs again, looked at as often.
    n_epochs = count * EPOCHS
    after = run_script("run_soak.py", "1", str(n_epochs), str(EPOCHS), threads=1)
    wrong = growth(after, _MOST_GROWTH + _RECORD * n_epochs)
    if wrong:
        figures.fail(f"within a fit of {n_epochs} epochs: {', '.join(wrong)}")
    else:
        figures.add(f"fit of {n_epochs} epochs")
    return figures
