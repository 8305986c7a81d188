"""Connections of each layer, and hidden neurons without any on one side."""

from typing import Any

import numpy as np

from truesparse.plots.counts import Dead, as_model, dead_neurons
from truesparse.plots.display import (
    AMBER,
    BLUE,
    ORANGE,
    SKY,
    Display,
    label_counts,
    label_shares,
    layer_label,
    legend_above,
    share_text,
    short,
)

# Bars that differ by more than this factor need a log axis.
_LOG_FROM = 100.0
# Names and numbers of more layers would overlap, and a picture higher than 65,536
# pixels cannot be drawn.
_MOST_LINES = 100
# Connections that dead neurons lack, the field of Dead, colour and hatching.
_DEAD = (
    ("incoming", "no_input", ORANGE, ""),
    ("outgoing", "no_output", SKY, "//"),
    ("both", "neither", AMBER, ".."),
)


class LayersDisplay(Display):
    """Connections of every layer, and dead neurons of every hidden layer.

    A hidden neuron is dead if it has no incoming connection, so that its value depends
    on its bias alone, or no outgoing one, so that it cannot affect an output.

    Parameters
    ----------
    nnz : list of int
        Connections of each layer.
    cells : list of int
        Cells of each layer: n_in times n_out.
    dead : list of Dead
        One for each hidden layer.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Connections (a Line2D of points on a log axis), then the kinds of dead
        neurons.
    texts_ : list of matplotlib Text

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import LayersDisplay
    >>> display = LayersDisplay.from_model(SparseMLP([64, 500, 500, 10], epsilon=3))
    >>> display.nnz
    [1692, 3000, 1530]
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    """

    _panel = (4.8, 3.0)

    def __init__(self, nnz: list[int], cells: list[int], dead: list[Dead]):
        self.nnz, self.cells, self.dead = nnz, cells, dead

    @classmethod
    def from_model(cls, model: Any) -> "LayersDisplay":
        """Count the connections and dead neurons of a model.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        """
        model = as_model(model)
        connections = [layer.connections for layer in model.layers]
        cells = [each.n_in * each.n_out for each in connections]
        return cls([each.nnz for each in connections], cells, dead_neurons(model))

    @property
    def panel_size(self) -> tuple[float, float]:
        """Width and height of a panel, in inches; it has a line for each layer."""
        width, height = self._panel
        return width, max(height, 1.0 + 0.28 * min(len(self.nnz), _MOST_LINES))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2 if self.dead else 1

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        self.texts_: list[Any] = []
        self._draw_connections(axes[0])
        if self.dead:
            self._draw_dead(axes[1])

    def _draw_connections(self, ax: Any) -> None:
        lines = np.arange(len(self.nnz))
        high, low = max(self.nnz), max(min(self.nnz), 1)
        ends = np.array(self.nnz, float)
        ax.set_title("connections", fontsize="medium")
        ax.set_xlabel("connections, and density")
        if high > _LOG_FROM * low:
            # Points, since the length of a bar means nothing on a log axis.
            ends = np.maximum(ends, low / 2)
            self.bars_ += ax.plot(ends, lines, "o", color=BLUE)
            ax.set_xscale("log")
            ax.set_xlim(low / 3, high * (high * 3 / low) ** 0.6)
            ax.set_xlabel("connections (log), and density")
            ax.minorticks_off()
        else:
            self.bars_.append(ax.barh(lines, ends, color=BLUE, alpha=0.7))
            ax.set_xlim(0, 1.6 * max(high, 1))
            label_counts(ax.xaxis)
            ax.locator_params(axis="x", nbins=5)
        texts = [
            f"  {short(nnz)}, {share_text(nnz / cells)}"
            for nnz, cells in zip(self.nnz, self.cells, strict=True)
        ]
        names = [layer_label(i, len(self.nnz)) for i in range(len(self.nnz))]
        self._label(ax, names, ends, texts)

    def _draw_dead(self, ax: Any) -> None:
        lines = np.arange(len(self.dead))
        sizes = np.array([each.n_neurons for each in self.dead])
        left = np.zeros(len(self.dead))
        for label, field, colour, hatch in _DEAD:
            shares = np.array([getattr(each, field) for each in self.dead]) / sizes
            bars = ax.barh(
                lines,
                shares,
                left=left,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=label,
            )
            self.bars_.append(bars)
            left += shares
        texts = [
            f" {short(each.total)} of {short(each.n_neurons)}" for each in self.dead
        ]
        ax.set_xlim(0, max(1.6 * left.max(), 0.01))
        ax.set_xlabel("dead neurons, share of the layer")
        label_shares(ax.xaxis)
        ax.locator_params(axis="x", nbins=5)
        self._label(ax, [f"hidden {i + 1}" for i in range(len(self.dead))], left, texts)
        ax.set_title("hidden neurons that lack connections", fontsize="medium", pad=20)
        legend_above(ax)

    def _label(
        self, ax: Any, names: list[str], ends: np.ndarray, texts: list[str]
    ) -> None:
        """Name the lines, the first at the top, and put a text at the end of each.

        If there are too many, only some have names, and none has a text.
        """
        named = range(0, len(names), -(-len(names) // _MOST_LINES))
        ax.set_yticks(named, [names[index] for index in named])
        ax.set_ylim(len(names) - 0.5, -0.5)
        if len(named) == len(names):
            for index, text in enumerate(texts):
                self.texts_.append(ax.text(ends[index], index, text, va="center"))
