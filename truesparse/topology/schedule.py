"""When the topology is updated: every so many epochs or steps, from start to end."""

from dataclasses import dataclass

from truesparse.errors import UsageError


@dataclass(frozen=True)
class UpdateSchedule:
    """Updates every `every` epochs (or steps) within [start, end].

    Parameters
    ----------
    every : int
    unit : {"epoch", "step"}
    start : int
        First epoch or step after which an update may happen, counted from 1.
    end : int, optional
        Last one; by default there is none.

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
        if self.unit not in ("epoch", "step"):
            raise UsageError(f"unit must be 'epoch' or 'step', got {self.unit!r}")
        if self.every < 1 or self.start < 1:
            raise UsageError(
                f"every and start must be at least 1, got {self.every} and {self.start}"
            )

    def due(self, unit: str, count: int) -> bool:
        """Whether to update now that `count` epochs (or steps) are done."""
        if unit != self.unit or count < self.start:
            return False
        if self.end is not None and count > self.end:
            return False
        return (count - self.start) % self.every == 0
