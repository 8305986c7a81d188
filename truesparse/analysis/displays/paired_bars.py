"""Bars for each layer, one or two side by side, with their names and numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

THICKNESS = 0.38
# Of more layers the numbers above the bars would run into each other.
_MOST_NUMBERS = 6


def draw_bars(
    draw: Callable[..., Any],
    place: int,
    values: Sequence[float],
    colour: str,
    *,
    is_hatched: bool = False,
    **options: Any,
) -> Any:
    """Draw one bar of the pair of each layer.

    Parameters
    ----------
    draw : callable
        ``ax.bar`` or ``ax.barh``.
    place : int
        0 for the first bars of the pairs, 1 for the second ones.
    values : sequence of float
        One for each layer.
    colour : str
    is_hatched : bool
        Whether they differ from the others in print, too.
    **options
        Those of `draw`, such as `label`.

    Returns
    -------
    matplotlib BarContainer
    """
    return draw(
        np.arange(len(values)) + (place - 0.5) * THICKNESS,
        values,
        THICKNESS,
        color=colour,
        hatch="//" if is_hatched else "",
        edgecolor="white",
        linewidth=0,
        **options,
    )


def label_bars(ax: Any, bars: Any, texts: Sequence[str]) -> None:
    """Write numbers above bars and whatever lines cross them, if there is room."""
    if len(texts) <= _MOST_NUMBERS:
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
        ax.bar_label(bars, texts, padding=1, fontsize=8, bbox=behind, zorder=5)


def name_layers(ax: Any, names: Sequence[str]) -> None:
    """Name the layers below their bars, slanting if they are many."""
    ax.set_xticks(range(len(names)), names)
    if len(names) > _MOST_NUMBERS:
        ax.tick_params(axis="x", labelrotation=60, labelsize="small")
