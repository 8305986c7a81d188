"""One net measured, in a process of its own: a JSON object a line, as each is done.

    python -m truesparse.reference.baseline.timing MODULE:RUNNER NET

The first line is the implementation, every other one a row of times_file. All is done
on a small net of the same kind before, which loads (or compiles) kernels: rows hold
neither that time nor that memory.
"""

import argparse
import functools
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from truesparse.commands.shell import run_command
from truesparse.common.checks import choose
from truesparse.reference.baseline.machine_record import EnergyCounter
from truesparse.reference.baseline.timed_nets import NETS, TimedNet
from truesparse.reference.named import load_named

PREDICTED = (1, 256)
_LEAST_RUNS = 3


class Runner(Protocol):
    """An implementation as it is timed: made of (net, threads, device).

    Calls may return before a device has done the work; `finish` waits for it.
    """

    n_connections: int
    # Topology updates that it has; None for all.
    methods: tuple[str, ...] | None
    # How it can store the outputs of layers, the usual way first.
    activation_dtypes: tuple[str, ...]

    def implementation(self) -> dict[str, Any]:
        """Return name, version, device, threads and such, as JSON types."""

    def clear(self) -> None:
        """Free the net."""

    def build(self, method: str | None, activation_dtype: str) -> None:
        """Draw the net and allocate what training and this update, if any, need."""

    def predict(self, batch: int) -> None:
        """Work out the outputs for so many samples."""

    def train(self) -> None:
        """Take one optimiser step."""

    def update(self) -> None:
        """Update the topology by the method given to `build`."""

    def finish(self) -> None:
        """Wait until all is done."""

    def reset_peak(self) -> None:
        """Count the most memory held from now on."""

    def peak_bytes(self) -> int | None:
        """Return the most memory held since `reset_peak`, None where unknown."""


def measure(
    net: TimedNet, make: Callable[[TimedNet], Runner], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the implementation, then a row for each operation.

    Parameters
    ----------
    net : TimedNet
    make : callable
        Makes a runner for a net.
    seconds : float
        Least time for the runs of each operation; there are 3 runs at least.
    """
    warm = make(net.shrunk())
    for _ in _rows(net.shrunk(), warm, 0.0, base=0):
        pass
    warm.clear()
    runner = make(net)
    yield runner.implementation()
    del warm
    gc.collect()
    runner.reset_peak()
    yield from _rows(net, runner, seconds, runner.peak_bytes())


def _rows(
    net: TimedNet, runner: Runner, seconds: float, base: int | None
) -> Iterator[dict[str, Any]]:
    def row(
        operation: str,
        work: Callable[[], object],
        batch: int | None = None,
        method: str | None = None,
        before: Callable[[], object] = runner.finish,
        dtype: str = runner.activation_dtypes[0],
    ) -> dict[str, Any]:
        if operation != "initialise":
            work()  # allocates what stays
        times, peak, joules = _repeat(runner, work, before, seconds)
        more = None if peak is None or base is None else max(peak - base, 0)
        q1, median, q3 = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
        return {
            "net": net.name,
            "operation": operation,
            "method": method,
            "batch": batch,
            "activation_dtype": dtype,
            "connections": runner.n_connections,
            "runs": len(times),
            "minimum_s": min(times),
            "q1_s": q1,
            "median_s": median,
            "q3_s": q3,
            "peak_bytes": more,
            "energy_j": joules,
        }

    def update() -> None:
        runner.update()
        runner.train()

    methods = [
        name for name in net.updates if runner.methods is None or name in runner.methods
    ]
    first = methods[0] if methods else None
    usual, *others = runner.activation_dtypes
    build = functools.partial(runner.build, first, usual)
    yield row("initialise", build, before=runner.clear)
    for dtype in (usual, *others):
        if dtype != usual:
            runner.clear()
            runner.build(first, dtype)
        for batch in PREDICTED:
            predict = functools.partial(runner.predict, batch)
            yield row("predict", predict, batch, dtype=dtype)
        yield row("train", runner.train, net.batch, dtype=dtype)
    for method in methods:
        if others or method != first:
            runner.clear()
            runner.build(method, usual)
            runner.train()
        yield row("update+train", update, net.batch, method)


def _repeat(
    runner: Runner,
    work: Callable[[], object],
    before: Callable[[], object],
    seconds: float,
) -> tuple[list[float], int | None, float | None]:
    """Return the seconds of each run, the peak of memory, and the joules of a run."""
    counter = EnergyCounter()
    times: list[float] = []
    runner.finish()
    runner.reset_peak()
    start_energy = counter.read()
    while len(times) < _LEAST_RUNS or sum(times) < seconds:
        before()
        runner.finish()
        start = time.perf_counter()
        work()
        runner.finish()
        times.append(time.perf_counter() - start)
    joules = counter.joules(start_energy, counter.read())
    return times, runner.peak_bytes(), None if joules is None else joules / len(times)


def main(arguments: list[str] | None = None) -> int:
    """Measure one net and print rows."""
    return run_command(_main, arguments)


def _main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m truesparse.reference times")
    parser.add_argument("runner")
    parser.add_argument("net")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(words)
    net = NETS[choose(options.net, NETS, "net")]
    runner = load_named(options.runner, "runner")

    def make(net: TimedNet) -> Runner:
        return runner(net, options.threads, options.device)

    for entry in measure(net, make, options.seconds):
        print(json.dumps(entry, allow_nan=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
