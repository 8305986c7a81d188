"""Blocks of rows become the columns that one block would have given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.datasets.gather import Gatherer, MixedKindsError, side_by_side

WHOLE = st.lists(st.integers(-(2**62), 2**62) | st.integers(-200, 300), min_size=1)
REAL = st.lists(st.floats(allow_nan=False), min_size=1)


@given(st.data())
def test_columns_are_those_of_one_block(data):
    draw, blocks = data.draw, []
    for _ in range(draw(st.integers(1, 4))):
        first = np.array(draw(WHOLE), np.int64)
        n_rows = len(first)
        second = np.array(draw(st.sampled_from([[1.5], [7], [300]])) * n_rows)
        blocks.append([first, second, np.array(["x", None] * n_rows, object)[:n_rows]])
    together = draw(st.sampled_from([[0, 1], [1], [0, 1, 2], [2], []]))
    gatherer = Gatherer(together)
    for block in blocks:
        gatherer.add(block)
    columns = gatherer.finish()
    whole = [np.concatenate(column) for column in zip(*blocks, strict=True)]
    numbers = [i for i in together if i < 2]
    if numbers:
        array = side_by_side([columns[i] for i in numbers])
        expected = np.column_stack([whole[i] for i in numbers])
        assert array.dtype.kind == expected.dtype.kind
        np.testing.assert_array_equal(array, expected)
    for i in {0, 1, 2}.difference(numbers):
        assert columns[i].dtype == whole[i].dtype
        np.testing.assert_array_equal(columns[i], whole[i])


@pytest.mark.parametrize(
    ("numbers", "dtype"),
    [
        ([0, 1], "i1"),
        ([-128, 127], "i1"),
        ([0, 255], "i2"),
        ([-129], "i2"),
        ([2**15], "i4"),
        ([-(2**31)], "i4"),
        ([2**31], "i8"),
    ],
)
def test_whole_numbers_are_held_in_the_narrowest_type(numbers, dtype):
    gatherer = Gatherer([0])
    gatherer.add([np.array([0])])
    gatherer.add([np.array(numbers)])
    (column,) = gatherer.finish()
    assert column.dtype == dtype
    assert column.tolist() == [0, *numbers]


def test_another_kind_is_not_mixed_in():
    gatherer = Gatherer([0])
    gatherer.add([np.array([1, 2])])
    for column in (np.array(["a"], object), np.array([True])):
        with pytest.raises(MixedKindsError):
            gatherer.add([column])


def test_a_column_apart_does_not_keep_its_block():
    gatherer, block = Gatherer([0]), np.ones((5, 2))
    gatherer.add([block[:, 0], block[:, 1]])
    assert not any(np.shares_memory(block, column) for column in gatherer.finish())


def test_only_all_columns_of_one_array_are_side_by_side():
    X = np.arange(12.0).reshape(4, 3).copy()
    columns = list(X.T)
    assert side_by_side(columns) is not None
    assert side_by_side([column[:2] for column in columns]).tolist() == X[:2].tolist()
    assert side_by_side(columns[:2]) is None
    assert side_by_side([columns[0], columns[2], columns[1]]) is None
    assert side_by_side([column[1:] for column in columns]) is None
    assert side_by_side([column[::-1] for column in columns]) is None
    assert side_by_side([*columns[:2], columns[2].copy()]) is None
    assert side_by_side([np.ones(4)]) is None
    assert side_by_side(list(np.asfortranarray(X).T)) is None


def test_whole_numbers_of_64_bits_are_not_mixed_with_others():
    # Together they would be float64, in which neighbours are the same number.
    gatherer = Gatherer([])
    gatherer.add([np.array([2**53 + 1])])
    with pytest.raises(MixedKindsError):
        gatherer.add([np.array([2**63 + 1], np.uint64)])
