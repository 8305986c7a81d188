"""What a fit is given, checked and encoded."""

from typing import Any

import numpy as np
import scipy.sparse
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
from truesparse.network.inputs import (
    as_source_data,
    as_weights,
    is_finite,
    n_samples,
)
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


def read_rows(estimator: Any, X) -> Any:
    """Return the samples to predict as an array or a CSR matrix, checked.

    A finite matrix of floats, as wide as the training data, needs none of what
    scikit-learn does for others, which takes 70 us: four times as long as a network of
    140,000 connections takes for a sample (EPYC, 2026-11).
    """
    # That names of features are missing is scikit-learn's to warn of.
    has_names = hasattr(estimator, "feature_names_in_")
    if not has_names and _is_plain(X, estimator.n_features_in_):
        return X
    return validate_data(estimator, X, accept_sparse="csr", dtype=FLOATS, reset=False)


def _is_plain(X, n_features: int) -> bool:
    if type(X) in (scipy.sparse.csr_array, scipy.sparse.csr_matrix):
        values = X.data  # the network looks at the indices
    elif type(X) is np.ndarray:
        values = X
    else:
        return False
    is_matrix = X.ndim == 2 and X.shape[0] > 0 and X.shape[1] == n_features
    return is_matrix and values.dtype in FLOATS and is_finite(values)


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
