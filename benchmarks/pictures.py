"""Pictures of results for the documents, and memory.svg: memory against neurons.

    python -m benchmarks.report         draws those anew whose results have changed

Needs matplotlib (``pip install '.[plot]'``). The same results give the same file. The
background is transparent, and the colours are legible on white and on black. A file
says which figures it shows, so that whether it is stale can be seen without drawing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from truesparse.errors import UsageError

from .markdown import size
from .stored import ROOT, Results

FOLDER = ROOT / "benchmarks" / "pictures"
# The larger of the two budgets that scale.json has; what an ordinary computer holds.
EPSILON, COMPUTER_BYTES = 10, 16e9
SPARSE, DENSE, TEXT = "#2f81f7", "#d1603d", "#7a828c"
STYLE = {
    # Names of elements come from this word, and letters stay text: equal files.
    "svg.hashsalt": "truesparse",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": TEXT,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Picture:
    """An SVG file that shows results.

    Parameters
    ----------
    path : Path
    describe : callable
        Returns what the picture shows, in words that stand in its file.
    draw : callable
        Draws the results in a figure of matplotlib.
    """

    path: Path
    describe: Callable[[Results], str]
    draw: Callable[[Any, Results], None]

    def is_stale(self, results: Results) -> bool:
        """Whether the file is absent or shows other figures than the results.

        Raises
        ------
        MissingResultsError
            If there are no results.
        """
        shown = escape(self.describe(results))
        return not self.path.is_file() or shown not in self.path.read_text("utf-8")

    def write(self, results: Results) -> None:
        """Draw the picture and write its file.

        Raises
        ------
        UsageError
            If matplotlib is not installed.
        MissingResultsError
            If there are no results.
        """
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError:
            raise UsageError(
                f"{self.path} needs matplotlib, which is not installed; "
                "pip install '.[plot]'"
            ) from None
        description = self.describe(results)
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=(7.2, 3.8), layout="constrained")
            self.draw(figure, results)
            metadata = {"Date": None, "Creator": None, "Description": description}
            figure.savefig(self.path, format="svg", transparent=True, metadata=metadata)


def points(results: Results) -> list[tuple[int, float, float]]:
    """Return neurons, peak bytes of the process, and bytes of dense weights."""
    _, rows = results.part("scale", "table")
    return [
        (row["neurons"], row["peak_update_mb"] * 1e6, row["dense_bytes"])
        for row in rows
        if row["epsilon"] == EPSILON
    ]


def memory_in_words(results: Results) -> str:
    """Return neurons and memory of both lines."""
    rows = (
        f"{neurons:,} neurons {size(peak)} (dense: {size(dense)})"
        for neurons, peak, dense in points(results)
    )
    return f"Memory with epsilon {EPSILON}: {'; '.join(rows)}."


def draw_memory(figure: Any, results: Results) -> None:
    """Draw memory against neurons: two lines, with their names and last values."""
    axes, rows = figure.add_subplot(), points(results)
    neurons, peaks, dense = (list(column) for column in zip(*rows, strict=True))
    axes.set(xscale="log", yscale="log", xlabel="hidden neurons", ylabel="memory")
    axes.plot(neurons, dense, "--", color=DENSE, linewidth=2)
    axes.plot(neurons, peaks, "-o", color=SPARSE, linewidth=2.5, markersize=5)
    axes.axhline(COMPUTER_BYTES, color=TEXT, linewidth=0.8, linestyle=":")
    last = neurons[-1]

    def write(text: str, where: tuple[float, float], shift: tuple[int, int], **how):
        axes.annotate(text, where, shift, textcoords="offset points", **how)

    for values, color in ((dense, DENSE), (peaks, SPARSE)):
        style = {"color": color, "fontweight": "bold", "va": "center"}
        write(size(values[-1]), (last, values[-1]), (8, 0), **style)
    middle = (neurons[1] * neurons[2]) ** 0.5, (dense[1] * dense[2]) ** 0.5
    name = "a dense network:\nweights and momentum alone"
    write(name, middle, (-14, 0), color=DENSE, ha="right")
    name = f"truesparse, epsilon {EPSILON}: the whole process, updates included"
    write(name, (last, peaks[0]), (0, -18), color=SPARSE, ha="right")
    write("16 GB: an ordinary computer", (last, COMPUTER_BYTES), (0, 5), ha="right")
    ticks = "100 MB", "1 GB", "10 GB", "100 GB", "1 TB", "10 TB"
    axes.set_yticks([10.0 ** (8 + n) for n in range(len(ticks))], ticks)
    axes.set_xticks(neurons, [f"{each:,}" for each in neurons])
    axes.set_ylim(bottom=5e7)
    axes.minorticks_off()


MEMORY = Picture(FOLDER / "memory.svg", memory_in_words, draw_memory)
