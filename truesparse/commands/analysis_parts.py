"""The parts of an analysis for a reader: each a table, and perhaps a picture."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from truesparse import plots
from truesparse.analysis import displays
from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.spectra import LayerRank, total
from truesparse.commands.analysis_facts import Analysis
from truesparse.commands.report_pictures import Section, draw_panels
from truesparse.commands.report_summary import Rows
from truesparse.errors import UsageError
from truesparse.plots.display import Display, layer_label, share_text

# Of deeper nets pictures show the first layers.
_MOST_LAYERS = 8
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


class Part(NamedTuple):
    """A table on one subject, with the picture that belongs to it."""

    title: str
    text: str
    rows: Rows
    display: Display | None
    alts: list[str]  # a description of each panel


def parts_of(analysis: Analysis) -> list[Part]:
    """Return the parts of an analysis, without those that were not measured."""
    makers = (_robustness, _ranks, _structure, _degrees, _weights, _graph, _densities)
    return [part for make in makers if (part := make(analysis)) is not None]


def as_text(parts: Iterable[Part]) -> str:
    """Return the tables as text of fixed width."""
    lines = []
    for part in parts:
        if part.rows:
            lines += ["", part.title]
            width = max(len(name) for name, _ in part.rows)
            lines += [f"  {name.ljust(width)}  {text}" for name, text in part.rows]
    return "\n".join(lines[1:])


def as_sections(parts: Iterable[Part]) -> list[Section]:
    """Draw the parts for a report.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    import matplotlib.style

    sections = []
    # Not in the style that the user has set: all reports look alike.
    with matplotlib.style.context("default"):
        for part in parts:
            pictures = []
            if part.display is not None:
                pictures = draw_panels(part.display, part.alts)
            sections.append(Section(part.title, part.text, pictures, part.rows))
    return sections


def _robustness(analysis: Analysis) -> Part | None:
    if not analysis.curves:
        return None
    rows: Rows = [("data", analysis.data)]
    for curve in analysis.curves:
        text = f"area {curve.area:.3f}"
        if len(curve.accuracies) > 1:
            text += f" {_PLUS_MINUS} {curve.area_spread:.3f}"
        text += f", normalised {curve.normalised_area:.3f}"
        if curve.strength is not None:
            text += f", x = 1 is a step of {curve.strength:.3g} in every feature"
        rows.append((LABELS.get(curve.perturbation, curve.perturbation), text))
    clean = float(analysis.curves[0].accuracies[0, 0])
    rows.insert(1, ("accuracy", share_text(clean)))
    rows.insert(2, ("best constant answer", share_text(analysis.curves[0].chance)))
    alt = ", ".join(f"{name}: {text}" for name, text in rows[3:])
    return Part(
        "Robustness",
        "Accuracy against the fraction of connections perturbed, without further "
        "training. The area under a curve is 1 for a classifier that never fails; "
        "normalised areas count accuracy between that of the best constant answer (0) "
        "and that of the network as it is (1). The read-out is not perturbed. Numbers "
        f"after {_PLUS_MINUS} and bands are standard deviations over seeds. The curve "
        "of shuffled weights need not fall: it depends on whether a bin mixes signs.",
        rows,
        displays.RobustnessDisplay(analysis.curves),
        [f"Accuracy by fraction perturbed. {alt}."],
    )


def _ranks(analysis: Analysis) -> Part | None:
    if not analysis.ranks:
        return None
    n_layers = len(analysis.model.layers)
    rows: Rows = [
        (layer_label(each.layer, n_layers), _rank_text(each)) for each in analysis.ranks
    ]
    if len(analysis.ranks) > 1:
        rows.append(("sum", _rank_text(total(analysis.ranks))))
    shown = analysis.ranks[:_MOST_LAYERS]
    return Part(
        "Ranks",
        "The effective rank is the exponential of the entropy of the singular values; "
        "the stable rank compares all of them with the largest. The read-out is left "
        f"out. Numbers after {_PLUS_MINUS} are standard errors of estimates.",
        rows,
        displays.RanksDisplay(shown, n_layers),
        ["Ranks. " + "; ".join(f"{name}: {text}" for name, text in rows) + "."],
    )


