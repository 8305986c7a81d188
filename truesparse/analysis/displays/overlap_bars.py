"""How far the topologies of two models agree, layer by layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from truesparse.analysis.displays.paired_bars import THICKNESS, label_bars, name_layers
from truesparse.analysis.layer_structure import overlap
from truesparse.errors import UsageError
from truesparse.plots.counts import as_model
from truesparse.plots.display import (
    BLUE,
    ORANGE,
    Display,
    label_shares,
    layer_label,
    legend_above,
    share_text,
)


class OverlapDisplay(Display):
    """Overlap of each layer, beside that of two random layers of these densities.

    Parameters
    ----------
    shares : sequence of float
        Connections that both models have over those that at least one has.
    random : sequence of float
        The same for random layers.
    n_layers : int
        Layers of the models, of which the first ones are shown.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
    lines_ : matplotlib LineCollection
        Random layers.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.displays import OverlapDisplay
    >>> model, other = (SparseMLP([30, 40, 3], density=0.5, seed=i) for i in (0, 1))
    >>> display = OverlapDisplay.from_models(model, other)
    >>> round(display.random[0], 3)
    0.333
    >>> _ = display.plot(ax=Figure().subplots())
    """

    _panel = (5.2, 3.4)

    def __init__(self, shares: Sequence[float], random: Sequence[float], n_layers: int):
        if not len(shares):
            raise UsageError("shares must hold at least one layer, got none")
        self.shares, self.random = list(shares), list(random)
        self.n_layers = n_layers

    @classmethod
    def from_models(cls, first: Any, second: Any) -> "OverlapDisplay":
        """Compare two models, see `overlap` for what it takes."""
        first, second = as_model(first), as_model(second)
        shares = overlap(first, second)
        random = [
            random_overlap(one.connections.density, other.connections.density)
            for one, other in zip(first.layers, second.layers, strict=True)
        ]
        return cls(shares, random, len(shares))

    def _draw(self, axes: list[Any]) -> None:
        [ax] = axes
        places = np.arange(len(self.shares))
        self.bars_ = ax.bar(places, self.shares, 2 * THICKNESS, color=BLUE)
        label_bars(ax, self.bars_, [share_text(share) for share in self.shares])
        self.lines_ = ax.hlines(
            self.random,
            places - THICKNESS,
            places + THICKNESS,
            color=ORANGE,
            ls="--",
            lw=1.6,
            label="two random layers of these densities",
        )
        names = [layer_label(i, self.n_layers) for i in range(len(self.shares))]
        name_layers(ax, names)
        ax.set_ylabel("connections of both models\nover those of either")
        ax.set_ylim(0, 1.15 * max(*self.shares, *self.random, 1e-6))
        label_shares(ax.yaxis)
        legend_above(ax)


def random_overlap(first: float, second: float) -> float:
    """Return the overlap of two large random layers, from their densities.

    Both have a cell with the product of the densities p and q, and at least one with
    p + q - p q. Layers without connections overlap by 1, as in `overlap`.

    Examples
    --------
    >>> from truesparse.analysis.displays.overlap_bars import random_overlap
    >>> random_overlap(1.0, 0.25), random_overlap(0.0, 0.0)
    (0.25, 1.0)
    """
    either = first + second - first * second
    return first * second / either if either else 1.0
