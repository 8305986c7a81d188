"""Measure how near each kernel of a training step comes to what the machine allows.

    python -m benchmarks.roofline                      2 minutes
    python -m benchmarks.roofline --nets 1000,4000
    python -m benchmarks.roofline --smoke              tiny nets, seconds

Steps of the nets of nets.py are timed layer by layer, forward and backward. What a
layer does not account for is the rest of a step: the batch, the loss, Python.

    flops     2 a connection and sample forward, 4 backward (2 in the first layer)
    fetched   for each connection, the row of activations at its other end, a number for
              each sample; where outputs are scattered, it is read and written
    streamed  what lies in the order of the connections: index and weight, forward the
              position of the weight too; backward, weight and momentum are also written
    bound     max(flops / sgemm rate,
                  fetched / rate of random rows + streamed / rate of a stream)

The rate of random rows is that of a kernel that only adds up rows of as many columns,
in random order, from a set as large as the layer's: it shows the cache that this set
fits. That of a stream has one row a line, in order, from as many bytes as the layer's
connections have. Rows of an input neuron that is zero in the whole batch are counted,
though small batches skip them.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.commands.shell import limit_spinning
from truesparse.kernels import jit
from truesparse.kernels.aligned import aligned_zeros
from truesparse.kernels.jit import inner_kernel, parallel_kernel, prange
from truesparse.kernels.simd import (
    add_scaled,
    ahead,
    full,
    load,
    make_tile,
    prefetch,
    store,
)
from truesparse.network.buffers import padded_columns
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer

from .nets import CASES, SMOKE_CASES, Case
from .options import OUT_HELP, names, program
from .peers.common import LEARNING_RATE, MOMENTUM
from .probe import probe
from .stored import results_file, results_in, write_results

ITEM, LINE = 4, 16  # bytes of a float32; of these, a cache line
INDEX, POSITION = 4, 4  # bytes of an index, and of a position in the weights
N_TASKS = 64


@inner_kernel
def _add_rows(tile, order, x, out, task, bounds):
    total = full(tile, x, x.dtype.type(0.0))
    one = x.dtype.type(1.0)
    for p in range(np.uint64(bounds[0]), np.uint64(bounds[1])):
        prefetch(tile, x, order[ahead(p, order)], 0)
        total = add_scaled(total, one, load(tile, x, order[p], 0))
    store(out, task, 0, total)


@parallel_kernel
def add_rows(tile, order, x, out):
    """Write the sums of the rows of x that each task's part of `order` names."""
    n_tasks = out.shape[0]
    for task in prange(n_tasks):
        bounds = (task * order.size // n_tasks, (task + 1) * order.size // n_tasks)
        _add_rows(tile, order, x, out, task, bounds)


def row_rate(
    n_rows: int, columns: int, seconds: float, in_order: bool = False
) -> float:
    """Return the rate in GB/s at which rows of float32 are read from a set of rows."""
    order = np.arange(n_rows, dtype=np.int32)
    if not in_order:
        # Often enough that the loop takes longer than its start.
        order = np.random.default_rng(0).integers(
            0, n_rows, max(n_rows, 1 << 16), dtype=np.int32
        )
    x, tile = aligned_zeros((n_rows, columns), np.float32), make_tile(columns)
    out = aligned_zeros((N_TASKS, columns), np.float32)
    shortest = fastest(lambda: add_rows(tile, order, x, out), seconds)
    return order.size * columns * ITEM / shortest * 1e-9


def fastest(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of `work` in seconds, among its runs in `seconds`."""
    work()
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


class Timed:
    """A layer that notes the seconds of its passes, and else behaves as it does.

    Parameters
    ----------
    layer : SparseLayer

    Attributes
    ----------
    seconds : dict
        Of each pass: the seconds of every call.
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self.seconds: dict[str, list[float]] = {"forward": [], "backward": []}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def forward(self, *arguments: Any) -> None:
        """Take and time the forward pass."""
        self._time("forward", arguments)

    def backward(self, *arguments: Any) -> None:
        """Take and time the backward pass."""
        self._time("backward", arguments)

    def _time(self, name: str, arguments: tuple) -> None:
        start = time.perf_counter()
        getattr(self._layer, name)(*arguments)
        self.seconds[name].append(time.perf_counter() - start)


def time_steps(case: Case, steps: int, seed: int) -> tuple[list[Timed], float]:
    """Return the layers of a net with the seconds of their passes, and of a step."""
    sizes, draw = case.net.sizes, np.random.default_rng(seed)
    x = draw.standard_normal((case.batch, sizes[0]), dtype=np.float32)
    targets = draw.integers(0, sizes[-1], case.batch).astype(np.int32)
    samples, optimizer = np.arange(case.batch), Optimizer("sgd", momentum=MOMENTUM)
    model = SparseMLP(sizes, epsilon=case.net.epsilon, seed=seed)
    model.allocate_moments(optimizer)
    model.prepare(case.batch)

    def step() -> float:
        start = time.perf_counter()
        model.train_batch(x, targets, samples, optimizer, LEARNING_RATE)
        return time.perf_counter() - start

    for _ in range(3):
        step()
    model.layers = layers = [Timed(layer) for layer in model.layers]  # type: ignore
    return layers, statistics.median(step() for _ in range(steps))


def work_of(layer: Any, pass_: str, batch: int, is_first: bool) -> dict[str, Any]:
    """Return what a pass of a layer has to do: flops, bytes, the set of its rows."""
    connections, (columns, _) = layer.connections, padded_columns(batch, np.float32)
    nnz, row = connections.nnz, columns * ITEM
    if pass_ == "backward":
        flops = (2 if is_first else 4) * nnz * batch
        rows, fetched, stream = connections.n_out, row, INDEX + 4 * ITEM
    elif layer.scatters(columns):
        flops, rows, fetched = 2 * nnz * batch, connections.n_out, 2 * row
        stream = INDEX + ITEM
    else:
        flops, rows, fetched = 2 * nnz * batch, connections.n_in, row
        stream = INDEX + POSITION + ITEM
    return {
        "flops": flops,
        "rows": rows,
        "columns": columns,
        "set_bytes": rows * row,
        "fetched_bytes": nnz * fetched,
        "streamed_bytes": nnz * stream,
    }


def measure(
    case: Case, options: argparse.Namespace, sgemm: float
) -> list[dict[str, Any]]:
    """Time a net and return a row for each pass of each layer, then the rest."""
    layers, step_s = time_steps(case, options.steps, options.seed)
    rows: list[dict[str, Any]] = []
    for pass_ in ("forward", "backward"):
        for number, layer in enumerate(layers):
            seconds = statistics.median(layer.seconds[pass_])
            work = work_of(layer, pass_, case.batch, is_first=number == 0)
            brief = options.seconds
            rate = row_rate(work["rows"], work["columns"], brief)
            lines = max(work["streamed_bytes"] // (LINE * ITEM), N_TASKS)
            stream = row_rate(lines, LINE, brief, in_order=True)
            moved = work["fetched_bytes"] / rate + work["streamed_bytes"] / stream
            bounds = {"flops": work["flops"] / sgemm * 1e-9, "bytes": moved * 1e-9}
            shape = f"{layer.connections.n_in} x {layer.connections.n_out}"
            rows.append(
                {
                    "net": case.title,
                    "pass": pass_,
                    "layer": shape,
                    "nnz": layer.connections.nnz,
                    **work,
                    "ms": seconds * 1e3,
                    "gflops": work["flops"] / seconds * 1e-9,
                    "gbs": work["fetched_bytes"] / seconds * 1e-9,
                    "row_gbs": rate,
                    "stream_gbs": stream,
                    "bound_by": max(bounds, key=lambda name: bounds[name]),
                    "of_bound": max(bounds.values()) / seconds,
                }
            )
    rest = step_s - sum(row["ms"] for row in rows) * 1e-3
    rows.append({"net": case.title, "pass": "rest", "ms": rest * 1e3})
    return rows


def describe(row: dict[str, Any]) -> str:
    """Return a line about one pass of a layer."""
    if row["pass"] == "rest":
        return f"  the rest of a step    {row['ms']:9.3f} ms"
    rates = f"{row['gflops']:6.1f} GFLOP/s, {row['gbs']:5.0f} of {row['row_gbs']:5.0f}"
    return (
        f"  {row['pass']:<8} {row['layer']:<15} {row['ms']:9.3f} ms, {rates} GB/s "
        f"from {row['set_bytes'] / 1e6:8.2f} MB; {row['of_bound']:4.0%} of its bound, "
        f"by {row['bound_by']}"
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description="Measure the kernels of a step against the machine's rates.",
    )
    parser.add_argument("--nets", help=f"some of {', '.join(CASES)} (default: all)")
    parser.add_argument("--threads", type=int, help="default: all")
    parser.add_argument("--steps", type=int, help="of each net (default: 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="tiny nets, not published")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    cases = SMOKE_CASES if options.smoke else CASES
    options.cases = [cases[key] for key in names(options.nets, cases, "net")]
    options.steps = options.steps or (3 if options.smoke else 50)
    options.seconds = 0.01 if options.smoke else 0.2
    options.out = results_file(
        options.out, "roofline.json", is_published=not options.smoke
    )
    return options


@program
def main(arguments: list[str] | None = None) -> int:
    """Measure every net and write the results."""
    options = parse(arguments)
    with results_in(options.out):
        limit_spinning()  # as the commands do
        threads = jit.set_threads(options.threads)
        quick = ("--size=256", "--seconds=0.1") if options.smoke else ()
        # In a process of its own, since the threads of a matrix product keep spinning.
        rates = probe("rates", f"--threads={threads}", *quick, threads=threads)
        sgemm = rates["sgemm_gflops"]
        print(f"{threads} threads; sgemm {sgemm:.0f} GFLOP/s")
        rows = []
        for case in options.cases:
            print(f"\n{case.title}", flush=True)
            measured = measure(case, options, sgemm)
            for row in measured:
                print(describe(row), flush=True)
            rows += measured
        settings = {"smoke": options.smoke, "threads": threads}
        write_results(options.out, settings | {"rates": rates, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
