"""The nets of the step benchmark, their targets, and the arithmetic of a step.

flops   6 nnz B - 2 nnz_1 B     forward, input gradient and weight gradient, a
                                multiplication and an addition each; nobody needs
                                the input gradient of the first layer
bytes   28 nnz + 4 B sum(n)     SGD with momentum: index and value forward; index,
                                value and velocity read, value and velocity written
                                backward; each activation buffer once
bound   max(flops / sgemm rate, bytes / memory bandwidth)
"""

import math
from dataclasses import dataclass

from .peers import NetSpec

CIFAR10_STEPS = 500  # 50,000 samples in batches of 100


@dataclass(frozen=True)
class Target:
    """A figure and the value it must reach.

    Parameters
    ----------
    figure : str
        Key in the figures of a case, see step.py.
    bound : float
        In the unit of the figure.
    at_least : bool
        Whether more is better.
    text : str
        The target in words, for tables.
    """

    figure: str
    bound: float
    at_least: bool
    text: str

    def met(self, value: float | None) -> bool | None:
        """Return whether `value` reaches the target; None if it was not measured."""
        if value is None or math.isnan(value):
            return None
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Case:
    """One net at one batch size, with its targets.

    Parameters
    ----------
    key : str
        Name on the command line.
    net : NetSpec
    batch : int
    targets : tuple of Target
    epoch_steps : int, optional
        Steps of an epoch whose length is to be reported.
    rounds : bool
        Whether to time it with activations in bfloat16, too.
    """

    key: str
    net: NetSpec
    batch: int
    targets: tuple[Target, ...] = ()
    epoch_steps: int | None = None
    rounds: bool = False

    @property
    def title(self) -> str:
        """Sizes, sparsity and batch in words, equal hidden layers counted.

        Examples
        --------
        >>> from benchmarks.nets import CASES
        >>> CASES["1000"].title
        '784-1000x3-10, eps 20, batch 128'
        """
        first, *hidden, last = self.net.sizes
        if len(hidden) > 1 and len(set(hidden)) == 1:
            middle = f"{hidden[0]}x{len(hidden)}"
        else:
            middle = "-".join(map(str, hidden))
        return f"{first}-{middle}-{last}, eps {self.net.epsilon:g}, batch {self.batch}"


def at_least(figure: str, bound: float, text: str) -> Target:
    """Return a target for a figure that should be large."""
    return Target(figure, bound, True, text)


def at_most(figure: str, bound: float, text: str) -> Target:
    """Return a target for a figure that should be small."""
    return Target(figure, bound, False, text)


# The figure of step.py for activations in bfloat16.
ROUNDED = "bfloat16_vs_fastest_peer"

BYTES_TARGETS = (
    at_most("bytes_sgd", 20.0, "20 bytes a weight with momentum"),
    at_most("bytes_adam", 24.0, "24 bytes a weight with Adam"),
)

CASES = {
    case.key: case
    for case in (
        Case(
            "1000",
            NetSpec((784, 1000, 1000, 1000, 10), 20),
            128,
            (
                at_least("vs_fastest_peer", 2.5, "2.5x the fastest peer"),
                at_least("vs_torch_dense", 12, "12x torch dense"),
                at_least(ROUNDED, 2.5, "bfloat16: 2.5x the fastest peer"),
            ),
            rounds=True,
        ),
        Case(
            "4000",
            NetSpec((3072, 4000, 4000, 4000, 10), 20),
            128,
            (
                at_least("vs_fastest_peer", 2.2, "2.2x the fastest peer"),
                at_least("vs_torch_dense", 42, "42x torch dense"),
                at_least(ROUNDED, 2.8, "bfloat16: 2.8x the fastest peer"),
            ),
            rounds=True,
        ),
        Case(
            "30000",
            NetSpec((3312, 30000, 30000, 30000, 5), 10),
            128,
            (
                at_least("vs_fastest_peer", 5.5, "5.5x the fastest peer"),
                at_least(ROUNDED, 9, "bfloat16: 9x the fastest peer"),
            ),
            rounds=True,
        ),
        Case(
            "30000b2",
            NetSpec((3312, 30000, 30000, 30000, 5), 10),
            2,
            (
                at_least("vs_fastest_peer", 5, "5x the fastest peer"),
                at_most("ms", 2.4, "2.4 ms"),
            ),
        ),
        Case(
            "300000b2",
            NetSpec((3312, 300000, 300000, 300000, 5), 10),
            2,
            (
                at_least("vs_fastest_peer", 4.2, "4.2x the fastest peer"),
                at_most("ms", 43, "43 ms"),
                at_most("init_s", 2, "initialisation 2 s"),
                at_most("update_s", 1, "SET update 1 s"),
            ),
        ),
        # Epsilon 110 gives 18.7 million weights.
        Case(
            "32768",
            NetSpec((3072, 32768, 32768, 32768, 10), 110),
            100,
            (
                at_least("vs_fastest_peer", 2, "2x the fastest peer"),
                at_least(ROUNDED, 2.7, "bfloat16: 2.7x the fastest peer"),
                at_most("bfloat16_ms", 200, "bfloat16: 200 ms"),
            ),
            epoch_steps=CIFAR10_STEPS,
            rounds=True,
        ),
    )
}

SMOKE_CASES = {
    case.key: case
    for case in (
        Case(
            "tiny",
            NetSpec((20, 60, 60, 60, 5), 4),
            32,
            (
                at_least("vs_fastest_peer", 0.001, "0.001x the fastest peer"),
                at_most("epoch_s", 100, "an epoch in 100 s"),
            ),
            epoch_steps=10,
        ),
        Case(
            "tinyb2",
            NetSpec((20, 60, 60, 5), 4),
            2,
            (
                at_most("ms", 100, "100 ms"),
                at_least(ROUNDED, 0.001, "bfloat16: 0.001x the fastest peer"),
            ),
            rounds=True,
        ),
    )
}


def step_flops(nnz: int, nnz_first: int, batch: int) -> int:
    """Return the floating-point operations of one training step.

    Parameters
    ----------
    nnz, nnz_first : int
        Weights of the net and of its first layer.
    batch : int
    """
    return 6 * nnz * batch - 2 * nnz_first * batch


def bound_seconds(case: Case, sgemm_gflops: float, bandwidth_gbs: float) -> float:
    """Return the least time of a step on a machine, in seconds.

    Parameters
    ----------
    case : Case
    sgemm_gflops : float
        Best matrix product rate, in GFLOP/s.
    bandwidth_gbs : float
        Best memory bandwidth, in GB/s.
    """
    net, batch = case.net, case.batch
    flops = step_flops(net.nnz, net.layer_nnz[0], batch)
    moved = 28 * net.nnz + 4 * batch * sum(net.sizes)
    return max(flops / sgemm_gflops, moved / bandwidth_gbs) * 1e-9
