"""Small estimators and data for their tests."""

import numpy as np
from sklearn.datasets import load_digits

from truesparse import SparseMLPClassifier, SparseMLPRegressor

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS / 16).astype(np.float32)
TRAIN, TEST = slice(0, 1200), slice(1200, None)


def classifier(**settings):
    defaults = {"epsilon": 5, "max_iter": 8, "random_state": 0, "solver": "sgd"}
    defaults |= {"learning_rate_init": 0.1, "batch_size": 32, "n_iter_no_change": 100}
    return SparseMLPClassifier(
        settings.pop("hidden_layer_sizes", (60, 40)), **defaults | settings
    )


def regressor(**settings):
    defaults = {"epsilon": 5, "max_iter": 30, "random_state": 0}
    defaults |= {"learning_rate_init": 0.005, "n_iter_no_change": 100}
    return SparseMLPRegressor((50, 50), **defaults | settings)


def small(n=150):
    """Return few samples of three of the digits."""
    chosen = np.flatnonzero(LABELS < 3)[:n]
    return DIGITS[chosen], LABELS[chosen]


def partly_fitted(**settings):
    """Return a classifier of small() after one call of partial_fit."""
    X, y = small()
    return classifier(**settings).partial_fit(X, y, classes=[0, 1, 2])
