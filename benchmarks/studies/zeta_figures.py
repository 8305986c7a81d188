"""The figures of zeta_study.py: fitted curves, the features' connections, densities."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from . import frame
from .zeta_curves import PUBLISHED_CONTOUR, Curve, curves_of, published, sweep_of

# Of these the document speaks, but for the first and the last one.
HEATMAPS = (0.0, 0.2, 0.4, 0.6, PUBLISHED_CONTOUR, 0.99)
DENSITIES = "densities.png"


def file_of(kind: str, curve: Curve) -> str:
    """Return the name of a figure of a curve."""
    return f"{kind}-{curve.data}-{curve.method}.png"


def draw(rows: frame.Rows, out: Path) -> None:
    """Draw what the runs allow: curves that were fitted, square images of features."""
    import matplotlib

    matplotlib.use("Agg")

    curves = curves_of(rows)
    for curve in curves:
        if curve.fit is not None:
            _draw_curve(curve, curve is curves[0], out / file_of("zeta", curve))
        _draw_inputs(curve, out / file_of("inputs", curve))
    if sweep_of(rows):
        _draw_densities(rows, out / DENSITIES)


def _draw_curve(curve: Curve, is_first: bool, path: Path) -> None:
    from matplotlib import pyplot

    from truesparse.analysis.displays import ZetaCurveDisplay

    assert curve.fit is not None
    shown = ZetaCurveDisplay(*curve.points, curve.fit)
    if is_first:
        shown.published = published()
    figure = shown.plot().figure_
    for ax in shown.ax_:
        ax.set_ylabel(f"best test accuracy, {curve.title}")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_inputs(curve: Curve, path: Path) -> None:
    from matplotlib import pyplot

    maps = {s["options"]["zeta"]: r for s, r in reversed(curve.runs)}
    # A coarse sweep has few of the zetas of the document.
    zetas = [zeta for zeta in HEATMAPS if zeta in maps] or sorted(maps)
    if not zetas:
        return
    n_features = len(maps[zetas[0]]["input_degrees"])
    side = math.isqrt(n_features)
    if side**2 != n_features:
        return  # no square image
    size = {"figsize": (2.3 * len(zetas) + 0.6, 4.8), "squeeze": False}
    # The layout of axes with a fixed aspect, whose labels others cut off.
    figure, axes = pyplot.subplots(2, len(zetas), layout="compressed", **size)
    kinds = (
        ("input_degrees", "connections", "cividis", False),
        ("input_sums", "sum of weights", "PuOr", True),
    )
    for line, (name, label, colours, is_signed) in zip(axes, kinds, strict=True):
        images = [np.reshape(maps[zeta][name], (side, side)) for zeta in zetas]
        # Of large ones: a few outliers would leave all others in one colour.
        top = max(float(np.quantile(np.abs(image), 0.99)) for image in images) or 1.0
        for ax, zeta, image in zip(line, zetas, images, strict=True):
            low = -top if is_signed else 0.0
            shown = ax.imshow(image, vmin=low, vmax=top, cmap=colours)
            ax.set_title(f"zeta = {zeta:g}", fontsize="medium")
            ax.set_xticks([])
            ax.set_yticks([])
        ends = "both" if is_signed else "max"
        figure.colorbar(shown, ax=list(line), label=label, extend=ends)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _draw_densities(rows: frame.Rows, path: Path) -> None:
    """Draw accuracy against the density of the hidden layers after the first."""
    from matplotlib import pyplot

    from truesparse.plots import display

    points: list[tuple[float, Any]] = []
    for runs in sweep_of(rows).values():
        best = np.array([result["best"] for _, result in runs])
        points.append((100 * runs[0][1]["densities"][1], best))
    points.sort(key=lambda point: point[0])
    density = [density for density, _ in points]
    means = [best.mean() for _, best in points]
    spread = [best.std(ddof=1) if best.size > 1 else 0.0 for _, best in points]
    figure, ax = pyplot.subplots(figsize=(5.6, 4.0), layout="constrained")
    options: dict[str, Any] = {"marker": "o", "capsize": 3, "color": display.BLUE}
    ax.errorbar(density, means, spread if any(spread) else None, **options)
    ax.set_xscale("log")
    ax.set_xlabel("density of the second hidden layer, %")
    setting = next(iter(sweep_of(rows).values()))[0][0]
    ax.set_ylabel(f"best test accuracy, {setting['method']} on {setting['data']}")
    display.label_shares(ax.yaxis)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
