"""Run one peer in a process of its own, on orders from a parent process.

    python -m benchmarks.peers torch_csr --net 784,1000,1000,1000,10 --batch 128

The worker prints one JSON object a line and reads one order a line::

    <- {"ready": "torch_csr", "nnz": 125680, "first_s": 0.01, "loss": 3.06, ...}
    <- {"unavailable": "torch is not installed (...)"}     and it ends, with code 0
    -> go 20
    <- {"times": [0.0017, ...], "loss": 2.1, "peak_rss_mb": 310.2}
    -> quit

``first_s`` is the first step, with whatever it compiles or allocates; it comes before
any order. With ``--rounds N`` the worker orders itself N rounds and ends. NAME may be
``package.module:attribute``, a callable that takes a Task and returns a Peer.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from typing import TextIO

from truesparse.errors import UsageError

from ..options import program
from . import PEERS, NetSpec, Peer, PeerUnavailableError, Task, build, machine
from .machine import peak_rss_mb


def parse() -> argparse.Namespace:
    """Read the command line; the defaults are the first net of the step benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("name", help=f"{', '.join(PEERS)}, or module:attribute")
    parser.add_argument("--net", default="784,1000,1000,1000,10", help="layer sizes")
    parser.add_argument("--epsilon", type=float, default=20.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-bytes", type=int, default=6 * 10**9)
    parser.add_argument("--rounds", type=int, help="take N rounds without a parent")
    parser.add_argument("--steps", type=int, default=20, help="steps in such a round")
    return parser.parse_args()


def make(options: argparse.Namespace) -> Peer | str:
    """Build the peer that the options name, or return why it cannot run."""
    try:
        sizes = tuple(int(size) for size in options.net.split(","))
    except ValueError:
        raise UsageError(
            f"--net is {options.net!r}; give sizes such as 784,1000,1000,10."
        ) from None
    net = NetSpec(sizes, options.epsilon)
    limits = {"threads": options.threads, "max_bytes": options.max_bytes}
    if ":" not in options.name:
        return build(options.name, net, options.batch, options.seed, **limits)
    module, _, attribute = options.name.partition(":")
    try:
        builder = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"no builder {options.name!r} ({error}).") from None
    try:
        return builder(Task(net, options.batch, options.seed, **limits))
    except PeerUnavailableError as reason:
        return str(reason)


def timed_steps(peer: Peer, count: int) -> dict[str, object]:
    """Take `count` steps; return each one's seconds and the last loss."""
    times, loss = [], float("nan")
    for _ in range(count):
        start = time.perf_counter()
        loss = peer.step()
        times.append(time.perf_counter() - start)
    return {"times": times, "loss": float(loss), "peak_rss_mb": peak_rss_mb()}


def serve(options: argparse.Namespace, orders: Iterable[str], answers: TextIO) -> None:
    """Answer orders until ``quit`` or the end of the input."""

    def answer(**fields: object) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    start = time.perf_counter()
    peer = make(options)
    if isinstance(peer, str):
        answer(unavailable=peer)
        return
    built = time.perf_counter()
    loss = float(peer.step())
    answer(
        ready=options.name,
        nnz=peer.nnz,
        build_s=built - start,
        first_s=time.perf_counter() - built,
        loss=loss,
        machine=machine(),
    )
    if options.rounds is not None:
        orders = [f"go {options.steps}"] * options.rounds
    for order in orders:
        verb, _, count = order.strip().partition(" ")
        if verb != "go" or not count.isdigit():
            break
        answer(**timed_steps(peer, int(count)))
    peer.close()


@program
def main() -> None:
    """Serve on the real standard output; whatever libraries print goes to stderr."""
    options = parse()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(options, sys.stdin, answers)


if __name__ == "__main__":
    sys.exit(main())
