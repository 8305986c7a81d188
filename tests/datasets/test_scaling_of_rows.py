"""Rows that are scaled from their source: the bits of a copy, without the copy."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from truesparse.datasets import features, load, save_npz
from truesparse.datasets.feature_columns import FeatureColumns
from truesparse.datasets.features import take_blocks
from truesparse.datasets.prepare import check_options, prepare_dataset
from truesparse.datasets.raw import RawData
from truesparse.datasets.scaling import Scaler, apply_scaler, fit_scaler
from truesparse.errors import DataError

STORED = ["u1", "i1", "i2", "i8", "f2", "f4", "f8"]
DENSE_SCALES = ["auto", "standard", "range", "maxabs", "unit", "none"]
CSR_SCALES = ["auto", "maxabs", "unit", "none"]


def make_features(stored, shape=(60, 7), seed=0):
    """Values of both signs, with a constant column and zeros of both signs."""
    draw = np.random.default_rng(seed)
    X = draw.standard_normal(shape) * 40
    X[:, 1] = 7
    X[:, 2] = 0
    X[::2, 2] = -0.0
    return (np.abs(X) if stored == "u1" else X).astype(stored)


def naive_scaled(X, scaler, dtype):
    """All at once, in float64 as far as anything is scaled."""
    if scaler.mean is not None:
        X = X - scaler.mean
    return (X if scaler.scale is None else X / scaler.scale).astype(dtype)


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def assert_same_scaler(got, expected):
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_same_bits(a, b)


@given(
    st.sampled_from(STORED),
    st.sampled_from(DENSE_SCALES),
    st.sampled_from(["f4", "f8"]),
    st.lists(st.integers(0, 59), min_size=1, max_size=40),
    st.integers(1, 100),
)
def test_dense_rows_are_scaled_as_their_copy(stored, scale, dtype, rows, n_values):
    X, rows, dtype = make_features(stored), np.array(rows), np.dtype(dtype)
    before = X.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_VALUES", n_values)
        scaler = fit_scaler(X, scale, rows=rows)
        assert_same_scaler(scaler, fit_scaler(X[rows], scale))
        got = apply_scaler(X, scaler, dtype, "X", rows=rows, in_place=True)
    assert_same_bits(got, naive_scaled(X[rows], scaler, dtype))
    assert_same_bits(X, before)  # other rows are still to be taken


@given(
    st.sampled_from(["u1", "i2", "f4", "f8"]),
    st.sampled_from(CSR_SCALES),
    st.sampled_from(["f4", "f8"]),
    st.one_of(st.none(), st.lists(st.integers(0, 59), min_size=1, max_size=40)),
    st.integers(1, 100),
)
def test_sparse_rows_are_scaled_as_their_copy(stored, scale, dtype, rows, n_values):
    X = make_features(stored)
    X[np.random.default_rng(1).random(X.shape) < 0.7] = 0
    X[5] = 0
    csr, dtype = sparse.csr_array(X), np.dtype(dtype)
    rows = None if rows is None else np.array(rows)
    taken = csr if rows is None else csr[rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_VALUES", n_values)
        scaler = fit_scaler(csr, scale, rows=rows)
        got = apply_scaler(csr, scaler, dtype, "X", rows=rows, in_place=False)
    largest = np.abs(taken.toarray().astype(float)).max(axis=0)
    if scale == "unit":
        largest[:] = largest.max()
    expected = None if scale == "none" else np.where(largest > 0, largest, 1.0)
    assert_same_scaler(scaler, Scaler(None, expected))
    columns = slice(None) if expected is None else expected[taken.indices]
    data = taken.data if expected is None else taken.data / columns
    assert_same_bits(got.data, data.astype(dtype))
    assert_same_bits(got.indices, taken.indices)
    assert_same_bits(got.indptr, taken.indptr)
    assert got.has_canonical_format


def test_pixels_are_told_by_the_rows_of_the_training_part():
    X = np.array([[0.0, 0.0], [255.0, 200.0], [0.5, -1.0]])
    assert fit_scaler(X, rows=np.array([0, 1])).scale.tolist() == [255.0, 255.0]
    assert fit_scaler(X, rows=np.array([0, 2])).mean.tolist() == [0.25, -0.5]


@pytest.mark.parametrize("rows", [None, np.array([7, 0, 7, 3])])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_blocks_hold_every_row_once_and_in_order(monkeypatch, rows, as_sparse):
    monkeypatch.setattr(features, "BLOCK_VALUES", 6)
    X = np.arange(1, 25).reshape(8, 3)
    source = sparse.csr_array(X) if as_sparse else X
    expected = X if rows is None else X[rows]
    got, end = [], 0
    for places, block in take_blocks(source, rows):
        assert places.start == end
        end = places.stop
        assert block.shape[0] == end - places.start <= 2
        got.append(block.toarray() if as_sparse else block)
    np.testing.assert_array_equal(np.concatenate(got), expected)


def test_blocks_of_wide_sparse_rows_go_by_what_is_stored():
    X = sparse.csr_array(([1.0] * 100, (range(100), [0] * 100)), shape=(100, 10**6))
    assert len(list(take_blocks(X, None))) == 1


def test_all_values_that_do_not_fit_the_type_are_counted(monkeypatch):
    monkeypatch.setattr(features, "BLOCK_VALUES", 2)
    X = np.full((6, 2), 1e300)
    rows = np.array([0, 2, 5])
    for scaler in (Scaler(None, None), Scaler(None, np.ones(2))):
        for source in (X, sparse.csr_array(X)):
            with pytest.raises(DataError, match="X as float32 has 0 NaN and 6 inf"):
                apply_scaler(
                    source, scaler, np.dtype("f4"), "X", rows=rows, in_place=True
                )


def peak_of(prepare):
    """Return the bytes that are allocated at most, after a first run."""
    prepare()
    tracemalloc.start()
    try:
        prepare()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Blocks of float64 beside the arrays: one taken, one centred, one divided; and targets.
EXTRA = 3 * 8 * features.BLOCK_VALUES + 1e6


@pytest.mark.parametrize("scale", DENSE_SCALES)
def test_loading_takes_one_and_a_half_times_the_array(tmp_path, scale):
    X = np.random.default_rng(0).standard_normal((20_000, 200))
    path = save_npz(tmp_path / "x.npz", X, np.arange(20_000) % 3)
    assert peak_of(lambda: load(path, scale=scale)) < 1.5 * X.nbytes + EXTRA


def test_a_training_part_of_its_own_is_freed_before_the_test_part(tmp_path):
    X = np.random.default_rng(0).standard_normal((20_000, 200))
    y, half = np.arange(10_000) % 3, len(X) // 2
    path = save_npz(tmp_path / "x.npz", X[:half], y, X[half:], y)
    assert peak_of(lambda: load(path)) < 1.25 * X.nbytes + EXTRA


def test_sparse_features_are_split_into_the_result(tmp_path):
    X = sparse.random_array((20_000, 1000), density=0.1, rng=0, format="csr")
    path = save_npz(tmp_path / "x.npz", X, np.arange(20_000) % 3)
    stored, scaled = (8 + 4) * X.nnz, (4 + 4) * X.nnz
    # A block's indices, and the one before it.
    more = 2 * 8 * features.BLOCK_VALUES
    assert peak_of(lambda: load(path)) < stored + scaled + EXTRA + more


def test_columns_are_encoded_without_a_copy_of_them():
    draw = np.random.default_rng(0)
    numbers = draw.standard_normal((20_000, 200))
    colour = np.array(["red", "blue"], object)[draw.integers(0, 2, len(numbers))]
    options = check_options(0.2, 0, "auto", False, "auto", np.float32)

    def prepare():
        columns = [*numbers.T, colour, numbers[:, 0] > 0]
        names = [str(number) for number in range(len(columns))]
        table = FeatureColumns(columns, names, False, "error", "auto")
        prepare_dataset(RawData(table, np.arange(len(numbers)) % 3), "table", options)

    # The source is not counted: it is there before. Encoded and scaled features are.
    assert peak_of(prepare) < 1.5 * numbers.nbytes * 204 / 200 + EXTRA
