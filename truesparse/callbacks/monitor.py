"""The number by which the models of different epochs are compared."""

import math
from typing import Any

from truesparse.common.checks import check_not_negative, choose
from truesparse.errors import UsageError

# Whether a larger number is better.
MONITORS = {"val_loss": False, "val_score": True, "train_loss": False}


class Monitor:
    """Follow one number from epoch to epoch.

    Parameters
    ----------
    name : {"val_loss", "val_score", "train_loss"}
        Without validation data "val_loss" is the training loss.
    tolerance : float
        Improvements of at most this do not count.

    Attributes
    ----------
    best : float or None
        The best number so far.
    epoch, step : int
        Epoch and step of the best number.
    """

    def __init__(self, name: str, tolerance: float = 0.0):
        self.name = choose(name, MONITORS, "monitor")
        check_not_negative(tolerance=tolerance)
        self.tolerance = tolerance
        self.forget()

    def forget(self) -> None:
        """Forget all epochs."""
        self.best: float | None = None
        self.epoch = self.step = 0

    def improves(self, record) -> bool:
        """Whether an epoch is the best so far; NaN and infinity never are."""
        value = getattr(record, self.name)
        if value is None and self.name == "val_loss":
            value = record.train_loss
        if value is None:
            raise UsageError(
                f"monitor {self.name!r} needs validation data: give X_val and y_val, "
                "or validation_fraction"
            )
        if not math.isfinite(value):
            return False
        if self.best is not None:
            gain = value - self.best if MONITORS[self.name] else self.best - value
            if not gain > self.tolerance:
                return False
        self.best, self.epoch, self.step = float(value), record.epoch, record.step
        return True

    def state(self) -> dict[str, Any]:
        """Return the best number, its epoch and its step."""
        return {"best": self.best, "epoch": self.epoch, "step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self.best = None if state["best"] is None else float(state["best"])
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
