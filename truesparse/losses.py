"""Losses by name: how targets are laid out, the delta, and what outputs mean."""

from typing import Any

import numpy as np
import scipy.special

from truesparse.checks import check_numbers, choose
from truesparse.errors import DataError, UsageError
from truesparse.kernels import loss as kernels
from truesparse.tasks import TASKS, Task, task_of

LOSSES = tuple(loss for task in TASKS.values() for loss in task.losses)
_NOT_FINITE = "targets contain NaN or infinity; remove those samples"


class Loss:
    """One loss with its numbers.

    Parameters
    ----------
    name : {"softmax", "logistic", "squared", "huber"}
        Softmax cross-entropy for classes; logistic (sigmoid) cross-entropy for one or
        several yes-or-no outputs; squared error (half the sum over the outputs);
        Huber's.
    label_smoothing : float
        Of softmax, in [0, 1): share of the target spread over all classes.
    huber_threshold : float
        Residual at which Huber's loss turns linear.

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
        check_numbers(label_smoothing=label_smoothing, huber_threshold=huber_threshold)
        if not 0.0 <= label_smoothing < 1.0:
            raise UsageError(
                f"label_smoothing must be from 0 up to but not 1, got {label_smoothing}"
            )
        if label_smoothing and name != "softmax":
            raise UsageError(f"label_smoothing belongs to softmax, not to {name}")
        if not 0.0 < huber_threshold < float("inf"):
            raise UsageError(
                f"huber_threshold must be above 0 and finite, got {huber_threshold}"
            )
        self.label_smoothing = label_smoothing
        self.huber_threshold = huber_threshold

    @property
    def task(self) -> Task:
        """The task that the loss is made for."""
        return task_of(self.name)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` makes the loss of again."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, description: dict[str, Any]) -> "Loss":
        """Return the loss of a description; LookupError where it lacks a number."""
        names = "name", "label_smoothing", "huber_threshold"
        return cls(**{name: description[name] for name in names})

    @property
    def takes_labels(self) -> bool:
        """Whether targets are class labels, rather than a number for each output."""
        return self.name == "softmax"

    def prepare_targets(self, y, n_out: int, dtype) -> np.ndarray:
        """Return targets as the kernels take them, or say what is wrong with them.

        Returns
        -------
        (n,) int32 array for softmax, else (n, n_out) array of `dtype`
        """
        y = np.asarray(y)
        if y.dtype.kind not in "biuf":
            raise DataError(
                f"targets must be numbers, got {y.dtype}; encode them first"
            )
        if self.takes_labels:
            if not np.isfinite(y).all():
                raise DataError(_NOT_FINITE)
            if y.ndim != 1:
                raise DataError(f"softmax takes labels of shape (n,), got {y.shape}")
            if y.dtype.kind == "f" and (y != np.floor(y)).any():
                raise DataError("softmax takes whole-number labels, got fractions")
            if y.size and (y.min() < 0 or y.max() >= n_out):
                raise DataError(
                    f"labels must be from 0 to {n_out - 1}, got {y.min()} to {y.max()}"
                )
            return y.astype(np.int32)
        targets = y.reshape(-1, 1) if y.ndim == 1 else y
        if targets.ndim != 2 or targets.shape[1] != n_out:
            raise DataError(f"targets must have shape (n, {n_out}), got {y.shape}")
        with np.errstate(over="ignore"):
            targets = np.ascontiguousarray(targets, dtype)
        # Only now: a number may be too large for the dtype.
        if not np.isfinite(targets).all():
            raise DataError(_NOT_FINITE)
        outside = (targets < 0) | (targets > 1)
        if self.name == "logistic" and outside.any():
            raise DataError("targets of the logistic loss must be from 0 to 1")
        return targets

    def require_prepared(self, targets, n: int, n_out: int, dtype) -> None:
        """Raise UsageError unless targets are as `prepare_targets` returns them."""
        wanted: tuple = (np.int32, (n,)) if self.takes_labels else (dtype, (n, n_out))
        is_plain = isinstance(targets, np.ndarray) and targets.flags.c_contiguous
        if not is_plain or (targets.dtype, targets.shape) != wanted:
            raise UsageError(
                f"targets must be {np.dtype(wanted[0])} of shape {wanted[1]}, as "
                f"prepare_targets returns them, got {np.asarray(targets).dtype} of "
                f"shape {np.shape(targets)}"
            )
        if self.takes_labels and (targets.min() < 0 or targets.max() >= n_out):
            raise UsageError(f"labels must be from 0 to {n_out - 1}")

    def apply(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        scratch: np.ndarray,
    ) -> float:
        """Replace the outputs by their delta and return the loss.

        Parameters
        ----------
        z : (n_out, columns) float array
        targets : (batch,) int32 or (n_out, columns) float array
        weights : (batch,) float64 array
            Sample weights over their sum.
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
            }[self.name]
            kernels.pointwise_loss(
                code, z, targets, weights, self.huber_threshold, scratch[0]
            )
        return float(scratch[0, : weights.size].sum())

    def mean(self, z: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean loss of outputs z (n, n_out) against prepared targets."""
        weights = np.full(len(z), 1.0 / max(len(z), 1))
        columns = z.T.copy()  # `apply` overwrites it
        by_output = targets if targets.ndim == 1 else np.ascontiguousarray(targets.T)
        return self.apply(columns, by_output, weights, np.zeros((4, len(z))))

    def activate(self, z: np.ndarray) -> np.ndarray:
        """Turn outputs (n, n_out) into probabilities, or leave them for regression."""
        if self.name == "softmax":
            return scipy.special.softmax(z, axis=1)
        if self.name == "logistic":
            return scipy.special.expit(z)
        return z

    def score(self, z: np.ndarray, targets: np.ndarray) -> float:
        """Return the customary score of outputs z (n, n_out) against targets.

        Accuracy for softmax; the share of correct yes-or-no answers for logistic;
        the coefficient of determination, averaged over outputs, for regression.
        """
        if self.name == "softmax":
            return float((z.argmax(axis=1) == targets).mean())
        if self.name == "logistic":
            return float(((z > 0) == (targets > 0.5)).mean())
        return r2(((targets - z) ** 2).sum(axis=0, dtype=np.float64), targets)


def r2(squares: np.ndarray, targets: np.ndarray) -> float:
    """Return the coefficient of determination, averaged over outputs.

    Parameters
    ----------
    squares : (n_out,) float64 array
        Sum of the squared residuals of each output.
    targets : (n, n_out) array
        An output whose targets are all the same has 1 if they are met, 0 if not.
    """
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
    safe = np.where(spread > 0, spread, 1.0)
    return float(np.where(spread > 0, 1.0 - squares / safe, squares == 0).mean())
