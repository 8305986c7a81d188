"""Parts of an analysis on which neurons are connected, and how strongly."""

import numpy as np

from truesparse import plots
from truesparse.analysis import displays
from truesparse.commands.analysis_facts import Analysis
from truesparse.commands.analysis_parts import MOST_LAYERS, PLUS_MINUS, Part
from truesparse.commands.report_summary import Rows
from truesparse.plots.display import Display, layer_label, share_text
from truesparse.plots.pattern import Pattern


def structure_part(analysis: Analysis) -> Part | None:
    """Return sizes, neurons on paths and components, if they were counted."""
    result = analysis.structure
    if result is None:
        return None
    rows: Rows = []
    cells = sum(each.n_in * each.n_out for each in result.layers)
    remaining = sum(each.remaining_cells for each in result.layers)
    for each in result.layers:
        rows.append(
            (
                layer_label(each.layer, len(result.layers)),
                f"{each.nnz:,} connections, density {share_text(each.density)}; "
                f"empty inputs {share_text(each.empty_inputs / each.n_in)}, empty "
                f"neurons {share_text(each.empty_outputs / each.n_out)}",
            )
        )
    active = " - ".join(f"{n:,}" for n in result.active)
    on_paths = ", ".join(f"{each.on_paths:,} of {each.nnz:,}" for each in result.layers)
    rows += [
        ("neurons on a path", active),
        (
            "without empty neurons",
            f"{remaining:,} of {cells:,} dense cells, {share_text(remaining / cells)}",
        ),
        (
            "neurons on a path alone",
            f"{result.active_cells:,} cells, {share_text(result.active_cells / cells)}",
        ),
        (
            "chains",
            f"{result.chains:,} connections that lead nowhere or come from nowhere",
        ),
        (
            "components",
            f"{result.n_components:,}, the largest of {result.largest_component:,} "
            f"neurons; {result.isolated:,} neurons have no connection",
        ),
    ]
    return Part(
        "Structure",
        "A neuron is on a path if connections lead from a feature through it to an "
        "output; all others can go without a change of any prediction. Empty inputs "
        "and neurons of a layer are those without a connection in it.",
        rows,
        [
            (
                displays.StructureDisplay(result),
                [
                    f"Neurons on a path by layer: {active}.",
                    f"Connections on a path by layer: {on_paths}.",
                ],
            )
        ],
    )


def degrees_part(analysis: Analysis) -> Part | None:
    """Return connections and sums of weights by neuron, if they were counted."""
    result = analysis.structure
    if result is None:
        return None
    rows: Rows = []
    for each in result.layers:
        name = layer_label(each.layer, len(result.layers))
        for side, degree, strength in (
            ("out", each.out_degree, each.out_strength),
            ("in", each.in_degree, each.in_strength),
        ):
            rows.append(
                (
                    f"{name}, {side}",
                    f"degree {degree.mean:.4g} {PLUS_MINUS} {degree.deviation:.3g}, "
                    f"{degree.low:,.0f} to {degree.high:,.0f}; strength "
                    f"{strength.mean:.4g} {PLUS_MINUS} {strength.deviation:.3g}",
                )
            )
    shown = _shown(analysis)
    degrees = plots.DegreeDisplay.from_model(analysis.model, layers=shown)
    strengths = plots.StrengthDisplay.from_model(analysis.model, layers=shown)
    return Part(
        "Degrees and strengths",
        "Connections of a neuron, and the sum of their absolute weights; out of the "
        "inputs of a layer, in to its neurons. Means and standard deviations over "
        "neurons; pictures of degrees show a random layer of the same density, too.",
        rows,
        [
            (
                degrees,
                [
                    f"{each.side.capitalize()}-degrees of layer {each.layer + 1}, from "
                    f"{each.lowest:,} to {each.highest:,}."
                    for each in degrees.degrees
                ],
            ),
            (
                strengths,
                [
                    f"{each.side.capitalize()}-strengths of layer {each.layer + 1}, "
                    f"from {each.lowest:.3g} to {each.highest:.3g}."
                    for each in strengths.strengths
                ],
            ),
        ],
    )


