"""Accuracy on inputs that move against the network: the fast gradient sign method.

Every sample moves by one step of the same size in all features, towards a larger loss:

    x + epsilon sign(dL/dx)      (Goodfellow, Shlens and Szegedy, ICLR 2015)

The gradient dL/dx = W delta comes from one backward pass over the connections, with W
and delta of the first layer. A feature without connections stays: its gradient is 0.

L is the cross-entropy of the labels, also where training smoothed them: that loss
grows as a sample becomes more certain. Only the sign counts, so that the gradient of
each sample is scaled: one so certain that its loss is 0 has a direction all the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from truesparse.analysis.chosen import finite_model
from truesparse.analysis.robustness_curve import (
    BATCH,
    N_POINTS,
    RobustnessCurve,
    Task,
    as_fractions,
)
from truesparse.analysis.twin import twin_of
from truesparse.common.checks import check_positive
from truesparse.errors import DataError
from truesparse.kernels.arrays import Csr
from truesparse.losses import Loss, require_finite
from truesparse.network import inputs
from truesparse.network.sparse_mlp import SparseMLP

# Bytes of the moved samples of a batch: they are dense even where data are sparse.
_MOST_BYTES = 64 << 20


def adversarial(
    model: Any,
    data: Any,
    targets: Any,
    *,
    fractions: int | Sequence[float] = N_POINTS,
    strength: float | None = None,
    batch_size: int = BATCH,
) -> RobustnessCurve:
    """Measure the accuracy of a classifier on inputs that the sign method has moved.

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path
        A classifier, with loss softmax or logistic; not changed.
    data, targets
        See `robustness`. Sparse samples become dense one batch at a time.
    fractions : int or sequence of float
        Number of equally spaced points from 0 to 1, or the points: epsilon over
        `strength`.
    strength : float, optional
        The largest epsilon, in the units of `data`; by default the root mean square of
        the features' standard deviations in `data`, which is 1 for standardised ones.
    batch_size : int
        Fewer samples are taken at a time where features are many.

    Returns
    -------
    RobustnessCurve
        One row, with `strength`.

    Raises
    ------
    DataError, UsageError
        See `robustness`.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import adversarial
    >>> model = SparseMLP([4, 20, 4], density=1.0)
    >>> curve = adversarial(model, np.eye(4), np.arange(4), fractions=3)
    >>> curve.accuracies.shape, round(curve.strength, 3)
    ((1, 3), 0.433)
    """
    points = as_fractions(fractions)
    model = finite_model(model)
    task = Task(model, data, targets, batch_size)
    if strength is None:
        strength = _deviation(task.source, model.layer_sizes[0])
        if strength == 0:
            raise DataError("all samples are equal; give strength, or other samples")
    check_positive(strength=strength)
    n, n_features = inputs.n_samples(task.source), model.layer_sizes[0]
    size = min(
        batch_size, n, max(1, _MOST_BYTES // (n_features * model.dtype.itemsize))
    )
    twin = twin_of(model, {})
    twin.loss = Direction(model.loss.name)
    twin.prepare(size)
    right = np.zeros(points.size)
    for start in range(0, n, size):
        samples = np.arange(start, min(start + size, n))
        x, wanted = _dense(task.source, samples, n_features), task.targets[samples]
        step = (strength * np.sign(input_gradient(twin, x, wanted))).astype(x.dtype)
        for index, fraction in enumerate(points):
            outputs = twin.decision_function(x + x.dtype.type(fraction) * step, size)
            require_finite(outputs, start)
            right[index] += twin.loss.score(outputs, wanted) * samples.size
    return RobustnessCurve(
        "adversarial", points, right[None] / n, task.chance, "", float(strength)
    )


class Direction(Loss):
    """The cross-entropy of the labels, with a delta of length 1 for every sample.

    The largest number of a sample's delta is 1 or -1: it is divided by what vanishes
    with the loss. Its loss is 0, or NaN for outputs that are not finite.
    """

    def apply(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        scratch: np.ndarray,
    ) -> float:
        """Replace the outputs by their delta; see Loss.apply."""
        outputs = z[:, : weights.size].astype(np.float64)
        if not np.isfinite(outputs).all():
            return float("nan")
        if self.takes_labels:
            truth = targets, np.arange(weights.size)
            outputs[truth] = -np.inf
            delta = scipy.special.softmax(outputs, axis=0)  # p over 1 - p of the truth
            delta[truth] = -1.0
        else:
            delta = _logistic_delta(outputs, targets[:, : weights.size])
        z[:, : weights.size] = delta
        return 0.0


def _logistic_delta(z: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return sigmoid(z) - wanted, scaled; (n_out, n) float64."""
    wanted = wanted.astype(np.float64)
    plain = scipy.special.expit(z) - wanted
    # sigmoid(z) - 1 is -sigmoid(-z); the logarithms of these do not vanish.
    is_one, is_label = wanted == 1.0, (wanted == 0.0) | (wanted == 1.0)
    with np.errstate(divide="ignore"):
        logs = np.where(
            is_label,
            scipy.special.log_expit(np.where(is_one, -z, z)),
            np.log(np.abs(plain)),
        )
    signs = np.where(is_label, 1.0 - 2.0 * is_one, np.sign(plain))
    top = logs.max(axis=0)
    return signs * np.exp(logs - np.where(np.isfinite(top), top, 0.0))


def input_gradient(model: SparseMLP, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean loss by the inputs, (n, n_features).

    Parameters
    ----------
    model : SparseMLP
        One without dropout, whose buffers are prepared for n samples or more.
    x : (n, n_features) array of the model's dtype
    targets : array
        See `Loss.prepare_targets`.
    """
    gradients = []

    def observe(layer: int, inputs: Any, delta: np.ndarray) -> None:
        if layer == 0:
            weights = model.layers[0].connections.to_scipy()
            gradients.append((weights @ delta[:, : len(x)]).T)

    loss = model.observe_batch(x, targets, np.arange(len(x)), observer=observe)
    if not np.isfinite(loss):
        raise DataError(f"the loss of some samples is {loss}; it has no gradient")
    return gradients[0]


def _dense(source: np.ndarray | Csr, samples: np.ndarray, width: int) -> np.ndarray:
    """Return some samples as a dense array."""
    taken = inputs.take_samples(source, samples)
    if not isinstance(taken, Csr):
        return taken
    x = np.zeros((samples.size, width), taken.values.dtype)
    rows = np.repeat(np.arange(samples.size), np.diff(taken.indptr))
    x[rows, taken.indices] = taken.values
    return x


def _deviation(source: np.ndarray | Csr, width: int) -> float:
    """Return the root mean square of the features' standard deviations."""
    if not isinstance(source, Csr):
        return float(np.sqrt(source.var(axis=0, dtype=np.float64).mean()))
    n = inputs.n_samples(source)
    values = source.values.astype(np.float64)
    means = np.bincount(source.indices, values, width) / n
    squares = np.bincount(source.indices, values**2, width) / n
    return float(np.sqrt(np.maximum(squares - means**2, 0.0).mean()))
