"""Rows to predict: what needs no check of scikit-learn's, and what gets it."""

import numpy as np
import pandas
import pytest
from scipy import sparse
from sklearn.utils.validation import validate_data

from truesparse import SparseMLPClassifier
from truesparse.estimators import reading

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


PLAIN = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, 1)[:, ::2],
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
}
OTHERS = {
    "list": lambda X: X.tolist(),
    "whole numbers": lambda X: X.astype(int),
    "csc": sparse.csc_array,
    "frame": lambda X: pandas.DataFrame(X),
    "NaN": lambda X: X * np.nan,
    "wide": lambda X: np.hstack([X, X]),
    "a row": lambda X: X[0],
    "no rows": lambda X: X[:0],
    "text": lambda X: X.astype(str),
    "complex": lambda X: X + 1j,
    "NaN in csr": lambda X: sparse.csr_array(X * np.nan),
}


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_rows_are_checked_as_scikit_learn_does(monkeypatch, name):
    X = np.round(np.random.default_rng(0).standard_normal((30, 4)) * 9)
    net = SparseMLPClassifier((8,), max_iter=1, random_state=0)
    net.fit(X, np.arange(30) % 3)
    given, calls = (PLAIN | OTHERS)[name](X[:2]), []

    def checked(*arguments, **how):
        calls.append(arguments)
        return validate_data(*arguments, **how)

    def outcome():
        try:
            return net.predict_proba(given).tolist()
        except ValueError as error:
            return str(error)

    monkeypatch.setattr(reading, "validate_data", checked)
    got = outcome()
    assert len(calls) == (name in OTHERS)
    # The same without the short cut.
    monkeypatch.setattr(reading, "_is_plain", lambda X, n_features: False)
    assert got == outcome()


def test_missing_names_of_features_are_warned_of_for_plain_rows_too():
    frame = pandas.DataFrame(np.eye(4), columns=list("abcd"))
    net = SparseMLPClassifier((8,), max_iter=1)
    net.fit(frame, [0, 1, 0, 1])
    with pytest.warns(UserWarning, match="valid feature names"):
        net.predict(np.eye(4))