def weights_part(analysis: Analysis) -> Part | None:
    """Return the weights of each layer, if the structure was measured."""
    result = analysis.structure
    if result is None:
        return None
    rows: Rows = [
        (
            layer_label(each.layer, len(result.layers)),
            f"mean {each.weight.mean:.3g}, deviation {each.weight.deviation:.3g}, "
            f"from {each.weight.low:.3g} to {each.weight.high:.3g}",
        )
        for each in result.layers
    ]
    shown = _shown(analysis)
    display = plots.WeightHistogramDisplay.from_model(analysis.model, layers=shown)
    return Part(
        "Weights",
        "The range of the axis differs from layer to layer.",
        rows,
        [(display, [f"Histogram of the weights of layer {i + 1}." for i in shown])],
    )


def features_part(analysis: Analysis) -> Part | None:
    """Return connections and sums of weights by feature, if features are an image."""
    if not analysis.features:
        return None
    shape = analysis.features[0].image_shape or ()
    degrees, strengths = (each.values for each in analysis.features)
    text = " x ".join(str(side) for side in shape)
    n_empty = int(np.count_nonzero(degrees == 0))
    rows: Rows = [
        ("image", f"{text}, {degrees.size:,} features"),
        (
            "connections",
            f"{_spread_text(degrees)}, from {degrees.min():,} to {degrees.max():,}",
        ),
        (
            "sum of |weight|",
            f"{_spread_text(strengths)}, from {strengths.min():.3g} to "
            f"{strengths.max():.3g}",
        ),
        ("without connections", f"{n_empty:,}, {share_text(n_empty / degrees.size)}"),
    ]
    pictures: list[tuple[Display, list[str]]] = []
    for display, (name, values) in zip(analysis.features, rows[1:3], strict=True):
        _, n_panels = display.shape
        alt = f"Features as an image of {text}, {name}: {values}"
        alts = [f"{alt}; channel {i + 1}." for i in range(n_panels)]
        pictures.append((display, [f"{alt}."] if n_panels == 1 else alts))
    return Part(
        "Input maps",
        "Connections of each feature, and the sum of their absolute weights, where the "
        "feature is in the image. Means and standard deviations over features.",
        rows,
        pictures,
    )


def patterns_part(analysis: Analysis) -> Part | None:
    """Return which cells are connected, if the structure was measured."""
    if analysis.structure is None:
        return None
    display = plots.SparsityPatternDisplay.from_model(
        analysis.model, layers=_shown(analysis)
    )
    rows: Rows = [
        (layer_label(each.layer, display.n_layers), _pattern_text(each))
        for each in display.patterns
    ]
    return Part(
        "Sparsity patterns",
        "Which cells are connected: rows are inputs, columns are outputs. Small layers "
        "show every connection; larger ones the density of bins of neighbouring cells.",
        rows,
        [(display, [f"Pattern of {name}: {text}." for name, text in rows])],
    )


def _pattern_text(pattern: Pattern) -> str:
    sizes = f"{pattern.n_in:,} x {pattern.n_out:,} cells"
    if pattern.counts is None:
        return f"{pattern.nnz:,} connections in {sizes}"
    n_rows, n_columns = pattern.counts.shape
    empty = float((pattern.counts == 0).mean())
    return (
        f"{n_rows} x {n_columns} bins of {sizes}, densities from "
        f"{share_text(pattern.densities.min())} to "
        f"{share_text(pattern.densities.max())}; {share_text(empty)} of them are empty"
    )


def _shown(analysis: Analysis) -> list[int]:
    """Return the numbers of the layers that pictures show."""
    return list(range(min(len(analysis.model.layers), MOST_LAYERS)))


def _spread_text(numbers: np.ndarray) -> str:
    return f"{numbers.mean():.4g} {PLUS_MINUS} {numbers.std():.3g}"
