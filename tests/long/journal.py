"""The journal of a long run: one JSON object a line for each batch that has ended.

A run that is stopped loses the batch that it was in, which is then run again.
"""

import functools
import json
import pathlib
import platform
import subprocess
import time
from typing import Any

import numba
import numpy

from tests.long.registry import Figures, Lane


class Journal:
    """The batches that were run, in a file.

    Parameters
    ----------
    path : str or path
        Created with its folder if it is missing.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.batches: list[dict[str, Any]] = []
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            # The last line may have been cut off by a kill.
            whole = [line for line in lines if line.endswith("\n")]
            self.batches = [json.loads(line) for line in whole]
            if whole != lines:
                self.path.write_text("".join(whole), encoding="utf-8")

    def next_seed(self, name: str) -> int:
        """Return the seed of the first batch of a lane that has not been run."""
        seeds = {batch["seed"] for batch in self.batches if batch["lane"] == name}
        return next(seed for seed in range(len(seeds) + 1) if seed not in seeds)

    def seconds(self, name: str) -> float:
        """Return how long a lane has run."""
        of_lane = (batch for batch in self.batches if batch["lane"] == name)
        return sum(batch["seconds"] for batch in of_lane)

    def run(self, lane: Lane, seed: int) -> Figures:
        """Run a batch of a lane and write it down."""
        start = time.perf_counter()
        figures = lane.run(seed, lane.batch)
        batch = {
            "lane": lane.name,
            "seed": seed,
            "count": lane.batch,
            "seconds": round(time.perf_counter() - start, 3),
            "outcomes": dict(figures.outcomes),
            "failures": figures.failures,
            "date": time.strftime("%Y-%m-%d"),
            "where": _where(),
        }
        self.batches.append(batch)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(batch) + "\n")
        return figures


@functools.cache
def _where() -> dict[str, str]:
    """Return the commit and what else results may depend on."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(
        command,
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "commit": done.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "machine": platform.machine(),
    }
