"""Measure a topology update of a million neurons, algorithm by algorithm.

    python -m benchmarks.updates                       5 minutes
    python -m benchmarks.updates --smoke               seconds
    python -m benchmarks.updates --topologies gse,ggr

The net is 64-500000-500000-10 with eps 5: 10 million weights, batch 32, SGD with
momentum. Each algorithm runs in a process of its own, which takes a step, updates twice
to compile and warm up, and then three times with a step between. Seconds are the median
of these updates, without the column view that the next step builds anew; memory is what
the process has grown by at most while updating, since before the net was made, as a
multiple of what the net itself takes. Exact CHT is left out: its scores take minutes
here.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.commands.shell import limit_spinning
from truesparse.topology import ALGORITHMS

from .options import OUT_HELP, names, program
from .peers.machine import peak_rss_mb
from .probe import clean_environment, run_json
from .stored import results_file, results_in, write_results

BATCH, FEATURES, CLASSES, SAMPLES = 32, 64, 10, 1024
# Seconds that an update may take.
LIMITS = {
    **dict.fromkeys(("set", "dsr", "deepr", "mest"), 1.0),
    **dict.fromkeys(("gse", "ggr", "srigl", "snfs"), 3.0),
    "chts": 20.0,
}
MOST_MEMORY = 1.5
# Those that never update, or in minutes.
OTHERS = ("static", "snip", "grasp", "synflow", "magnitude", "lottery", "cht")
DEFAULT = tuple(name for name in ALGORITHMS if name not in OTHERS)
N_UPDATES, SMALL = 3, 400


def measure(name: str, neurons: int, epsilon: float) -> dict[str, Any]:
    """Build a net, train and update it, and return times and memory."""
    from truesparse import topology
    from truesparse.common.memory import current_rss, return_freed_arrays
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.topology import Batches, UpdateContext

    limit_spinning()  # as the commands do
    return_freed_arrays()
    draw = np.random.default_rng(0)
    x = draw.standard_normal((SAMPLES, FEATURES), dtype=np.float32)
    targets = draw.integers(0, CLASSES, SAMPLES).astype(np.int32)
    gc.collect()
    before = current_rss()
    half = neurons // 2
    sizes = (FEATURES, half, neurons - half, CLASSES)
    pattern = "constant_fan_in" if name == "srigl" else "erdos_renyi"
    model = SparseMLP(sizes, epsilon=epsilon, init_topology=pattern)
    optimizer = Optimizer()
    model.allocate_moments(optimizer)
    model.prepare(BATCH)
    batches = Batches(model, x, targets, np.arange(SAMPLES), BATCH)
    algorithm = topology.make(name)
    algorithm.begin(model, batches)

    def step() -> None:
        samples = np.arange(BATCH) + BATCH * (model.step % (SAMPLES // BATCH))
        model.train_batch(x, targets, samples, optimizer, 0.01)

    def update() -> tuple[float, list]:
        # Early in a long run, where most is replaced.
        where = UpdateContext(0, model.step, 1, 10**6, 10**3, lr=0.01, score=0.5)
        start = time.perf_counter()
        changes = algorithm.update(model, where, batches)
        return time.perf_counter() - start, changes

    step()
    # A small net finds room in what the process holds already.
    held = sum(layer.connections.nbytes for layer in model.layers)
    net_mb, nnz = max(current_rss() - before, held) / 1e6, model.nnz
    for _ in range(2):
        update()
        step()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    seconds, replaced = [], 0
    for _ in range(N_UPDATES):
        elapsed, changes = update()
        seconds.append(elapsed)
        replaced = sum(change.grown for change in changes)
        step()
    # Not what it is above the memory of now: that holds what updates have let go.
    grown_mb = (peak_rss_mb() or 0.0) - before / 1e6
    net_mb *= model.nnz / nnz  # which some algorithms change
    return {
        "topology": name,
        "nnz": model.nnz,
        "neurons": neurons,
        "seconds": statistics.median(seconds),
        "slowest_s": max(seconds),
        "replaced": replaced,
        "net_mb": net_mb,
        "peak_ratio": max(grown_mb / net_mb, 1.0),
        "most_seconds": LIMITS.get(name),
        "most_memory": MOST_MEMORY,
        "how": changes[0].growth if changes else "",
    }


def describe(row: dict[str, Any]) -> str:
    """Return a line about one algorithm, with its verdicts."""
    limit = LIMITS.get(row["topology"])
    verdict = ""
    if limit is not None:
        verdict = (
            f" (at most {limit:g}: {'met' if row['seconds'] <= limit else 'MISSED'})"
        )
    memory = "met" if row["peak_ratio"] <= MOST_MEMORY else "MISSED"
    return (
        f"{row['topology']:<9} {row['seconds']:7.3f} s{verdict}, "
        f"{row['replaced']:,} replaced, memory {row['peak_ratio']:.2f}x the net's "
        f"{row['net_mb']:.0f} MB (at most {MOST_MEMORY:g}: {memory}); {row['how']}"
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.updates", description="Measure topology updates."
    )
    parser.add_argument("--topologies", help=f"some of {', '.join(ALGORITHMS)}")
    parser.add_argument("--neurons", type=int, default=1_000_000)
    parser.add_argument("--epsilon", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--smoke", action="store_true", help="400 neurons, not published"
    )
    parser.add_argument("--measure", metavar="NAME", help="in this process, as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    accepted = (*DEFAULT, "cht")
    options.topologies = (
        names(options.topologies, accepted, "topology")
        if options.topologies
        else DEFAULT
    )
    if options.smoke:
        options.neurons = SMALL
    options.out = results_file(
        options.out, "updates.json", is_published=not options.smoke
    )
    return options


@program
def main(arguments: list[str] | None = None) -> int:
    """Measure every algorithm and write the results."""
    options = parse(arguments)
    if options.measure:
        # Once in a small net, which loads the kernels and their libraries: memory
        # is then that of the large net alone.
        measure(options.measure, SMALL, options.epsilon)
        row = measure(options.measure, options.neurons, options.epsilon)
        print(json.dumps(row))
        return 0
    with results_in(options.out):
        rows = []
        for name in options.topologies:
            row = run_json(
                "benchmarks.updates",
                f"--measure={name}",
                f"--neurons={options.neurons}",
                f"--epsilon={options.epsilon}",
                environment=clean_environment(options.threads),
            )
            rows.append(row)
            print(describe(row), flush=True)
        write_results(options.out, {"smoke": options.smoke, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
