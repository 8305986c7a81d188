"""Training curves: loss and score by epoch, with the topology updates marked."""

import math
from typing import Any

import numpy as np

from truesparse.errors import UsageError
from truesparse.plots.display import (
    BLUE,
    FEW_POINTS,
    GREEN,
    ORANGE,
    Display,
    legend_above,
    set_epochs,
)
from truesparse.plots.run_records import History

# Losses whose largest is more than this many times the smallest get a log axis.
_LOG_FROM = 50.0


class TrainingDisplay(Display):
    """Losses and, with validation, scores; ticks mark topology updates.

    Parameters
    ----------
    epochs : list of float
        Numbers of the epochs.
    losses, scores : dict of str to list of float
        Curves by name, NaN where unknown.
    updates : (n,) float64 array
        Times when the topology changed, in epochs.
    score_name : str
        Label of the axis of scores.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Losses, then scores.
    updates_ : list of matplotlib LineCollection
        Ticks at the bottom, one collection for each panel; empty without updates.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse.plots import TrainingDisplay
    >>> losses = [2.3, 1.1, 0.6, 0.4]
    >>> history = [
    ...     {"epoch": number, "train_loss": loss}
    ...     for number, loss in enumerate(losses, 1)
    ... ]
    >>> display = TrainingDisplay.from_history(history)
    >>> display.losses
    {'training': [2.3, 1.1, 0.6, 0.4]}
    >>> _ = display.plot(ax=Figure().subplots())
    """

    def __init__(
        self,
        epochs: list[float],
        losses: dict[str, list[float]],
        scores: dict[str, list[float]],
        updates: np.ndarray,
        score_name: str = "score",
    ):
        self.epochs, self.losses, self.scores = epochs, losses, scores
        self.updates, self.score_name = updates, score_name

    @classmethod
    def from_history(
        cls, history: Any, *, score_name: str = "score"
    ) -> "TrainingDisplay":
        """Take the curves from a history, see `History.of`.

        Parameters
        ----------
        history : list of EpochRecord or dict, fitted estimator, path or History
        score_name : str
            Name of ``val_score``, for instance "accuracy".

        Raises
        ------
        UsageError
            If no epoch has ended.
        """
        history = History.of(history)
        if not history.epochs:
            raise UsageError("there are no training curves yet: no epoch has ended")
        losses = {"training": "train_loss", "validation": "val_loss"}
        return cls(
            history.column("epoch"),
            {k: history.column(v) for k, v in losses.items() if history.has(v)},
            {"validation": history.column("val_score")}
            if history.has("val_score")
            else {},
            np.unique(history.times(history.changes)),
            score_name,
        )

    @classmethod
    def from_run(cls, folder: Any, *, score_name: str = "score") -> "TrainingDisplay":
        """Take the curves from a run folder or its metrics.jsonl."""
        return cls.from_history(History.read(folder), score_name=score_name)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2 if self.scores else 1

    def _draw(self, axes: list[Any]) -> None:
        self.lines_: list[Any] = []
        self.updates_: list[Any] = []
        panels = [("loss", self.losses), (self.score_name, self.scores)]
        for ax, (label, curves) in zip(axes, panels, strict=False):
            self._draw_curves(ax, curves)
            ax.set_ylabel(label)
            set_epochs(ax, self.epochs, self.updates)
            self._mark_updates(ax)
            legend_above(ax)
        self._fit_losses(axes[0])

    def _draw_curves(self, ax: Any, curves: dict[str, list[float]]) -> None:
        for name, values in curves.items():
            is_first = name == "training"
            # Without gaps, which would hide a validation done every few epochs.
            known = np.isfinite(values)
            (line,) = ax.plot(
                np.array(self.epochs)[known],
                np.array(values)[known],
                color=BLUE if is_first else ORANGE,
                linestyle="-" if is_first else "--",
                marker=("o" if is_first else "s") if known.sum() < FEW_POINTS else None,
                markersize=3.5,
                label=name,
            )
            self.lines_.append(line)

    def _mark_updates(self, ax: Any) -> None:
        times = self.updates[np.isfinite(self.updates)]
        if not times.size:
            return
        # At the foot of the axes, where they do not cross the curves.
        low, high = ax.get_ylim()
        count = "update" if times.size == 1 else "updates"
        ticks = ax.vlines(
            times,
            0.0,
            0.045,
            transform=ax.get_xaxis_transform(),
            color=GREEN,
            # Thin enough that many do not run together.
            lw=1.2 if times.size < 100 else 0.5,
            label=f"{times.size:,} topology {count}",
        )
        ax.set_ylim(low - 0.06 * (high - low), high)
        self.updates_.append(ticks)

    def _fit_losses(self, ax: Any) -> None:
        values = [v for curve in self.losses.values() for v in curve]
        values = [v for v in values if math.isfinite(v)]
        if values and min(values) > 0 and max(values) > _LOG_FROM * min(values):
            ax.set_yscale("log")
            ax.set_ylim(min(values) / 2, max(values) * 1.3)
            ax.set_ylabel("loss (log)")
