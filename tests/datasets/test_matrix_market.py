"""Matrix Market files are read as scipy reads them, or refused."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import mmread, mmwrite

from truesparse.common import memory
from truesparse.datasets.matrix_market import read_matrix_market
from truesparse.errors import DataError, MemoryLimitError

HEAD = "%%MatrixMarket matrix coordinate real general\n"


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(["real", "integer", "pattern", "array"]),
    st.sampled_from(["general", "symmetric", "skew-symmetric"]),
    st.integers(0, 2**32 - 1),
)
def test_agrees_with_scipy(tmp_path_factory, n_rows, n_columns, field, symmetry, seed):
    draw = np.random.default_rng(seed)
    shape = (n_rows, n_rows if symmetry != "general" else n_columns)
    X = draw.integers(-3, 3, shape) * (draw.random(shape) < 0.6)
    X = X.astype(np.int64 if field == "integer" else np.float64)
    if field == "pattern":
        X, symmetry = np.abs(np.sign(X)), "general"
    if symmetry == "symmetric":
        X = X + X.T
    if symmetry == "skew-symmetric":
        X = X - X.T
    if field == "array":
        symmetry = "general"
    text = io.BytesIO()
    stored = X if field == "array" else sparse.coo_array(X)
    names = {} if field == "array" else {"field": field}
    mmwrite(text, stored, comment="made up", symmetry=symmetry, **names)
    path = tmp_path_factory.mktemp("mtx") / "a.mtx"
    path.write_bytes(text.getvalue())
    got = read_matrix_market(path)
    expected = mmread(path, spmatrix=False)
    assert sparse.issparse(got) == (field != "array")
    if field != "array":
        got, expected = got.toarray(), expected.toarray()
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, X)


def test_whole_numbers_are_exact(tmp_path):
    path = tmp_path / "a.mtx"
    path.write_text(HEAD.replace("real", "integer") + "1 1 1\n1 1 9007199254740993\n")
    assert read_matrix_market(path)[0, 0] == 2**53 + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 1 1\n", "the first line is not '%%MatrixMarket"),
        (HEAD, "'' is no size"),
        (HEAD + "2 2\n", "'2 2' is no size"),
        (HEAD + "2 2 -1\n", "is no size"),
        (HEAD + "2 2 1\n3 1 5\n", "an index i is not between 1 and 2"),
        (HEAD + "2 2 1\n1 0 5\n", "an index j is not between 1 and 2"),
        (HEAD + "2 2 2\n1 1 5\n", "1 lines of values, but 2 are declared"),
        (HEAD + "2 2 1\n1 1 5\n2 2 1\n", "2 lines of values, but 1 are declared"),
        (HEAD + "2 2 1\n1 1 5e\n", "could not convert string '5e'"),
        (HEAD + "9999999999 2 1\n1 1 5\n", "more than 2,147,483,647 rows"),
        (HEAD.replace("real", "complex") + "1 1 1\n1 1 1 1\n", "complex is not read"),
        (HEAD.replace("general", "symmetric") + "1 2 1\n1 1 1\n", "not square"),
        (HEAD.replace("coordinate", "array") + "2 2\n1\n2\n3\n", "3 lines of values"),
    ],
)
def test_faults_are_refused(tmp_path, text, message):
    (tmp_path / "a.mtx").write_text(text)
    with pytest.raises(DataError, match=message):
        read_matrix_market(tmp_path / "a.mtx")


@pytest.mark.parametrize("shape", ["2147483647 3", "3 2147483647"])
def test_more_rows_than_fit_in_memory_are_refused(tmp_path, monkeypatch, shape):
    # A few bytes declare them; Linux would grant the memory and end the process.
    monkeypatch.setattr(memory, "available", lambda: (10**9, "free memory"))
    path = tmp_path / "a.mtx"
    head = "%%MatrixMarket matrix coordinate real general"
    path.write_text(f"{head}\n{shape} 1\n1 1 2.5\n")
    with pytest.raises(MemoryLimitError, match="2,147,483,647 rows are declared"):
        read_matrix_market(path)
