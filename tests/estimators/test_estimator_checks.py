"""scikit-learn's own checks of both estimators: none may fail, none may be skipped."""

import pytest
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from truesparse import SparseMLPClassifier, SparseMLPRegressor

ESTIMATORS = [SparseMLPClassifier(), SparseMLPRegressor()]
# Checks fit very small data as long as max_iter says.
converges = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Newer versions of pytest want a list, older ones of scikit-learn give a generator.
_names, _checks = (_mark := parametrize_with_checks(ESTIMATORS)).args


# Kernels in plain Python take half an hour for them.
@pytest.mark.compiled
@converges
@pytest.mark.parametrize(_names, list(_checks), **_mark.kwargs)
def test_the_check_passes(estimator, check):
    check(estimator)


def test_a_skipped_check_is_an_error():
    """The lane above would show a skip as one; this says what decides about it."""
    import os

    import pandas  # noqa: F401

    assert os.environ["SCIPY_ARRAY_API"] == "1"
    assert callable(check_estimator)
