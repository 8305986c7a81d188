"""Balancing densities between layers: SET, RigL, DSR, GGR and what GGR is made of.

    python -m benchmarks.studies.balance_study --data-home DIR --jobs 2
    python -m benchmarks.studies.balance_study --data-home DIR --jobs 2 --full

Parger et al., "Gradient-based weight density balancing for robust dynamic sparse
training", ICML 2022 workshop (arXiv 2210.14012): its tables 1 to 4 and figure 2, on
multilayer perceptrons instead of convolutional nets. "even" is 784-1000-1000-1000-10;
"one large" has a first layer far larger than the others, as the first full layer of
VGG16 is. All layers are sparse, with the same density in each (uniform) or after
Erdos and Renyi (ERK). All methods are updated on one routine, that of GGR: after every
epoch of the first half of a run, a tenth of the connections at first, falling as a
cosine; magnitudes decide what goes.
"""

import argparse
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from truesparse.analysis.sweeps import Result, Setting

from ..options import whole_numbers
from . import frame
from .balance_claims import CLAIMS, place_of_run, share_of
from .claims import claims_table
from .training import DENSE

OUT = "benchmarks/results/studies/balance"
ROUTINE = {
    "zeta": 0.1,
    "decay": "cosine",
    "decay_end": 0.5,
    "schedule": {"every": 1, "unit": "epoch"},
}
RANDOM, HALF = {"gradient_share": 0.0}, {"gradient_share": 0.5}
# The names are those of tables 1 and 3.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "SET": ("set", {"removal": "magnitude"}),
    "RigL": ("rigl", {}),
    "DSR": ("dsr", {}),
    "SET+RigL": ("rigl", HALF),
    "GGR SET": ("ggr", RANDOM),
    "GGR RigL": ("ggr", {"gradient_share": 1.0}),
    "GGR": ("ggr", HALF),
}
COMPARED = ("SET", "RigL", "DSR", "GGR")
ABLATION = ("SET", "RigL", "SET+RigL", "GGR SET", "GGR RigL", "GGR")
DISTRIBUTIONS = {"erk": "ERK", "uniform": "uniform"}
# Table 2: means over all nets and data sets, in percent; - where some nets failed.
PUBLISHED = {
    "SET": ("63.73", "58.03", "56.58", "59.52", "47.45", "51.56"),
    "RigL": ("64.11", "59.61", "58.42", "60.36", "53.52", "-"),
    "DSR": ("64.14", "59.64", "58.57", "63.30", "51.66", "-"),
    "SET+RigL": ("63.97", "58.64", "57.23", "60.01", "51.61", "-"),
    "GGR SET": ("64.07", "63.63", "57.33", "64.11", "46.53", "58.70"),
    "GGR RigL": ("62.21", "60.20", "58.36", "62.96", "53.03", "59.44"),
    "GGR": ("63.57", "62.11", "59.15", "63.83", "54.83", "58.36"),
}
EMPTY_AT = 0.97  # table 4 and figure 2
SIZES: dict[str, dict[str, Any]] = {
    "default": {
        "data": ["fashion_mnist", "cifar10"],
        "nets": {"even": [1000, 1000, 1000], "one large": [4000, 200, 200]},
        "sparsities": [0.9, 0.97, 0.99],
        "epochs": 16,
        "other_epochs": 10,  # of data sets after the first
        "ablates_others": False,
        "seeds": 1,
    },
    "full": {"epochs": 60, "other_epochs": 60, "ablates_others": True, "seeds": 3},
    "smoke": {
        "data": ["digits"],
        "nets": {"even": [40, 40], "one large": [120, 20]},
        "sparsities": [0.8, 0.97],
        "epochs": 2,
    },
}
# A dense net of more weights would take most of the hour; --full trains it.
LARGEST_DENSE = 10_000_000
# (data, net, sparsity, distribution)
Place = tuple[str, str, float, str]


def settings_of(chosen: dict[str, Any]) -> list[Setting]:
    """Return the settings of all runs; a dense net for each data set, net and seed."""
    shared = {
        "lr": 0.05,
        "momentum": 0.9,
        "batch_size": 128,
        "dropout": 0.0,
        "measures": ["structure"],
    }
    settings = []
    for seed, data, (net, hidden) in itertools.product(
        range(chosen["seeds"]), chosen["data"], chosen["nets"].items()
    ):
        is_first = data == chosen["data"][0]
        epochs = chosen["epochs" if is_first else "other_epochs"]
        where = {"data": data, "net": net, "hidden": hidden, "seed": seed, **shared}
        where["epochs"] = epochs
        names = METHODS if is_first or chosen["ablates_others"] else COMPARED
        # With as many features as the largest images have.
        n_weights = sum(map(math.prod, itertools.pairwise([3072, *hidden])))
        if chosen.get("size") == "full" or n_weights <= LARGEST_DENSE:
            settings.append({"name": "dense", "method": DENSE, "options": {}, **where})
        for sparsity, distribution, name in itertools.product(
            chosen["sparsities"], DISTRIBUTIONS, names
        ):
            method, options = METHODS[name]
            drawn = {
                "density": round(1.0 - sparsity, 6),
                "init_topology": distribution,
                "all_sparse": True,
                "options": {**ROUTINE, **options},
            }
            settings.append({"name": name, "method": method, **drawn, **where})
    return settings


