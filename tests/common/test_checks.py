"""Tests of the checks of numbers: where each range begins and ends."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from truesparse.common import checks
from truesparse.errors import UsageError


@pytest.mark.parametrize(
    ("check", "accepted", "refused", "words"),
    [
        (checks.check_positive, (1e-300, 2), (0.0, math.inf), "above 0 and finite"),
        (
            checks.check_not_negative,
            (0, 1e300),
            (-1e-300, math.inf),
            "at least 0 and finite",
        ),
        (checks.check_finite, (-1e300, 0), (-math.inf, math.inf), "finite"),
        (checks.check_at_least_one, (1, math.inf), (0.999, -1), "at least 1"),
        (checks.check_share, (0.0, 1), (-0.1, 1.1), "from 0 to 1"),
        (
            checks.check_share_above_zero,
            (1e-300, 1),
            (0.0, 1.1),
            "above 0 and at most 1",
        ),
        (
            checks.check_share_below_one,
            (0, 0.999),
            (-0.1, 1),
            "from 0 up to but not 1",
        ),
    ],
)
def test_ranges(check, accepted, refused, words):
    for value in accepted:
        check(zeta=value)
    for value in (*refused, math.nan, None):
        with pytest.raises(UsageError, match=f"^zeta must be {words}, got {value}$"):
            check(zeta=value)
    for value in (True, "0.5"):
        with pytest.raises(UsageError, match="zeta must be a number, got"):
            check(zeta=value)


@pytest.mark.parametrize("value", [None, True, "0.5", 1j])
def test_what_is_no_number(value):
    with pytest.raises(UsageError, match=f"^zeta must be a number, got {value!r}$"):
        checks.check_numbers(zeta=value)


def test_truth_values_are_those_of_python_and_numpy():
    checks.check_bools(first=True, second=np.False_)
    for value in (0, None, "true", np.int64(1)):
        with pytest.raises(UsageError, match=r"^soft must be true or false, got"):
            checks.check_bools(soft=value)


@pytest.mark.parametrize(
    ("indptr", "message"),
    [
        ([0, 2, 1, 0], "rise from 0"),
        ([1, 1, 2, 2], "rise from 0"),
        ([0, 1, 2, 3], "indices|index"),
        ([0.0, 1.0, 2.0, 2.0], "whole numbers"),
    ],
)
def test_index_arrays_are_checked(indptr, message):
    matrix = sparse.csr_array((np.ones(2), [0, 1], [0, 1, 2, 2]), shape=(3, 2))
    checks.check_compressed(matrix)
    matrix.indptr = np.array(indptr)
    with pytest.raises(ValueError, match=message):
        checks.check_compressed(matrix)


def test_a_path_is_text_or_a_path(tmp_path):
    assert checks.as_path(tmp_path, "page") == checks.as_path(str(tmp_path), "page")
    for value in (None, 3, True, ["page"]):
        message = re.escape(f"cannot write page {value!r}: give a path")
        with pytest.raises(UsageError, match=message):
            checks.as_path(value, "page")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Relu", "relu"), ("ELU", "elu"), ("reul", "relu"), ("adamw", "AdamW")],
)
def test_case_is_the_smallest_slip(name, hint):
    with pytest.raises(UsageError, match=f"Did you mean '{hint}'"):
        checks.choose(name, ("elu", "relu", "gelu", "AdamW"), "name")


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6), st.booleans())
def test_the_first_index_that_does_not_ascend_is_found(rows, strictly):
    indices = np.array([index for row in rows for index in row], np.int32)
    indptr = np.cumsum([0, *map(len, rows)])
    want, position = None, 0
    for row in rows:
        for place, index in enumerate(row):
            falls = place and (index < row[place - 1] + strictly)
            if falls and want is None:
                want = position
            position += 1
    assert checks.first_fall(indices, indptr, strictly) == want
