"""The nets that every file of times is about: those of the benchmarks.

A name stands for one net for ever: a net that changes gets another name, so that files
of different years can be joined.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

# Each takes a million neurons a few seconds at most, and keeps the pattern random.
_UPDATES = ("set", "dsr", "deepr", "mest", "rigl", "gse", "ggr", "snfs")
_NEURONS, _EPSILONS = (10_000, 100_000, 1_000_000, 4_000_000), (5, 10)


@dataclass(frozen=True)
class TimedNet:
    """A net, and what is measured with it.

    Hidden layers are relu, the loss is softmax cross-entropy, the optimiser SGD with
    momentum 0.9.

    Parameters
    ----------
    name : str
    sizes : tuple of int
        Neurons of every layer.
    epsilon : float
        Each layer has ``epsilon * (n_in + n_out)`` connections, at most all cells.
    batch : int
        Samples of a training step.
    pattern : str
        Initial topology.
    updates : tuple of str
        Topology updates to measure.
    """

    name: str
    sizes: tuple[int, ...]
    epsilon: float
    batch: int
    pattern: str = "erdos_renyi"
    updates: tuple[str, ...] = ("set",)

    def record(self) -> dict[str, Any]:
        """Return what determines the net, as JSON types, without the name."""
        values = asdict(self) | {"sizes": list(self.sizes)}
        return {key: values[key] for key in ("sizes", "epsilon", "batch", "pattern")}

    @property
    def n_connections(self) -> int:
        """How many connections `epsilon` gives, about.

        Examples
        --------
        >>> from truesparse.reference.baseline.timed_nets import NETS
        >>> NETS["tiny"].n_connections
        2370
        """
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return sum(min(round(self.epsilon * (a + b)), a * b) for a, b in pairs)

    def shrunk(self) -> "TimedNet":
        """Return a small net of the same kind, whose steps load the same kernels."""
        hidden = (60,) * (len(self.sizes) - 2)
        return replace(self, sizes=(24, *hidden, self.sizes[-1]), epsilon=4.0)


def _steps() -> list[TimedNet]:
    """Return the nets of benchmarks.step."""
    return [
        TimedNet("step-1000", (784, 1000, 1000, 1000, 10), 20.0, 128),
        TimedNet("step-4000", (3072, 4000, 4000, 4000, 10), 20.0, 128),
        TimedNet("step-30000", (3312, 30_000, 30_000, 30_000, 5), 10.0, 128),
        TimedNet("step-30000-batch2", (3312, 30_000, 30_000, 30_000, 5), 10.0, 2),
        TimedNet("step-300000-batch2", (3312, 300_000, 300_000, 300_000, 5), 10.0, 2),
        TimedNet("step-32768", (3072, 32_768, 32_768, 32_768, 10), 110.0, 100),
    ]


def _scales() -> list[TimedNet]:
    """Return the nets of benchmarks.scale; one is that of benchmarks.updates, too."""
    nets = []
    for neurons in _NEURONS:
        for epsilon in _EPSILONS:
            sizes = (64, neurons // 2, neurons - neurons // 2, 10)
            net = TimedNet(f"scale-{neurons}-eps{epsilon}", sizes, float(epsilon), 32)
            is_of_updates = (neurons, epsilon) == (1_000_000, 5)
            nets.append(replace(net, updates=_UPDATES) if is_of_updates else net)
    return nets


NETS = {
    net.name: net
    for net in (
        TimedNet("tiny", (64, 100, 100, 10), 5.0, 32),
        *_steps(),
        *_scales(),
        TimedNet(
            "updates-fan-in",
            (64, 500_000, 500_000, 10),
            5.0,
            32,
            "constant_fan_in",
            ("srigl",),
        ),
    )
}
# Nets of a run with --quick: seconds each.
QUICK_CONNECTIONS = 600_000
