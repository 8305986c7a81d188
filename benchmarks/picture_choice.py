"""methods.svg: accuracy against seconds of training, for all methods by sparsity.

Each method is a point, named beside its panel; a line joins name and point. The axis of
accuracy is logarithmic in the error, and grows upwards. Methods that none is both
faster and more accurate than are joined.
"""

from typing import Any

import numpy as np

from .pictures import DENSE, FOLDER, SPARSE, TEXT, Picture
from .stored import MissingResultsError, Results
from .tables_choice import SPARSITIES, Choice, choices, unbeaten

# Accuracies that may be marked on the axis.
TICKS = (0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99)
# Seconds that may be.
SECONDS = tuple(step * 10**power for power in range(5) for step in (1, 2, 5))


def choices_in_words(results: Results) -> str:
    """Return accuracy and seconds of all methods, by sparsity."""
    parts = [
        f"{sparsity:.0%} sparse: "
        + ", ".join(
            f"{each.method} {each.accuracy:.2%} {each.seconds:.0f} s" for each in group
        )
        for sparsity, group in choices(results).items()
        if group
    ]
    return f"Test accuracy and seconds of training. {'; '.join(parts)}."


def _in_words(each: Choice) -> str:
    return f"{each.method} {each.accuracy:.2%} {each.seconds:.0f} s"


def draw_choices(figure: Any, results: Results) -> None:
    """Draw a panel for each sparsity, and the accuracy of the dense net in all."""
    groups = choices(results)
    shown = [sparsity for sparsity in SPARSITIES if groups[sparsity]]
    if not shown:
        raise MissingResultsError("python -m benchmarks.methods --data mnist")
    figure.set_size_inches(9.6, 4.2)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    everything = [each for group in groups.values() for each in group]
    errors = [1.0 - each.accuracy for each in everything]
    low, high = 0.93 * min(errors), 1.07 * max(errors)
    for axes, sparsity in zip(panels, shown, strict=True):
        axes.set(xscale="log", yscale="log", title=f"{sparsity:.0%} sparse")
        axes.set_xlabel("seconds of training")
        axes.set_ylim(high, low)
        for dense in groups[0.0]:
            axes.axhline(1.0 - dense.accuracy, color=DENSE, linestyle="--", zorder=0)
        _draw_group(axes, groups[sparsity])
    ticks = [each for each in TICKS if low <= 1.0 - each <= high]
    panels[0].set_yticks(
        [1.0 - each for each in ticks], [f"{each:.1%}" for each in ticks]
    )
    panels[0].set_ylabel("test accuracy")
    for axes in panels:
        first, last = axes.get_xlim()
        times = [each for each in SECONDS if first <= each <= last]
        axes.set_xticks(times, [f"{each:,}" for each in times])
        axes.minorticks_off()
    for dense in groups[0.0]:
        panels[-1].annotate(
            f"dense: {dense.accuracy:.2%}, {dense.seconds:.0f} s",
            (0.98, 1.0 - dense.accuracy),
            (0, 4),
            color=DENSE,
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=9,
            ha="right",
        )


def _draw_group(axes: Any, group: list[Choice]) -> None:
    """Draw the methods of a panel, and their names in a column beside it."""
    front = unbeaten(group)
    axes.plot(
        [each.seconds for each in front],
        [1.0 - each.accuracy for each in front],
        color=SPARSE,
        linewidth=1.2,
        zorder=1,
    )
    ordered = sorted(group, key=lambda each: -each.accuracy)
    high, low = np.log(axes.get_ylim())
    heights = [(np.log(1.0 - each.accuracy) - high) / (low - high) for each in ordered]
    for each, height in zip(ordered, apart(heights), strict=True):
        color = SPARSE if each in front else TEXT
        where = each.seconds, 1.0 - each.accuracy
        axes.plot(*where, "o", color=color, markersize=5, zorder=2)
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.4, "shrinkB": 3}
        axes.annotate(
            each.method,
            where,
            (1.04, height),
            textcoords="axes fraction",
            color=color,
            fontsize=8,
            va="center",
            arrowprops=line,
        )


def apart(heights: list[float], gap: float = 0.055) -> list[float]:
    """Return falling heights in [0, 1], moved apart by a gap, as little as it takes.

    Examples
    --------
    >>> from benchmarks.picture_choice import apart
    >>> [round(height, 3) for height in apart([0.95, 0.9, 0.9, 0.03, 0.01], 0.1)]
    [0.95, 0.85, 0.75, 0.1, 0.0]
    """
    gap = min(gap, 1.0 / max(len(heights) - 1, 1))
    places: list[float] = []
    for height in heights:
        above = places[-1] - gap if places else 1.0
        places.append(min(height, above))
    # What was pushed below the axis pushes the others up.
    for index in range(len(places) - 1, -1, -1):
        below = places[index + 1] + gap if index + 1 < len(places) else 0.0
        places[index] = max(places[index], below)
    return places


CHOICE = Picture(FOLDER / "methods.svg", choices_in_words, draw_choices)
