"""Sources that are cut short as their rows are scaled: the same bits in less memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.datasets.encoded_rows import Codes, EncodedRows
from truesparse.datasets.scaling import apply_scaler, fit_scaler, scale_parts
from truesparse.datasets.short_arrays import Shrinking
from truesparse.errors import DataError

SINGLE = np.dtype(np.float32)
# Rows are cut off where nothing else refers to the array, as tracers do for a moment.
untraced = pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer looks")


def drawn(n_rows, n_columns, stored="f8"):
    X = np.random.default_rng(0).standard_normal((n_rows, n_columns)) * 40
    return X.astype(stored)


@untraced
@pytest.mark.parametrize("n_spare", [0, 3])
def test_rows_cut_off_are_gone_and_others_stay(n_spare):
    rows = Shrinking(drawn(5 + n_spare, 3)[:5])  # of an array with rows to spare
    rows.cut(2)
    np.testing.assert_array_equal(rows[:], drawn(5 + n_spare, 3)[:2])
    rows.cut(0)
    assert len(rows[:]) == 0
    assert rows.shape == (5, 3)


@pytest.mark.parametrize("cut", [np.s_[1:], np.s_[:, 1:], np.s_[::2], np.s_[::-1]])
def test_parts_that_are_no_first_rows_are_read_as_they_are(cut):
    np.testing.assert_array_equal(Shrinking(drawn(6, 4)[cut])[:], drawn(6, 4)[cut])


def test_an_array_that_others_refer_to_keeps_its_rows():
    X = drawn(4, 2)
    others = [X, X[1:], X]
    rows = Shrinking(X)
    rows.cut(1)
    np.testing.assert_array_equal(others[0], drawn(4, 2))
    np.testing.assert_array_equal(others[1], drawn(4, 2)[1:])


@untraced
@given(
    st.sampled_from(["u1", "i2", "f4", "f8"]),
    st.sampled_from(["auto", "standard", "range", "unit", "none"]),
    st.sampled_from([1, 7, 2**17]),
    st.sets(st.integers(0, 39), min_size=1, max_size=39),
)
def test_parts_are_scaled_as_each_would_be(stored, scale, block, train):
    X = np.abs(drawn(40, 5)).astype(stored)
    train = np.array(sorted(train))
    test = np.setdiff1d(np.arange(40), train)
    scaler = fit_scaler(X, scale, rows=train)
    source = Shrinking(X.copy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("truesparse.datasets.features.BLOCK_VALUES", block)
        parts = {"X_train": train, "X_test": test}
        got = scale_parts(source, scaler, SINGLE, parts)
    for part, rows in zip(got, (train, test), strict=True):
        want = apply_scaler(X, scaler, SINGLE, "X", rows=rows, in_place=False)
        np.testing.assert_array_equal(part, want, strict=True)
    assert len(source[:]) == 0


def test_values_that_do_not_fit_the_type_name_their_part():
    X = drawn(4, 2)
    X[3] = 1e300
    parts = {"X_train": np.array([0, 1]), "X_test": np.array([2, 3])}
    scaler = fit_scaler(X, "none")
    with pytest.raises(DataError, match="X_test as float32 has 0 NaN and 2 infinite"):
        scale_parts(Shrinking(X), scaler, SINGLE, parts)


@pytest.mark.parametrize("rows", [np.s_[:], np.s_[2:5], np.array([4, 0, 4]), []])
def test_features_are_made_of_numbers_and_codes(rows):
    numbers = drawn(6, 2)
    numbers[[1, 4], 1] = np.nan
    colour = np.array([0, 2, -1, 1, 1, 0], np.int32)
    size = np.array([1, 0, 2, -1, 1, 1], np.int32)
    made = EncodedRows(
        list(numbers.T),
        [0, 4],
        [np.nan, 7.0],
        [Codes(1, True, colour), Codes(5, False, size)],
        (6, 6),
    )
    want = np.zeros((6, 6))
    want[:, 0] = numbers[:, 0]
    want[:, 4] = np.nan_to_num(numbers[:, 1], nan=7.0)
    for category in range(3):
        want[colour == category, 1 + category] = 1
    want[:, 5] = size
    rows = np.array(rows, np.intp) if isinstance(rows, list) else rows
    np.testing.assert_array_equal(made[rows], want[rows], strict=True)


MEASURE = """
import numpy as np
from truesparse.datasets.prepare import check_options, prepare_dataset
from truesparse.datasets.raw import RawData

def peak_kib():
    # Not ru_maxrss, which a child takes over from its parent.
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0])

options = check_options(0.2, 0, "auto", False, "auto", np.float32)
prepare_dataset(RawData(np.eye(40), np.arange(40) % 2), "first", options)
raw = RawData(np.ones((40_000, 250)), np.arange(40_000) % 2)
raw.X_train[0] = 0.5
before = peak_kib()
data = prepare_dataset(raw, "large", options)
print((peak_kib() - before) * 1024 / (2 * data.X_train.nbytes + 2 * data.X_test.nbytes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_hardly_above_the_source():
    command = [sys.executable, "-c", MEASURE]
    got = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(got.stdout) < 0.2  # of the source; the result is half of it
