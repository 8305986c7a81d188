"""Change of the topology: connections replaced by each update, and cells explored."""

from typing import Any

import numpy as np

from truesparse.plots.display import (
    FEW_POINTS,
    Display,
    label_shares,
    layer_label,
    legend_above,
    set_epochs,
    style,
)
from truesparse.plots.run_records import History, as_number, layers_of

# Layers that the legend names.
_MOST_NAMES = 10


class TurnoverDisplay(Display):
    """Share of the connections that each update replaced, and the exploration rate.

    A connection that an update removes and grows again (``regrown``) does not count as
    replaced. There is a second panel if the run recorded which share of all cells it
    had explored (Liu et al., "Do we actually need dense over-parameterization?",
    ICML 2021).

    Parameters
    ----------
    turnover : dict of int to (times, shares)
        For each layer two (n,) float64 arrays: epochs, and shares of the connections
        that the layer had before.
    explored : (epochs, shares)
        Two (n,) float64 arrays, empty if the run did not record it.
    n_layers : int
        Layers of the model; 0 if unknown.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One for each layer, then the exploration rate.
    text_ : matplotlib Text or None
        The note that no updates were recorded.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse.plots import TurnoverDisplay
    >>> update = {"event": "topology", "epoch": 1, "layer": 0}
    >>> update |= {"removed": 30, "grown": 30, "nnz": 100, "regrown": 10}
    >>> display = TurnoverDisplay.from_history([update])
    >>> [shares.tolist() for _, shares in display.turnover.values()]
    [[0.2]]
    >>> _ = display.plot(ax=Figure().subplots())
    """

    def __init__(
        self,
        turnover: dict[int, tuple[np.ndarray, np.ndarray]],
        explored: tuple[np.ndarray, np.ndarray],
        n_layers: int = 0,
    ):
        self.turnover, self.explored, self.n_layers = turnover, explored, n_layers

    @classmethod
    def from_history(cls, history: Any) -> "TurnoverDisplay":
        """Take the updates from a history, see `History.of`.

        An estimator's history and lists of EpochRecord hold no updates: give a run
        folder, the lines of its metrics.jsonl, or a truesparse.callbacks.History that
        was among the callbacks.
        """
        history = History.of(history)
        turnover = {}
        for layer in layers_of(history.changes):
            changes = [each for each in history.changes if each["layer"] == layer]
            shares = np.array([_share_replaced(each) for each in changes])
            turnover[layer] = (history.times(changes), shares)
        explored = np.array(history.column("explored"))
        epochs = np.array(history.column("epoch"))
        known = np.isfinite(explored)
        sizes = [start.get("layer_sizes") for start in history.starts]
        n_layers = len(sizes[-1]) - 1 if sizes and isinstance(sizes[-1], list) else 0
        return cls(turnover, (epochs[known], explored[known]), n_layers)

    @classmethod
    def from_run(cls, folder: Any) -> "TurnoverDisplay":
        """Take the updates from a run folder or its metrics.jsonl."""
        return cls.from_history(History.read(folder))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2 if self.explored[0].size else 1

    def _draw(self, axes: list[Any]) -> None:
        self.lines_: list[Any] = []
        self.text_: Any = None
        self._draw_turnover(axes[0])
        if len(axes) > 1:
            epochs, shares = self.explored
            marker = "o" if epochs.size < FEW_POINTS else None
            self.lines_ += axes[1].plot(
                epochs, shares, marker=marker, markersize=3.5, **style(0)
            )
            set_epochs(axes[1], epochs)
            axes[1].set_ylabel("share of all cells\nconnected so far")
        for ax in axes:
            ax.set_ylim(0.0, max(1.1 * ax.dataLim.y1, 1e-6))
            label_shares(ax.yaxis)

    def _draw_turnover(self, ax: Any) -> None:
        # The legend has room for some of very many layers.
        most = min(len(self.turnover), _MOST_NAMES)
        named = set(np.linspace(0, len(self.turnover) - 1, most).astype(int))
        for index, (layer, (times, shares)) in enumerate(self.turnover.items()):
            # Layers often replace the same share: widths that differ show lines that
            # lie on each other. Among many lines, wide ones would hide the others.
            others = len(self.turnover) - 1
            width = 1.2 + (0.8 if others < 4 else 2.4 / others) * (others - index)
            self.lines_ += ax.plot(
                times,
                shares,
                lw=width,
                marker="o" if times.size < FEW_POINTS else None,
                markersize=width + 2.0,
                label=layer_label(layer, self.n_layers) if index in named else None,
                **style(index),
            )
        set_epochs(ax, *(times for times, _ in self.turnover.values()))
        ax.set_ylabel("share of connections\nreplaced by an update")
        if self.turnover:
            legend_above(ax, 5)
        else:
            ax.set_xticks([])
            ax.set_yticks([])
            self.text_ = ax.text(
                *(0.5, 0.5, "no topology updates recorded"),
                ha="center",
                transform=ax.transAxes,
            )


def _share_replaced(change: dict[str, Any]) -> float:
    regrown = as_number(change.get("regrown", 0))
    removed = change["removed"] - (regrown if np.isfinite(regrown) else 0)
    before = change["nnz"] + change["removed"] - change["grown"]
    return max(removed, 0) / before if before > 0 else 0.0
