"""Two bars for each layer, side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

THICKNESS = 0.38


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
