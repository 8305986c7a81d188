"""Time candidates fairly and measure what the machine can do.

    with Worker("torch_csr", net, 128) as a, Worker("scipy_csr", net, 128) as b:
        timings = median_times({a.name: a, b.name: b}, repeats=8, min_seconds=0.2)

`median_times` runs its candidates in turn, round after round, so that whatever else
the machine does affects all of them alike. A candidate is a callable in this process or
a `Worker`, which is a peer in a process of its own. Compare peers as workers. These
observations are the reason (net 784-1000x3-10, batch 128; 2 cores of an AMD EPYC,
2026-11; medians in ms):

* torch, Numba and SparseProp share one libgomp inside a process, and its threads stop
  spinning soon: set_numba takes 7.2 to 7.4 alone and 7.1 to 7.6 right after torch_csr.
* OpenBLAS threads (NumPy, scikit-learn) keep spinning after their work: right after
  sklearn_mlp, even in another process, set_numba takes 11 to 32 and the upper quartile
  of torch_csr rises from 1.8 to 6. A pause of 50 ms before each turn ends that.
* ``OMP_WAIT_POLICY=PASSIVE`` slows peers with many short parallel regions: sparseprop
  takes 79 instead of 3.4, torch_csr 3.1 instead of 1.7; ACTIVE gains nothing. Workers
  get the libraries' defaults, whatever the parent's environment says.
* Another program on the same cores slows peers in proportion to their barriers
  (sparseprop doubles first); look at the quartiles before believing a median.
"""

import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError

from .peers import NetSpec, PeerUnavailableError
from .peers.machine import THREAD_VARIABLES
from .peers.numpy_peers import blas_threads
from .peers.torch_peers import load_torch
from .stored import ROOT

