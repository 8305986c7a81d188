"""Accuracy against the fraction of connections perturbed, without further training.

One number sums up a curve: the area under accuracy(x) for x from 0 to 1, by the
trapezoidal rule, raw or normalised,

    area = integral of acc(x) dx
    normalised area = integral of (acc(x) - chance) / (acc(0) - chance) dx,

where chance is the accuracy of the best constant answer on the same data.
"""

import dataclasses
import itertools
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from truesparse.analysis.chosen import connected_layers, finite_model
from truesparse.analysis.perturbations import BY_LAYER, FIXED, PERTURBATIONS
from truesparse.analysis.twin import twin_of
from truesparse.common import rng
from truesparse.common.checks import check_whole, choose
from truesparse.errors import DataError, UsageError
from truesparse.losses import require_finite
from truesparse.network import inputs
from truesparse.network.sparse_mlp import SparseMLP

N_POINTS, N_SEEDS = 51, 5
# Samples sent through the network together; the result does not depend on it, but for
# the last bits of sums.
BATCH = 128
SCOPES = ("joint", "layer")


@dataclasses.dataclass(frozen=True)
class RobustnessCurve:
    """Accuracies of one perturbation, with one row for each seed.

    Attributes
    ----------
    perturbation : str
    fractions : (n_points,) float64 array
        Rising from 0 to 1.
    accuracies : (n_seeds, n_points) float64 array
        In [0, 1]; perturbations without chance have one row.
    chance : float
        Accuracy of the best constant answer.
    scope : {"joint", "layer"}
        Whether connections were ranked over all layers together, or in each layer.
        Empty for a perturbation of the input.
    strength : float or None
        The size of the step at x = 1, for a perturbation of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.analysis import RobustnessCurve
    >>> x, accuracies = np.array([0.0, 0.5, 1.0]), np.array([[0.9, 0.9, 0.5]])
    >>> curve = RobustnessCurve("random", x, accuracies, 0.5, "joint")
    >>> round(curve.area, 3), round(curve.normalised_area, 3)
    (0.8, 0.75)
    """

    perturbation: str
    fractions: np.ndarray
    accuracies: np.ndarray
    chance: float
    scope: str
    strength: float | None = None

    @property
    def areas(self) -> np.ndarray:
        """Area under the accuracy of every seed, (n_seeds,)."""
        return np.trapezoid(self.accuracies, self.fractions, axis=1)

    @property
    def normalised_areas(self) -> np.ndarray:
        """Areas between chance and the accuracy at 0, NaN if that is not above it."""
        above = self.accuracies[:, 0] - self.chance
        safe = np.where(above > 0, above, math.nan)
        return (self.areas - self.chance) / safe

    @property
    def area(self) -> float:
        """Mean of `areas`."""
        return float(self.areas.mean())

    @property
    def normalised_area(self) -> float:
        """Mean of `normalised_areas`."""
        return float(self.normalised_areas.mean())

    @property
    def area_spread(self) -> float:
        """Standard deviation of `areas` over the seeds, 0 for a single row."""
        return float(self.areas.std(ddof=1)) if len(self.accuracies) > 1 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the curve and its areas in types that JSON has."""
        normalised = self.normalised_area
        return {
            "perturbation": self.perturbation,
            "scope": self.scope,
            "strength": self.strength,
            "chance": self.chance,
            "fractions": self.fractions.tolist(),
            "accuracies": self.accuracies.tolist(),
            "area": self.area,
            "area_spread": self.area_spread,
            "normalised_area": normalised if math.isfinite(normalised) else None,
        }


def robustness(
    model: Any,
    data: Any,
    targets: Any,
    perturbation: str = "random",
    *,
    fractions: int | Sequence[float] = N_POINTS,
    seeds: int | Iterable[int] = N_SEEDS,
    scope: str | None = None,
    layers: Any = None,
    batch_size: int = BATCH,
) -> RobustnessCurve:
    """Measure the accuracy of a classifier whose connections are perturbed.

    The connections are ranked once for each seed; each point then costs one copy of
    the weights and the predictions. The model is not changed.

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path
        A classifier, with loss softmax or logistic.
    data : (n, n_features) array or scipy.sparse matrix
        Samples as the model takes them, that is scaled.
    targets : array
        Class numbers, or columns of 0 and 1, as for `Trainer.fit`; for an estimator
        the places of labels in its `classes_`.
    perturbation : str
        One of PERTURBATIONS, see analysis/perturbations.py.
    fractions : int or sequence of float
        Number of equally spaced points from 0 to 1, or the points.
    seeds : int or iterable of int
        Number of seeds from 0 on, or the seeds. Orders by weight need none.
    scope : {"joint", "layer"}, optional
        Whether the chosen layers are ranked together or one by one. By default
        together where connections are removed, and one by one for "shuffled" and
        "noise".
    layers : int or list of int, optional
        Numbers from 0; by default all layers but the read-out, which is the last one.
    batch_size : int

    Raises
    ------
    DataError
        If the samples do not suit the model, are all of one class, or the network's
        weights or outputs are not finite.
    UsageError
        If the model is a regression, a chosen layer has no connections, or an
        argument is not accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import robustness
    >>> X, y = np.eye(4), np.arange(4)
    >>> model = SparseMLP([4, 20, 4], density=1.0)
    >>> curve = robustness(model, X, y, "random", fractions=3, seeds=2)
    >>> curve.accuracies.shape, curve.chance
    ((2, 3), 0.25)
    """
    choose(perturbation, PERTURBATIONS, "perturbation")
    if scope is None:
        scope = "layer" if perturbation in BY_LAYER else "joint"
    choose(scope, SCOPES, "scope")
    points, chosen_seeds = as_fractions(fractions), _as_seeds(seeds)
    if perturbation in FIXED:
        chosen_seeds = chosen_seeds[:1]
    model = finite_model(model)
    chosen = connected_layers(model, layers)
    task = Task(model, data, targets, batch_size)
    flat = np.concatenate([model.layers[i].connections.values for i in chosen])
    values = flat.copy()
    bounds = np.cumsum([0, *(model.layers[i].connections.nnz for i in chosen)])
    parts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    twin = twin_of(
        model, {i: values[part] for i, part in zip(chosen, parts, strict=True)}
    )
    groups = [slice(None)] if scope == "joint" else parts
    accuracies = np.empty((len(chosen_seeds), points.size))
    for row, seed in zip(accuracies, chosen_seeds, strict=True):
        draws = [
            rng.stream(seed, rng.Purpose.PERTURBATION, layer=index)
            for index in range(len(groups))
        ]
        writes = [
            PERTURBATIONS[perturbation](flat[group], draw)
            for group, draw in zip(groups, draws, strict=True)
        ]
        for point, fraction in enumerate(points):
            for write, group in zip(writes, groups, strict=True):
                write(float(fraction), values[group])
            row[point] = task.accuracy(twin)
    return RobustnessCurve(perturbation, points, accuracies, task.chance, scope)


class Task:
    """Samples and targets of a classifier, checked once.

    Parameters
    ----------
    model : SparseMLP
    data, targets, batch_size
        See `robustness`.

    Attributes
    ----------
    source : array or Csr
        The samples as the model takes them.
    targets : array
        See `Loss.prepare_targets`.
    chance : float
        Accuracy of the best constant answer.

    Raises
    ------
    DataError, UsageError
        See `robustness`.
    """

    def __init__(self, model: SparseMLP, data: Any, targets: Any, batch_size: int):
        if model.loss.name not in ("softmax", "logistic"):
            raise UsageError(
                "robustness is measured by accuracy, which needs a classifier; this "
                f"model has the loss {model.loss.name}, of a regression"
            )
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.source = inputs.as_source_data(data, model.dtype, model.layer_sizes[0])
        self.targets = model.loss.prepare_targets(
            targets, model.layer_sizes[-1], model.dtype
        )
        n = inputs.n_samples(self.source)
        if n != len(self.targets):
            raise DataError(f"{n} samples but {len(self.targets)} targets")
        if n == 0:
            raise DataError("there are no samples; give at least two, of two classes")
        self.chance = _chance(self.targets)

    def accuracy(self, model: SparseMLP) -> float:
        """Return the accuracy of a model on the samples.

        Raises
        ------
        DataError
            If an output is NaN or infinite.
        """
        outputs = model.decision_function(self.source, self.batch_size)
        require_finite(outputs)
        return model.loss.score(outputs, self.targets)


def as_fractions(fractions: int | Sequence[float]) -> np.ndarray:
    """Return the points of a curve; UsageError unless they rise from 0 to 1."""
    if isinstance(fractions, numbers.Integral) and not isinstance(fractions, bool):
        return np.linspace(0.0, 1.0, check_whole("fractions", fractions, 2))
    try:
        points = np.asarray(fractions, np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    is_rising = (
        points.ndim == 1 and points.size > 1 and bool((np.diff(points) > 0).all())
    )
    if not is_rising or points[0] != 0.0 or points[-1] != 1.0:
        raise UsageError(
            "fractions must be a number of points of at least 2, or points that rise "
            f"from 0 to 1, both included, got {fractions!r}"
        )
    return points


def _as_seeds(seeds: int | Iterable[int]) -> list[int]:
    try:
        given = list(seeds)  # type: ignore[arg-type]
    except TypeError:  # one number
        return list(range(check_whole("seeds", seeds, 1)))
    if not given:
        raise UsageError("seeds must be a number, or at least one seed, got none")
    return [rng.check_seed(seed) for seed in given]


def _chance(targets: np.ndarray) -> float:
    """Return the accuracy of the best constant answer; DataError if it is 1."""
    if targets.ndim == 1:
        chance = float(np.bincount(targets).max() / targets.size)
    else:
        shares = (targets > 0.5).mean(axis=0, dtype=np.float64)
        chance = float(np.maximum(shares, 1 - shares).mean())
    if chance == 1.0:
        raise DataError(
            "all targets are of one class, which a constant answer predicts as well; "
            "give samples of at least two classes"
        )
    return chance
