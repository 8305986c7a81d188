"""A disk that fails: every call of every scenario, with every cause and extent."""

import functools

import numpy as np
from support.faulty_runs import attempt, available, every_fault

from tests.long.registry import Figures, lane


@functools.cache
def cases() -> list[tuple]:
    """Return all cases, in an order that mixes them."""
    every = [
        (name, fault, whole)
        for name in available()
        for fault in every_fault(name)
        for whole in (False, True)
    ]
    order = np.random.default_rng(22).permutation(len(every))
    return [every[index] for index in order]


@lane(
    "faults",
    "a disk that fails at any call loses nothing that was saved, training goes on "
    "where it can, and the next run puts it right",
    batch=60,
    test="pytest tests/commands/test_io_faults.py",
)
def fail_calls(seed: int, count: int) -> Figures:
    """Try the cases that follow those of smaller seeds; after the last the first."""
    figures, every = Figures(), cases()
    for number in range(seed * count, (seed + 1) * count):
        name, fault, whole = every[number % len(every)]
        outcome, wrong = attempt(name, fault, whole)
        if wrong:
            figures.fail(f"{name}, {fault}, whole disk {whole}: {'; '.join(wrong)}")
        else:
            figures.add(outcome)
    return figures
