"""Run every analysis of a wide network with little address space, and print seconds.

Run by analysis/test_large_network.py in a process of its own: NEURONS EXTRA, two hidden
layers of that many neurons, and the bytes that all analyses together may add to the
address space of the network. A million neurons, in minutes:
``cd tests && python -m support.run_large_analysis 500000 6000000000``.
"""

import json
import resource
import sys
import time

import numpy as np

from truesparse import SparseMLP
from truesparse.analysis import (
    PERTURBATIONS,
    adversarial,
    exploration,
    graph_measures,
    layer_ranks,
    overlap,
    robustness,
    shrink,
    structure,
)
from truesparse.analysis.displays import RanksDisplay, StructureDisplay

N_FEATURES, N_SAMPLES = 50, 8


def address_space():
    """Return the bytes of address space that this process uses."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def analyse_all(model, other):
    """Return the seconds that each analysis took."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((N_SAMPLES, N_FEATURES))
    y = np.arange(N_SAMPLES) % 3
    curve = {"fractions": 3, "batch_size": N_SAMPLES}
    analyses = {
        "structure": lambda: structure(model),
        "overlap": lambda: overlap(model, other),
        "exploration": lambda: exploration([model, other]),
        "shrink": lambda: shrink(model),
        "ranks": lambda: layer_ranks(model),
        "graph": lambda: graph_measures(model, [1]),
        "adversarial": lambda: adversarial(model, x, y, **curve),
        "displays": lambda: (
            StructureDisplay.from_model(model),
            RanksDisplay.from_model(model, layers=[0]),
        ),
    }
    for name in PERTURBATIONS:
        analyses[name] = lambda name=name: robustness(
            model, x, y, name, seeds=1, **curve
        )
    seconds = {}
    for name, run in analyses.items():
        started = time.perf_counter()
        run()
        seconds[name] = round(time.perf_counter() - started, 2)
    return seconds


def make(n, seed):
    return SparseMLP([N_FEATURES, n, n, 3], epsilon=3, seed=seed)


if __name__ == "__main__":
    n, extra = map(int, sys.argv[1:])
    # Compilation takes memory too, which is not what is measured.
    analyse_all(make(40, 1), make(40, 2))
    model, other = make(n, 1), make(n, 2)
    limit = address_space() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(json.dumps(analyse_all(model, other)))
