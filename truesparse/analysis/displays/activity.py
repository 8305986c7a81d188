"""Active neurons of each layer, and the sizes that remain without the others."""

from typing import Any

import numpy as np

from truesparse.analysis.displays.paired_bars import draw_bars
from truesparse.analysis.layer_structure import Structure, structure
from truesparse.plots.display import (
    BLUE,
    GREY,
    ORANGE,
    Display,
    label_shares,
    layer_label,
    legend_above,
    share_text,
    short,
)


class StructureDisplay(Display):
    """Share of the neurons that are active, and of the cells that remain.

    Parameters
    ----------
    structure : Structure

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Active neurons by layer of neurons; then, by layer of connections, connections
        on paths and cells that remain.
    texts_ : list of matplotlib Text

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.displays import StructureDisplay
    >>> display = StructureDisplay.from_model(SparseMLP([30, 40, 3], epsilon=1))
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    >>> len(display.bars_)
    3
    """

    _panel = (4.8, 3.2)

    def __init__(self, structure: Structure):
        self.structure = structure

    @classmethod
    def from_model(cls, model: Any) -> "StructureDisplay":
        """Measure the structure of a SparseMLP, fitted estimator or path."""
        return cls(structure(model))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2

    @property
    def panel_size(self) -> tuple[float, float]:
        """Width and height of a panel, in inches; it has a line for each layer."""
        width, height = self._panel
        return width, max(height, 1.2 + 0.45 * min(len(self.structure.neurons), 60))

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        self.texts_: list[Any] = []
        self._draw_neurons(axes[0])
        self._draw_cells(axes[1])

    def _draw_neurons(self, ax: Any) -> None:
        neurons, active = self.structure.neurons, self.structure.active
        last = len(neurons) - 1
        names = [
            "features" if i == 0 else "outputs" if i == last else f"hidden {i}"
            for i in range(len(neurons))
        ]
        shares = np.array(active) / np.array(neurons)
        places = np.arange(len(neurons))
        self.bars_.append(ax.barh(places, shares, color=BLUE))
        for place, (share, n, all_) in enumerate(
            zip(shares, active, neurons, strict=True)
        ):
            text = f" {short(n)} of {short(all_)}"
            self.texts_.append(ax.text(share, place, text, va="center", fontsize=8))
        ax.set_title("neurons on a path", fontsize="medium")
        ax.set_xlabel("share of the layer's neurons")
        self._finish(ax, names)

    def _draw_cells(self, ax: Any) -> None:
        layers = self.structure.layers
        shares = [each.on_paths / max(each.nnz, 1) for each in layers]
        remaining = [each.remaining_cells / (each.n_in * each.n_out) for each in layers]
        names = "connections on a path", "cells without empty neurons"
        for bars in (
            draw_bars(ax.barh, 0, shares, ORANGE, is_hatched=True, label=names[0]),
            draw_bars(ax.barh, 1, remaining, GREY, label=names[1]),
        ):
            self.bars_.append(bars)
            texts = [share_text(value) for value in bars.datavalues]
            self.texts_ += ax.bar_label(bars, texts, fontsize=8, padding=2)
        ax.set_xlabel("share of the layer's connections or cells")
        self._finish(ax, [layer_label(each.layer, len(layers)) for each in layers])
        legend_above(ax, 2)

    def _finish(self, ax: Any, names: list[str]) -> None:
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlim(0, 1.35)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        label_shares(ax.xaxis)
