"""Density of each layer in the course of a run.

Methods that move connections between layers change them: Parger et al., "Gradient-based
Weight Density Balancing for Robust Dynamic Sparse Training", ICML 2022, figure 2.
"""

import itertools
from typing import Any

import numpy as np

from truesparse.errors import UsageError
from truesparse.plots.display import (
    FEW_POINTS,
    Display,
    label_shares,
    layer_label,
    legend_above,
    set_epochs,
    style,
)
from truesparse.plots.run_records import History, layers_of

# Densities that differ by more than this factor need a log axis.
_LOG_FROM = 20.0


class DensityDisplay(Display):
    """Density of each layer after every update of the topology.

    Parameters
    ----------
    densities : dict of int to (times, shares)
        For each layer two (n,) float64 arrays: epochs, and shares of its cells that
        are connected.
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse.analysis.displays import DensityDisplay
    >>> start = {"event": "run_start", "layer_sizes": [10, 20, 5]}
    >>> update = {"event": "topology", "epoch": 1, "layer": 0}
    >>> update |= {"removed": 30, "grown": 10, "nnz": 50}
    >>> display = DensityDisplay.from_history([start, update])
    >>> display.densities[0][1].tolist()
    [0.25]
    >>> _ = display.plot(ax=Figure().subplots())
    """

    _panel = (5.2, 3.6)

    def __init__(
        self, densities: dict[int, tuple[np.ndarray, np.ndarray]], n_layers: int
    ):
        self.densities, self.n_layers = densities, n_layers

    @classmethod
    def from_history(cls, history: Any) -> "DensityDisplay":
        """Take the densities from a history, see `History.of`.

        Raises
        ------
        UsageError
            If it holds no updates, or does not say how large the layers are.
        """
        history = History.of(history)
        sizes = next(
            (
                start["layer_sizes"]
                for start in reversed(history.starts)
                if isinstance(start.get("layer_sizes"), list)
            ),
            None,
        )
        if sizes is None or not history.changes:
            missing = "layer sizes" if sizes is None else "topology updates"
            raise UsageError(
                f"the history holds no {missing}, without which densities are unknown; "
                "give the folder of a run that updates its topology"
            )
        cells = [a * b for a, b in itertools.pairwise(sizes)]
        densities = {}
        for layer in layers_of(history.changes):
            changes = [each for each in history.changes if each["layer"] == layer]
            shares = np.array([each["nnz"] for each in changes]) / cells[layer]
            densities[layer] = history.times(changes), shares
        return cls(densities, len(cells))

    @classmethod
    def from_run(cls, folder: Any) -> "DensityDisplay":
        """Take the densities from a run folder or its metrics.jsonl."""
        return cls.from_history(History.read(folder))

    def _draw(self, axes: list[Any]) -> None:
        [ax] = axes
        self.lines_: list[Any] = []
        for index, (layer, (times, shares)) in enumerate(self.densities.items()):
            self.lines_ += ax.plot(
                times,
                shares,
                marker="o" if times.size < FEW_POINTS else None,
                markersize=3.5,
                label=layer_label(layer, self.n_layers),
                **style(index),
            )
        every = np.concatenate([shares for _, shares in self.densities.values()])
        set_epochs(ax, *(times for times, _ in self.densities.values()))
        ax.set_ylabel("density")
        if every.min() > 0 and every.max() > _LOG_FROM * every.min():
            ax.set_yscale("log")
            ax.set_ylabel("density (log)")
        else:
            ax.set_ylim(0.0, 1.1 * max(every.max(), 1e-6))
        label_shares(ax.yaxis)
        legend_above(ax, 4)
