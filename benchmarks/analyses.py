"""Measure the analyses: robustness curves, ranks, and all of them on a million neurons.

    python -m benchmarks.analyses              3 minutes
    python -m benchmarks.analyses --smoke      seconds
    python -m benchmarks.analyses --parts ranks

Each part runs in a process of its own, on tiny networks first, to compile:

    curves    accuracy against the perturbed fraction, 51 points, 10,000 samples,
              784-1000x3-10 at eps 20: each perturbation, then all with five seeds
    ranks     effective and stable rank of 500,000 x 500,000 with 5 million connections
    large     every analysis of two hidden layers of 500,000 neurons, in an address
              space that is limited to the network's and 6 GB
"""

import argparse
import functools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .options import OUT_HELP, names, program
from .probe import clean_environment, run_json
from .stored import results_file, results_in, write_results

Analyses = Iterator[tuple[str, Callable[[], Any]]]

POINTS, SEEDS, FEATURES = 51, 5, 784
# Seconds that an analysis may take, by its part and the beginning of its name.
LIMITS = {
    ("curves", "a curve"): 10.0,
    ("curves", "five seeds"): 180.0,
    ("ranks", "ranks"): 60.0,
}
LARGE_FEATURES, LARGE_SAMPLES, LARGE_CLASSES = 50, 8, 3


def curves(n: int) -> Analyses:
    """Yield the robustness curves of a net with three hidden layers of n neurons."""
    from truesparse import SparseMLP
    from truesparse.analysis import PERTURBATIONS, robustness

    draw = np.random.default_rng(0)
    x = draw.standard_normal((10 * n, FEATURES), dtype=np.float32)
    y = np.arange(10 * n) % 10
    model = SparseMLP([FEATURES, n, n, n, 10], epsilon=min(20.0, n / 8))

    def all_seeds() -> None:
        for name in PERTURBATIONS:
            robustness(model, x, y, name, fractions=POINTS, seeds=SEEDS)

    for name in PERTURBATIONS:
        yield (
            f"a curve: {name}",
            functools.partial(robustness, model, x, y, name, fractions=POINTS, seeds=1),
        )
    yield "five seeds of all perturbations", all_seeds


def ranks(n: int) -> Analyses:
    """Yield the ranks of a layer of n x n with ten connections a neuron."""
    from truesparse import SparseMLP
    from truesparse.analysis import layer_ranks

    model = SparseMLP([n, n, 2], epsilon=min(5.0, n / 8))
    yield "ranks", lambda: layer_ranks(model, [0], method="estimate")


def large(n: int) -> Analyses:
    """Yield every analysis of a net with two hidden layers of n neurons."""
    from truesparse import SparseMLP, analysis
    from truesparse.analysis.displays import RanksDisplay, StructureDisplay

    sizes = [LARGE_FEATURES, n, n, LARGE_CLASSES]
    model, other = (SparseMLP(sizes, epsilon=3, seed=seed) for seed in (1, 2))
    draw = np.random.default_rng(0)
    x = draw.standard_normal((LARGE_SAMPLES, LARGE_FEATURES))
    y = np.arange(LARGE_SAMPLES) % LARGE_CLASSES
    curve = {"fractions": 3, "batch_size": LARGE_SAMPLES}
    yield "structure", lambda: analysis.structure(model)
    yield "overlap", lambda: analysis.overlap(model, other)
    yield "exploration", lambda: analysis.exploration([model, other])
    yield "shrink", lambda: analysis.shrink(model)
    yield "ranks of all layers", lambda: analysis.layer_ranks(model)
    yield "graph", lambda: analysis.graph_measures(model, [1])
    yield "adversarial", lambda: analysis.adversarial(model, x, y, **curve)
    yield (
        "displays",
        lambda: (
            StructureDisplay.from_model(model),
            RanksDisplay.from_model(model, layers=[0]),
        ),
    )
    for name in analysis.PERTURBATIONS:
        yield (
            name,
            functools.partial(analysis.robustness, model, x, y, name, seeds=1, **curve),
        )


# Analyses, and neurons of a hidden layer: as published, and of a smoke run.
PARTS = {
    "curves": (curves, 1000, 30),
    "ranks": (ranks, 500_000, 200),
    "large": (large, 500_000, 200),
}
TINY = 24  # neurons, to compile


def measure(part: str, n: int, extra: int | None) -> list[dict[str, Any]]:
    """Return a row for each analysis of a part.

    Parameters
    ----------
    part : str
    n : int
        Neurons of a hidden layer.
    extra : int, optional
        Bytes that the address space may grow by, once the network is there.
    """
    from truesparse.commands.shell import limit_spinning

    limit_spinning()  # as the commands do
    analyses = PARTS[part][0]
    # Compilation takes time and memory, which are not those of an analysis.
    for _, run in analyses(TINY):
        run()
    rows = []
    for number, (name, run) in enumerate(analyses(n)):
        if number == 0 and extra is not None:
            _limit_address_space(extra)
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
        rows.append(
            {
                "part": part,
                "neurons": n,
                "analysis": name,
                "seconds": seconds,
                "most_seconds": limit_of(part, name),
            }
        )
    return rows


def limit_of(part: str, name: str) -> float | None:
    """Return the seconds that an analysis may take, if there is a limit."""
    for (where, begin), seconds in LIMITS.items():
        if part == where and name.startswith(begin):
            return seconds
    return None


def _limit_address_space(extra: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def describe(row: dict[str, Any]) -> str:
    """Return a line about an analysis."""
    limit, seconds = row["most_seconds"], row["seconds"]
    verdict = ""
    if limit is not None:
        verdict = f" (at most {limit:g}: {'met' if seconds <= limit else 'MISSED'})"
    return f"{row['part']:<7} {row['analysis']:<34} {seconds:8.2f} s{verdict}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.analyses", description="Measure the analyses."
    )
    parser.add_argument("--parts", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--extra", type=int, default=6_000_000_000, help="bytes")
    parser.add_argument("--neurons", type=int, help="of a hidden layer, unpublished")
    parser.add_argument("--smoke", action="store_true", help="tiny, unpublished")
    parser.add_argument("--measure", metavar="PART", help="in this process, as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help=OUT_HELP)
    options = parser.parse_args(arguments)
    options.parts = names(options.parts, PARTS, "part")
    is_published = not options.smoke and options.neurons is None
    options.out = results_file(options.out, "analyses.json", is_published=is_published)
    return options


@program
def main(arguments: list[str] | None = None) -> int:
    """Measure every part and write the results."""
    options = parse(arguments)
    if options.measure:
        extra = options.extra if options.measure == "large" else None
        print(json.dumps(measure(options.measure, options.neurons, extra)))
        return 0
    with results_in(options.out):
        rows = []
        for part in options.parts:
            _, published, small = PARTS[part]
            n = options.neurons or (small if options.smoke else published)
            measured = run_json(
                "benchmarks.analyses",
                f"--measure={part}",
                f"--neurons={n}",
                f"--extra={options.extra}",
                environment=clean_environment(options.threads),
            )
            for row in measured:
                print(describe(row), flush=True)
            rows += measured
        write_results(options.out, {"smoke": options.smoke, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
