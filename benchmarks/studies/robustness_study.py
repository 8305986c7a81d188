"""SET and CH3-L3, each with and without chain removal, and a net pruned when trained.

    python -m benchmarks.studies.robustness_study --data-home DIR --jobs 2
    python -m benchmarks.studies.robustness_study --data-home DIR --jobs 2 --full

Sulyok et al., arXiv 2602.21961, 2026, and the slides and poster on it: flatten, three
layers of 1000 neurons at 99 % sparsity, a dense read-out; random regrowth (RLR, which
is SET) and CH3-L3. Their table does not say over what it is averaged, or whether areas
are normalised; ours are raw, as theirs seem to be, and the JSON has the others too.

Optimiser, rates and first weights of regrown connections are not published. These are
from the methods' own code: SGD as in that of CHT (zeta 0.3, batches of 32, momentum
0.9, weight decay 5e-4, a learning rate of 0.025 that falls to a hundredth); new weights
of 0 as there for CH3-L3, from N(0, 0.1^2) for random regrowth, as in that of SET. They
matter: without weight decay CH3-L3 stands still after three updates and compresses
nothing.
"""

import argparse
from typing import Any

from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.sweeps import Setting

from . import frame
from .claims import claims_table
from .robustness_claims import CLAIMS, area
from .training import DENSE

OUT = "benchmarks/results/studies/robustness"
CHAINS = {"zeta": 0.3, "chain_removal": True}
NO_CHAINS = {"zeta": 0.3, "chain_removal": False}
RANDOM = {"removal": "magnitude", "regrow_init": "set_normal"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "CH3L3": ("cht", CHAINS),
    "CH3L3 without chain removal": ("cht", NO_CHAINS),
    "RLR": ("set", {**NO_CHAINS, **RANDOM}),
    "RLR with chain removal": ("set", {**CHAINS, **RANDOM}),
    "dense, pruned": (DENSE, {}),
}
COLUMNS = ("weight_order", "reverse_order", "random", "shuffled", "noise")
# Areas by perturbation, effective and stable rank: the table of the slides.
PUBLISHED = {
    "CH3L3": (0.122, 0.869, 0.374, 0.255, 0.189, 308.0, 43.1),
    "CH3L3 without chain removal": (0.110, 0.889, 0.291, 0.155, 0.196, 282.6, 42.7),
    "RLR": (0.112, 0.912, 0.339, 0.225, 0.233, 2063.5, 135.0),
    "RLR with chain removal": (0.115, 0.919, 0.347, 0.236, 0.232, 2019.6, 130.0),
}
SIZES = {
    "default": {
        "data": ["mnist", "fashion_mnist"],
        "hidden": [1000, 1000, 1000],
        "epochs": 40,
        "seeds": 2,
        "points": 51,
        "perturbation_seeds": 5,
        "density": 0.01,
    },
    "full": {"epochs": 100, "seeds": 5},
    "smoke": {
        "data": ["digits"],
        "hidden": [40, 40],
        "epochs": 2,
        "seeds": 2,
        "points": 6,
        "perturbation_seeds": 2,
        "density": 0.2,
    },
}


def settings_of(chosen: dict[str, Any]) -> list[Setting]:
    """Return the settings of all runs: data sets, methods and seeds."""
    shared = {
        "lr": 0.025,
        "lr_final": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "batch_size": 32,
        "dropout": 0.0,
        "measures": ["robustness", "ranks"],
    }
    names = ("hidden", "epochs", "points", "perturbation_seeds", "density")
    shared |= {name: chosen[name] for name in names}
    return [
        {
            "data": data,
            "name": name,
            "method": method,
            "options": options,
            "seed": seed,
            **shared,
        }
        for seed in range(chosen["seeds"])
        for data in chosen["data"]
        for name, (method, options) in METHODS.items()
    ]


