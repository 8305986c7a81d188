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
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.analysis import fit_zeta_curve
from truesparse.analysis.sweeps import Setting
from truesparse.analysis.zeta_curve import ZetaFit, contour_of
from truesparse.errors import TruesparseError

from . import frame

OUT = "benchmarks/results/studies/zeta"
TOLERANCE = 0.01
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
GRID = [0.0, 0.3, 0.6, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.998, MOST]
# Densities of the middle layers, 20 % to 0.02 %: epsilon is half the fan-in.
EPSILONS = [100.0, 30.0, 13.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1]
FIGURES = {"zeta": "Accuracy against zeta", "inputs": "Connections of the features"}
HEATMAPS = (0.0, 0.3, 0.6, 0.9, 0.98, 0.995, MOST)
# What the document found: a, b, the plateau, and the contour as it reads it.
PUBLISHED, PUBLISHED_CONTOUR = (0.204, 183.0, 0.868), 0.96
SIZES = {
    "default": {
        "data": ["fashion_mnist"],
        "hidden": [1000, 1000, 1000],
        "epochs": 200,
        "seeds": 1,
        "zetas": GRID,
        "epsilons": EPSILONS,
        "epsilon": 13.0,
    },
    "full": {"epochs": 1000, "seeds": 3, "zetas": FULL_GRID},
    "smoke": {
        "data": ["digits"],
        "hidden": [40, 40],
        "epochs": 2,
        "zetas": [0.0, 0.5, 0.9, 0.99],
        "epsilons": [5.0, 0.5],
        "epsilon": 3.0,
    },
}


def settings_of(chosen: dict[str, Any], method: str) -> list[Setting]:
    """Return the settings of both sweeps."""
    shared = {
        "hidden": chosen["hidden"],
        "epochs": chosen["epochs"],
        "method": method,
        "lr": 0.05,
        "momentum": 0.9,
        "batch_size": 40,
        "dropout": 0.2,
        "weight_init": WEIGHTS,
        "measures": ["inputs"],
    }
    regrown = {"regrow_init": WEIGHTS} if method == "set" else {}
    points = [("zeta", chosen["epsilon"], zeta) for zeta in chosen["zetas"]]
    points += [("epsilon", epsilon, 0.3) for epsilon in chosen["epsilons"]]
    return [
        {
            "data": data,
            "sweep": sweep,
            "epsilon": epsilon,
            "options": {"zeta": zeta, **regrown},
            "seed": seed,
            **shared,
        }
        for data in chosen["data"]
        for seed in range(chosen["seeds"])
        for sweep, epsilon, zeta in points
    ]


def points_of(rows: frame.Rows, data: str) -> tuple[np.ndarray, np.ndarray]:
    """Return zeta and best accuracy of the runs of a data set that ended."""
    points = [
        (setting["options"]["zeta"], result["best"])
        for setting, result in rows
        if (setting["data"], setting["sweep"]) == (data, "zeta") and "best" in result
    ]
    return np.array([p[0] for p in points]), np.array([p[1] for p in points])


def published() -> ZetaFit:
    """Return the published curve, with its contour by our definition."""
    a, b, plateau = PUBLISHED
    unknown = (math.nan, math.nan)
    contour = contour_of(a, b, TOLERANCE)
    intervals = unknown, unknown, unknown
    return ZetaFit(a, b, plateau, *intervals, 0.95, math.nan, contour, TOLERANCE)


def report(rows: frame.Rows, chosen: dict[str, Any], method: str, out: Path) -> str:
    """Return the report as Markdown, with the figures that `draw` has made."""
    text = (
        "# Accuracy against the rewired fraction and the density\n\n"
        f"Size {chosen['size']}: {method}, hidden layers "
        f"{', '.join(map(str, chosen['hidden']))}, {chosen['epochs']} epochs, "
        f"{chosen['seeds']} seeds. zeta is the share of the connections that an update "
        f"rewires, not the sparsity: that is what epsilon makes it. A zeta of {MOST} "
        "stands for 1; an update that would leave no connection of a layer does "
        "nothing there. The contour is the zeta at which the fitted curve is "
        f"{TOLERANCE:g} below its plateau; the "
        f"document reads {PUBLISHED_CONTOUR} off its figure, where its own curve has "
        "fallen by 0.0001.\n"
    )
    known = published()
    for data in chosen["data"]:
        zeta, accuracy = points_of(rows, data)
        text += f"\n## {data}\n\n"
        lines = [["published", *(f"{x:g}" for x in PUBLISHED), f"{known.contour:.3f}"]]
        try:
            fit = fit_zeta_curve(zeta, accuracy, tolerance=TOLERANCE)
        except TruesparseError as error:
            text += f"The curve was not fitted: {error}.\n\n"
        else:
            cells = [
                f"{value:.4g} ({low:.4g} to {high:.4g})"
                for value, (low, high) in (
                    (fit.a, fit.a_interval),
                    (fit.b, fit.b_interval),
                    (fit.plateau, fit.plateau_interval),
                )
            ]
            lines.insert(0, ["fitted, 95 %", *cells, f"{fit.contour:.3f}"])
        text += frame.table(["curve", "a", "b", "plateau", "contour"], lines)
        text += "\n" + _sweep_table(rows, data)
        for name, alt in FIGURES.items():
            if (out / f"{name}-{data}.png").exists():
                text += f"\n![{alt}]({name}-{data}.png)\n"
    return text


