"""Measure one thing in a process of its own, which starts clean; print it as JSON.

    python -m benchmarks.probe rates
    python -m benchmarks.probe net --net 784,1000,1000,1000,10 --epsilon 20 --batch 128
    python -m benchmarks.probe first-step -- --neurons 100000

`probe` runs such a process.
"""

import argparse
import functools
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .harness import WorkerError, sgemm_gflops, stream_gbs, worker_environment
from .peers.common import LEARNING_RATE, MOMENTUM
from .peers.machine import machine, peak_rss_mb
from .stored import ROOT


def probe(
    *arguments: str,
    threads: int = 2,
    python: str = sys.executable,
    cache: str | Path | None = None,
) -> dict[str, Any]:
    """Run ``python -m benchmarks.probe`` and return what it printed.

    Parameters
    ----------
    *arguments : str
        Arguments of the command line.
    threads : int
        Threads of every thread pool.
    python : str
        Interpreter.
    cache : path, optional
        Folder of compiled kernels, in place of the usual one.

    Raises
    ------
    WorkerError
        If the process fails.
    """
    return run_json(
        "benchmarks.probe",
        *arguments,
        environment=clean_environment(threads, cache),
        python=python,
    )


def clean_environment(threads: int, cache: str | Path | None = None) -> dict[str, str]:
    """Return the environment of a worker, with `cache` for its compiled kernels."""
    environment = worker_environment(threads)
    return environment | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})


def run_json(
    module: str,
    *arguments: str,
    environment: dict[str, str],
    python: str = sys.executable,
) -> dict[str, Any]:
    """Run a module and return the object on the last line it printed.

    Raises
    ------
    WorkerError
        If the process fails; the message ends with the last line of its output.
    """
    done = subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        complaint = (done.stderr.strip() or "no message").splitlines()[-1]
        raise WorkerError(
            f"{module} {' '.join(arguments)} ended with exit code "
            f"{done.returncode}: {complaint}"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def rates(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the machine can do."""
    seconds = options.seconds
    return {
        "sgemm_gflops": sgemm_gflops(options.threads, options.size, seconds),
        "stream_gbs": stream_gbs(options.threads, options.size**2 * 16, seconds),
    }


def net(options: argparse.Namespace) -> dict[str, Any]:
    """Build a net as a user does and measure it: time, memory, topology update.

    Times whose names contain "first" include compiling or loading kernels; ``init_s``
    and ``update_s`` are those of the second time. After a topology update the next step
    builds the column view anew, which counts as part of the update.
    """
    start = time.perf_counter()
    from truesparse import topology
    from truesparse.commands.shell import limit_spinning
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer
    from truesparse.topology import UpdateContext

    limit_spinning()  # as the commands do
    sizes = [int(size) for size in options.net.split(",")]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.batch, sizes[0]), dtype=np.float32)
    targets = rng.integers(0, sizes[-1], options.batch).astype(np.int32)
    samples = np.arange(options.batch)
    optimizer = Optimizer("sgd", momentum=MOMENTUM)
    import_s = time.perf_counter() - start

    def build() -> SparseMLP:
        model = SparseMLP(sizes, epsilon=options.epsilon, seed=options.seed)
        model.allocate_moments(optimizer)
        model.prepare(options.batch)
        return model

    def step() -> float:
        return model.train_batch(x, targets, samples, optimizer, LEARNING_RATE)

    model, init_first_s = timed(build)
    _, step_first_s = timed(step)
    first = {
        "import_s": import_s,
        "init_first_s": init_first_s,
        "step_first_s": step_first_s,
        "first_s": init_first_s + step_first_s,
    }
    if options.only_first:
        return first
    step_s = float(np.median([timed(step)[1] for _ in range(options.steps)]))
    peak_step_mb = peak_rss_mb()
    sgd = held_bytes(model)
    algorithm = topology.make("set", zeta=0.3)

    def update(count: int) -> Any:
        # Far from the end of a run, after which SET no longer updates.
        context = UpdateContext(options.seed, count, count, 10**9, 10**9)
        return algorithm.update(model, context)

    for count in (1, 2):
        changes, update_call_s = timed(functools.partial(update, count))
        _, after_s = timed(step)
    peak_update_mb = peak_rss_mb()
    model.allocate_moments(Optimizer("adam"))
    adam = held_bytes(model)
    nnz, neurons = model.nnz, sum(sizes[1:-1])
    del model
    model, init_s = timed(build)
    return first | {
        "nnz": nnz,
        "neurons": neurons,
        "init_s": init_s,
        "step_s": step_s,
        "update_s": update_call_s + max(after_s - step_s, 0.0),
        "update_call_s": update_call_s,
        "replaced": sum(change.grown for change in changes),
        "bytes_sgd": sgd["parallel"] / nnz,
        "bytes_adam": adam["parallel"] / nnz,
        "bytes_sgd_all": sgd["all"] / nnz,
        "bytes_adam_all": adam["all"] / nnz,
        "peak_step_mb": peak_step_mb,
        "peak_update_mb": peak_update_mb,
        "dense_bytes": 8 * sum(a * b for a, b in itertools.pairwise(sizes)),
    }


def held_bytes(model: Any) -> dict[str, int]:
    """Return bytes of all arrays of the connections, and of those with a value each.

    The difference is the row pointers: 8 bytes a neuron and direction.
    """
    layers = [layer.connections for layer in model.layers]
    everything = sum(c.nbytes for c in layers)
    pointers = sum(
        c.indptr.nbytes + (0 if c._view is None else c._view.indptr.nbytes)
        for c in layers
    )
    return {"all": everything, "parallel": everything - pointers}


def first_step(options: argparse.Namespace) -> dict[str, Any]:
    """Run the command line up to its first step; count from ``--started``."""
    from truesparse import train
    from truesparse.network.sparse_mlp import SparseMLP

    take_step = SparseMLP.train_batch

    def take_first_step(*arguments: Any, **settings: Any) -> float:
        take_step(*arguments, **settings)
        raise _FirstStepError(time.time() - options.started)

    SparseMLP.train_batch = take_first_step  # type: ignore[method-assign]
    try:
        code = train.main([*options.rest, "--debug", "--quiet"])
    except _FirstStepError as done:
        return {"seconds": done.args[0], "peak_mb": peak_rss_mb()}
    raise WorkerError(f"the run ended with exit code {code} before its first step")


class _FirstStepError(Exception):
    """Ends a run when its first step is done."""


def timed(work: Any) -> tuple[Any, float]:
    """Return the result of `work` and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def versions(options: argparse.Namespace) -> dict[str, Any]:
    """Return the versions of the libraries that this interpreter sees."""
    return machine()["versions"]  # type: ignore[return-value]


MEASURES = {
    "rates": rates,
    "versions": versions,
    "net": net,
    "first-step": first_step,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe")
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=2048, help="rows of the sgemm")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each rate")
    parser.add_argument("--net", default="784,1000,1000,1000,10", help="layer sizes")
    parser.add_argument("--epsilon", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only-first", action="store_true", help="build, step, end")
    parser.add_argument("--started", type=float, default=time.time())
    parser.epilog = "What follows -- is passed to python -m truesparse.train."
    arguments = sys.argv[1:] if arguments is None else arguments
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:cut])
    options.rest = arguments[cut + 1 :]
    return options


def main() -> None:
    """Measure and print, whatever libraries print going to stderr."""
    options = parse()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps(MEASURES[options.what](options)), file=answers, flush=True)


if __name__ == "__main__":
    main()
