"""The report of zeta_study.py: fits, claims of the document, and a line a run."""

import statistics
from pathlib import Path
from typing import Any

from . import frame
from .zeta_curves import (
    PUBLISHED,
    PUBLISHED_CONTOUR,
    PUBLISHED_MSE,
    TOLERANCE,
    Curve,
    curves_of,
    published,
    sweep_of,
)
from .zeta_figures import DENSITIES, file_of

# Less of a plateau is none. A curve that falls by less than TOLERANCE has no contour.
LONG = 0.9
# Accuracies that differ by less are the same; two seeds differ by 0.002 to 0.004.
SAME = 0.005
# Where the number of a feature's connections outlines the images, and where no more.
OUTLINES, UNRELATED = 0.5, 0.1


def report(rows: frame.Rows, chosen: dict[str, Any], out: Path) -> str:
    """Return the report as Markdown, with the figures that `draw` has made."""
    curves = curves_of(rows)
    text = (
        "# Accuracy against the rewired fraction and the density\n\n"
        f"Size {chosen['size']}: hidden layers "
        f"{', '.join(map(str, chosen['hidden']))}, {chosen['epochs']} epochs "
        f"({chosen['other_epochs']} of curves after the first, and of the sweep over "
        f"epsilon), {chosen['seeds']} seeds; the document has 1000 epochs. zeta is the "
        "share of the connections that an update rewires, not the sparsity: that is "
        f"what epsilon makes it. A zeta of {max(chosen['zetas'])} stands for 1; an "
        "update that would leave no connection of a layer does nothing there. The "
        f"contour is the zeta at which the fitted curve is {TOLERANCE:g} below its "
        f"plateau; the document reads {PUBLISHED_CONTOUR} off its figure, where its "
        "own curve has fallen by 0.0001. A curve has the form of the document where it "
        f"falls by more than {TOLERANCE:g}, and its contour is above {LONG:g}. "
        "Accuracies are the best over the epochs, on test data, as in the document.\n\n"
        f"## Curves\n\n{_fits(curves)}"
    )
    for curve in curves:
        if curve.fault:
            text += f"\n{curve.title}: not fitted: {curve.fault}.\n"
    text += f"\n## Claims\n\n{claims(curves)}"
    for curve in curves:
        text += f"\n## {curve.title}\n\n{_runs(curve)}"
        text += _pictures(out, file_of("zeta", curve), file_of("inputs", curve))
    if sweep_of(rows):
        text += f"\n## Density\n\n{_densities(rows)}{_pictures(out, DENSITIES)}"
    return text


def claims(curves: list[Curve]) -> str:
    """Return what the document claims, what these curves say, and whether it holds."""
    first, *others = curves
    lines = [_is_close(first)]
    if first.fit is not None:
        names = ("a", "b", "plateau")
        for name, value in zip(names, PUBLISHED, strict=True):
            low, high = getattr(first.fit, f"{name}_interval")
            figure = f"{low:.4g} to {high:.4g}, 95 %"
            outcome = "holds" if low <= value <= high else "does not hold"
            lines.append([f"{name} = {value:g}", first.title, figure, outcome])
    lines += [*_no_loss(first), *_images(first)]
    for curve in others:
        lines += [_is_close(curve), *_no_loss(curve)]
    return frame.table(["claim", "curve", "figure", "verdict"], lines)


def _is_close(curve: Curve) -> list[str]:
    """Judge the form: a plateau, then a fall, with errors as small as published."""
    figure, holds = "does not fit", False
    if (fit := curve.fit) is not None:
        figure = f"mean squared error {100 * fit.mse:.4f} %, fall {fit.a:.3f}"
        figure += f" after {fit.contour:.3f}"
        # A straight line is a part of the curve, too.
        has_plateau = fit.a_interval[0] > TOLERANCE and fit.contour > LONG
        holds = fit.mse <= PUBLISHED_MSE and has_plateau
    claim = (
        "accuracy stays on a plateau and then falls as exp(b (zeta - 1)), with a mean "
        "squared error of "
        f"{100 * PUBLISHED_MSE:g} %"
    )
    return [claim, curve.title, figure, "holds" if holds else "does not hold"]


