"""What a fit is given, checked and encoded."""

from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_array,
    validate_data,
)

from truesparse.errors import DataError
from truesparse.estimators.samples import Samples
from truesparse.estimators.settings import Settings
from truesparse.network.inputs import as_source_data, as_weights, n_samples
from truesparse.training.fit_data import require_both

# Whole numbers become the first of them.
FLOATS = (np.float64, np.float32)


def read_samples(
    estimator: Any, settings: Settings, data: tuple, reset: bool, classes: Any
) -> Samples:
    """Check and encode what a fit is given.

    Parameters
    ----------
    estimator : BaseSparseMLP
        Learns the kind of the targets and the names of the features if `reset`.
    settings : Settings
    data : tuple
        X, y, sample_weight, X_val, y_val and sample_weight_val, as `fit` takes them.
    reset : bool
        Whether a new network begins.
    classes : array or None
        All classes, if these targets may lack some.
    """
    X, y, sample_weight, X_val, y_val, weights_val = data
    X, y = _validate(estimator, X, y, reset)
    targets = estimator._encode(y, reset, classes)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        sample_weight = as_weights(sample_weight, len(sample_weight))
    dtype = settings.float_type_for(X) if reset else estimator.model_.dtype
    source = as_source_data(X, dtype, estimator.n_features_in_, "X")
    weights = as_weights(estimator._weigh(y, sample_weight), n_samples(source))
    validation = _read_validation(estimator, X_val, y_val, weights_val, dtype)
    return Samples(source, targets, weights, sample_weight, *validation)


def _read_validation(estimator: Any, X, y, weights, dtype) -> tuple:
    """Check and encode validation data; None for those not given."""
    require_both(X, y, weights)
    if X is None:
        return None, None, None
    # What `_validate` does, under the names of these data.
    _check_feature_names(estimator, X, reset=False)
    X = check_array(X, accept_sparse="csr", dtype=FLOATS, input_name="X_val")
    source = as_source_data(X, dtype, estimator.n_features_in_, "X_val")
    y = check_array(
        y,
        accept_sparse="csr",
        ensure_2d=False,
        dtype="numeric" if is_regressor(estimator) else None,
        input_name="y_val",
    )
    targets, n = estimator._encode(y, reset=False, name="y_val"), n_samples(source)
    if len(targets) != n:
        raise DataError(
            f"X_val has {n} samples, but y_val has {len(targets)}; give as many"
        )
    return source, targets, as_weights(weights, n, "sample_weight_val")


def _validate(estimator: Any, X, y, reset: bool):
    return validate_data(
        estimator,
        X,
        y,
        accept_sparse="csr",
        dtype=FLOATS,
        multi_output=True,
        y_numeric=is_regressor(estimator),
        reset=reset,
    )
