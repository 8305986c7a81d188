"""Which cells are connected: points in a small layer, shares of bins in a large one."""

from typing import Any, NamedTuple

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.plots.counts import as_model, bin_edges, binned_pattern, chosen_layers
from truesparse.plots.display import (
    BLUE,
    Display,
    grid,
    label_counts,
    label_shares,
    layer_label,
    share_text,
    short,
)
from truesparse.sparse.connections import Connections

# A panel has about 300 x 200 pixels: more points would overlap.
MOST_POINTS = 6_000
# Bins with fewer connections than this would show chance rather than structure.
_CONNECTIONS_A_BIN = 5


class Pattern(NamedTuple):
    """Pattern of one layer: either its points or the counts of its bins are None."""

    layer: int
    n_in: int
    n_out: int
    nnz: int
    rows: np.ndarray | None  # (nnz,) of the points
    columns: np.ndarray | None
    counts: np.ndarray | None  # (row bins, column bins) connections
    row_edges: np.ndarray | None  # (row bins + 1,) first input neuron of each
    column_edges: np.ndarray | None

    @property
    def densities(self) -> np.ndarray:
        """Share of the cells of each bin that hold a connection."""
        assert self.row_edges is not None
        assert self.column_edges is not None
        heights, widths = np.diff(self.row_edges), np.diff(self.column_edges)
        return self.counts / (heights[:, None] * widths)


class SparsityPatternDisplay(Display):
    """Sparsity pattern of layers: inputs run downwards, outputs to the right.

    Parameters
    ----------
    patterns : list of Pattern
        One for each panel.
    n_layers : int
        Layers of the model.

    Attributes
    ----------
    points_ : list of matplotlib Line2D or None
    images_ : list of matplotlib QuadMesh or None
        Each panel has either points or an image.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import SparsityPatternDisplay
    >>> model = SparseMLP([64, 100_000, 10], epsilon=5)
    >>> display = SparsityPatternDisplay.from_model(model, layers=0)
    >>> int(display.patterns[0].counts.sum()) == model.layers[0].connections.nnz
    True
    >>> _ = display.plot(ax=Figure().subplots())
    """

    def __init__(self, patterns: list[Pattern], n_layers: int):
        self.patterns, self.n_layers = patterns, n_layers

    @classmethod
    def from_model(
        cls, model: Any, *, layers: Any = None, bins: int = 150
    ) -> "SparsityPatternDisplay":
        """Take the patterns from a model, O(nnz + bins^2).

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        layers : int or list of int, optional
            Numbers from 0; all by default.
        bins : int
            Most bins on a side, for a layer too large for points. Few connections get
            fewer bins, so that each holds some of them.
        """
        check_whole("bins", bins, 1, 10_000)
        model = as_model(model)
        chosen = chosen_layers(model, layers)
        patterns = [_pattern(model.layers[i].connections, i, bins) for i in chosen]
        return cls(patterns, len(model.layers))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return grid(len(self.patterns))

    def _draw(self, axes: list[Any]) -> None:
        self.points_: list[Any] = [None] * len(self.patterns)
        self.images_: list[Any] = [None] * len(self.patterns)
        for index, pattern in enumerate(self.patterns):
            ax = axes[index]
            if pattern.counts is None:
                self.points_[index] = _draw_points(ax, pattern)
            else:
                self.images_[index] = _draw_bins(ax, pattern)
            ax.set_xlim(-0.5, pattern.n_out - 0.5)
            ax.set_ylim(pattern.n_in - 0.5, -0.5)
            ax.locator_params(nbins=5, integer=True, min_n_ticks=1)
            for axis in (ax.xaxis, ax.yaxis):
                label_counts(axis)
            ax.set_xlabel("output neuron")
            ax.set_ylabel("input neuron")
            density = share_text(pattern.nnz / (pattern.n_in * pattern.n_out))
            name = layer_label(pattern.layer, self.n_layers)
            ax.set_title(
                f"{name}: {short(pattern.nnz)} connections, {density}",
                fontsize="medium",
            )
        for ax in axes[len(self.patterns) :]:
            ax.set_axis_off()


def _pattern(connections: Connections, layer: int, bins: int) -> Pattern:
    head = (layer, connections.n_in, connections.n_out, connections.nnz)
    if connections.nnz <= MOST_POINTS:
        return Pattern(*head, connections.rows(), connections.indices, None, None, None)
    n_bins = max(connections.nnz // _CONNECTIONS_A_BIN, 1)
    # As square as the sides allow: a side with few neurons leaves more bins to the
    # other.
    side = min(round(n_bins**0.5), bins)
    n_rows = min(connections.n_in, side)
    n_columns = min(connections.n_out, bins, max(n_bins // n_rows, 1))
    n_rows = min(connections.n_in, bins, max(n_bins // n_columns, 1))
    counts = binned_pattern(connections, n_rows, n_columns)
    edges = bin_edges(connections.n_in, n_rows), bin_edges(connections.n_out, n_columns)
    return Pattern(*head, None, None, counts, *edges)


def _draw_points(ax: Any, pattern: Pattern) -> Any:
    # A point is as wide as a cell, but never too small to be seen.
    size = min(max(150 / max(pattern.n_in, pattern.n_out), 1.6), 8.0)
    (points,) = ax.plot(
        pattern.columns, pattern.rows, "s", color=BLUE, markersize=size, mew=0
    )
    return points


def _draw_bins(ax: Any, pattern: Pattern) -> Any:
    from matplotlib.colors import LogNorm

    densities = np.ma.masked_equal(pattern.densities, 0.0)
    filled = densities.compressed()
    norm = None
    if filled.size and filled.max() > 30 * np.median(filled):
        norm = LogNorm(filled.min(), filled.max())
    assert pattern.row_edges is not None
    assert pattern.column_edges is not None
    image = ax.pcolormesh(
        pattern.column_edges - 0.5,
        pattern.row_edges - 0.5,
        densities,
        norm=norm,
        cmap="viridis_r",
        vmin=None if norm else 0.0,
        rasterized=True,
    )
    bar = ax.figure.colorbar(image, ax=ax, label="share of cells connected")
    label_shares(bar.ax.yaxis)
    return image
