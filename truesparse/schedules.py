"""Learning-rate schedules: the rate as a function of progress, each with a warm-up.

Let e be the epochs done (a fraction within an epoch), E all epochs and r the base rate:

    constant          r
    step              r * factor^floor(e / every)
    exponential       r * factor^e
    inverse_scaling   r / (1 + e)^power
    cosine            f + (r - f) (1 + cos(pi e / E)) / 2,  f = r * final
    linear            f + (r - f) (1 - e / E)
    adaptive          r, times factor whenever the loss has not fallen for `patience`
                      epochs

A warm-up of w epochs multiplies the rate by a factor that rises linearly from 0 to 1.
With c cycles everything starts again every E / c epochs; e and E then refer to a cycle.
"""

import math
from dataclasses import dataclass

from truesparse.common.checks import (
    check_at_least_one,
    check_finite,
    check_not_negative,
    check_positive,
    check_share,
    check_share_above_zero,
    check_whole,
    choose,
)
from truesparse.errors import UsageError

SCHEDULES = (
    "constant",
    "step",
    "exponential",
    "inverse_scaling",
    "cosine",
    "linear",
    "adaptive",
)
_FACTORS = {"step": 0.1, "exponential": 0.95, "adaptive": 0.2}


@dataclass(frozen=True)
class LearningRate:
    """A schedule of the learning rate with its parameters.

    Parameters
    ----------
    base : float
        The base rate r.
    name : str
        One of SCHEDULES.
    warmup : float
        Epochs of linear rise.
    factor : float, optional
        Factor of "step", "exponential" and "adaptive", by default 0.1, 0.95 and 0.2.
    every : float, optional
        Epochs between the drops of "step"; by default a third of the run.
    power : float
        Exponent of "inverse_scaling".
    final : float
        Share of the base rate at the end of "cosine" and "linear".
    patience : int
        Epochs without a better loss after which "adaptive" reduces the rate.
    tolerance : float
        Amount by which a loss must be lower to count as better.
    cycles : int
        Number of times the schedule is repeated; "adaptive" takes 1.

    Examples
    --------
    >>> from truesparse.schedules import LearningRate
    >>> LearningRate(0.1, "linear").at(epoch=5, epochs=10)
    0.05
    """

    base: float = 0.01
    name: str = "constant"
    warmup: float = 0.0
    factor: float | None = None
    every: float | None = None
    power: float = 0.5
    final: float = 0.0
    patience: int = 2
    tolerance: float = 1e-4
    cycles: int = 1

    def __post_init__(self):
        choose(self.name, SCHEDULES, "learning-rate schedule")
        check_positive(**{"learning rate": self.base})
        if self.factor is not None:
            check_share_above_zero(factor=self.factor)
        check_not_negative(warmup=self.warmup)
        if self.every is not None:
            check_positive(every=self.every)
        check_share(final=self.final)
        check_finite(power=self.power, tolerance=self.tolerance)
        check_whole("cycles", self.cycles, 1)
        if self.cycles > 1 and self.name == "adaptive":
            raise UsageError(
                f"schedule 'adaptive' takes no cycles, got {self.cycles}; use 1, or "
                "another schedule"
            )
        check_at_least_one(patience=self.patience)

    @property
    def reduction(self) -> float:
        """The given factor, or the default one of the schedule."""
        return _FACTORS.get(self.name, 1.0) if self.factor is None else self.factor

    def at(self, epoch: float, epochs: float, reductions: int = 0) -> float:
        """Return the learning rate at some point of a run.

        Parameters
        ----------
        epoch : float
            Epochs done, including the fraction of the present one.
        epochs : float
            Epochs of the whole run.
        reductions : int
            Number of reductions by "adaptive", see `count_reductions`.
        """
        rate, name = self.base, self.name
        if self.cycles > 1:
            epochs /= self.cycles
            epoch %= epochs
        if name == "step":
            every = self.every or epochs / 3
            rate *= self.reduction ** math.floor(epoch / every)
        elif name == "exponential":
            rate *= self.reduction**epoch
        elif name == "inverse_scaling":
            rate /= (1.0 + epoch) ** self.power
        elif name == "adaptive":
            rate *= self.reduction**reductions
        elif name in ("cosine", "linear"):
            done = min(epoch / epochs, 1.0)
            remaining = 1.0 - done
            if name == "cosine":
                remaining = 0.5 * (1.0 + math.cos(math.pi * done))
            rate *= self.final + (1.0 - self.final) * remaining
        if self.warmup > epoch:
            # Never 0, at which the first step would change nothing.
            rate *= max(epoch, 1e-3 * self.warmup) / self.warmup
        return rate

    def count_reductions(self, losses: list[float]) -> int:
        """Return how often "adaptive" has reduced the rate, given all losses so far."""
        best, waited, reductions = math.inf, 0, 0
        for loss in losses:
            if loss < best - self.tolerance:
                best, waited = loss, 0
                continue
            waited += 1
            if waited >= self.patience:
                reductions, waited = reductions + 1, 0
        return reductions
