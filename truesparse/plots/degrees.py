"""Degrees, the connections of each neuron, beside a random graph of this density.

The reference is the graph of Erdos and Renyi (1959), in which each cell is connected
with the same probability p: degrees are then binomial, and for small p about Poisson.
SET starts from it (Mocanu et al. 2018) and moves towards few neurons with many
connections.
"""

from typing import Any, NamedTuple

import numpy as np

from truesparse.plots.counts import as_model, chosen_layers, in_degrees, out_degrees
from truesparse.plots.display import (
    BLUE,
    ORANGE,
    Display,
    label_shares,
    layer_label,
    legend_above,
)

# More degrees than this share bins.
MOST_BINS = 40
# From this ratio of largest to mean degree on, equal bins would hide small degrees.
_HEAVY_TAIL = 6.0


class Degrees(NamedTuple):
    """Degrees of one side of a layer, in bins ``edges[b] <= degree < edges[b + 1]``."""

    layer: int
    side: str  # "out" of input neurons, "in" of output neurons
    n_neurons: int
    edges: np.ndarray  # (bins + 1,) int64
    counts: np.ndarray  # (bins,) neurons
    expected: np.ndarray  # (bins,) share of neurons in a random graph
    is_heavy: bool  # bins widen with the degree
    lowest: int
    mean: float
    highest: int

    @property
    def shares(self) -> np.ndarray:
        """Share of the neurons in each bin."""
        return self.counts / self.n_neurons


class DegreeDisplay(Display):
    """Out-degrees of the inputs and in-degrees of the outputs of each layer.

    Parameters
    ----------
    degrees : list of Degrees
        Two for each layer, which are the two panels of a row.
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    bars_ : list of matplotlib StepPatch
    lines_ : list of matplotlib Line2D
        Degrees of the random graph.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import DegreeDisplay
    >>> display = DegreeDisplay.from_model(SparseMLP([64, 500, 10]), layers=0)
    >>> [int(each.counts.sum()) for each in display.degrees]
    [64, 500]
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    """

    _panel = (4.8, 2.7)

    def __init__(self, degrees: list[Degrees], n_layers: int):
        self.degrees, self.n_layers = degrees, n_layers

    @classmethod
    def from_model(cls, model: Any, *, layers: Any = None) -> "DegreeDisplay":
        """Count the degrees of a model.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        layers : int or list of int, optional
            Numbers from 0; all by default.
        """
        model = as_model(model)
        degrees = []
        for index in chosen_layers(model, layers):
            connections = model.layers[index].connections
            sides = (
                ("out", out_degrees(connections), connections.n_out),
                ("in", in_degrees(connections), connections.n_in),
            )
            degrees += [_in_bins(index, *side, connections.density) for side in sides]
        return cls(degrees, len(model.layers))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return len(self.degrees) // 2, 2

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        self.lines_: list[Any] = []
        for index, (ax, each) in enumerate(zip(axes, self.degrees, strict=True)):
            self._draw_panel(ax, each, has_legend=index < 2)

    def _draw_panel(self, ax: Any, each: Degrees, has_legend: bool) -> None:
        widths = np.diff(each.edges)
        # Where bins widen, only shares per degree can be compared.
        scale = widths if each.is_heavy else np.ones_like(widths)
        edges = each.edges - 0.5
        shares, expected = each.shares / scale, each.expected / scale
        bars = ax.stairs(
            shares, edges, fill=True, color=BLUE, alpha=0.7, label="this net"
        )
        middles = (edges[:-1] + edges[1:]) / 2
        (line,) = ax.plot(
            *(middles, expected, ".-"),
            color=ORANGE,
            lw=1.2,
            ms=4,
            label="random graph of this density",
        )
        self.bars_.append(bars)
        self.lines_.append(line)
        if has_legend:
            legend_above(ax)
        if each.is_heavy:
            # Degrees 0 and 1 are half a decade apart from each other on this scale.
            ax.set_xscale("symlog", linthresh=2.0, linscale=0.5)
            ax.set_yscale("log")
            least = (shares[shares > 0]).min(initial=1.0)
            ax.set_ylim(least / 3, max(shares.max(), expected.max()) * 2)
            ax.set_ylabel("share of neurons\nper unit of degree")
            _label_degrees(ax)
        else:
            label_shares(ax.yaxis)
            ax.set_ylim(0, None)
            ax.set_ylabel("share of neurons")
            ax.locator_params(axis="x", nbins=7, integer=True, min_n_ticks=1)
        whose = "input" if each.side == "out" else "output"
        ax.set_xlabel(f"connections of an {whose} neuron ({each.side}-degree)")
        name = layer_label(each.layer, self.n_layers)
        title = f"{name}: {each.n_neurons:,} {whose} neurons"
        # Leaves room for the legend below it.
        ax.set_title(title, fontsize="medium", pad=20 if has_legend else None)


def degree_edges(degrees: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the edges of bins for degrees, and whether they widen with the degree.

    Returns
    -------
    edges : (bins + 1,) int64 array
        From the smallest degree, or 0, to one more than the largest.
    is_heavy : bool
    """
    low, high = int(degrees.min()), int(degrees.max()) + 1
    if high - low > MOST_BINS / 2 and high > _HEAVY_TAIL * max(degrees.mean(), 1.0):
        steps = np.geomspace(1.0, high, MOST_BINS // 2 + 1)
        return np.unique(np.concatenate([[0], np.round(steps)]).astype(np.int64)), True
    # Some room on either side, for the degrees of the random graph.
    room = max((high - low) // 10, 2)
    low, high = max(low - room, 0), high + room
    # Few neurons fill only few bins.
    most = int(np.clip(2 * degrees.size**0.5, 8, MOST_BINS))
    width = -(-(high - low) // most)
    n_bins = -(-(high - low) // width)
    return low + width * np.arange(n_bins + 1), False


def _in_bins(
    layer: int, side: str, degrees: np.ndarray, n_others: int, density: float
) -> Degrees:
    edges, is_heavy = degree_edges(degrees)
    expected = np.diff(binomial_below(edges, n_others, density))
    counts = np.histogram(degrees, edges)[0]
    facts = int(degrees.min()), float(degrees.mean()), int(degrees.max())
    return Degrees(layer, side, degrees.size, edges, counts, expected, is_heavy, *facts)


def binomial_below(k: np.ndarray, n: int, p: float) -> np.ndarray:
    """Return P(X < k) of a binomial variable of n trials, (len(k),) float64.

    Examples
    --------
    >>> from truesparse.plots.degrees import binomial_below
    >>> binomial_below([0, 1, 2, 3], 2, 0.5).tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    from scipy.special import betaincc

    k = np.asarray(k, dtype=np.float64)
    inside = np.clip(k, 1.0, float(n))
    # P(X >= k) = I_p(k, n - k + 1), DLMF 8.17.5.
    below = betaincc(inside, n - inside + 1.0, p)
    return np.where(k <= 0, 0.0, np.where(k > n, 1.0, below))


def _label_degrees(ax: Any) -> None:
    """Label 0 and powers of ten on the axis of degrees, also 2 and 5 if they fit."""
    high = ax.get_xlim()[1]
    ticks = [10**e for e in range(12) if 10**e < high]
    if len(ticks) < 4:
        ticks = [k * tick for tick in ticks for k in (1, 2, 5) if k * tick < high]
    ax.set_xticks([0, *ticks])
    ax.set_xticklabels(["0", *(f"{tick:,}" for tick in ticks)])
    ax.minorticks_off()
