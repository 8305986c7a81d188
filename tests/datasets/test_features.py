"""Features that are accepted, and the line that says why others are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from truesparse.datasets import check_features, features
from truesparse.errors import DataError

KINDS = [np.bool_, np.int8, np.uint8, np.int64, np.float32, np.float64]


@st.composite
def coordinates(draw):
    """A matrix as unsorted coordinates with duplicates."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    n = draw(st.integers(0, 30))
    row = draw(hnp.arrays(np.int64, n, elements=st.integers(0, shape[0] - 1)))
    col = draw(hnp.arrays(np.int64, n, elements=st.integers(0, shape[1] - 1)))
    dtype = draw(st.sampled_from(KINDS))
    values = draw(hnp.arrays(np.int8, n, elements=st.integers(0, 100)))
    return sparse.coo_array((values.astype(dtype), (row, col)), shape=shape)


@given(coordinates(), st.sampled_from(["coo", "csr", "csc", "lil", "bsr", "matrix"]))
def test_sparse_formats_become_canonical_csr(coo, form):
    expected = coo.astype(np.int64)
    wide = coo if form == "coo" else coo.astype(np.float64)
    given_X = sparse.csr_matrix(wide) if form == "matrix" else wide.asformat(form)
    got = check_features(given_X, np.float64)
    assert isinstance(got, sparse.csr_array)
    assert got.has_canonical_format
    assert got.indices.dtype == np.int32
    np.testing.assert_array_equal(got.toarray(), expected.toarray())


def test_duplicates_of_narrow_integers_do_not_wrap_and_input_is_kept():
    data = np.array([200, 100, 7], dtype=np.uint8)
    indices = np.array([1, 1, 0], dtype=np.int32)
    X = sparse.csr_array((data, indices, np.array([0, 3])), shape=(1, 2))
    assert check_features(X).toarray().tolist() == [[7.0, 300.0]]
    assert X.data.tolist() == [200, 100, 7]
    assert X.indices.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("indices", "indptr"),
    [
        ([5, 0], [0, 1, 2]),
        ([-1, 0], [0, 1, 2]),
        ([0, 1], [0, 2, 1]),
        ([0, 1], [0, 1, 9]),
    ],
)
def test_invalid_index_arrays_are_refused(indices, indptr):
    for X in (sparse.csr_array((2, 3)), sparse.csc_array((3, 2))):
        X.data, X.indices = np.ones(2), np.array(indices, dtype=np.int32)
        X.indptr = np.array(indptr, dtype=np.int32)
        with pytest.raises(DataError, match="invalid index arrays"):
            check_features(X)


def test_indices_that_are_not_whole_numbers_are_refused():
    X = sparse.csr_array(np.eye(2))
    X.indices = np.array([0.0, 1.0])
    with pytest.raises(DataError, match="must be whole numbers"):
        check_features(X)


def test_more_columns_than_int32_counts_are_refused():
    with pytest.raises(DataError, match="at most 2147483647"):
        check_features(sparse.csr_array((1, 2**31 + 5)))


def test_more_values_than_int32_counts_are_refused(monkeypatch):
    monkeypatch.setattr(features, "MAX_INDEX", 3)
    check_features(sparse.csr_array([[1, 1, 1], [0, 0, 0]]))
    with pytest.raises(DataError, match="X stores 4 values, but at most 3 fit"):
        check_features(sparse.csr_array([[1, 1, 1], [0, 1, 0]]))


@pytest.mark.parametrize("as_sparse", [False, True])
def test_nan_and_infinity_are_counted_by_column(as_sparse):
    X = np.ones((5, 9))
    X[:3, 2], X[1, 7] = math.nan, -math.inf
    given_X = sparse.csr_array(X) if as_sparse else X
    expected = "X has 3 NaN and 1 infinite values: column 2 holds 3, column 7 holds 1"
    with pytest.raises(DataError, match=expected):
        check_features(given_X)


def test_many_bad_columns_are_summarised():
    with pytest.raises(DataError, match="column 4 holds 2 and 3 more columns"):
        check_features(np.full((2, 8), math.nan))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(3), r"shape \(3,\), but needs 2 dimensions"),
        (np.ones((2, 2, 2)), "2 dimensions"),
        (5.0, "2 dimensions"),
        (np.ones((0, 3)), "empty: 0 rows x 3"),
        (np.ones((3, 0)), "empty: 3 rows x 0"),
        (sparse.csr_array((0, 3)), "empty"),
        (sparse.coo_array([1.0, 2.0]), "2 dimensions"),
        (np.ones((2, 2), dtype=complex), "Complex data not supported"),
        (sparse.csr_array(np.eye(2) * 1j), "Complex data not supported"),
        ([["a", "b"]], "not numbers"),
        (np.array([[1, "b"]], dtype=object), "not numbers"),
        ([[1, 2], [3]], "different lengths"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), "not numbers"),
        (np.full((2, 2), 1e300), "X as float32 has 0 NaN and 4 infinite"),
        (sparse.csr_array(np.full((2, 2), 1e300)), "float32"),
    ],
)
def test_bad_features_say_what_is_wrong(X, message):
    with pytest.raises(DataError, match=message) as caught:
        check_features(X)
    assert "\n" not in str(caught.value)


def test_good_features_are_returned_without_a_copy():
    X = np.ones((3, 2), dtype=np.float32)
    assert check_features(X) is X
    csr = sparse.csr_array(X)
    assert np.shares_memory(check_features(csr).data, csr.data)
    assert check_features(np.asfortranarray(np.ones((3, 2)))).flags.c_contiguous
    assert check_features(np.ones((3, 2), dtype=">f8")).dtype == np.float32
    assert check_features(np.array([[1, 2.5]], dtype=object)).tolist() == [[1, 2.5]]


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.bsr_array])
def test_bounds_that_fall_to_zero_are_refused(kind):
    """SciPy's check passes over them, and its kernels then write anywhere."""
    X = kind(np.eye(4))
    X.indptr[-1] = 0
    with pytest.raises(DataError, match="indptr must rise from 0"):
        check_features(X)