# Seconds for the thread pools of one candidate to stop spinning; see above.
SETTLE_S = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds of one step.

    Parameters
    ----------
    median, q1, q3, minimum : float
        Median, quartiles and minimum of all timed steps, in seconds.
    steps : int
        How many steps were timed.
    first : float
        The first step of all, in seconds: compilation, allocation, cold caches.
    """

    median: float
    q1: float
    q3: float
    minimum: float
    steps: int
    first: float

    @classmethod
    def of(cls, times: Sequence[float], first: float) -> "Timing":
        """Summarise step times in seconds."""
        q1, median, q3 = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
        return cls(median, q1, q3, float(min(times)), len(times), first)


class WorkerError(TruesparseError):
    """A worker process ended without an answer."""


class Worker:
    """A peer in a process of its own (see peers/__main__.py for the protocol).

    Parameters
    ----------
    name : str
        Peer, or ``package.module:attribute`` of a builder.
    net : NetSpec
        Sizes and epsilon.
    batch : int
        Samples in the fixed batch.
    seed : int
        Seed of pattern, weights and data.
    threads : int
        Threads the worker may use.
    max_bytes : int
        Bound on dense arrays, in bytes.
    python : str
        Interpreter, where the peers' libraries live in another environment.

    Raises
    ------
    WorkerError
        If the worker ends without saying that it is ready or why it is not.
    """

    def __init__(
        self,
        name: str,
        net: NetSpec,
        batch: int,
        seed: int = 0,
        *,
        threads: int = 2,
        max_bytes: int = 6 * 10**9,
        python: str = sys.executable,
    ) -> None:
        options = {
            "net": ",".join(map(str, net.sizes)),
            "epsilon": net.epsilon,
            "batch": batch,
            "seed": seed,
            "threads": threads,
            "max-bytes": max_bytes,
        }
        flags = [f"--{flag}={value}" for flag, value in options.items()]
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.peers", name, *flags],
            cwd=ROOT,
            env=worker_environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.info = self._answer()
        self.unavailable: str | None = self.info.get("unavailable")
        self.nnz: int = self.info.get("nnz", 0)
        self.first: float = self.info.get("first_s", math.nan)
        self.loss: float = self.info.get("loss", math.nan)
        self.peak_rss_mb: float | None = None
        if self.unavailable is not None:
            self.close()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self.close()
            code = self._process.returncode
            raise WorkerError(f"worker {self.name!r} ended with exit code {code}.")
        return json.loads(line)

    def go(self, steps: int) -> list[float]:
        """Take `steps` steps and return the seconds of each.

        Raises
        ------
        WorkerError
            If the process has ended.
        """
        # A worker that is gone is reported by the answer it does not give.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"go {steps}\n")
            self._process.stdin.flush()
        answer = self._answer()
        self.loss, self.peak_rss_mb = answer["loss"], answer["peak_rss_mb"]
        return answer["times"]

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> "Worker":
        """Return the worker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: `threads` for every pool, default waiting."""
    inherited = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    pools = ("OMP", "MKL", "OPENBLAS", "NUMBA")
    return inherited | {f"{pool}_NUM_THREADS": str(threads) for pool in pools}


def median_times(
    steps: dict[str, Callable[[], object] | Worker],
    repeats: int,
    min_seconds: float,
    *,
    settle: float = SETTLE_S,
) -> dict[str, Timing]:
    """Time candidates in alternating rounds.

    Parameters
    ----------
    steps : dict of str to callable or Worker
        Candidates by name; a callable takes one step.
    repeats : int
        Rounds; every candidate runs once in each, in an order that reverses.
    min_seconds : float
        Least time of a candidate in a round, at least one step. The first 3 or 4 steps
        of a turn find cold caches and take 5 to 80 % more: give 0.2 or more.
    settle : float
        Seconds of silence before each candidate's turn.

    Returns
    -------
    dict of str to Timing
        In the order of `steps`. The first step and the warm-up are not in the median.
    """
    first, count = {}, {}
    for name, candidate in steps.items():
        if isinstance(candidate, Worker):
            first[name] = candidate.first
        else:
            first[name] = _burst(candidate, 1)[0]
        # Twice, as the second step may still allocate and gives a poor estimate.
        estimate = _burst(candidate, 1)[0]
        warm_up = _burst(candidate, max(1, math.ceil(min_seconds / estimate)))
        count[name] = max(1, math.ceil(min_seconds / float(np.median(warm_up))))
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats):
        for name in list(steps)[:: -1 if repeat % 2 else 1]:
            time.sleep(settle)
            times[name] += _burst(steps[name], count[name])
    return {name: Timing.of(times[name], first[name]) for name in steps}


def _burst(candidate: Callable[[], object] | Worker, count: int) -> list[float]:
    if isinstance(candidate, Worker):
        return candidate.go(count)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        candidate()
        times.append(time.perf_counter() - start)
    return times


def sgemm_gflops(threads: int, size: int = 2048, seconds: float = 0.5) -> float:
    """Return the best float32 matrix product rate of NumPy and torch, in GFLOP/s.

    Parameters
    ----------
    threads : int
        Threads each may use.
    size : int
        Rows and columns of the matrices.
    seconds : float
        How long each library is tried.
    """
    rng = np.random.default_rng(0)
    a = rng.standard_normal((size, size), dtype=np.float32)
    b = rng.standard_normal((size, size), dtype=np.float32)
    out = np.empty_like(a)
    with blas_threads(threads):
        fastest = _fastest(lambda: np.matmul(a, b, out=out), seconds)
    try:
        torch = load_torch(threads)
    except PeerUnavailableError:
        return 2e-9 * size**3 / fastest
    ta, tb, tout = (torch.from_numpy(array) for array in (a, b, out))
    fastest = min(fastest, _fastest(lambda: torch.mm(ta, tb, out=tout), seconds))
    return 2e-9 * size**3 / fastest


def stream_gbs(
    threads: int, n_values: int = 2**26, seconds: float = 0.5
) -> dict[str, float]:
    """Return memory bandwidth in GB/s (10^9 bytes) for arrays far above the caches.

    Parameters
    ----------
    threads : int
        Python threads; NumPy releases the interpreter lock inside these loops.
    n_values : int
        float32 values in each of the two arrays.
    seconds : float
        How long each measurement takes.

    Returns
    -------
    dict of str to float
        ``copy_scale`` counts one read and one write of each value (b = s a), as STREAM
        does; ``read`` one read of each (max a).
    """
    source = np.ones(n_values, dtype=np.float32)
    target = np.empty_like(source)
    target.fill(0)
    bounds = np.linspace(0, n_values, threads + 1).astype(int)
    parts = [slice(*ends) for ends in itertools.pairwise(bounds)]
    scale = np.float32(1.5)

    def copy_scale(part: slice) -> None:
        np.multiply(source[part], scale, out=target[part])

    def read(part: slice) -> None:
        source[part].max()

    with ThreadPoolExecutor(threads) as pool:

        def rate(work: Callable[[slice], None], touched: int) -> float:
            fastest = _fastest(lambda: list(pool.map(work, parts)), seconds)
            return touched * source.nbytes / fastest / 1e9

        return {"copy_scale": rate(copy_scale, 2), "read": rate(read, 1)}


def _fastest(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of `work` among its runs in `seconds`, in seconds."""
    work()
    shortest, end = math.inf, time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