def report(rows: frame.Rows, chosen: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    text = (
        "# Robustness of SET and CH3-L3\n\n"
        f"Size {chosen['size']}: {', '.join(chosen['data'])}; hidden layers "
        f"{', '.join(map(str, chosen['hidden']))} at density {chosen['density']:g}, "
        f"{chosen['epochs']} epochs, {chosen['seeds']} seeds. Areas are means over "
        "runs, with standard deviations.\n"
    )
    everything = [("all data sets", rows)]
    for data in chosen["data"]:
        everything.append((data, [row for row in rows if row[0]["data"] == data]))
    head = ["method", "accuracy", *(LABELS[c] for c in COLUMNS)]
    head += ["adversarial input", "effective rank", "stable rank"]
    for title, part in everything:
        lines = []
        for name in METHODS:
            results = [r for s, r in part if s["name"] == name and r.get("curves")]
            areas = {
                c: [area(c)(r) for r in results] for c in (*COLUMNS, "adversarial")
            }
            line = [name, frame.mean_text([r["accuracy"] for r in results], 4)]
            line += [frame.mean_text(values) for values in areas.values()]
            line += [frame.mean_text([r["effective_rank"] for r in results], 1)]
            line += [frame.mean_text([r["stable_rank"] for r in results], 1)]
            lines.append(line)
            if title == "all data sets" and name in PUBLISHED:
                values = [f"{value:g}" for value in PUBLISHED[name]]
                areas_, ranks = values[: len(COLUMNS)], values[len(COLUMNS) :]
                lines.append(["*published*", "", *areas_, "", *ranks])
        text += f"\n## {title}\n\n{frame.table(head, lines)}"
    text += (
        "\n## Claims\n\nA claim holds if the mean difference over pairs of runs of one "
        "data set and seed is more than two standard errors above 0 (or above what the "
        "line says), and does not hold if it is as far below.\n\n"
        f"{claims_table(CLAIMS, rows)}"
    )
    for name in ("Robustness", "Convergence", "Weights"):
        text += f"\n![{name}]({name.lower()}.png)\n"
    return text


def draw(rows: frame.Rows, out: Any) -> None:
    """Draw the mean curves of each method on the first data set, and convergence."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    from truesparse.analysis import RobustnessCurve
    from truesparse.analysis.displays import RobustnessDisplay
    from truesparse.plots import display

    data = rows[0][0]["data"]
    names = [name for name in METHODS if _results(rows, data, name)]
    size = {"figsize": (6.2 * len(names), 5.0), "squeeze": False}
    figure, axes = pyplot.subplots(1, len(names), layout="constrained", **size)
    for ax, name in zip(axes[0], names, strict=True):
        results = _results(rows, data, name)
        curves = []
        for index, first in enumerate(results[0]["curves"]):
            # Each run counts once: the mean over its own seeds.
            means = [np.mean(r["curves"][index]["accuracies"], 0) for r in results]
            points = np.array(first["fractions"])
            facts = first["perturbation"], points, np.array(means), first["chance"]
            curves.append(RobustnessCurve(*facts, first["scope"], first["strength"]))
        RobustnessDisplay(curves, f"{name}, {data}").plot(ax=ax)
    figure.savefig(out / "robustness.png", dpi=120)
    pyplot.close(figure)
    figure, ax = pyplot.subplots(figsize=(5.6, 4.0), layout="constrained")
    for index, name in enumerate(names):
        runs = np.array([r["accuracies"] for r in _results(rows, data, name)])
        epochs = np.arange(1, runs.shape[1] + 1)
        look = display.style(index)
        ax.plot(epochs, runs.mean(0), label=name, **look)
        if len(runs) > 1:
            low, high = runs.mean(0) - runs.std(0, ddof=1), runs.mean(0)
            high = high + runs.std(0, ddof=1)
            ax.fill_between(epochs, low, high, color=look["color"], alpha=0.2, lw=0)
    display.set_epochs(ax, epochs)
    ax.set_ylabel(f"test accuracy, {data}")
    display.label_shares(ax.yaxis)
    display.legend_above(ax, 2)
    figure.savefig(out / "convergence.png", dpi=120)
    pyplot.close(figure)
    _draw_weights(rows, data, names, out / "weights.png")


def _draw_weights(rows: frame.Rows, data: str, names: list[str], path: Any) -> None:
    """Draw how the weights of each hidden layer are spread, a panel for each layer."""
    import numpy as np
    from matplotlib import pyplot

    from truesparse.plots import display

    first = _results(rows, data, names[0])[0]
    edges, n_layers = np.array(first["weight_edges"]), len(first["weights"])
    size = {"figsize": (3.8 * n_layers, 3.6), "squeeze": False, "sharey": True}
    figure, axes = pyplot.subplots(1, n_layers, layout="constrained", **size)
    for layer, ax in enumerate(axes[0]):
        for index, name in enumerate(names):
            counts = sum(
                np.array(result["weights"][layer], float)
                for result in _results(rows, data, name)
            )
            density = counts / counts.sum() / np.diff(edges)
            ax.stairs(density, edges, label=name, **display.style(index))
        ax.set_xlabel(f"weight, layer {layer + 1}")
        ax.set_yscale("log")
    axes[0][0].set_ylabel(f"share of connections per unit, {data}")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _results(rows: frame.Rows, data: str, name: str) -> list[dict[str, Any]]:
    return [
        result
        for setting, result in rows
        if (setting["data"], setting["name"]) == (data, name) and result.get("curves")
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the study and write its report."""
    options = make_parser().parse_args(arguments)
    chosen = frame.with_size(options, SIZES)
    settings = settings_of(chosen)
    rows = frame.run(
        settings,
        options,
        lambda s: f"{s['name']} on {s['data']}, seed {s['seed']}",
    )
    draw(rows, options.out)
    frame.write_report(options.out, report(rows, chosen), chosen, rows)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    return frame.make_parser("Robustness of SET and CH3-L3.", OUT)


if __name__ == "__main__":
    frame.call(main)
