"""The pictures of a report: one PNG a panel, each with a text that describes it."""

import io
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from truesparse import plots
from truesparse.commands.report_folder import RunFolder
from truesparse.commands.report_summary import Rows, score_name
from truesparse.plots.display import (
    Display,
    layer_label,
    require_matplotlib,
    share_text,
)

# Of deeper nets the report shows the first layers and the last one.
MOST_LAYERS = 8
# Twice the resolution that a browser shows, for sharp text.
_DPI = 150


class Picture(NamedTuple):
    """A panel: PNG data, size in pixels, and a description in words."""

    png: bytes
    width: int
    height: int
    alt: str


class Section(NamedTuple):
    """Pictures on one subject, with a title and a text, and perhaps a table."""

    title: str
    text: str
    pictures: list[Picture]
    rows: Rows = []  # noqa: RUF012 - never changed


def draw_sections(run: RunFolder) -> list[Section]:
    """Draw all pictures for which the run has files.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib.style

    sections = []
    # Not in the style that the user has set: all reports look alike.
    with matplotlib.style.context("default"):
        if run.history.epochs:
            sections.append(_training(run))
        if run.history.changes or run.history.has("explored"):
            sections.append(_turnover(run))
        if run.model is not None:
            sections += _model_sections(run)
    return sections


def _training(run: RunFolder) -> Section:
    display = plots.TrainingDisplay.from_history(
        run.history, score_name=score_name(run)
    )
    alts = [
        _curves_text("Loss", display.epochs, display.losses),
        _curves_text(display.score_name, display.epochs, display.scores),
    ]
    return Section(
        "Training",
        "Loss and score by epoch; validation uses the held-out part of the data. Ticks "
        "at the bottom mark topology updates.",
        draw_panels(display, alts),
    )


def _turnover(run: RunFolder) -> Section:
    display = plots.TurnoverDisplay.from_history(run.history)
    parts = [
        f"{layer_label(layer, display.n_layers)} from {share_text(shares[0])} to "
        f"{share_text(shares[-1])}"
        for layer, (_, shares) in display.turnover.items()
    ]
    replaced = "; ".join(parts) or "no updates"
    alts = [f"Share of connections that updates replaced: {replaced}."]
    if display.explored[0].size:
        last = share_text(display.explored[1][-1])
        alts.append(
            f"Share of all cells that have been connected, by epoch: {last} at the end."
        )
    return Section(
        "Topology updates",
        "Share of its connections that each layer replaced.",
        draw_panels(display, alts),
    )


def _model_sections(run: RunFolder) -> list[Section]:
    model = run.model
    assert model is not None
    n_layers = len(model.layers)
    shown = list(range(n_layers))
    remark = ""
    if n_layers > MOST_LAYERS:
        shown = [*range(MOST_LAYERS - 1), n_layers - 1]
        remark = (
            f" Only the first {MOST_LAYERS - 1} of {n_layers} layers and the last one "
            "are shown."
        )
    layers = plots.LayersDisplay.from_model(model)
    features = plots.InputConnectivityDisplay.from_model(model, values="strength")
    pattern = plots.SparsityPatternDisplay.from_model(model, layers=shown)
    degrees = plots.DegreeDisplay.from_model(model, layers=shown)
    weights = plots.WeightHistogramDisplay.from_model(model, layers=shown)
    names = [layer_label(index, n_layers) for index in shown]
    return [
        Section(
            "Connections by layer",
            "A hidden neuron without incoming or without outgoing connections is dead.",
            draw_panels(layers, _layers_texts(layers)),
        ),
        Section(
            "Input features",
            "Sum of the absolute weights of each feature's connections.",
            draw_panels(features, [_features_text(features)]),
        ),
        Section(
            "Sparsity patterns",
            f"Rows are inputs, columns are outputs.{remark}",
            draw_panels(pattern, _pattern_texts(pattern, names)),
        ),
        Section(
            "Degrees",
            "Number of connections of the neurons on either side of a layer, beside "
            f"those in a random graph of the same density.{remark}",
            draw_panels(degrees, _degree_texts(degrees, n_layers)),
        ),
        Section(
            "Weights",
            f"The range of the axis differs from layer to layer.{remark}",
            draw_panels(weights, _weight_texts(weights, names)),
        ),
    ]


def _curves_text(what: str, epochs: list[float], curves: dict[str, list[float]]) -> str:
    parts = []
    for name, values in curves.items():
        known = [value for value in values if math.isfinite(value)]
        parts.append(f"{name} from {known[0]:.4g} to {known[-1]:.4g}")
    count = f"{len(epochs)} epoch{'' if len(epochs) == 1 else 's'}"
    return f"{what.capitalize()} of {count}: {', '.join(parts) or 'unknown'}."


def _layers_texts(display: plots.LayersDisplay) -> list[str]:
    nnz = ", ".join(f"{count:,}" for count in display.nnz)
    dead = ", ".join(f"{each.total:,} of {each.n_neurons:,}" for each in display.dead)
    return [f"Connections by layer: {nnz}.", f"Dead neurons by hidden layer: {dead}."]


def _pattern_texts(
    display: plots.SparsityPatternDisplay, names: list[str]
) -> list[str]:
    return [
        f"Pattern of {name}: {each.nnz:,} of {each.n_in:,} x {each.n_out:,} cells are "
        "connected."
        for name, each in zip(names, display.patterns, strict=True)
    ]


def _degree_texts(display: plots.DegreeDisplay, n_layers: int) -> list[str]:
    return [
        f"{each.side.capitalize()}-degrees of {layer_label(each.layer, n_layers)}, "
        f"from {each.lowest:,} to {each.highest:,}, on average {each.mean:.3g}."
        for each in display.degrees
    ]


def _weight_texts(display: plots.WeightHistogramDisplay, names: list[str]) -> list[str]:
    return [
        f"Histogram of the {each.counts.sum():,} weights of {name}, at most "
        f"{each.edges[-1]:.3g} from 0."
        for name, each in zip(names, display.histograms, strict=True)
    ]


def _features_text(display: plots.InputConnectivityDisplay) -> str:
    values, shape = display.values, display.image_shape
    kind = f"as an image of {shape[0]} x {shape[1]}" if shape else "as a curve"
    return (
        f"Sum of absolute weights of {values.size:,} features, {kind}: from "
        f"{values.min():.3g} to {values.max():.3g}."
    )


def draw_panels(display: Display, alts: Iterable[str]) -> list[Picture]:
    """Draw each panel as a separate figure, so that a narrow page can stack them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures = []
    rows, columns = display.shape
    for _ in range(rows * columns):
        figure = Figure(display.panel_size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figures.append(figure)
    display.plot(ax=[figure.subplots() for figure in figures])
    # The last panels of a grid may be empty; they have no text.
    return [_picture(figure, alt) for figure, alt in zip(figures, alts, strict=False)]


def _picture(figure: Any, alt: str) -> Picture:
    # Pillow comes with matplotlib. savefig would draw twice, for the layout.
    from PIL import Image

    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    # One byte a pixel: a third of the size.
    small = image.quantize(256, dither=Image.Dither.NONE)
    out = io.BytesIO()
    small.save(out, format="png", optimize=True)
    return Picture(out.getvalue(), small.width, small.height, alt)
