"""Targets that are accepted, the task they decide, and why others are refused."""

import math

import numpy as np
import pytest
from scipy import sparse

from truesparse.datasets import check_targets
from truesparse.errors import DataError


@pytest.mark.parametrize(
    ("y", "task", "expected"),
    [
        (["b", "a", "b"], "classification", ["b", "a", "b"]),
        (np.array(["b", "a"], dtype=object), "classification", ["b", "a"]),
        (np.array([1, 2], dtype=object), "classification", [1, 2]),
        (np.array([b"x", b"y"]), "classification", ["x", "y"]),
        ([True, False], "classification", [True, False]),
        ([3.0, -1.0], "classification", [3, -1]),
        (np.array([[1], [2]]), "classification", [1, 2]),
        (np.arange(21), "regression", np.arange(21.0)[:, None]),
        (np.repeat(np.arange(30), 5), "classification", np.repeat(np.arange(30), 5)),
        ([0.5, 2], "regression", [[0.5], [2]]),
        ([[0, 1], [1, 1]], "multilabel", [[0, 1], [1, 1]]),
        (sparse.csr_array([[0, 1.0], [1, 1]]), "multilabel", [[0, 1], [1, 1]]),
        ([[0, 2], [1, 1]], "regression", [[0, 2], [1, 1]]),
    ],
)
def test_task_is_inferred_from_targets(y, task, expected):
    n = y.shape[0] if sparse.issparse(y) else len(y)
    got, inferred = check_targets(y, n)
    assert inferred == task
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        ([1, 2], "auto", "y has 2 rows, but there are 3 rows of features"),
        ([1, math.nan, 2], "auto", "in 1 rows, the first in row 1"),
        (["a", None, "b"], "auto", "lacks 1 values"),
        (np.array([1, "b", 2.5], dtype=object), "auto", "mixes text and numbers"),
        ([[1, 2], [3], [4]], "auto", "different lengths"),
        (np.array([[1, 2], [3], [4]], dtype=object), "auto", "different lengths"),
        ([1j, 2, 3], "auto", "complex"),
        (np.ones((3, 0)), "auto", "shape"),
        (np.ones((3, 2, 2)), "auto", "shape"),
        (np.ones((3, 2)), "classification", "class labels are one column"),
        ([1, 2.5, 3], "classification", "real values such as 2.5"),
        ([0, 1, 2], "multilabel", "only 0 and 1"),
        (["a", "b", "c"], "multilabel", "only 0 and 1"),
        (["a", "b", "c"], "regression", "holds text such as 'a'"),
    ],
)
def test_bad_targets_say_what_is_wrong(y, task, message):
    with pytest.raises(DataError, match=message) as caught:
        check_targets(y, 3, task)
    assert "\n" not in str(caught.value)


def test_bytes_are_utf_8():
    assert check_targets(["é".encode(), b"a"] * 3, 6)[0].tolist() == ["é", "a"] * 3
    with pytest.raises(DataError, match="bytes that are no UTF-8 text"):
        check_targets([b"\xe9", b"a"] * 3, 6)


def test_text_among_the_numbers_of_a_quantity_is_no_label():
    y = [f"{i / 4}" for i in range(30)]
    y[7] = "unknown"
    message = r"holds 29 different numbers and text such as 'unknown' in row 7 .*--task"
    with pytest.raises(DataError, match=message):
        check_targets(y, 30)
    assert check_targets(y, 30, "classification")[0].tolist() == y
    # Few numbers, or more text than numbers, are labels.
    for labels in (
        ["1", "2", "other"] * 10,
        [f"{i}" if i % 2 else f"x{i}" for i in range(60)],
    ):
        assert check_targets(labels, len(labels))[1] == "classification"
