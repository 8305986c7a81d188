"""Random trainings: the same bits for any threads, resumed, at once and under load."""

import concurrent.futures
import contextlib
import subprocess
import sys
from collections.abc import Iterator

from support.processes import run_script

from tests.long.registry import Figures, lane

THREADS = (1, 2, 4, 8)


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Keep a core busy meanwhile."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


@lane(
    "configurations",
    "a random training gives the same bits on 1, 2, 4 and 8 threads, resumed after any "
    "step, in two processes at once and under load",
    batch=8,
    test="pytest tests/test_determinism.py",
)
def compare(seed: int, count: int) -> Figures:
    """Train the configurations of the seeds from `seed` times `count` on."""
    figures, first = Figures(), seed * count
    words = ("configurations.py", *map(str, (first, count, *THREADS)))
    with load(), concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_script, *words, threads=max(THREADS)) for _ in "ab"]
        one, other = (run.result() for run in runs)
    for number, pair in enumerate(zip(one, other, strict=True), first):
        digests = {digest for got in pair for digest in got.values()}
        if len(digests) > 1:
            figures.fail(f"draw_configuration({number}) gives {pair}")
        else:
            # An error is the same everywhere, too; it has words.
            figures.add("refused" if " " in digests.pop() else "equal")
    return figures
