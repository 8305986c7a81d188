"""Base and helpers of all displays: axes, colours, and the form of numbers."""

import math
from typing import Any, ClassVar

import numpy as np

from truesparse.common.checks import import_extra
from truesparse.errors import UsageError

# Okabe and Ito's colours, which colour-blind people can distinguish; yellow is left
# out, since its lines hardly show on white. https://jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, GREY = "#E69F00", "#56B4E9", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, "#000000")
LINE_STYLES = ("-", "--", ":", "-.")

# Lines of fewer points have these marked.
FEW_POINTS = 40


class Display:
    """Base of all displays: a grid of panels, drawn by `_draw`.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes, or (n_panels,) object array of them
    """

    _panel: ClassVar[tuple[float, float]] = (4.8, 3.2)

    figure_: Any
    ax_: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        return 1, 1

    @property
    def panel_size(self) -> tuple[float, float]:
        """Width and height of a panel, in inches."""
        return self._panel

    @property
    def figsize(self) -> tuple[float, float]:
        """Width and height of a new figure, in inches."""
        rows, columns = self.shape
        width, height = self.panel_size
        return columns * width, rows * height

    def plot(self, ax: Any = None) -> Any:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes, or array of them, optional
            One axes for each panel, by default those of a new figure of pyplot.

        Returns
        -------
        self
            With ``figure_`` and ``ax_``.

        Raises
        ------
        UsageError
            If matplotlib is not installed, or there is not one axes for each panel.
        """
        require_matplotlib()
        if ax is None:
            from matplotlib import pyplot

            options: dict[str, Any] = {"figsize": self.figsize, "squeeze": False}
            _, ax = pyplot.subplots(*self.shape, layout="constrained", **options)
        axes = np.asarray(ax, dtype=object).ravel()
        rows, columns = self.shape
        if axes.size != rows * columns or not all(hasattr(a, "plot") for a in axes):
            raise UsageError(
                f"{type(self).__name__} has {rows} x {columns} panels, but ax holds "
                f"{axes.size} axes; give one for each panel, or show fewer layers"
            )
        self.ax_ = axes[0] if axes.size == 1 else axes
        self.figure_ = axes[0].figure
        self._draw(list(axes))
        return self

    def _draw(self, axes: list[Any]) -> None:
        raise NotImplementedError


def require_matplotlib() -> None:
    """Raise UsageError unless matplotlib is installed."""
    import_extra("matplotlib", "pictures need matplotlib; install it", "plot")


def grid(n_panels: int, most_columns: int = 3) -> tuple[int, int]:
    """Return rows and columns of a grid for `n_panels`, without gaps if possible."""
    columns = min(n_panels, most_columns)
    # 4 panels look better as 2 x 2 than as 3 + 1; 5 always leave a gap.
    if n_panels % columns and n_panels % 2 == 0:
        columns = 2
    return -(-n_panels // columns), columns


def layer_label(index: int, n_layers: int, kind: str = "layer") -> str:
    """Return the name of a layer of connections; names count from 1."""
    name = f"{kind} {index + 1}"
    return f"{name} (output)" if n_layers > 1 and index == n_layers - 1 else name


def style(index: int) -> dict[str, str]:
    """Return colour and line style of the line with this number."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINE_STYLES[index // len(COLOURS) % len(LINE_STYLES)],
    }


def short(value: float) -> str:
    """Return a count in few characters: 950, 12.3k, 4.57M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{value:,.0f}"


def share_text(value: float) -> str:
    """Return a share as a percentage of three digits."""
    return f"{100 * value:.3g} %"


def legend_above(ax: Any, n_columns: int = 3) -> None:
    """Put the legend, unless it is empty, above the axes, where it covers nothing."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            fontsize="small",
            frameon=False,
            ncols=n_columns,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            columnspacing=1.2,
            handlelength=1.6,
        )


def label_shares(axis: Any) -> None:
    """Write the ticks of an axis as percentages."""
    axis.set_major_formatter(lambda value, _: share_text(value))


def label_counts(axis: Any) -> None:
    """Write the ticks of an axis as counts in few characters, at whole numbers."""
    if axis.get_scale() == "linear":
        axis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.set_major_formatter(
        lambda value, _: short(value) if value == round(value) >= 0 else ""
    )


def are_mostly_low(bars: np.ndarray) -> bool:
    """Whether most bars are too low to see beside the highest, and not just empty."""
    limit = 0.05 * bars.max(initial=0.0)
    return bool(np.median(bars) < limit and (bars[bars > 0] < limit).any())


def set_epochs(ax: Any, *times: Any) -> None:
    """Make the x axis one of epochs that shows all of these times."""
    known = [float(t) for each in times for t in each if math.isfinite(t)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    # A single epoch needs some room around it.
    room = max(0.03 * (high - low), 0.3 if high - low < 3 else 0.0)
    ax.set_xlim(low - room, high + room)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
