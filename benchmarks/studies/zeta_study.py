"""Accuracy against zeta, the rewired fraction, and against the density.

    python -m benchmarks.studies.zeta_study --data-home DIR --jobs 2
    python -m benchmarks.studies.zeta_study --data-home DIR --jobs 2 --full

Van Engers, "Towards understanding and modelling sparse training algorithms at extreme
sparsity regime", 2021: SET on Fashion-MNIST, 784 - 1000 - 1000 - 1000 - 10, epsilon 13,
learning rate 0.05, momentum 0.9, batches of 40, dropout 0.2, 1000 epochs; the best test
accuracy over the epochs counts. All weights, the first ones and those of regrown
connections, are from N(0, 0.1^2), as in the reference code of SET, which it used; for
other methods the first ones are. The document calls zeta the training sparsity; the
true one, which epsilon decides, is swept too, at zeta 0.3.

It asks whether the shape of the curve is general. So there are two more curves, with
fewer epochs: SET on MNIST, and RigL on Fashion-MNIST, which here rewires a share zeta
after every epoch, as SET does, instead of a share that falls. `--data` and `--method`
give a curve of their own instead of these three; mind `--out`.
"""

import argparse
from typing import Any

from truesparse.analysis.sweeps import Setting

from . import frame
from .zeta_figures import draw
from .zeta_report import report

OUT = "benchmarks/results/studies/zeta"
WEIGHTS = "set_normal"  # first ones, and those of connections that SET regrows
# Updates must leave some connections: this stands for the document's zeta of 1.
MOST = 0.9999
# The grids of the document.
FULL_GRID = [
    *(round(0.1 * i, 1) for i in range(10)),
    *(round(0.91 + 0.01 * i, 2) for i in range(7)),
    *(round(0.98 + 0.001 * i, 3) for i in range(20)),
    MOST,
]
GRID = [0.0, 0.2, 0.4, 0.6, 0.9, 0.96, 0.98, 0.987, 0.99, 0.993, 0.996, MOST]
# Densities of the middle layers, 20 % to 0.02 %: epsilon is half the fan-in.
EPSILONS = [100.0, 30.0, 13.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1]
SIZES = {
    "default": {
        "data": ["fashion_mnist"],
        "method": "set",
        "others": [["mnist", "set"], ["fashion_mnist", "rigl"]],
        "hidden": [1000, 1000, 1000],
        "epochs": 200,
        "other_epochs": 25,  # of the other curves, and of the sweep over epsilon
        "seeds": 1,
        "zetas": GRID,
        "epsilons": EPSILONS,
        "epsilon": 13.0,
    },
    "full": {"epochs": 1000, "other_epochs": 1000, "seeds": 3, "zetas": FULL_GRID},
    "smoke": {
        "data": ["digits"],
        "others": [["digits", "rigl"]],
        "hidden": [40, 40],
        "epochs": 2,
        "other_epochs": 1,
        "zetas": [0.0, 0.5, 0.9, 0.99],
        "epsilons": [5.0, 0.5],
        "epsilon": 3.0,
    },
}
# RigL with a share of zeta until the end, as SET has.
STEADY = {
    "decay": "constant",
    "decay_end": 1.0,
    "schedule": {"every": 1, "unit": "epoch"},
}


def settings_of(chosen: dict[str, Any]) -> list[Setting]:
    """Return the settings of both sweeps, and of the sweeps over zeta elsewhere."""
    points = [("zeta", chosen["epsilon"], zeta) for zeta in chosen["zetas"]]
    others = [("epsilon", epsilon, 0.3) for epsilon in chosen["epsilons"]]
    plan = []
    for data in chosen["data"]:
        here = data, chosen["method"]
        plan += [(*here, chosen["epochs"], *point) for point in points]
        plan += [(*here, chosen["other_epochs"], *point) for point in others]
    for data, method in chosen["others"]:
        plan += [(data, method, chosen["other_epochs"], *point) for point in points]
    return [
        {
            "data": data,
            "method": method,
            "sweep": sweep,
            "epochs": epochs,
            "epsilon": epsilon,
            "options": {"zeta": zeta, **_options_of(method)},
            "seed": seed,
            "hidden": chosen["hidden"],
            "lr": 0.05,
            "momentum": 0.9,
            "batch_size": 40,
            "dropout": 0.2,
            "weight_init": WEIGHTS,
            "measures": ["inputs"],
        }
        for seed in range(chosen["seeds"])
        for data, method, epochs, sweep, epsilon, zeta in plan
    ]


def _options_of(method: str) -> dict[str, Any]:
    return {"regrow_init": WEIGHTS} if method == "set" else STEADY


def name_of(setting: Setting) -> str:
    """Return what a run is called on the screen."""
    return (
        f"{setting['method']} on {setting['data']}, epsilon {setting['epsilon']:g}, "
        f"zeta {setting['options']['zeta']:g}, seed {setting['seed']}"
    )


def choose(options: argparse.Namespace) -> dict[str, Any]:
    """Return the size of the study; curves that are asked for replace the others."""
    chosen = frame.with_size(options, SIZES)
    if options.data or options.method:
        chosen["others"] = []
    return chosen


def main(arguments: list[str] | None = None) -> int:
    """Run the study and write its report."""
    options = make_parser().parse_args(arguments)
    chosen = choose(options)
    rows = frame.run(settings_of(chosen), options, name_of)
    draw(rows, options.out)
    text = report(rows, chosen, options.out)
    frame.write_report(options.out, text, chosen, rows)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = frame.make_parser("Accuracy against zeta and density.", OUT)
    parser.add_argument("--method", help="topology, set and rigl by default")
    return parser


if __name__ == "__main__":
    frame.call(main)
