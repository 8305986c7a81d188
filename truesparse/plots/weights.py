"""Histograms of the weights of each layer."""

from typing import Any, NamedTuple

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.plots.counts import CHUNK, as_model, chosen_layers
from truesparse.plots.display import (
    BLUE,
    GREY,
    Display,
    are_mostly_low,
    grid,
    label_counts,
    layer_label,
    short,
)


class Histogram(NamedTuple):
    """Histogram of the weights of one layer."""

    layer: int
    edges: np.ndarray  # (bins + 1,) float64
    counts: np.ndarray  # (bins,) int64
    n_zero: int
    n_infinite: int  # infinite or NaN, in none of the bins


class WeightHistogramDisplay(Display):
    """Histograms of weights, one panel for each layer, with a range of its own.

    Parameters
    ----------
    histograms : list of Histogram
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    bars_ : list of matplotlib StepPatch

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import WeightHistogramDisplay
    >>> display = WeightHistogramDisplay.from_model(SparseMLP([64, 500, 10]), layers=1)
    >>> int(display.histograms[0].counts.sum())
    5000
    >>> _ = display.plot(ax=Figure().subplots())
    """

    _panel = (4.2, 2.8)

    def __init__(self, histograms: list[Histogram], n_layers: int):
        self.histograms, self.n_layers = histograms, n_layers

    @classmethod
    def from_model(
        cls, model: Any, *, layers: Any = None, bins: int | None = None
    ) -> "WeightHistogramDisplay":
        """Count the weights of a model.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        layers : int or list of int, optional
            Numbers from 0; all by default.
        bins : int, optional
            Bins of each histogram; of an odd number, one lies around 0. By default 11
            to 61, more for more weights.
        """
        if bins is not None:
            check_whole("bins", bins, 1, 100_000)
        model = as_model(model)
        chosen = chosen_layers(model, layers)
        histograms = [
            _count(index, model.layers[index].connections.values, bins)
            for index in chosen
        ]
        return cls(histograms, len(model.layers))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return grid(len(self.histograms))

    def _draw(self, axes: list[Any]) -> None:
        self.bars_: list[Any] = []
        for ax, each in zip(axes, self.histograms, strict=False):
            counts = each.counts
            self.bars_.append(ax.stairs(counts, each.edges, fill=True, color=BLUE))
            ax.axvline(0.0, color=GREY, lw=0.8, ls=":")
            label = "connections"
            if are_mostly_low(counts):
                ax.set_yscale("log")
                ax.set_ylim(0.6, 2.0 * counts.max())
                label += " (log)"
            elif not counts.any():
                ax.set_ylim(0, 1)
            ax.set_xlabel("weight")
            ax.locator_params(axis="x", nbins=6)  # small numbers are long
            ax.set_ylabel(label)
            name = layer_label(each.layer, self.n_layers)
            text = f"{name}: {short(int(counts.sum()) + each.n_infinite)} weights"
            if each.n_zero:
                text += f", {short(each.n_zero)} at 0"
            if each.n_infinite:
                text += f", {short(each.n_infinite)} not finite"
            ax.set_title(text, fontsize="medium")
            if ax.get_yscale() == "linear":
                label_counts(ax.yaxis)
        for ax in axes[len(self.histograms) :]:
            ax.set_axis_off()


def _count(layer: int, values: np.ndarray, bins: int | None) -> Histogram:
    if bins is None:
        bins = int(np.clip(2 * values.size**0.5, 11, 61)) | 1
    # Edges must differ even if all weights are 0.
    largest, n_infinite = 1e-30, 0
    for start in range(0, values.size, CHUNK):
        sizes = np.abs(values[start : start + CHUNK])
        is_finite = np.isfinite(sizes)
        largest = max(largest, float(sizes.max(initial=0.0, where=is_finite)))
        n_infinite += int(sizes.size - np.count_nonzero(is_finite))
    edges = largest * np.linspace(-1.0, 1.0, bins + 1)
    counts = np.zeros(bins, np.int64)
    for start in range(0, values.size, CHUNK):
        chunk = values[start : start + CHUNK].astype(np.float64)
        counts += np.histogram(chunk[np.isfinite(chunk)], edges)[0]
    n_zero = values.size - int(np.count_nonzero(values))
    return Histogram(layer, edges, counts, n_zero, n_infinite)
