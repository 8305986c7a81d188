"""Strengths: the sum of |weight| over the connections of each neuron."""

from typing import Any, NamedTuple

import numpy as np

from truesparse.plots.counts import (
    as_model,
    chosen_layers,
    in_strengths,
    out_strengths,
)
from truesparse.plots.display import (
    BLUE,
    Display,
    are_mostly_low,
    label_shares,
    layer_label,
    short,
)

_FEWEST_BINS, _MOST_BINS = 8, 40


class Strengths(NamedTuple):
    """Strengths of one side of a layer, in bins of equal width."""

    layer: int
    side: str  # "out" of input neurons, "in" of output neurons
    n_neurons: int
    edges: np.ndarray  # (bins + 1,) float64
    counts: np.ndarray  # (bins,) neurons
    n_zero: int
    n_infinite: int  # infinite or NaN, in none of the bins
    lowest: float  # of those that are finite, as mean and highest
    mean: float
    highest: float

    @property
    def shares(self) -> np.ndarray:
        """Share of the neurons in each bin."""
        return self.counts / self.n_neurons


class StrengthDisplay(Display):
    """Out-strengths of the inputs and in-strengths of the outputs of each layer.

    Parameters
    ----------
    strengths : list of Strengths
        Two for each layer, which are the two panels of a row.
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    bars_ : list of matplotlib StepPatch

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import StrengthDisplay
    >>> display = StrengthDisplay.from_model(SparseMLP([64, 500, 10]), layers=0)
    >>> [int(each.counts.sum()) for each in display.strengths]
    [64, 500]
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    """

    _panel = (4.8, 2.7)

    def __init__(self, strengths: list[Strengths], n_layers: int):
        self.strengths, self.n_layers = strengths, n_layers

    @classmethod
    def from_model(cls, model: Any, *, layers: Any = None) -> "StrengthDisplay":
        """Sum up the weights of a model.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        layers : int or list of int, optional
            Numbers from 0; all by default.
        """
        model = as_model(model)
        strengths = []
        for index in chosen_layers(model, layers):
            connections = model.layers[index].connections
            strengths += [
                _in_bins(index, "out", out_strengths(connections)),
                _in_bins(index, "in", in_strengths(connections)),
            ]
        return cls(strengths, len(model.layers))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return len(self.strengths) // 2, 2

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        for ax, each in zip(axes, self.strengths, strict=True):
            shares = each.shares
            self.bars_.append(ax.stairs(shares, each.edges, fill=True, color=BLUE))
            ax.set_ylabel("share of neurons")
            if are_mostly_low(shares):
                ax.set_yscale("log")
                least = shares[shares > 0].min()
                ax.set_ylim(least / 3, 2.0 * shares.max())
                ax.set_ylabel("share of neurons (log)")
            else:
                ax.set_ylim(0, None)
            label_shares(ax.yaxis)
            whose = "input" if each.side == "out" else "output"
            ax.set_xlabel(
                f"sum of |weight| of an {whose} neuron ({each.side}-strength)"
            )
            ax.locator_params(axis="x", nbins=6)  # small numbers are long
            name = layer_label(each.layer, self.n_layers)
            text = f"{name}: {each.n_neurons:,} {whose} neurons"
            if each.n_zero:
                text += f", {short(each.n_zero)} at 0"
            if each.n_infinite:
                text += f", {short(each.n_infinite)} not finite"
            ax.set_title(text, fontsize="medium")


def _in_bins(layer: int, side: str, strengths: np.ndarray) -> Strengths:
    known = strengths[np.isfinite(strengths)]
    low, high = float(known.min(initial=np.inf)), float(known.max(initial=0.0))
    low = min(low, high)
    # Few neurons fill only few bins. They begin at 0 unless that would leave too few
    # for the differences; edges must differ even if all strengths are 0.
    n_bins = int(np.clip(2 * strengths.size**0.5, _FEWEST_BINS, _MOST_BINS))
    start = 0.0 if low < high / 2 or low == high else low
    edges = np.linspace(start, max(high, 1e-30), n_bins + 1)
    return Strengths(
        layer,
        side,
        strengths.size,
        edges,
        np.histogram(known, edges)[0],
        int(np.count_nonzero(known == 0)),
        strengths.size - known.size,
        low,
        float(known.mean()) if known.size else 0.0,
        high,
    )
