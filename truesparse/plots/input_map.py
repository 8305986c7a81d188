"""Connections of the first layer to each feature, as an image or as a curve."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole, choose
from truesparse.errors import UsageError
from truesparse.plots.counts import as_model, out_degrees, out_strengths
from truesparse.plots.display import BLUE, Display

VALUES = {
    "degree": "connections of a feature",
    "strength": "sum of |weight| of a feature",
}
# A square number of features with a smaller side is hardly an image.
_SMALLEST_SQUARE = 5
# More features than this share points of the curve.
MOST_POINTS = 500


class InputConnectivityDisplay(Display):
    """Connections of the input features, as SET's papers show them for images.

    Parameters
    ----------
    values : (n_features,) array
        Connections, or sum of absolute weights, of each feature.
    label : str
        Name of the values, for the axis or the colour bar.
    image_shape : tuple of int or None
        (height, width), or (height, width, channels) with one panel for each channel;
        None draws a curve.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
    line_ : matplotlib Line2D or None
        The curve: means of neighbours where there are many features.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots import InputConnectivityDisplay
    >>> display = InputConnectivityDisplay.from_model(SparseMLP([64, 500, 10]))
    >>> display.image_shape
    (8, 8)
    >>> _ = display.plot(ax=Figure().subplots())
    """

    _panel = (4.4, 3.6)

    def __init__(
        self, values: np.ndarray, label: str, image_shape: tuple[int, ...] | None
    ):
        self.values, self.label, self.image_shape = values, label, image_shape

    @classmethod
    def from_model(
        cls,
        model: Any,
        *,
        values: str = "degree",
        image_shape: Sequence[int] | None = None,
    ) -> "InputConnectivityDisplay":
        """Take the first layer of a model.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        values : {"degree", "strength"}
            Number of connections, or the sum of their absolute weights.
        image_shape : (height, width) or (height, width, channels), optional
            Features are in row-major order. By default a square if the number of
            features is that of a square of at least 5 x 5, and no image otherwise.

        Raises
        ------
        UsageError
            If `values` is unknown or the shape does not hold all features.
        """
        choose(values, VALUES, "values")
        connections = as_model(model).layers[0].connections
        shape = _shape_of(connections.n_in, image_shape)
        count = out_degrees if values == "degree" else out_strengths
        return cls(count(connections), VALUES[values], shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        is_coloured = self.image_shape is not None and len(self.image_shape) == 3
        return 1, self.image_shape[2] if is_coloured and self.image_shape else 1

    def _draw(self, axes: list[Any]) -> None:
        self.images_: list[Any] = []
        self.line_: Any = None
        if self.image_shape is None:
            self._draw_curve(axes[0])
            return
        image = self.values.reshape(*self.image_shape[:2], -1)
        known = image[np.isfinite(image)].astype(np.float64)
        low, high = float(known.min(initial=np.inf)), float(known.max(initial=1e-12))
        low = min(low, high)
        # Colours begin at 0 unless that would leave too few for the differences.
        low = 0.0 if low < high / 2 or low == high else low
        for channel, ax in enumerate(axes):
            picture = ax.imshow(
                image[:, :, channel], vmin=low, vmax=high, cmap="viridis"
            )
            self.images_.append(picture)
            ax.locator_params(nbins=6, integer=True, min_n_ticks=1)
            ax.set_xlabel("column of the image")
            ax.set_ylabel("row of the image")
            if len(axes) > 1:
                ax.set_title(f"channel {channel + 1}", fontsize="medium")
        # Reports draw each channel as a figure.
        for figure in dict.fromkeys(ax.figure for ax in axes):
            here = [each for each in self.images_ if each.figure is figure]
            beside = [each.axes for each in here]
            if figure.get_constrained_layout():
                # That of axes with a fixed aspect, whose labels it cuts off otherwise.
                figure.set_layout_engine("compressed")
            figure.colorbar(here[-1], ax=beside, label=self.label)

    def _draw_curve(self, ax: Any) -> None:
        n, label = self.values.size, self.label
        width = -(-n // MOST_POINTS)
        starts = np.arange(0, n, width)
        sizes = np.diff(np.append(starts, n))
        means = np.add.reduceat(self.values, starts) / sizes
        few = {"marker": "o", "linestyle": "none"} if n <= 60 else {}
        (self.line_,) = ax.plot(
            starts + (sizes - 1) / 2, means, color=BLUE, lw=0.9, **few
        )
        if width > 1:
            label += f"\n(mean of {width} neighbours)"
        ax.set_ylim(0, 1.08 * means.max(initial=1e-12, where=np.isfinite(means)))
        ax.set_xlabel("input feature")
        ax.set_ylabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)


def _shape_of(n: int, given: Sequence[int] | None) -> tuple[int, ...] | None:
    if given is None:
        side = math.isqrt(n)
        is_square = side * side == n and side >= _SMALLEST_SQUARE
        return (side, side) if is_square else None
    shape = tuple(check_whole("image_shape", side, 1) for side in given)
    if len(shape) not in (2, 3) or math.prod(shape) != n:
        raise UsageError(
            "image_shape must be (height, width) or (height, width, channels) with a "
            f"product of {n}, the number of features, got {tuple(given)}"
        )
    return shape
