"""Parts of an analysis for a reader, each a table and perhaps pictures.

Here are those on accuracies, ranks, graphs and other topologies; see structure_parts.
"""

import math
from typing import Any, NamedTuple

from truesparse.analysis import displays
from truesparse.analysis.displays.accuracy_curves import LABELS
from truesparse.analysis.spectra import LayerRank, total
from truesparse.commands.analysis_facts import Analysis
from truesparse.commands.report_summary import Rows
from truesparse.errors import UsageError
from truesparse.plots.display import Display, layer_label, share_text

# Of deeper nets pictures show the first layers.
MOST_LAYERS = 8
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


class Part(NamedTuple):
    """A table on one subject, with the pictures that belong to it."""

    title: str
    text: str
    rows: Rows
    # Each display with a description of each of its panels.
    pictures: list[tuple[Display, list[str]]]


def robustness_part(analysis: Analysis) -> Part | None:
    """Return accuracies of perturbed networks and inputs, if there are any."""
    if not analysis.curves:
        return None
    curves: Rows = []
    for curve in analysis.curves:
        text = f"area {curve.area:.3f}"
        if len(curve.accuracies) > 1:
            text += f" {PLUS_MINUS} {curve.area_spread:.3f}"
        if math.isfinite(curve.normalised_area):
            text += f", normalised {curve.normalised_area:.3f}"
        else:
            text += ", not normalised: no better than the best constant answer"
        if curve.strength is not None:
            text += f", x = 1 is a step of {curve.strength:.3g} in every feature"
        curves.append((LABELS.get(curve.perturbation, curve.perturbation), text))
    rows: Rows = [
        ("data", analysis.data),
        ("accuracy", share_text(float(analysis.curves[0].accuracies[0, 0]))),
        ("best constant answer", share_text(analysis.curves[0].chance)),
        ("layers perturbed", _perturbed_text(analysis)),
        *curves,
    ]
    alt = ", ".join(f"{name}: {text}" for name, text in curves)
    return Part(
        "Robustness",
        "Accuracy against the fraction of connections perturbed, without further "
        "training. The area under a curve is 1 for a classifier that never fails; "
        "normalised areas count accuracy between that of the best constant answer (0) "
        f"and that of the network as it is (1). Numbers after {PLUS_MINUS} and bands "
        "are standard deviations over seeds. The curve of shuffled weights need not "
        "fall: it depends on whether a bin mixes signs.",
        rows,
        [
            (
                displays.RobustnessDisplay(analysis.curves),
                [f"Accuracy by fraction perturbed. {alt}."],
            )
        ],
    )


def _perturbed_text(analysis: Analysis) -> str:
    """Return which layers are perturbed, and which weights are ranked together."""
    numbers = [str(index + 1) for index in analysis.perturbed]
    if len(numbers) == 1:
        return numbers[0]
    text = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    scopes = {curve.scope for curve in analysis.curves if curve.scope}
    if scopes == {"joint"}:
        return f"{text}, ranked together"
    if scopes == {"layer"}:
        return f"{text}, ranked one by one"
    return f"{text}, ranked together for removal, one by one for shuffling and noise"


def ranks_part(analysis: Analysis) -> Part | None:
    """Return effective and stable ranks, if they were computed."""
    if not analysis.ranks:
        return None
    n_layers = len(analysis.model.layers)
    rows: Rows = [
        (layer_label(each.layer, n_layers), _rank_text(each)) for each in analysis.ranks
    ]
    if len(analysis.ranks) > 1:
        rows.append(("sum", _rank_text(total(analysis.ranks))))
    shown = analysis.ranks[:MOST_LAYERS]
    return Part(
        "Ranks",
        "The effective rank is the exponential of the entropy of the singular values; "
        "the stable rank compares all of them with the largest. The read-out is left "
        f"out. Numbers after {PLUS_MINUS} are standard errors of estimates.",
        rows,
        [(displays.RanksDisplay(shown, n_layers), [f"Ranks. {_in_words(rows)}."])],
    )


def _in_words(rows: Rows) -> str:
    return "; ".join(f"{name}: {text}" for name, text in rows)


def _rank_text(rank: LayerRank) -> str:
    def text(value: float, error: float) -> str:
        return f"{value:,.1f}" + (f" {PLUS_MINUS} {error:.2g}" if error else "")

    return (
        f"effective {text(rank.effective, rank.effective_error)}, "
        f"stable {text(rank.stable, rank.stable_error)}, of {rank.bound:,}"
    )


def graph_part(analysis: Analysis) -> Part | None:
    """Return the measures of each layer's graph, if they were taken."""
    if not analysis.graph:
        return None
    n_layers = len(analysis.model.layers)

    def text(value: float, error: float) -> str:
        return f"{value:.4g}" + (f" {PLUS_MINUS} {error:.1g}" if error else "")

    rows: Rows = [
        (
            layer_label(each.layer, n_layers),
            f"clustering {text(each.clustering, each.clustering_error)} (random "
            f"{each.random_clustering:.4g}), path length "
            f"{text(each.path_length, each.path_length_error)} (random "
            f"{each.random_path_length:.4g}), modularity {each.modularity:.3f} in "
            f"{each.n_communities} communities, small world {each.small_world:.3g}",
        )
        for each in analysis.graph
    ]
    shown = analysis.graph[:MOST_LAYERS]
    names = [layer_label(each.layer, n_layers) for each in shown]
    clustering, lengths = (
        ", ".join(
            f"{name} {getattr(each, field):.3g}, random {getattr(each, random):.3g}"
            for name, each in zip(names, shown, strict=True)
        )
        for field, random in (
            ("clustering", "random_clustering"),
            ("path_length", "random_path_length"),
        )
    )
    return Part(
        "Graph",
        "Each layer as a bipartite graph: the share of paths of 3 connections that a "
        "fourth closes; the mean number of steps between neurons; the largest "
        "modularity that was seen; and clustering over path length beside a random "
        "layer of the same size and density, which has 1. Numbers after "
        f"{PLUS_MINUS} are standard errors of samples.",
        rows,
        [
            (
                displays.GraphDisplay(shown, n_layers),
                [f"Clustering: {clustering}.", f"Path length: {lengths}."],
            )
        ],
    )


def overlap_part(analysis: Analysis) -> Part | None:
    """Return how far the topology agrees with another one, if one was given."""
    result = analysis.overlap
    if result is None:
        return None
    rows: Rows = [
        (
            layer_label(index, result.n_layers),
            f"{share_text(share)}, two random layers {share_text(random)}",
        )
        for index, (share, random) in enumerate(
            zip(result.shares, result.random, strict=True)
        )
    ]
    shown = displays.OverlapDisplay(
        result.shares[:MOST_LAYERS], result.random[:MOST_LAYERS], result.n_layers
    )
    return Part(
        "Overlap",
        "Connections that both topologies have over those that at least one has, "
        "beside the overlap that two random layers of the same densities have on "
        "average.",
        [("with", analysis.other), *rows],
        [(shown, [f"Overlap by layer. {_in_words(rows[:MOST_LAYERS])}."])],
    )


def densities_part(analysis: Analysis) -> Part | None:
    """Return the densities of a run's layers, if it has updated its topology."""
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
    return Part(
        "Densities in training",
        "Share of the cells of each layer that are connected, after each update of "
        "the topology.",
        rows,
        [(display, [f"Densities. {_in_words(rows)}."])],
    )
