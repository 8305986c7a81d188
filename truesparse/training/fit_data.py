"""The data of a fit: checked, in the form that kernels take, with a validation part."""

from dataclasses import dataclass

import numpy as np

from truesparse.common import rng
from truesparse.common.checks import check_share_below_one
from truesparse.errors import DataError, UsageError
from truesparse.kernels.arrays import Csr
from truesparse.network.inputs import (
    as_source_data,
    as_weights,
    n_samples,
    take_samples,
)
from truesparse.network.sparse_mlp import SparseMLP

# Data, targets and weights, as `SparseMLP.evaluate` takes them.
Validation = tuple[np.ndarray | Csr, np.ndarray, np.ndarray | None]


@dataclass
class FitData:
    """The data of a fit.

    Attributes
    ----------
    X : (n, n_features) array or Csr
    targets : array
        Return value of ``loss.prepare_targets``.
    weights : (n,) float64 array or None
    samples : int64 array
        Indices of the samples to train on, ascending.
    validation : (array or Csr, array, array or None) or None
        Data, targets and weights to evaluate.
    """

    X: np.ndarray | Csr
    targets: np.ndarray
    weights: np.ndarray | None
    samples: np.ndarray
    validation: Validation | None = None


def prepare_data(
    model: SparseMLP,
    X,
    y,
    X_val,
    y_val,
    validation_fraction,
    sample_weight,
    sample_weight_val,
) -> FitData:
    """Check the arguments of `Trainer.fit` and return the data to work on.

    Raises
    ------
    DataError, UsageError
        See `Trainer.fit`.
    """
    data, targets = _check(model, X, y, "X", "targets")
    weights = as_weights(sample_weight, n_samples(data))
    prepared = FitData(data, targets, weights, np.arange(n_samples(data)))
    check_share_below_one(validation_fraction=validation_fraction)
    require_both(X_val, y_val, sample_weight_val)
    if X_val is not None:
        data_val, targets_val = _check(model, X_val, y_val, "X_val", "y_val")
        weights_val = as_weights(
            sample_weight_val, n_samples(data_val), "sample_weight_val"
        )
        prepared.validation = data_val, targets_val, weights_val
    elif validation_fraction > 0.0:
        n = prepared.samples.size
        prepared.samples, held_out = set_aside(n, validation_fraction, model.seed)
        if weights is not None and not weights[prepared.samples].any():
            raise DataError(
                "sample_weight is 0 for all samples that validation_fraction leaves "
                "for training; give some of them a weight above 0"
            )
        weights_val = None if weights is None else weights[held_out]
        if weights_val is not None and not weights_val.any():
            raise DataError(
                "sample_weight is 0 for all samples that validation_fraction sets "
                "aside; give some of them a weight above 0"
            )
        held = take_samples(data, held_out), targets[held_out]
        prepared.validation = *held, weights_val
    return prepared


def require_both(X_val, y_val, sample_weight_val) -> None:
    """Raise UsageError unless validation data are given as a whole, or not at all."""
    if (X_val is None) != (y_val is None):
        given, other = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise UsageError(f"{given} is given without {other}; give both or neither")
    if sample_weight_val is not None and X_val is None:
        raise UsageError("sample_weight_val belongs to X_val and y_val; give them too")


def set_aside(n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples to train on and a share of all for validation, ascending."""
    order = rng.stream(seed, rng.Purpose.SPLIT).permutation(n)
    n_validation = max(1, round(fraction * n))
    if n_validation >= n:
        raise DataError(
            f"{n} samples are too few to set {fraction:g} of them aside for "
            "validation; give more samples or a smaller validation_fraction"
        )
    return np.sort(order[n_validation:]), np.sort(order[:n_validation])


def _check(
    model: SparseMLP, X, y, name: str, target_name: str
) -> tuple[np.ndarray | Csr, np.ndarray]:
    data = as_source_data(X, model.dtype, model.layer_sizes[0], name)
    if n_samples(data) == 0:
        raise DataError(f"{name} holds no samples; give some")
    form = model.layer_sizes[-1], model.dtype, target_name
    targets = model.loss.prepare_targets(y, *form)
    if len(targets) != n_samples(data):
        raise DataError(
            f"{name} has {n_samples(data)} samples, but there are {len(targets)} "
            "targets; give one for each sample"
        )
    return data, targets