def _sweep_table(rows: frame.Rows, data: str) -> str:
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for setting, result in rows:
        if setting["data"] == data:
            point = setting["sweep"], setting["epsilon"], setting["options"]["zeta"]
            groups.setdefault(point, []).append(result)
    lines = []
    for (sweep, epsilon, zeta), results in groups.items():
        ended = [result for result in results if "best" in result]
        sparsity = "-"
        if ended:
            shares = ended[0]["densities"][:-1]
            sparsity = ", ".join(f"{100 * (1 - share):.4g} %" for share in shares)
        best = frame.mean_text([result["best"] for result in ended], 4)
        lines.append([sweep, f"{epsilon:g}", f"{zeta:g}", sparsity, best])
    head = ["sweep", "epsilon", "zeta", "sparsity by hidden layer", "best accuracy"]
    return frame.table(head, lines)


def draw(rows: frame.Rows, chosen: dict[str, Any], out: Any) -> None:
    """Draw the fitted curve of each data set, and the features' connections."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from truesparse.analysis.displays import ZetaCurveDisplay

    for data in chosen["data"]:
        zeta, accuracy = points_of(rows, data)
        try:
            shown = ZetaCurveDisplay.from_points(zeta, accuracy, tolerance=TOLERANCE)
        except TruesparseError:
            pass  # the report says why
        else:
            shown.published = published()
            figure = shown.plot().figure_
            figure.savefig(out / f"zeta-{data}.png", dpi=120)
            pyplot.close(figure)
        _draw_inputs(rows, data, out / f"inputs-{data}.png")


def _draw_inputs(rows: frame.Rows, data: str, path: Any) -> None:
    from matplotlib import pyplot

    maps = {
        setting["options"]["zeta"]: result
        for setting, result in rows
        if setting["data"] == data
        and setting["sweep"] == "zeta"
        and setting["seed"] == 0
        and "input_degrees" in result
    }
    # A coarse sweep has few of the zetas of the document.
    zetas = [zeta for zeta in HEATMAPS if zeta in maps] or sorted(maps)
    side = math.isqrt(len(maps[zetas[0]]["input_degrees"]))
    if side**2 != len(maps[zetas[0]]["input_degrees"]):
        return  # no square image
    kinds = (("input_degrees", "connections"), ("input_strengths", "sum of |weight|"))
    size = {"figsize": (2.3 * len(zetas) + 0.6, 4.8), "squeeze": False}
    figure, axes = pyplot.subplots(2, len(zetas), layout="constrained", **size)
    for line, (name, label) in zip(axes, kinds, strict=True):
        images = [np.reshape(maps[zeta][name], (side, side)) for zeta in zetas]
        top = max(float(image.max()) for image in images)
        for ax, zeta, image in zip(line, zetas, images, strict=True):
            shown = ax.imshow(image, vmin=0, vmax=top, cmap="cividis")
            ax.set_title(f"zeta = {zeta:g}", fontsize="medium")
            ax.set_xticks([])
            ax.set_yticks([])
        figure.colorbar(shown, ax=list(line), label=label)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Run the study and write its report."""
    options = make_parser().parse_args(arguments)
    chosen = frame.with_size(options, SIZES)
    settings = settings_of(chosen, options.method)
    rows = frame.run(
        settings,
        options,
        lambda s: (
            f"{s['data']}, epsilon {s['epsilon']:g}, zeta {s['options']['zeta']:g}, "
            f"seed {s['seed']}"
        ),
    )
    draw(rows, chosen, options.out)
    text = report(rows, chosen, options.method, options.out)
    frame.write_report(options.out, text, chosen, rows)
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = frame.make_parser("Accuracy against zeta and density.", OUT)
    parser.add_argument("--method", default="set", help="topology, set by default")
    return parser


if __name__ == "__main__":
    frame.call(main)
