"""Columns become features as scikit-learn's encoders and imputers make them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from truesparse.datasets.encoding import TableEncoding
from truesparse.datasets.feature_columns import fit_encoding
from truesparse.errors import DataError, UsageError

COLOUR = np.array(["red", "blue", "red", "green"], dtype=object)
SIZE = np.array([1.0, 2.0, 4.0, 9.0])


def text(*cells):
    return np.array(cells, dtype=object)


def test_numbers_and_truth_values_are_themselves():
    columns = [np.array([2**40, 3]), np.array([True, False]), np.array([0.5, -1])]
    encoding = fit_encoding(columns, ["a", "b", "c"])
    np.testing.assert_array_equal(
        encoding.transform(columns), [[2**40, 1, 0.5], [3, 0, -1]]
    )
    assert encoding.feature_names == ["a", "b", "c"]


def test_a_category_has_a_column_for_each_value():
    encoding = fit_encoding([COLOUR, SIZE], ["colour", "size"])
    names = ["colour=blue", "colour=green", "colour=red", "size"]
    assert encoding.feature_names == names
    want = [[0, 0, 1, 1], [1, 0, 0, 2], [0, 0, 1, 4], [0, 1, 0, 9]]
    assert encoding.transform([COLOUR, SIZE]).tolist() == want
    # What the training part lacks is none of its values.
    assert encoding.transform([text("pink"), SIZE[:1]]).tolist() == [[0, 0, 0, 1]]


def test_ordinal_categories_are_numbered_in_their_order():
    encoding = fit_encoding([COLOUR], ["colour"], categorical="ordinal")
    assert encoding.transform([COLOUR]).tolist() == [[2], [0], [2], [1]]
    assert encoding.transform([text("pink")]).tolist() == [[-1]]
    assert encoding.feature_names == ["colour"]


def test_many_categories_make_csr():
    words = text(*(f"w{i % 101:03}" for i in range(202)))
    numbers = np.arange(202.0)
    few = fit_encoding([words[:100], numbers[:100]], ["word", "n"])
    assert isinstance(few.transform([words[:100], numbers[:100]]), np.ndarray)
    encoding = fit_encoding([words, numbers], ["word", "n"])
    X = encoding.transform([words, numbers])
    assert sparse.issparse(X)
    assert X.shape == (202, 102)
    assert X.nnz == 202 + 201
    rows = X.toarray()
    np.testing.assert_array_equal(rows[:, -1], numbers)
    np.testing.assert_array_equal(rows[:101, :101], np.eye(101))


@pytest.mark.parametrize(
    ("missing", "number", "word"),
    [("mean", 3.0, "x"), ("median", 2.0, "x"), ("most_frequent", 1.0, "x")],
)
def test_missing_values_are_filled_from_the_training_part(missing, number, word):
    numbers = np.array([1.0, np.nan, 1.0, 3.0, 7.0])
    words = text("x", "y", None, "x", "y")
    encoding = fit_encoding([numbers, words], ["n", "w"], missing=missing)
    got = encoding.transform([np.array([np.nan]), text(None)])
    assert got.tolist() == [[number, word == "x", word == "y"]]


@pytest.mark.parametrize(
    ("column", "options", "message"),
    [
        (
            np.array([1.0, np.nan, np.nan]),
            {},
            "column 'c' holds no value in row 2; fill it with",
        ),
        (np.array([1.0, np.nan, 2]), {"missing": "drop"}, "no value in row 2; fill"),
        (
            text(None, "a", "b"),
            {},
            r"leave out such rows with missing='drop' \(--missing drop\)",
        ),
        (
            np.array([np.nan] * 3),
            {"missing": "mean"},
            "holds no values in the training part; leave it",
        ),
        (text("a", "b"), {"categorical": "error"}, "holds text such as 'a'"),
    ],
)
def test_what_is_refused_says_what_to_do(column, options, message):
    with pytest.raises(DataError, match=message):
        fit_encoding([column], ["c"], **options)


def test_rows_of_another_kind_are_refused():
    encoding = fit_encoding([SIZE], ["size"])
    with pytest.raises(DataError, match="'size' holds 'red' in row 1; it holds"):
        encoding.transform([COLOUR])
    with pytest.raises(
        DataError, match="'size' holds no value in row 1, and the model"
    ):
        encoding.transform([np.array([np.nan])])


@pytest.mark.parametrize("name", ["missing", "categorical"])
def test_choices_are_checked(name):
    with pytest.raises(UsageError, match=f"unknown {name} 'some'"):
        fit_encoding([SIZE], ["size"], **{name: "some"})


CELLS = st.one_of(st.none(), st.sampled_from(["a", "b", "c d", "ä", "1"]))


@given(
    st.lists(CELLS, min_size=2, max_size=9).filter(any),
    st.lists(CELLS, min_size=1, max_size=9),
    st.sampled_from(["onehot", "ordinal"]),
)
def test_a_description_makes_the_same_encoding(train, rows, categorical):
    how = {"missing": "most_frequent", "categorical": categorical}
    numbers = np.arange(float(len(train)))
    encoding = fit_encoding([text(*train), numbers], ["w", "n"], **how)
    again = TableEncoding.from_json(json.loads(json.dumps(encoding.to_json())))
    columns = [text(*rows), np.arange(float(len(rows)))]
    got = encoding.transform(columns)
    np.testing.assert_array_equal(got, again.transform(columns))
    # The naive twin.
    values = sorted({cell for cell in train if cell})
    present = [cell for cell in train if cell]
    fill = min(values, key=lambda value: (-present.count(value), value))
    for row, cell in zip(got, rows, strict=True):
        cell = cell or fill
        if categorical == "ordinal":
            want = [values.index(cell) if cell in values else -1]
        else:
            want = [float(cell == value) for value in values]
        assert row[:-1].tolist() == want
