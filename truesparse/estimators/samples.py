"""What an estimator is trained on: data, targets and weights as the trainer takes them.

They are checked and encoded by then; nothing here knows the estimator.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from truesparse.common.checks import check_not_negative
from truesparse.errors import DataError, UsageError
from truesparse.kernels.arrays import Csr
from truesparse.network.inputs import n_samples, take_samples

Source = np.ndarray | Csr


class Samples(NamedTuple):
    """Training data, and validation data if there are any.

    Parameters
    ----------
    X : (n, n_features) array or Csr
    y : array
        Targets as the loss takes them.
    weights : (n,) float64 array or None
        Sample weights times those of the classes.
    sample_weight : (n,) float64 array or None
        Sample weights alone.
    X_val, y_val : like `X` and `y`, or None
    weights_val : like `sample_weight`
    """

    X: Source
    y: np.ndarray
    weights: np.ndarray | None
    sample_weight: np.ndarray | None
    X_val: Source | None = None
    y_val: np.ndarray | None = None
    weights_val: np.ndarray | None = None

    @property
    def n(self) -> int:
        """Number of training samples."""
        return n_samples(self.X)

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights, each 1 if none are given."""
        return float(self.n if self.weights is None else self.weights.sum())

    def hold_out(
        self, fraction: float, seed: int, classes: np.ndarray | None
    ) -> "Samples":
        """Return the samples with a share of them set aside for validation.

        Samples without weight, which teach nothing and are not scored, stay where they
        are: the share is one of the others, so that both parts have weight.

        Parameters
        ----------
        fraction : float
        seed : int
        classes : (n,) array, optional
            Each class has its share of both parts, if that is possible.

        Raises
        ------
        DataError
            If fewer than two samples have a weight above 0.
        """
        everyone = np.arange(self.n)
        weighty = everyone if self.weights is None else np.flatnonzero(self.weights)
        if weighty.size < 2:
            raise DataError(
                "early_stopping holds out validation data and needs at least 2 samples "
                f"with a weight above 0, got {weighty.size} of {self.n}; give more, "
                "or X_val and y_val"
            )
        strata = None if classes is None else classes[weighty]
        _, chosen = split(weighty.size, fraction, seed, strata)
        held_out = weighty[chosen]
        train = np.delete(everyone, held_out)

        def take(array: np.ndarray | None, part: np.ndarray) -> np.ndarray | None:
            return None if array is None else array[part]

        return Samples(
            take_samples(self.X, train),
            self.y[train],
            take(self.weights, train),
            take(self.sample_weight, train),
            take_samples(self.X, held_out),
            self.y[held_out],
            take(self.sample_weight, held_out),
        )


def split(
    n: int, fraction: float, seed: int, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples to train on and which to hold out, both ascending.

    Classes have their share of both parts, unless one has a single sample or a part
    is smaller than the number of classes, as in small calls of partial_fit.
    """
    if classes is not None:
        counts = np.unique(classes, return_counts=True)[1]
        n_held_out = math.ceil(fraction * n)
        if counts.min() < 2 or counts.size > min(n_held_out, n - n_held_out):
            classes = None
    train, held_out = train_test_split(
        np.arange(n), test_size=fraction, random_state=seed, stratify=classes
    )
    return np.sort(train), np.sort(held_out)


def weigh_classes(
    class_weight: Any,
    y: np.ndarray,
    classes: np.ndarray | None,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    """Return the weight of each sample's class.

    Parameters
    ----------
    class_weight : dict, "balanced" or list of dict
        "balanced" weighs classes so that their samples weigh the same in all. A sample
        of weight 2 counts as two samples of weight 1.
    y : array
    classes : array, optional
        All classes that a dict may name, even if `y` lacks them; None for multilabel
        targets.
    sample_weight : (n,) array, optional
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        return _balance_classes(y, sample_weight)
    _check_class_weight(class_weight, None if classes is not None else y.shape[1])
    if isinstance(class_weight, Mapping) and classes is not None:
        y = column_or_1d(y)
        weights = compute_class_weight(dict(class_weight), classes=classes, y=y)
        return weights[np.searchsorted(classes, y)]
    return compute_sample_weight(class_weight, y)


def _check_class_weight(given: Any, n_labels: int | None) -> None:
    """Raise UsageError unless weights are finite and not negative, in the right form.

    Parameters
    ----------
    given : object
    n_labels : int or None
        Number of labels of multilabel targets, each with weights of its own.
    """
    if n_labels is None:
        accepted, each = "a dict", [given]
    else:
        accepted, each = f"a list of {n_labels} dicts", given
    fits = isinstance(each, list | tuple) and len(each) == (n_labels or 1)
    if not fits or not all(isinstance(weights, Mapping) for weights in each):
        raise UsageError(
            f"class_weight must be {accepted} or 'balanced', got {given!r}"
        )
    for weights in each:
        for name, weight in weights.items():
            check_not_negative(**{f"class_weight of class {name!r}": weight})


def _balance_classes(y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return n / (n_classes n_c) for a sample of class c; over labels the product."""
    # Not compute_sample_weight, which counts samples whatever they weigh.
    factors = np.ones(len(y))
    for column in np.reshape(y, (len(y), -1)).T:
        _, codes = np.unique(column, return_inverse=True)
        totals = np.bincount(codes, sample_weight)
        n_classes = np.count_nonzero(totals)
        # A class without weight gets none.
        safe = np.where(totals > 0, totals, np.inf)
        factors *= (totals.sum() / (n_classes * safe))[codes]
    return factors
