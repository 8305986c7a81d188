"""Lanes: functions that try cases of one promise, and what they return.

A lane is a function of a seed and a number of cases, in a file of lanes/:

    @lane("npz", "damaged .npz files are refused in one line", batch=200,
          test="pytest tests/datasets/test_damaged.py")
    def fuzz(seed, count):
        figures = Figures()
        for case in draw_cases(seed, count):
            figures.add("refused" if ... else "unchanged")
        return figures

Batch after batch is run with the seeds 0, 1, 2 and so on, each in this process: what
may crash it has to start a process of its own.
"""

import collections
import importlib
import pathlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

_LANES: dict[str, "Lane"] = {}


@dataclass
class Figures:
    """What became of the cases of one or more batches.

    Attributes
    ----------
    outcomes : Counter of str
        Number of cases by what became of them, such as "refused".
    failures : list of str
        A sentence for each broken promise, which names what was given.
    """

    outcomes: collections.Counter = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """The number of cases, with those that failed."""
        return self.outcomes.total() + len(self.failures)

    def add(self, outcome: str, n: int = 1) -> None:
        """Count cases that ended as they may."""
        self.outcomes[outcome] += n

    def fail(self, sentence: str) -> None:
        """Count a case that broke the promise."""
        self.failures.append(sentence)


@dataclass(frozen=True)
class Lane:
    """A promise, and the function that tries it.

    Attributes
    ----------
    name : str
    promise : str
        What holds in all cases, for the table in tests/README.md.
    run : callable
        Takes a seed and a number of cases, returns Figures; the same for the same seed.
    batch : int
        Number of cases of a call; it should last 5 to 30 seconds.
    test : str
        Command that shows the same in CI with fewer cases.
    """

    name: str
    promise: str
    run: Callable[[int, int], Figures]
    batch: int
    test: str


def lane(name: str, promise: str, *, batch: int, test: str):
    """Register the function below as a lane; see Lane for the arguments."""

    def register(function):
        if name in _LANES:
            raise ValueError(f"there are two lanes {name!r}")
        _LANES[name] = Lane(name, promise, function, batch, test)
        return function

    return register


def lanes() -> dict[str, Lane]:
    """Return all lanes by name, in the order of their names."""
    folder = pathlib.Path(__file__).parent / "lanes"
    for module in pkgutil.iter_modules([str(folder)]):
        importlib.import_module(f"tests.long.lanes.{module.name}")
    return dict(sorted(_LANES.items()))
