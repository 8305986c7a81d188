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
import statistics
from typing import Any

from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.sweeps import Result, Setting

from . import frame
from .claims import Measure, claims_table
from .robustness_claims import CLAIMS, active, area
from .robustness_figures import KINDS, draw, file_of
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
# What the tables show: the measure, and its digits.
MEASURES: list[tuple[str, Measure, int]] = [
    ("accuracy", lambda result: result["accuracy"], 4),
    *((LABELS[name], area(name), 3) for name in COLUMNS),
    ("adversarial input", area("adversarial"), 3),
    ("effective rank", lambda result: result["effective_rank"], 1),
    ("stable rank", lambda result: result["stable_rank"], 1),
    ("active hidden neurons, %", active, 1),
]
SIZES = {
    "default": {
        "data": ["mnist", "fashion_mnist"],
        "hidden": [1000, 1000, 1000],
        "epochs": 40,
        "seeds": 2,
        "dense_seeds": 1,  # a dense net takes fifteen times as long as a sparse one
        "points": 51,
        "perturbation_seeds": 5,
        "density": 0.01,
    },
    "full": {"epochs": 100, "seeds": 5, "dense_seeds": 5},
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
        if method != DENSE or seed < chosen["dense_seeds"]
    ]


def report(rows: frame.Rows, chosen: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    # Shares of neurons need their number, too.
    rows = [
        (setting, {**result, "hidden": chosen["hidden"]}) for setting, result in rows
    ]
    text = (
        "# Robustness of SET and CH3-L3\n\n"
        f"Size {chosen['size']}: {', '.join(chosen['data'])}; hidden layers "
        f"{', '.join(map(str, chosen['hidden']))} at density {chosen['density']:g}, "
        f"{chosen['epochs']} epochs, {chosen['seeds']} seeds (dense nets: "
        f"{min(chosen['seeds'], chosen['dense_seeds'])}). Areas under accuracy, "
        "effective and stable ranks summed over layers, and hidden neurons with "
        "connections: means, with standard deviations over seeds; for all data sets, "
        "these are of the mean over data sets. What is published is of EMNIST, too, "
        "and does not say how strong its noise is: ours, up to one standard deviation "
        "of a layer's weights, is weaker, so that its areas are not to be compared.\n"
    )
    for title, sets in {
        "All data sets": chosen["data"],
        **{data: [data] for data in chosen["data"]},
    }.items():
        lines = []
        for name in METHODS:
            runs = [
                (setting["seed"], result)
                for setting, result in rows
                if (setting["name"], setting["data"] in sets) == (name, True)
                and result.get("curves")
            ]
            lines.append(
                [
                    name,
                    *(
                        frame.mean_text(_by_seed(runs, measure, len(sets)), digits)
                        for _, measure, digits in MEASURES
                    ),
                ]
            )
            if len(sets) == len(chosen["data"]) and name in PUBLISHED:
                values = [f"{value:g}" for value in PUBLISHED[name]]
                areas, ranks = values[: len(COLUMNS)], values[len(COLUMNS) :]
                lines.append(["*published*", "", *areas, "", *ranks, ""])
        head = ["method", *(name for name, _, _ in MEASURES)]
        text += f"\n## {title}\n\n{frame.table(head, lines)}"
        if len(sets) == 1:
            for kind, what in KINDS.items():
                text += f"\n![{what}]({file_of(kind, sets[0])})\n"
    return text + (
        "\n## Claims\n\nA claim holds if the mean difference over pairs of runs of one "
        "data set and seed is more than two standard errors above 0 (or above what the "
        "line says), and does not hold if it is as far below.\n\n"
        f"{claims_table(CLAIMS, rows)}"
    )


def _by_seed(runs: list[tuple[int, Result]], measure: Measure, n: int) -> list[float]:
    """Return the mean of a measure for each seed that has a run on all n data sets."""
    values: dict[int, list[float]] = {}
    for seed, result in runs:
        values.setdefault(seed, []).append(measure(result))
    return [statistics.mean(each) for each in values.values() if len(each) == n]


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
