"""Accuracy against zeta: measured, fitted, and where it leaves its plateau."""

from typing import Any

import numpy as np

from truesparse.analysis.zeta_curve import ZetaFit, fit_zeta_curve
from truesparse.plots.display import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Display,
    label_shares,
    legend_above,
)

_N_POINTS = 400


class ZetaCurveDisplay(Display):
    """Means and deviations of accuracies by zeta, beside the curve fitted to them.

    zeta is the rewired fraction, not the sparsity. The horizontal axis shows 1 - zeta
    on a log scale in the second panel, where the curve falls.

    Parameters
    ----------
    zeta, accuracy : (n,) float64 arrays
        Measured, with several accuracies at one zeta for several seeds.
    fit : ZetaFit
    published : ZetaFit or None
        Another curve for comparison.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        In each panel the fitted curve, and the published one if there is one.
    points_ : list of matplotlib ErrorbarContainer
        One for each panel.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from truesparse.analysis.displays import ZetaCurveDisplay
    >>> zeta = np.concatenate([np.arange(0, 0.9, 0.1), np.arange(0.9, 1.0, 0.01)])
    >>> accuracy = 0.87 - 0.2 * np.exp(60 * (zeta - 1))
    >>> display = ZetaCurveDisplay.from_points(zeta, accuracy)
    >>> round(display.fit.b)
    60
    >>> _ = display.plot(ax=Figure().subplots(1, 2))
    """

    _panel = (5.0, 3.8)

    def __init__(
        self,
        zeta: np.ndarray,
        accuracy: np.ndarray,
        fit: ZetaFit,
        published: ZetaFit | None = None,
    ):
        self.zeta, self.accuracy = np.asarray(zeta), np.asarray(accuracy)
        self.fit, self.published = fit, published

    @classmethod
    def from_points(
        cls, zeta: Any, accuracy: Any, **options: Any
    ) -> "ZetaCurveDisplay":
        """Fit the curve to points; `options` are those of `fit_zeta_curve`."""
        return cls(zeta, accuracy, fit_zeta_curve(zeta, accuracy, **options))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 2

    def _draw(self, axes: list[Any]) -> None:
        self.lines_: list[Any] = []
        self.points_: list[Any] = []
        zeta = np.unique(self.zeta)
        groups = [self.accuracy[self.zeta == each] for each in zeta]
        means = np.array([group.mean() for group in groups])
        spread = np.array(
            [group.std(ddof=1) if group.size > 1 else 0.0 for group in groups]
        )
        smallest = max(float((1 - zeta[zeta < 1]).min(initial=1.0)), 1e-6)
        # On the log scale zeta = 1 has a place beside the smallest 1 - zeta.
        has_one = bool(zeta[-1] == 1.0)
        edge = smallest / 3 if has_one else smallest
        places = (zeta, np.maximum(1 - zeta, edge))
        fine = np.append(np.geomspace(1.0, smallest, _N_POINTS), [0.0] * has_one)
        curves = (1 - fine, np.maximum(fine, edge))
        for ax, place, at in zip(axes, places, curves, strict=True):
            points = ax.errorbar(
                place,
                means,
                yerr=spread if spread.any() else None,
                fmt="o",
                ms=4,
                capsize=2,
                color=BLUE,
                label="measured",
            )
            self.points_.append(points)
            self._draw_curve(ax, at, fine, self.fit, "fitted", ORANGE, "-")
            if self.published is not None:
                self._draw_curve(ax, at, fine, self.published, "published", GREEN, "--")
            if np.isfinite(self.fit.contour):
                contour = self.fit.contour
                where = contour if ax is axes[0] else max(1 - contour, edge)
                label = f"contour, zeta = {contour:.3f}"
                ax.axvline(where, color=GREY, ls=":", lw=1.2, label=label)
            ax.set_ylabel("accuracy")
            label_shares(ax.yaxis)
            legend_above(ax, 2)
        axes[0].set_xlabel("zeta, the rewired fraction of the connections")
        axes[1].set_xscale("log")
        note = "; the rightmost place is zeta = 1" if has_one else ""
        axes[1].set_xlabel(f"1 - zeta (log{note})")
        axes[1].invert_xaxis()

    def _draw_curve(
        self,
        ax: Any,
        at: np.ndarray,
        distance: np.ndarray,
        fit: ZetaFit,
        name: str,
        colour: str,
        look: str,
    ) -> None:
        self.lines_ += ax.plot(
            at,
            fit.accuracy(1 - distance),
            color=colour,
            ls=look,
            label=f"{name}: a {fit.a:.3g}, b {fit.b:.3g}, plateau {fit.plateau:.3g}",
        )
