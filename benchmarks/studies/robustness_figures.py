"""The figures of robustness_study.py, for each data set: curves, epochs, weights."""

from pathlib import Path
from typing import Any

import numpy as np

from truesparse.analysis.sweeps import Result

from . import frame

KINDS = {
    "robustness": "Robustness",
    "convergence": "Convergence",
    "weights": "Weights",
}


def file_of(kind: str, data: str) -> str:
    """Return the name of a figure of a data set."""
    return f"{kind}-{data}.png"


def draw(rows: frame.Rows, out: Path) -> None:
    """Draw the mean curves of each method on each data set."""
    import matplotlib

    matplotlib.use("Agg")

    for data in dict.fromkeys(setting["data"] for setting, _ in rows):
        results: dict[str, list[Result]] = {}
        for setting, result in rows:
            if setting["data"] == data and result.get("curves"):
                results.setdefault(setting["name"], []).append(result)
        if results:
            draw_robustness(results, data, out / file_of("robustness", data))
            draw_convergence(results, data, out / file_of("convergence", data))
            _draw_weights(results, data, out / file_of("weights", data))


def draw_robustness(results: dict[str, list[Result]], data: str, path: Path) -> None:
    """Draw a panel for each perturbation, in which the methods are compared."""
    from matplotlib import pyplot

    from truesparse.analysis.displays.accuracy_curves import LABELS
    from truesparse.plots import display

    kinds = [
        curve["perturbation"] for curve in next(iter(results.values()))[0]["curves"]
    ]
    rows, columns = display.grid(len(kinds))
    size = {"figsize": (4.2 * columns, 3.3 * rows), "squeeze": False, "sharey": True}
    figure, axes = pyplot.subplots(rows, columns, layout="constrained", **size)
    for panel, (ax, kind) in enumerate(zip(axes.flat, kinds, strict=False)):
        for index, (name, runs) in enumerate(results.items()):
            curves = [run["curves"][panel] for run in runs]
            # Each run counts once: the mean over its own seeds.
            means = np.array([np.mean(curve["accuracies"], 0) for curve in curves])
            x, look = np.array(curves[0]["fractions"]), display.style(index)
            ax.plot(x, means.mean(0), label=name, **look)
            if len(runs) > 1:
                low, high = _band(means)
                ax.fill_between(x, low, high, color=look["color"], alpha=0.2, lw=0)
        chance = runs[0]["curves"][panel]["chance"]
        ax.axhline(chance, color=display.GREY, ls=":", lw=1, label="constant answer")
        ax.set_title(LABELS.get(kind, kind), fontsize="medium")
        ax.set_xlabel("fraction x perturbed")
        display.label_shares(ax.xaxis)
        display.label_shares(ax.yaxis)
    for ax in axes.flat[len(kinds) :]:
        ax.set_axis_off()
    for line in axes:
        line[0].set_ylabel(f"test accuracy, {data}")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _band(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one standard deviation below and above the mean of runs, (n, points)."""
    mean, spread = runs.mean(0), runs.std(0, ddof=1)
    return mean - spread, mean + spread


def draw_convergence(results: dict[str, list[Result]], data: str, path: Path) -> None:
    """Draw the mean accuracy of each method after each epoch."""
    from matplotlib import pyplot

    from truesparse.plots import display

    figure, ax = pyplot.subplots(figsize=(5.6, 4.0), layout="constrained")
    for index, (name, each) in enumerate(results.items()):
        runs = np.array([result["accuracies"] for result in each])
        epochs = np.arange(1, runs.shape[1] + 1)
        look: dict[str, Any] = display.style(index)
        # Dense nets are pruned afterwards: until then they are not.
        ax.plot(epochs, runs.mean(0), label=name.removesuffix(", pruned"), **look)
        if len(runs) > 1:
            low, high = _band(runs)
            ax.fill_between(epochs, low, high, color=look["color"], alpha=0.2, lw=0)
    display.set_epochs(ax, epochs)
    ax.set_ylabel(f"test accuracy, {data}")
    display.label_shares(ax.yaxis)
    display.legend_above(ax, 2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_weights(results: dict[str, list[Result]], data: str, path: Path) -> None:
    """Draw how the weights of each hidden layer are spread, a panel for each layer."""
    from matplotlib import pyplot

    from truesparse.plots import display

    first = next(iter(results.values()))[0]
    edges, n_layers = np.array(first["weight_edges"]), len(first["weights"])
    size = {"figsize": (3.8 * n_layers, 3.6), "squeeze": False, "sharey": True}
    figure, axes = pyplot.subplots(1, n_layers, layout="constrained", **size)
    for layer, ax in enumerate(axes[0]):
        for index, (name, runs) in enumerate(results.items()):
            counts = np.sum([np.array(r["weights"][layer], float) for r in runs], 0)
            density = counts / counts.sum() / np.diff(edges)
            ax.stairs(density, edges, label=name, **display.style(index))
        ax.set_xlabel(f"weight, layer {layer + 1}")
        ax.set_yscale("log")
    axes[0][0].set_ylabel(f"share of connections per unit, {data}")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
