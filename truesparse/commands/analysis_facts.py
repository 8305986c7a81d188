"""The measures that truesparse.analyse takes of a model, as data."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from truesparse.analysis import (
    PERTURBATIONS,
    GraphMeasures,
    LayerRank,
    RobustnessCurve,
    Structure,
    adversarial,
    graph_measures,
    layer_ranks,
    robustness,
    structure,
)
from truesparse.analysis.displays import OverlapDisplay
from truesparse.analysis.spectra import total
from truesparse.common.checks import check_whole
from truesparse.errors import TruesparseError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots import InputConnectivityDisplay
from truesparse.plots.run_records import History

MEASURES = ("structure", "ranks", "graph", "robustness")
# Each channel of an image has its pictures.
_MOST_CHANNELS = 16


@dataclasses.dataclass
class Analysis:
    """What was measured of a model.

    Attributes
    ----------
    source : str
        The run folder or model file.
    model : SparseMLP
    structure : Structure or None
    ranks : list of LayerRank
    graph : list of GraphMeasures
    curves : list of RobustnessCurve
    perturbed : list of int
        The layers that the curves perturb, from 0.
    features : list of InputConnectivityDisplay
        Connections and strengths of features that are an image.
    other : str
        Another run folder or model file.
    overlap : OverlapDisplay or None
        How far the topology agrees with that one.
    data : str
        The data that accuracies were measured on, with the number of samples.
    history : History or None
        Records of the run, if it is a run.
    notes : list of str
        Sentences on what could not be measured.
    """

    source: str
    model: SparseMLP
    structure: Structure | None = None
    ranks: list[LayerRank] = dataclasses.field(default_factory=list)
    graph: list[GraphMeasures] = dataclasses.field(default_factory=list)
    curves: list[RobustnessCurve] = dataclasses.field(default_factory=list)
    perturbed: list[int] = dataclasses.field(default_factory=list)
    features: list[InputConnectivityDisplay] = dataclasses.field(default_factory=list)
    other: str = ""
    overlap: OverlapDisplay | None = None
    data: str = ""
    history: History | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return everything in types that JSON has; NaN and infinity become None."""
        facts: dict[str, Any] = {
            "source": self.source,
            "layer_sizes": list(self.model.layer_sizes),
            "nnz": self.model.nnz,
            "density": self.model.density,
            "notes": self.notes,
        }
        if self.structure is not None:
            facts["structure"] = _structure_facts(self.structure)
        if self.ranks:
            facts["ranks"] = {
                "layers": [each._asdict() for each in self.ranks],
                "sum": total(self.ranks)._asdict(),
            }
        if self.graph:
            facts["graph"] = [each._asdict() for each in self.graph]
        if self.curves:
            curves = [each.to_json() for each in self.curves]
            where = {"data": self.data, "layers": self.perturbed}
            facts["robustness"] = {**where, "curves": curves}
        if self.features:
            degrees, strengths = (each.values.tolist() for each in self.features)
            facts["features"] = {
                "image_shape": self.features[0].image_shape,
                "degrees": degrees,
                "strengths": strengths,
            }
        if self.overlap is not None:
            facts["overlap"] = {
                "with": self.other,
                "layers": self.overlap.shares,
                "random": self.overlap.random,
            }
        return _finite(facts)


