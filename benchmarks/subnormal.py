"""Time a training step on subnormal numbers, with and without flushing them to zero.

    python -m benchmarks.subnormal              one JSON object: ms a step by case
    python -m benchmarks.subnormal --keep       the same, subnormals kept

    normal      weights, deltas and momentum of ordinary size
    deltas      deltas of the outputs near 1e-41, as where a net has learnt its batch;
                input gradients, weight gradients and momentum follow
    weights     half the weights and their momentum near 1e-41, as decay leaves them
    both

`compare` runs both variants. Where subnormals are kept, the two functions that change
the processor's flags are replaced before any kernel is imported; such kernels are
compiled into a folder of their own.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .peers.common import LEARNING_RATE, MOMENTUM
from .probe import clean_environment, run_json

MODULE = "benchmarks.subnormal"
SIZES, EPSILON, BATCH = (784, 1000, 1000, 1000, 10), 20, 128
TINY, USUAL = np.float32(1e-41), np.float32(1e-3)
CASES = {
    "normal": (USUAL, False),
    "deltas": (TINY, False),
    "weights": (USUAL, True),
    "both": (TINY, True),
}


def keep_subnormals() -> None:
    """Let kernels that are compiled from now on leave the processor's flags alone."""
    from llvmlite import ir
    from numba import types
    from numba.core.extending import intrinsic

    from truesparse.kernels import subnormal

    if "truesparse.kernels.forward" in sys.modules:
        raise RuntimeError("kernels are imported already; start a new process")

    @intrinsic
    def no_flush(typingctx):
        def codegen(context, builder, signature, arguments):
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(), codegen

    @intrinsic
    def no_restore(typingctx, state):
        def codegen(context, builder, signature, arguments):
            return context.get_dummy_value()

        return types.none(types.int64), codegen

    subnormal.flush_subnormals = no_flush  # type: ignore[assignment]
    subnormal.restore_subnormals = no_restore  # type: ignore[assignment]


def given_deltas(shape: tuple[int, int], size: np.float32) -> Callable[..., float]:
    """Return a stand-in for ``Loss.apply``, with the same deltas for any outputs."""
    rng = np.random.default_rng(0)
    deltas = size * rng.standard_normal(shape, dtype=np.float32)

    def apply(z: np.ndarray, *_: Any) -> float:
        z[:] = deltas
        return 0.0

    return apply


def step_ms(delta_size: np.float32, is_faded: bool, seconds: float) -> float:
    """Return the median of a training step in ms.

    Parameters
    ----------
    delta_size : float
        Deviation of the deltas of the outputs.
    is_faded : bool
        Whether half the weights are subnormal.
    seconds : float
        How long steps are taken.
    """
    from truesparse.commands.shell import limit_spinning
    from truesparse.network.sparse_mlp import SparseMLP
    from truesparse.optimizers import Optimizer

    limit_spinning()  # as the commands do
    rng = np.random.default_rng(1)
    model = SparseMLP(SIZES, epsilon=EPSILON, seed=0)
    optimizer = Optimizer("sgd", momentum=MOMENTUM)
    model.allocate_moments(optimizer)
    model.prepare(BATCH)
    apply = given_deltas((SIZES[-1], BATCH), delta_size)
    model.loss.apply = apply  # type: ignore[method-assign]
    x = rng.standard_normal((BATCH, SIZES[0]), dtype=np.float32)
    targets, samples = np.zeros(BATCH, np.int32), np.arange(BATCH)
    faded = [rng.random(layer.connections.nnz) < 0.5 for layer in model.layers]
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 4:
        if is_faded:
            # Anew before every step, as ordinary deltas would revive them.
            for layer, mask in zip(model.layers, faded, strict=True):
                layer.connections.values[mask] = TINY
                layer.connections.moments.first[mask] = TINY
        start = time.perf_counter()
        model.train_batch(x, targets, samples, optimizer, LEARNING_RATE)
        times.append(time.perf_counter() - start)
    # The first steps compile and warm up.
    return float(np.median(times[3:])) * 1e3


def compare(
    threads: int, seconds: float, rounds: int = 3
) -> dict[str, dict[str, float]]:
    """Return ms a step by case, ``flushed_ms`` and ``kept_ms``, and the slowdown.

    Parameters
    ----------
    threads : int
    seconds : float
        Time of each case in each round.
    rounds : int
        The two variants run in turns, each in a new process; the least median of a
        case counts.
    """
    flushed: list[dict[str, float]] = []
    unflushed: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as cache:
        environments = clean_environment(threads), clean_environment(threads, cache)
        flags = f"--seconds={seconds}"
        for _ in range(rounds):
            flushed.append(run_json(MODULE, flags, environment=environments[0]))
            unflushed.append(
                run_json(MODULE, flags, "--keep", environment=environments[1])
            )
    result = {}
    for case in CASES:
        ms = [min(run[case] for run in runs) for runs in (flushed, unflushed)]
        result[case] = {
            "flushed_ms": ms[0],
            "kept_ms": ms[1],
            "slowdown": ms[1] / ms[0],
        }
    return result


def main() -> None:
    """Measure every case and print the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.subnormal")
    parser.add_argument("--keep", action="store_true", help="do not flush subnormals")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each case")
    options = parser.parse_args()
    if options.keep:
        if "NUMBA_CACHE_DIR" not in os.environ:
            parser.error("--keep compiles other kernels: set NUMBA_CACHE_DIR")
        keep_subnormals()
    times = {
        case: step_ms(*settings, options.seconds) for case, settings in CASES.items()
    }
    print(json.dumps(times))


if __name__ == "__main__":
    main()