def _rank_text(rank: LayerRank) -> str:
    def text(value: float, error: float) -> str:
        return f"{value:,.1f}" + (f" {_PLUS_MINUS} {error:.2g}" if error else "")

    return (
        f"effective {text(rank.effective, rank.effective_error)}, "
        f"stable {text(rank.stable, rank.stable_error)}, of {rank.bound:,}"
    )


def _structure(analysis: Analysis) -> Part | None:
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
        displays.StructureDisplay(result),
        [
            f"Neurons on a path by layer: {active}.",
            f"Connections on a path by layer: {on_paths}.",
        ],
    )


def _degrees(analysis: Analysis) -> Part | None:
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
                    f"degree {degree.mean:.4g} {_PLUS_MINUS} {degree.deviation:.3g}, "
                    f"{degree.low:,.0f} to {degree.high:,.0f}; strength "
                    f"{strength.mean:.4g} {_PLUS_MINUS} {strength.deviation:.3g}",
                )
            )
    shown = list(range(min(len(result.layers), _MOST_LAYERS)))
    display = plots.DegreeDisplay.from_model(analysis.model, layers=shown)
    return Part(
        "Degrees and strengths",
        "Connections of a neuron, and the sum of their absolute weights; out of the "
        "inputs of a layer, in to its neurons. Means and standard deviations over "
        "neurons; pictures show a random layer of the same density, too.",
        rows,
        display,
        [
            f"{each.side.capitalize()}-degrees of layer {each.layer + 1}, from "
            f"{each.lowest:,} to {each.highest:,}."
            for each in display.degrees
        ],
    )


def _weights(analysis: Analysis) -> Part | None:
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
    shown = list(range(min(len(result.layers), _MOST_LAYERS)))
    display = plots.WeightHistogramDisplay.from_model(analysis.model, layers=shown)
    return Part(
        "Weights",
        "The range of the axis differs from layer to layer.",
        rows,
        display,
        [f"Histogram of the weights of layer {i + 1}." for i in shown],
    )


def _graph(analysis: Analysis) -> Part | None:
    if not analysis.graph:
        return None
    n_layers = len(analysis.model.layers)

    def text(value: float, error: float) -> str:
        return f"{value:.4g}" + (f" {_PLUS_MINUS} {error:.1g}" if error else "")

    rows: Rows = [
        (
            layer_label(each.layer, n_layers),
            f"clustering {text(each.clustering, each.clustering_error)}, path length "
            f"{text(each.path_length, each.path_length_error)}, modularity "
            f"{each.modularity:.3f} in {each.n_communities} communities, small world "
            f"{each.small_world:.3g}",
        )
        for each in analysis.graph
    ]
    return Part(
        "Graph",
        "Each layer as a bipartite graph: the share of paths of 3 connections that a "
        "fourth closes; the mean number of steps between neurons; the largest "
        "modularity that was seen; and clustering over path length beside a random "
        "layer of the same density, which has 1. Numbers after "
        f"{_PLUS_MINUS} are standard errors of samples.",
        rows,
        None,
        [],
    )


def _densities(analysis: Analysis) -> Part | None:
    if analysis.history is None:
        return None
    try:
        display = displays.DensityDisplay.from_history(analysis.history)
    except UsageError:
        return None  # the run had no updates
    rows: Rows = []
    for layer, (_, shares) in display.densities.items():
        text = f"{share_text(shares[0])} after the first update, "
        text += f"{share_text(shares[-1])} after the last of {shares.size:,}"
        rows.append((layer_label(layer, display.n_layers), text))
    explored: list[Any] = [
        value for value in analysis.history.column("explored") if value == value
    ]
    if explored:
        rows.append(("cells explored", share_text(explored[-1])))
    alt = "; ".join(f"{name}: {text}" for name, text in rows)
    return Part(
        "Densities in training",
        "Share of the cells of each layer that are connected, after each update of "
        "the topology.",
        rows,
        display,
        [f"Densities. {alt}."],
    )
