"""Losses by name: the form of targets, the delta, and the meaning of outputs."""

from typing import Any

import numpy as np
import scipy.special

from truesparse.common.checks import check_positive, check_share_below_one, choose
from truesparse.common.tasks import TASKS, Task, task_of
from truesparse.errors import DataError, UsageError
from truesparse.kernels import loss as kernels

LOSSES = tuple(loss for task in TASKS.values() for loss in task.losses)
_NOT_FINITE = " contain NaN or infinity; remove these samples"


class Loss:
    """A loss with its parameters.

    Parameters
    ----------
    name : {"softmax", "logistic", "squared", "huber", "poisson"}
        Softmax cross-entropy for classes; logistic (sigmoid) cross-entropy for one or
        several yes-or-no outputs; squared error, half the sum over the outputs;
        Huber's loss; or half the Poisson deviance, for counts and other targets of at
        least 0, whose outputs are the logarithms of the predicted means.
    label_smoothing : float
        Share of the target that softmax spreads over all classes, in [0, 1).
    huber_threshold : float
        Residual at which Huber's loss becomes linear.

    Examples
    --------
    >>> from truesparse.losses import Loss
    >>> Loss("logistic").takes_labels
    False
    """

    def __init__(
        self,
        name: str = "softmax",
        *,
        label_smoothing: float = 0.0,
        huber_threshold: float = 1.0,
    ):
        self.name = choose(name, LOSSES, "loss")
        check_share_below_one(label_smoothing=label_smoothing)
        if label_smoothing and name != "softmax":
            raise UsageError(
                f"label_smoothing belongs to softmax, not to {name}; leave it out"
            )
        check_positive(huber_threshold=huber_threshold)
        self.label_smoothing = label_smoothing
        self.huber_threshold = huber_threshold

    @property
    def task(self) -> Task:
        """The task that the loss belongs to."""
        return task_of(self.name)

    def to_json(self) -> dict[str, Any]:
        """Return the description that `from_json` reads."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, description: dict[str, Any]) -> "Loss":
        """Return the loss of a description; LookupError if it lacks a parameter."""
        names = "name", "label_smoothing", "huber_threshold"
        return cls(**{name: description[name] for name in names})

    @property
    def takes_labels(self) -> bool:
        """Whether targets are class labels instead of a number for each output."""
        return self.name == "softmax"

    def prepare_targets(
        self, y, n_out: int, dtype, name: str = "targets"
    ) -> np.ndarray:
        """Return targets in the form that kernels take; messages call them `name`.

        Returns
        -------
        (n,) int32 array for softmax, else (n, n_out) array of `dtype`

        Raises
        ------
        DataError
            If the targets do not suit the loss.
        """
        y = np.asarray(y)
        if y.dtype.kind not in "biuf":
            raise DataError(
                f"{name} must be numbers, got {y.dtype}; encode them as numbers"
            )
        if self.takes_labels:
            if not np.isfinite(y).all():
                raise DataError(name + _NOT_FINITE)
            if y.ndim != 1:
                raise DataError(f"{name} must be labels of shape (n,), got {y.shape}")
            if y.dtype.kind == "f" and (y != np.floor(y)).any():
                raise DataError(
                    f"{name} must be whole-number labels for softmax, got fractions"
                )
            if y.size and (y.min() < 0 or y.max() >= n_out):
                raise DataError(
                    f"{name}: labels must be from 0 to {n_out - 1}, got {y.min()} to "
                    f"{y.max()}"
                )
            return y.astype(np.int32)
        targets = y.reshape(-1, 1) if y.ndim == 1 else y
        if targets.ndim != 2 or targets.shape[1] != n_out:
            raise DataError(f"{name} must have shape (n, {n_out}), got {y.shape}")
        with np.errstate(over="ignore"):
            targets = np.ascontiguousarray(targets, dtype)
        # Checked after the cast, in which large numbers become infinite.
        if not np.isfinite(targets).all():
            raise DataError(name + _NOT_FINITE)
        outside = (targets < 0) | (targets > 1)
        if self.name == "logistic" and outside.any():
            raise DataError(
                f"{name} of the logistic loss must be from 0 to 1, got numbers from "
                f"{targets.min():g} to {targets.max():g}"
            )
        if self.name == "poisson" and (targets < 0).any():
            raise DataError(
                f"{name} of the poisson loss must be at least 0, got "
                f"{targets.min():g}; use the squared loss for numbers below 0"
            )
        return targets

    def require_prepared(self, targets, n: int, n_out: int, dtype) -> None:
        """Raise UsageError unless targets have the form `prepare_targets` returns."""
        wanted: tuple = (np.int32, (n,)) if self.takes_labels else (dtype, (n, n_out))
        is_plain = isinstance(targets, np.ndarray) and targets.flags.c_contiguous
        if not is_plain or (targets.dtype, targets.shape) != wanted:
            raise UsageError(
                f"targets must be {np.dtype(wanted[0])} of shape {wanted[1]}, in the "
                f"form that prepare_targets returns, got {np.asarray(targets).dtype} "
                f"of shape {np.shape(targets)}"
            )
        if self.takes_labels and (targets.min() < 0 or targets.max() >= n_out):
            raise UsageError(
                f"labels must be from 0 to {n_out - 1}, got {targets.min()} to "
                f"{targets.max()}"
            )

    def apply(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        scratch: np.ndarray,
    ) -> float:
        """Replace the outputs by their delta, and return the loss.

        Parameters
        ----------
        z : (n_out, columns) float array
        targets : (batch,) int32 or (n_out, columns) float array
        weights : (batch,) float64 array
            Sample weights divided by their sum.
        scratch : (4, columns) float64 array
        """
        if self.takes_labels:
            kernels.softmax_cross_entropy(
                z, targets, weights, self.label_smoothing, scratch
            )
        else:
            code = {
                "logistic": kernels.LOGISTIC,
                "squared": kernels.SQUARED,
                "huber": kernels.HUBER,
                "poisson": kernels.POISSON,
            }[self.name]
            kernels.pointwise_loss(
                code, z, targets, weights, self.huber_threshold, scratch[0]
            )
        return float(scratch[0, : weights.size].sum())

    def mean(
        self, z: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> float:
        """Return the mean loss of outputs z (n, n_out) against prepared targets.

        Samples count as much as their `weights` (n,) say, float64 and not all 0.
        """
        if weights is None:
            weights = np.full(len(z), 1.0 / max(len(z), 1))
        else:
            weights = weights / weights.sum()
        columns = z.T.copy()  # `apply` overwrites it
        by_output = targets if targets.ndim == 1 else np.ascontiguousarray(targets.T)
        return self.apply(columns, by_output, weights, np.zeros((4, len(z))))

    def activate(self, z: np.ndarray, start: int = 0) -> np.ndarray:
        """Return what outputs (n, n_out) predict: probabilities, or the targets.

        `start` is the number of the first sample, for messages.

        Raises
        ------
        DataError
            If an output, or the mean that it is the logarithm of, is NaN or infinite.
        """
        require_finite(z, start)
        if self.name == "softmax":
            return scipy.special.softmax(z, axis=1)
        if self.name == "logistic":
            return scipy.special.expit(z)
        if self.name == "poisson":
            with np.errstate(over="ignore"):
                z = np.exp(z)
            require_finite(z, start)
        return z

    def score(
        self, z: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> float:
        """Return the score of outputs z (n, n_out) against targets, see tasks.Task.

        Samples count as much as their `weights` (n,) say, float64 and not all 0.
        For softmax it is the accuracy, for logistic the share of correct yes-or-no
        answers, for regression R2 averaged over the outputs.
        """
        if self.name == "softmax":
            return _average(z.argmax(axis=1) == targets, weights)
        if self.name == "logistic":
            return _average((z > 0) == (targets > 0.5), weights)
        predicted = z
        if self.name == "poisson":
            with np.errstate(over="ignore"):
                predicted = np.exp(z)
        squares = (targets - predicted) ** 2
        if weights is not None:
            squares = weights[:, None] * squares
        return r2(squares.sum(axis=0, dtype=np.float64), targets, weights)


def require_finite(outputs: np.ndarray, start: int = 0) -> None:
    """Raise DataError if a network's outputs for some samples are NaN or infinite.

    The message names the first of them; samples are counted from `start`.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.losses import require_finite
    >>> require_finite(np.zeros((3, 2)))
    """
    bad = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if bad.size:
        raise DataError(
            f"the outputs for {bad.size} of {len(outputs)} samples are NaN or infinite "
            f"in {outputs.dtype}, first for sample {start + bad[0]}, counted from 0: "
            "their features are too large for this network; scale them as those it was "
            "trained on, or use float64"
        )


def _average(right: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the share of True over the samples (n,) and their outputs, if any."""
    if weights is None:
        return float(right.mean())
    return float(np.average(right, axis=0, weights=weights).mean())


def r2(
    squares: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the coefficient of determination, averaged over outputs.

    Parameters
    ----------
    squares : (n_out,) float64 array
        Sum of the squared residuals of each output, times the weights.
    targets : (n, n_out) array
        An output whose targets are all equal counts 1 if its residuals are 0, else 0.
    weights : (n,) float64 array, optional
        Weights of the samples.
    """
    if weights is None:
        deviations = (targets - targets.mean(axis=0)) ** 2
    else:
        middle = np.average(targets, axis=0, weights=weights)
        deviations = weights[:, None] * (targets - middle) ** 2
    spread = deviations.sum(axis=0, dtype=np.float64)
    safe = np.where(spread > 0, spread, 1.0)
    return float(np.where(spread > 0, 1.0 - squares / safe, squares == 0).mean())
