"""Clustering and path length of each layer, beside those of a random layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from truesparse.analysis.bipartite import GraphMeasures, graph_measures
from truesparse.analysis.displays.paired_bars import draw_bars, label_bars, name_layers
from truesparse.errors import UsageError
from truesparse.plots.counts import as_model
from truesparse.plots.display import (
    BLUE,
    ORANGE,
    Display,
    layer_label,
    legend_above,
)

_PANELS = (
    ("clustering", "clustering: share of paths that close"),
    ("path_length", "path length: mean number of steps"),
)


class GraphDisplay(Display):
    """Clustering and path length of each layer; what was sampled has error bars.

    The random layer has the same size and density.

    Parameters
    ----------
    measures : sequence of GraphMeasures
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Clustering of the layers and of the random ones, then both path lengths.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.displays import GraphDisplay
    >>> display = GraphDisplay.from_model(SparseMLP([30, 40, 3], epsilon=4))
    >>> display.measures[0].layer
    0
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    >>> len(display.bars_)
    4
    """

    _panel = (4.8, 3.2)

    def __init__(self, measures: Sequence[GraphMeasures], n_layers: int):
        if not measures:
            raise UsageError("measures must hold at least one layer, got none")
        self.measures, self.n_layers = list(measures), n_layers

    @classmethod
    def from_model(cls, model: Any, **options: Any) -> "GraphDisplay":
        """Measure the graphs of a model; `options` are those of `graph_measures`."""
        model = as_model(model)
        return cls(graph_measures(model, **options), len(model.layers))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        for ax, (field, label) in zip(axes, _PANELS, strict=True):
            errors = [getattr(each, f"{field}_error") for each in self.measures]
            trained = self._draw_bars(
                *(ax, 0, field, BLUE),
                yerr=errors if any(errors) else None,
                capsize=3,
                label="this net",
            )
            random = self._draw_bars(
                *(ax, 1, f"random_{field}", ORANGE),
                is_hatched=True,
                label="random layer of this density",
            )
            self.bars_ += [trained, random]
            names = [layer_label(each.layer, self.n_layers) for each in self.measures]
            name_layers(ax, names)
            ax.set_ylabel(label)
            ax.margins(y=0.1)
            legend_above(ax)

    def _draw_bars(
        self, ax: Any, place: int, field: str, colour: str, **options: Any
    ) -> Any:
        values = [getattr(each, field) for each in self.measures]
        bars = draw_bars(ax.bar, place, values, colour, **options)
        # A layer without paths of three connections has no clustering.
        texts = [f"{value:.3g}" if np.isfinite(value) else "" for value in values]
        label_bars(ax, bars, texts)
        return bars
