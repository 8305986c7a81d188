"""Accuracy against the fraction of connections perturbed."""

from collections.abc import Sequence
from typing import Any

from truesparse.analysis.perturbations import PERTURBATIONS
from truesparse.analysis.robustness_curve import RobustnessCurve, robustness
from truesparse.errors import UsageError
from truesparse.plots.counts import as_model
from truesparse.plots.display import GREY, Display, label_shares, legend_above, style

# What the legend calls a perturbation; others by their names.
LABELS = {
    "weight_order": "strongest removed first",
    "reverse_order": "weakest removed first",
    "random": "random removal",
    "shuffled": "shuffled weights",
    "noise": "noise on weights",
    "adversarial": "adversarial input",
}


class RobustnessDisplay(Display):
    """Mean accuracy of each perturbation, with a band of one deviation over seeds.

    Parameters
    ----------
    curves : RobustnessCurve or sequence of RobustnessCurve
    title : str
        Text above the legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One for each curve, then that of chance.
    bands_ : list of matplotlib FillBetweenPolyCollection
        One for each curve with several seeds.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis.displays import RobustnessDisplay
    >>> model = SparseMLP([4, 20, 4], density=1.0)
    >>> display = RobustnessDisplay.from_model(
    ...     model, np.eye(4), np.arange(4), ["random"], fractions=3, seeds=2
    ... )
    >>> _ = display.plot(ax=Figure().subplots())
    >>> len(display.lines_)
    2
    """

    _panel = (5.6, 4.4)

    def __init__(
        self, curves: RobustnessCurve | Sequence[RobustnessCurve], title: str = ""
    ):
        if isinstance(curves, RobustnessCurve):
            curves = [curves]
        if not curves:
            raise UsageError("curves must hold at least one curve, got none")
        self.curves, self.title = list(curves), title

    @classmethod
    def from_model(
        cls,
        model: Any,
        data: Any,
        targets: Any,
        perturbations: Sequence[str] = tuple(PERTURBATIONS),
        **options: Any,
    ) -> "RobustnessDisplay":
        """Measure the curves of a model, see `robustness` for what it takes.

        Parameters
        ----------
        model : SparseMLP, fitted estimator or path
        data, targets
            Samples as the model takes them.
        perturbations : sequence of str
        **options
            Further arguments of `robustness`.
        """
        model = as_model(model)  # a file is read once
        curves = [robustness(model, data, targets, p, **options) for p in perturbations]
        return cls(curves)

    def _draw(self, axes: list[Any]) -> None:
        [ax] = axes
        self.lines_: list[Any] = []
        self.bands_: list[Any] = []
        for index, curve in enumerate(self.curves):
            mean = curve.accuracies.mean(axis=0)
            name = LABELS.get(curve.perturbation, curve.perturbation)
            text = f"{name}, area {curve.area:.3f}"
            look = style(index)
            if len(curve.accuracies) > 1:
                text += f" \N{PLUS-MINUS SIGN} {curve.area_spread:.3f}"
                spread = curve.accuracies.std(axis=0, ddof=1)
                band = ax.fill_between(
                    curve.fractions,
                    mean - spread,
                    mean + spread,
                    color=look["color"],
                    alpha=0.2,
                    linewidth=0,
                )
                self.bands_.append(band)
            self.lines_ += ax.plot(curve.fractions, mean, lw=1.6, label=text, **look)
        chance = ax.axhline(
            self.curves[0].chance, color=GREY, ls=":", lw=1.0, label="constant answer"
        )
        self.lines_.append(chance)
        ax.set_xlabel("fraction x perturbed")
        ax.set_ylabel("accuracy")
        ax.set_xlim(0.0, 1.0)
        ax.set_ylim(0.0, 1.0)
        label_shares(ax.xaxis)
        label_shares(ax.yaxis)
        legend_above(ax, 2)
        # Above the legend, whose height depends on the number of curves.
        ax.get_legend().set_title(self.title)
