"""Run every analysis and display of a wide network in little address space.

Run by analysis/test_large_network.py and a long lane in a process of its own:
``run_large_analysis.py NEURONS BYTES SEED``, with the neurons of each of two hidden
layers, and the bytes that the address space may grow by once the network is there. It
prints the seconds of each, and whether a dense layer was refused.
"""

import functools
import inspect
import json
import pathlib
import resource
import sys
import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from truesparse import SparseMLP, analysis, plots
from truesparse.analysis import displays

TINY = 24  # neurons, to compile
N_FEATURES, N_SAMPLES, N_CLASSES = 50, 8, 3
# Public functions that take no model.
WITHOUT_MODEL = {"fit_zeta_curve", "run_sweep"}


def public_analyses():
    """Return the names of the functions of truesparse.analysis that take a model."""
    names = set(analysis.__all__) - WITHOUT_MODEL
    return {name for name in names if inspect.isfunction(getattr(analysis, name))}


def public_displays():
    """Return the displays of models by name."""
    every = {
        name: getattr(package, name)
        for package in (displays, plots)
        for name in package.__all__
    }
    return {name: each for name, each in every.items() if hasattr(each, "from_model")}


def analyses(n, seed):
    """Return functions without arguments by the name of what they run."""
    sizes = [N_FEATURES, n, n, N_CLASSES]
    model, other = (SparseMLP(sizes, epsilon=3, seed=2 * seed + i) for i in (0, 1))
    x = np.random.default_rng(seed).standard_normal((N_SAMPLES, N_FEATURES))
    data = model, x, np.arange(N_SAMPLES) % N_CLASSES
    curve = {"fractions": 3, "batch_size": N_SAMPLES}

    def robustness():
        for perturbation in analysis.PERTURBATIONS:
            analysis.robustness(*data, perturbation, seeds=1, **curve)

    runs = {
        "adversarial": lambda: analysis.adversarial(*data, **curve),
        "exploration": lambda: analysis.exploration([model, other]),
        "graph_measures": lambda: analysis.graph_measures(model, [0, 1, 2]),
        "layer_ranks": lambda: analysis.layer_ranks(model, [0, 1, 2]),
        "overlap": lambda: analysis.overlap(model, other),
        "robustness": robustness,
        "shrink": lambda: analysis.shrink(model),
        "structure": lambda: analysis.structure(model),
    }
    # Other displays take the model alone; the ranks of the widest layer are above.
    options = {
        "RanksDisplay": ((model,), {"layers": [0]}),
        "RobustnessDisplay": (data, {"seeds": 1, **curve}),
    }
    for name, each in public_displays().items():
        arguments, named = options.get(name, ((model,), {}))
        runs[name] = functools.partial(_draw, each, arguments, named)
    return runs


def _draw(display, arguments, named):
    display.from_model(*arguments, **named).plot().figure_.canvas.draw()
    plt.close("all")


def _limit_address_space(extra):
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _is_dense_refused(n):
    try:
        np.empty((n, n), np.int8)
    except MemoryError:
        return True
    return False


if __name__ == "__main__":
    n, extra, seed = map(int, sys.argv[1:])
    # Compilation takes memory, too, which is not what is limited.
    for run in analyses(TINY, seed).values():
        run()
    large, seconds = analyses(n, seed), {}
    _limit_address_space(extra)
    for name, run in large.items():
        start = time.perf_counter()
        run()
        seconds[name] = round(time.perf_counter() - start, 3)
    print(json.dumps({"seconds": seconds, "dense_refused": _is_dense_refused(n)}))