def _no_loss(curve: Curve) -> list[list[str]]:
    results = curve.at(PUBLISHED_CONTOUR)
    if not results:
        return []
    there = statistics.mean(result["best"] for result in results)
    lost = curve.accuracy_up_to(0.9) - there
    outcome = "holds" if lost < SAME else "does not hold"
    figure = f"{lost:.4f} lost, of the mean up to 0.9"
    claim = f"no accuracy is lost up to zeta {PUBLISHED_CONTOUR}"
    return [[claim, curve.title, figure, outcome]]


def _images(curve: Curve) -> list[list[str]]:
    """Judge whether the number of connections tells bright features from dark ones.

    Either may have more: weights of dark ones stand still where nothing decays.
    """
    shown = {
        zeta: statistics.mean(r["image_correlation"] for r in curve.at(zeta))
        for zeta in (0.2, 0.4, 0.6, PUBLISHED_CONTOUR)
        if curve.at(zeta)
    }
    if PUBLISHED_CONTOUR not in shown or len(shown) < 2:
        return []
    last = shown.pop(PUBLISHED_CONTOUR)
    text = ", ".join(f"{value:.2f} at {zeta:g}" for zeta, value in shown.items())
    return [
        [
            "the connections of the features outline the images at low zeta",
            curve.title,
            f"correlation with the mean image {text}",
            "holds" if min(map(abs, shown.values())) > OUTLINES else "does not hold",
        ],
        [
            f"they outline them no more at {PUBLISHED_CONTOUR}",
            curve.title,
            f"correlation {last:.2f}",
            "holds" if abs(last) < UNRELATED else "does not hold",
        ],
    ]


def _fits(curves: list[Curve]) -> str:
    lines = []
    for curve in curves:
        if (fit := curve.fit) is not None:
            pairs = (
                (fit.a, fit.a_interval),
                (fit.b, fit.b_interval),
                (fit.plateau, fit.plateau_interval),
            )
            cells = [
                f"{value:.4g} ({low:.4g} to {high:.4g})" for value, (low, high) in pairs
            ]
            error = f"{100 * fit.mse:.4f}"
            lines.append([curve.title, *cells, error, f"{fit.contour:.3f}"])
    known = published()
    cells = [f"{value:g}" for value in PUBLISHED]
    error = f"{100 * PUBLISHED_MSE:g}"
    lines.append(["*published*", *cells, error, f"{known.contour:.3f}"])
    head = ["curve", "a (95 %)", "b (95 %)", "plateau (95 %)"]
    return frame.table([*head, "mean squared error, %", "contour"], lines)


def _runs(curve: Curve) -> str:
    lines = []
    for zeta in dict.fromkeys(s["options"]["zeta"] for s, _ in curve.runs):
        results = curve.at(zeta)
        best = frame.mean_text([r["best"] for r in results], 4)
        follows = frame.mean_text([r["image_correlation"] for r in results], 2)
        lines.append([f"{zeta:g}", _sparsities(results[0]), best, follows])
    head = ["zeta", "sparsity by hidden layer", "best accuracy"]
    return frame.table([*head, "correlation with the mean image"], lines)


def _densities(rows: frame.Rows) -> str:
    lines = []
    for epsilon, runs in sweep_of(rows).items():
        results = [result for _, result in runs]
        best = frame.mean_text([result["best"] for result in results], 4)
        zeta = runs[0][0]["options"]["zeta"]
        lines.append([f"{epsilon:g}", f"{zeta:g}", _sparsities(results[0]), best])
    head = ["epsilon", "zeta", "sparsity by hidden layer", "best accuracy"]
    return frame.table(head, lines)


def _sparsities(result: dict[str, Any]) -> str:
    shares = result["densities"][:-1]
    return ", ".join(f"{100 * (1 - share):.4g} %" for share in shares)


def _pictures(out: Path, *names: str) -> str:
    texts = {
        "zeta": "Accuracy against zeta",
        "inputs": "Connections of the features",
        "densities": "Accuracy against the density",
    }
    return "".join(
        f"\n![{texts[name.split('-')[0].removesuffix('.png')]}]({name})\n"
        for name in names
        if (out / name).exists()
    )
