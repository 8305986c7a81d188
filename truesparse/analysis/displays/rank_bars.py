"""Effective and stable rank of each layer, beside the largest that they could have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from truesparse.analysis.displays.paired_bars import (
    THICKNESS,
    draw_bars,
    label_bars,
    name_layers,
)
from truesparse.analysis.spectra import LayerRank, layer_ranks
from truesparse.errors import UsageError
from truesparse.plots.counts import as_model
from truesparse.plots.display import (
    BLUE,
    GREY,
    ORANGE,
    Display,
    label_counts,
    layer_label,
    legend_above,
)


class RanksDisplay(Display):
    """Effective and stable rank of each layer; bars of estimates have error bars.

    Parameters
    ----------
    ranks : sequence of LayerRank
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        Effective, then stable ranks.
    bounds_ : matplotlib LineCollection
        For each layer, the neurons on the side where fewer are connected.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.displays import RanksDisplay
    >>> display = RanksDisplay.from_model(SparseMLP([30, 40, 3], epsilon=4))
    >>> display.ranks[0].bound
    30
    >>> _ = display.plot(ax=Figure().subplots())
    """

    _panel = (5.2, 3.4)

    def __init__(self, ranks: Sequence[LayerRank], n_layers: int):
        if not ranks:
            raise UsageError("ranks must hold at least one layer, got none")
        self.ranks, self.n_layers = list(ranks), n_layers

    @classmethod
    def from_model(cls, model: Any, **options: Any) -> "RanksDisplay":
        """Compute the ranks of a model; `options` are those of `layer_ranks`."""
        model = as_model(model)
        return cls(layer_ranks(model, **options), len(model.layers))

    def _draw(self, axes: list[Any]) -> None:
        [ax] = axes
        places = np.arange(len(self.ranks))
        self.bars_ = []
        for place, (field, colour) in enumerate(
            (("effective", BLUE), ("stable", ORANGE))
        ):
            heights = [getattr(each, field) for each in self.ranks]
            errors = [getattr(each, f"{field}_error") for each in self.ranks]
            bars = draw_bars(
                ax.bar,
                place,
                heights,
                colour,
                is_hatched=field == "stable",
                yerr=errors if any(errors) else None,
                capsize=3,
                label=f"{field} rank",
            )
            self.bars_.append(bars)
            label_bars(ax, bars, [f"{height:.4g}" for height in heights])
        bounds = [each.bound for each in self.ranks]
        self.bounds_ = ax.hlines(
            bounds,
            places - THICKNESS,
            places + THICKNESS,
            color=GREY,
            ls="--",
            lw=1.2,
            label="connected neurons",
        )
        names = [layer_label(each.layer, self.n_layers) for each in self.ranks]
        name_layers(ax, names)
        ax.set_ylabel("rank")
        ax.set_ylim(0, 1.15 * max(bounds))
        label_counts(ax.yaxis)
        legend_above(ax)