def measure(
    analysis: Analysis,
    measures: tuple[str, ...],
    samples: tuple[Any, Any] | None,
    say: Callable[[str], None],
    *,
    n_points: int,
    n_seeds: int,
    seed: int,
    layers: list[int] | None = None,
    scope: str | None = None,
    image_shape: tuple[int, ...] | None = None,
) -> None:
    """Take the measures, each as far as the model and the samples allow.

    Parameters
    ----------
    analysis : Analysis
        Filled in; what cannot be measured is noted there.
    measures : tuple of str
        Some of MEASURES.
    samples : (data, targets) or None
        Scaled samples and their targets; without them there are no curves.
    say : callable
        Takes a line on what is being done.
    n_points, n_seeds : int
        Points of a curve, and seeds of perturbations that are random.
    seed : int
        Decides what is sampled.
    layers : list of int, optional
        The layers to perturb, see `perturbed_layers`; by default all that are connected
        but the read-out.
    scope : str, optional
        See `robustness`.
    image_shape : tuple of int, optional
        How features are an image, see `InputConnectivityDisplay.from_model`.
    """
    model = analysis.model
    n_before = max(len(model.layers) - 1, 1)  # all but the read-out
    connected = [i for i in range(n_before) if model.layers[i].connections.nnz]
    if empty := n_before - len(connected):
        analysis.notes.append(
            f"{empty} of the layers before the read-out have no connections: they are "
            "left out of ranks, graphs and perturbations."
        )
    if "structure" in measures:
        say("measuring the structure ...")
        analysis.structure = structure(model)
        maps = [
            InputConnectivityDisplay.from_model(
                model, values=values, image_shape=image_shape
            )
            for values in ("degree", "strength")
        ]
        if maps[0].image_shape is not None:
            analysis.features = maps
    for index in connected:
        if "ranks" in measures:
            say(f"computing the ranks of layer {index + 1} ...")
            _attempt(analysis, "ranks", layer_ranks, model, index, seed=seed)
        if "graph" in measures:
            say(f"measuring the graph of layer {index + 1} ...")
            _attempt(analysis, "graph", graph_measures, model, index, seed=seed)
    analysis.perturbed = connected if layers is None else layers
    if "robustness" not in measures or not analysis.perturbed:
        return
    if samples is None:
        analysis.notes.append("There are no robustness curves: give --data.")
        return
    for name in PERTURBATIONS:
        say(f"perturbing connections: {name} ...")
        curve = robustness(
            model,
            *samples,
            name,
            fractions=n_points,
            seeds=n_seeds,
            scope=scope,
            layers=analysis.perturbed,
        )
        analysis.curves.append(curve)
    say("perturbing the input ...")
    analysis.curves.append(adversarial(model, *samples, fractions=n_points))


def take_samples(data: Any, targets: Any, n: int, seed: int) -> tuple[Any, Any]:
    """Return at most n random samples, in their order."""
    if len(targets) <= n:
        return data, targets
    chosen = np.random.default_rng(seed).choice(len(targets), n, replace=False)
    chosen.sort()
    return data[chosen], targets[chosen]


def as_measures(text: str) -> tuple[str, ...]:
    """Return the measures that words separated by commas name, or raise UsageError."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise UsageError(
            f"--only takes some of {', '.join(MEASURES)}, separated by commas, got "
            f"{unknown[0]!r}"
        )
    return names


def perturbed_layers(numbers: Iterable[int], model: SparseMLP) -> list[int]:
    """Return the layers that --layers names from 1, from 0; UsageError if it cannot."""
    layers = set()
    for number in numbers:
        layers.add(check_whole("--layers", number, 1, len(model.layers)) - 1)
        if model.layers[number - 1].connections.nnz == 0:
            raise UsageError(
                f"--layers: layer {number} has no connections that could be perturbed; "
                "leave it out"
            )
    return sorted(layers)


def as_image_shape(shape: tuple[int, ...], n_features: int) -> tuple[int, ...]:
    """Return the shape that --shape gives, or raise UsageError."""
    is_image = len(shape) in (2, 3) and math.prod(shape) == n_features
    if not is_image or min(shape) < 1 or max(shape[2:], default=1) > _MOST_CHANNELS:
        raise UsageError(
            f"--shape must be H,W or H,W,C with a product of {n_features:,}, the "
            f"number of features, and at most {_MOST_CHANNELS} channels C, got "
            f"{','.join(map(str, shape))}"
        )
    return shape


def _attempt(analysis: Analysis, name: str, function: Any, *args, **options) -> None:
    """Add what a function returns, or a note on why there is none."""
    try:
        getattr(analysis, name).extend(function(*args, **options))
    except TruesparseError as error:
        analysis.notes.append(f"{name}: {error}.")


def _structure_facts(result: Structure) -> dict[str, Any]:
    layers = []
    for layer in result.layers:
        facts = {
            name: value._asdict() if hasattr(value, "_asdict") else value
            for name, value in layer._asdict().items()
        }
        derived = {"density": layer.density, "remaining_cells": layer.remaining_cells}
        layers.append(facts | derived)
    derived = {"active_cells": result.active_cells, "chains": result.chains}
    return {**result._asdict(), **derived, "layers": layers}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