def place_of(setting: Setting) -> Place:
    """Return data set, net, sparsity and distribution of a run."""
    sparsity = round(1.0 - setting.get("density", 1.0), 6)
    return setting["data"], setting["net"], sparsity, setting.get("init_topology", "")


class Runs:
    """The results by method and place, and their tables.

    Parameters
    ----------
    rows : list of (setting, result)
    chosen : dict
        The size of the study.
    """

    def __init__(self, rows: frame.Rows, chosen: dict[str, Any]):
        self.chosen = chosen
        self.nets = list(itertools.product(chosen["data"], chosen["nets"]))
        self._results: dict[tuple[str, Place], list[Result]] = {}
        for setting, result in rows:
            key = setting["name"], place_of(setting)
            self._results.setdefault(key, []).append(result)

    @property
    def columns(self) -> list[tuple[float, str]]:
        """Sparsities and distributions, in the order of the tables' columns."""
        return list(itertools.product(self.chosen["sparsities"], DISTRIBUTIONS))

    @property
    def head(self) -> list[str]:
        """Names of these columns."""
        return [
            f"{100 * sparsity:g} %, {DISTRIBUTIONS[distribution]}"
            for sparsity, distribution in self.columns
        ]

    def of(self, name: str, place: Place) -> list[Result]:
        """Return the runs of all seeds that ended."""
        results = self._results.get((name, place), [])
        return [result for result in results if result["accuracy"] is not None]

    def accuracies(self, name: str, place: Place) -> list[float]:
        """Return accuracies in percent, one a seed."""
        return [100 * result["accuracy"] for result in self.of(name, place)]

    def by_net(self) -> str:
        """Return table 1: accuracies by data set, net and method."""
        lines = []
        for data, net in self.nets:
            place = data, net, 0.0, ""
            dense = frame.mean_text(self.accuracies("dense", place), 2)
            if ("dense", place) not in self._results:
                dense = "not run"
            lines.append([data, net, "dense", dense, *[""] * (len(self.columns) - 1)])
            for name in COMPARED:
                cells = [
                    frame.mean_text(self.accuracies(name, (data, net, *column)), 2)
                    for column in self.columns
                ]
                lines.append([data, net, name, *cells])
        return frame.table(["data", "net", "method", *self.head], lines)

    def nets_of(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return data sets and nets on which all of these methods ran."""
        ran = {(name, *place[:2]) for name, place in self._results}
        return [net for net in self.nets if ran >= {(name, *net) for name in names}]

    def averages(self, names: tuple[str, ...]) -> str:
        """Return tables 2 and 3: accuracies, averaged over data sets and nets.

        These are the ones on which all of the methods ran. The spread is that over
        seeds of this average; there is none with one seed.
        """
        lines, nets = [], self.nets_of(names)
        for name in names:
            cells = []
            for column in self.columns:
                parts = [self.accuracies(name, (*net, *column)) for net in nets]
                complete = len({len(part) for part in parts}) == 1
                means = [sum(part) / len(part) for part in zip(*parts, strict=False)]
                cells.append(frame.mean_text(means if complete else [], 2))
            lines += [[name, *cells]]
            if self.chosen["sparsities"] == SIZES["default"]["sparsities"]:
                lines += [["*published*", *PUBLISHED[name]]]
        return frame.table(["method", *self.head], lines)

    def empties(self, sparsity: float) -> str:
        """Return table 4: accuracy, empty neurons and inputs, what remains dense."""
        measures: dict[str, Callable[[Result], float]] = {
            "accuracy, %": lambda r: 100 * r["accuracy"],
            "empty neurons, %": lambda r: share_of(r, "empty_neurons", 1),
            "empty inputs, %": lambda r: share_of(r, "empty_inputs", 0),
            "dense parameters that remain, thousands": lambda r: (
                sum(r["remaining_cells"]) / 1e3
            ),
        }
        head = ["data", "net", "method"]
        head += [f"{m}, {d}" for m in measures for d in DISTRIBUTIONS.values()]
        lines = []
        for (data, net), name in itertools.product(self.nets, COMPARED):
            cells = [
                frame.mean_text(
                    [of(result) for result in self.of(name, (data, net, sparsity, d))],
                    1,
                )
                for of in measures.values()
                for d in DISTRIBUTIONS
            ]
            lines.append([data, net, name, *cells])
        return frame.table(head, lines)


def empty_sparsity(chosen: dict[str, Any]) -> float:
    """Return the sparsity of table 4 and figure 2: 97 %, or the largest."""
    sparsities = chosen["sparsities"]
    return EMPTY_AT if EMPTY_AT in sparsities else max(sparsities)


def _others(chosen: dict[str, Any]) -> str:
    """Return how the data sets after the first are treated, as a part of a sentence."""
    if len(chosen["data"]) == 1 or chosen["ablates_others"]:
        return ""
    others, epochs = ", ".join(chosen["data"][1:]), chosen["other_epochs"]
    return f" ({others}: {epochs}, and without the ablations)"


def report(rows: frame.Rows, chosen: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    runs, sparsity = Runs(rows, chosen), empty_sparsity(chosen)
    ablated = [data for data, _ in runs.nets_of(ABLATION)]
    nets = "; ".join(
        f"{name}: hidden layers {', '.join(map(str, hidden))}"
        for name, hidden in chosen["nets"].items()
    )
    return (
        "# Balancing densities between layers\n\n"
        f"Size {chosen['size']}: {', '.join(chosen['data'])}; {nets}; "
        f"{chosen['epochs']} epochs{_others(chosen)}, {chosen['seeds']} seeds. Test "
        "accuracies in percent; those of the publication are of convolutional nets, "
        "for the order of methods. - stands for a run that diverged; dense nets of "
        f"more than {LARGEST_DENSE / 1e6:g} million weights run with --full.\n"
        f"\n## By net (table 1)\n\n{runs.by_net()}"
        f"\n## Averages (table 2)\n\n{runs.averages(COMPARED)}"
        f"\n## Ablation (table 3)\n\nOn {', '.join(dict.fromkeys(ablated))}.\n\n"
        f"{runs.averages(ABLATION)}"
        f"\n## Empty neurons at {100 * sparsity:g} % sparsity (table 4)\n\n"
        f"{runs.empties(sparsity)}"
        "\n![Densities over time](densities.png)\n"
        "\n## Claims\n\nThose of the publication, over all nets, data sets, "
        "sparsities and distributions that they speak of.\n\n"
        f"{claims_table(CLAIMS, rows, place_of_run)}"
    )


def draw(rows: frame.Rows, chosen: dict[str, Any], out: Path) -> None:
    """Draw the densities of all layers over the epochs, from ERK (figure 2)."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    from truesparse.plots import display

    runs, sparsity = Runs(rows, chosen), empty_sparsity(chosen)
    size = {
        "figsize": (3.1 * len(COMPARED), 2.9 * len(runs.nets)),
        "squeeze": False,
        "sharex": "row",
        "sharey": "row",
    }
    shape = len(runs.nets), len(COMPARED)
    figure, axes = pyplot.subplots(*shape, layout="constrained", **size)
    for line, (data, net) in zip(axes, runs.nets, strict=True):
        for ax, name in zip(line, COMPARED, strict=True):
            ended = runs.of(name, (data, net, sparsity, "erk"))
            ax.set_title(f"{name}, {data}, {net}", fontsize="medium")
            if not ended:
                continue
            densities = 100 * np.array([r["densities_by_epoch"] for r in ended])
            epochs = np.arange(1, densities.shape[1] + 1)
            for index, layer in enumerate(densities.transpose(2, 1, 0)):
                look = display.style(index)
                ax.plot(epochs, layer.mean(1), label=f"layer {index + 1}", **look)
                # Between the seeds, on a log scale.
                ends = layer.min(1), layer.max(1)
                ax.fill_between(epochs, *ends, color=look["color"], alpha=0.2, lw=0)
            ax.set_yscale("log")
            display.set_epochs(ax, epochs)
        line[0].set_ylabel("density of the layer, %")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(out / "densities.png", dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Run the study and write its report."""
    options = make_parser().parse_args(arguments)
    chosen = frame.with_size(options, SIZES)
    if options.epochs:
        chosen["other_epochs"] = chosen["epochs"]
    if options.hidden:
        chosen["nets"] = {"given": whole_numbers(options.hidden, "--hidden")}
    rows = frame.run(
        settings_of(chosen),
        options,
        lambda s: f"{', '.join(map(str, (s['name'], *place_of(s))))}, seed {s['seed']}",
    )
    draw(rows, chosen, options.out)
    frame.write_report(options.out, report(rows, chosen), chosen, rows)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    return frame.make_parser("Balancing densities between layers.", OUT)


if __name__ == "__main__":
    frame.call(main)
