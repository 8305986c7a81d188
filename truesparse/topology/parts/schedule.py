"""When the topology is updated, and which share of it."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.common.checks import (
    check_numbers,
    check_share_above_zero,
    check_share_below_one,
    check_whole,
    choose,
)
from truesparse.errors import UsageError


@dataclass(frozen=True)
class UpdateSchedule:
    """Updates every `every` epochs (or steps) within [start, end].

    Parameters
    ----------
    every : int
        Number of epochs or steps from one update to the next.
    unit : {"epoch", "step"}
    start : int
        First epoch or step after which an update may happen, counted from 1.
    end : int, optional
        Last epoch or step after which one may happen; by default there is none.

    Examples
    --------
    >>> from truesparse.topology import UpdateSchedule
    >>> schedule = UpdateSchedule(every=2, unit="step", start=1, end=4)
    >>> [step for step in range(1, 8) if schedule.due("step", step)]
    [1, 3]
    """

    every: int = 1
    unit: str = "epoch"
    start: int = 1
    end: int | None = None

    def __post_init__(self):
        choose(self.unit, ("epoch", "step"), "unit", " of a schedule")
        check_whole("every", self.every, 1)
        check_whole("start", self.start, 1)
        if self.end is not None:
            check_whole("end", self.end, 0)

    def due(self, unit: str, count: int) -> bool:
        """Whether to update now that `count` epochs (or steps) are done."""
        if unit != self.unit or count < self.start:
            return False
        if self.end is not None and count > self.end:
            return False
        return (count - self.start) % self.every == 0

    def count(self, length: int) -> int:
        """Return how many updates are due in so many epochs (or steps).

        Examples
        --------
        >>> from truesparse.topology import UpdateSchedule
        >>> UpdateSchedule(every=2, start=1, end=4).count(10)
        2
        """
        last = length if self.end is None else min(self.end, length)
        return max((last - self.start) // self.every + 1, 0)


DECAYS = ("constant", "cosine", "linear", "steps")
# When the steps come, as shares of the time to the end, and what is left after each:
# after 90 and 120 of 160 epochs in MEST's scripts, where the end is three quarters.
_STEPS = ((0.75, 0.5), (1.0, 0.0))


@dataclass(frozen=True)
class Fraction:
    """A share that falls with the progress p of the run, until p reaches `end`.

        constant    initial
        linear      floor + (initial - floor) (1 - p / end)
        cosine      floor + (initial - floor) (1 + cos(pi p / end)) / 2
        steps       initial, half way to the floor from 3/4 of `end` on, then the floor

    Cosine with floor 0 is RigL's (Evci et al., ICML 2020), with end 1 and floor 0.005
    that of sparse momentum (Dettmers, Zettlemoyer 2019) and ITOP (Liu et al. 2021);
    steps are MEST's (Yuan et al. 2021).

    Parameters
    ----------
    initial : float
        Share at the start, in [0, 1).
    decay : {"constant", "cosine", "linear", "steps"}
    end : float
        Progress after which the share is 0, in (0, 1].
    floor : float
        Share at `end`, unless it is constant, in [0, initial].

    Examples
    --------
    >>> from truesparse.topology.parts.schedule import Fraction
    >>> falling = Fraction(0.3, "cosine", end=0.75)
    >>> [round(falling.at(p), 3) for p in (0.0, 0.375, 0.75, 0.9)]
    [0.3, 0.15, 0.0, 0.0]
    """

    OPTIONS: ClassVar = {
        "zeta": "initial",
        "decay": "decay",
        "decay_end": "end",
        "decay_floor": "floor",
    }

    initial: float
    decay: str = "constant"
    end: float = 1.0
    floor: float = 0.0

    def __post_init__(self):
        check_numbers(decay_floor=self.floor)
        check_share_below_one(zeta=self.initial)
        choose(self.decay, DECAYS, "decay of zeta")
        check_share_above_zero(decay_end=self.end)
        if not 0.0 <= self.floor <= self.initial:
            raise UsageError(
                f"decay_floor must be from 0 to zeta, {self.initial}, got {self.floor}"
            )

    @property
    def mean(self) -> float:
        """The mean over a run.

        Examples
        --------
        >>> from truesparse.topology.parts.schedule import Fraction
        >>> Fraction(0.3, "cosine", end=0.5, floor=0.1).mean
        0.1
        """
        left = {"constant": 1.0, "linear": 0.5, "cosine": 0.5, "steps": 0.875}
        height = self.initial - self.floor
        return self.end * (self.floor + height * left[self.decay])

    def is_over(self, progress: float) -> bool:
        """Whether the share is 0 from now on."""
        return progress > self.end

    def at(self, progress: float) -> float:
        """Return the share at a progress from 0 to 1."""
        if self.is_over(progress):
            return 0.0
        done = progress / self.end
        left = {
            "constant": 1.0,
            "linear": 1.0 - done,
            "cosine": 0.5 * (1.0 + math.cos(math.pi * done)),
            "steps": min([1.0, *(left for start, left in _STEPS if done >= start)]),
        }[self.decay]
        return self.floor + (self.initial - self.floor) * left


def lower_floor(fraction: Fraction, options: dict[str, Any]) -> dict[str, Any]:
    """Return options whose decay_floor, unless it is given, is at most a given zeta."""
    if "zeta" not in options or "decay_floor" in options:
        return options
    check_share_below_one(zeta=options["zeta"])
    return {**options, "decay_floor": min(fraction.floor, options["zeta"])}


SHAPES = ("cubic", "sigmoid")


@dataclass(frozen=True)
class Share:
    """Share of the initial connections that is left: from 1 to `final` over the run.

    With p the progress from `start` to `end`, from 0 to 1:

        cubic      final + (1 - final) (1 - p)^3
        sigmoid    1 + (final - 1) s(p), with s the logistic of 12 p - 6, scaled to go
                   from 0 to 1

    Cubic is that of gradual pruning and GraNet (Liu et al., NeurIPS 2021), sigmoid that
    of CHTss (Zhang et al., NeurIPS 2025).

    With a peak above 1 the share is multiplied by 1 + (peak - 1) (1 - cos(2 pi cycles
    p)) / 2: `cycles` waves, from 1 up to the peak and back. This is the cyclic sparsity
    of EAST (Li et al., "Pushing the limits of sparsity: a bag of tricks for extreme
    pruning", 2024, section 3.3, and TensorStrike/ES2), whose settings are peak 3,
    cycles 2 and end 0.4. Departures: there a layer grows or loses connections in an
    update, but exchanges none until the waves are over, and the density of each layer
    is split anew by ERK; here exchange goes on, and layers keep their proportions.

    Parameters
    ----------
    final : float
        Share at the end, in (0, 1]; 1 keeps the number of connections.
    shape : {"cubic", "sigmoid"}
    start, end : float
        Progress at which it begins and ceases to fall, 0 <= start < end <= 1.
    peak : float
        Height of the waves, at least 1; with 1 there are none.
    cycles : int
        Number of waves between start and end.

    Examples
    --------
    >>> from truesparse.topology.parts.schedule import Share
    >>> falling = Share(0.2, "cubic", end=0.5)
    >>> [round(falling.at(p), 3) for p in (0.0, 0.25, 0.5, 1.0)]
    [1.0, 0.3, 0.2, 0.2]
    >>> waves = Share(peak=3.0, cycles=2, end=0.4)
    >>> [round(waves.at(p), 3) for p in (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.9)]
    [1.0, 2.0, 3.0, 1.0, 3.0, 1.0, 1.0]
    """

    OPTIONS: ClassVar = {
        "final_share": "final",
        "share_shape": "shape",
        "share_end": "end",
        "share_peak": "peak",
        "share_cycles": "cycles",
    }

    final: float = 1.0
    shape: str = "cubic"
    start: float = 0.0
    end: float = 0.8
    peak: float = 1.0
    cycles: int = 2

    def __post_init__(self):
        check_numbers(share_start=self.start, share_end=self.end, share_peak=self.peak)
        check_whole("share_cycles", self.cycles, 1)
        if not 1.0 <= self.peak < math.inf:
            raise UsageError(
                f"share_peak must be at least 1 and finite, got {self.peak}"
            )
        check_share_above_zero(final_share=self.final)
        choose(self.shape, SHAPES, "shape of the share")
        if not 0.0 <= self.start < self.end <= 1.0:
            raise UsageError(
                "share_start must be at least 0, share_end above it and at most 1, got "
                f"{self.start} and {self.end}"
            )

    @property
    def is_one(self) -> bool:
        """Whether the number of connections never changes."""
        return self.final == 1.0 and self.peak == 1.0

    def is_reached(self, progress: float) -> bool:
        """Whether the share stays as it is from now on."""
        return self.is_one or progress >= self.end

    def at(self, progress: float) -> float:
        """Return the share at a progress from 0 to 1 of the run."""
        p = (progress - self.start) / (self.end - self.start)
        p = min(max(p, 0.0), 1.0)
        wave = 0.5 * (1.0 - math.cos(2.0 * math.pi * self.cycles * p))
        return self._fall(p) * (1.0 + (self.peak - 1.0) * wave)

    def _fall(self, p: float) -> float:
        """Return the share without waves, where p goes from 0 to 1."""
        if self.shape == "cubic":
            return self.final + (1.0 - self.final) * (1.0 - p) ** 3
        low, high = _logistic(-6.0), _logistic(6.0)
        return 1.0 + (self.final - 1.0) * (_logistic(12.0 * p - 6.0) - low) / (
            high - low
        )


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))
