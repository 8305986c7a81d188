"""Data sets by name: which are bundled, how they are split and scaled, and README.

Checks of arrays, files, downloads and the generator have a file each beside this one.
"""

import doctest
import hashlib
import importlib
import math
import pkgutil
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse
from support.datasets_invariants import assert_sound

from truesparse import datasets
from truesparse.datasets import BUNDLED, NAMES, SOURCES, features, load, save_npz
from truesparse.datasets.bundled import load_bundled
from truesparse.datasets.scaling import Scaler, apply_scaler, fit_scaler, is_grey
from truesparse.datasets.split import split_rows
from truesparse.errors import DataError, UsageError

README = Path(__file__).parents[2] / "data" / "README.md"
MODULES = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))
KINDS = [np.bool_, np.int8, np.uint8, np.int64, np.float16, np.float32, np.float64]


# --- loading by name


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bundled_sets_load_and_split_reproducibly(name, dtype):
    data = load(name, dtype=dtype, seed=3)
    assert_sound(data, dtype)
    n_rows = len(data.y_train) + len(data.y_test)
    assert len(data.y_test) == math.ceil(0.2 * n_rows)
    same, other = load(name, dtype=dtype, seed=3), load(name, dtype=dtype, seed=4)
    np.testing.assert_array_equal(data.X_train, same.X_train)
    assert not np.array_equal(data.X_train, other.X_train)
    if data.task == "classification":
        shares = [np.bincount(y) / len(y) for y in (data.y_train, data.y_test)]
        np.testing.assert_allclose(*shares, atol=0.02)


def test_readme_checksums_are_those_of_the_bundled_arrays():
    stated = dict(
        re.findall(r"^\| (\w+) \| `([0-9a-f]{64})` \|$", README.read_text(), re.M)
    )
    assert set(stated) == set(BUNDLED)
    for name, digest in stated.items():
        parts = load_bundled(name)
        X = np.ascontiguousarray(parts.X_train, "<f4").tobytes()
        y = parts.y_train.astype("<i4").tobytes()
        assert hashlib.sha256(X + y).hexdigest() == digest, name


def test_readme_table_of_openml_agrees_with_the_code():
    for name, source in SOURCES.items():
        n_test = source.n_rows - source.n_train if source.n_train else None
        test_part = f"last {n_test} rows" if n_test else "split"
        row = (
            f"| {name} | {source.data_id} | {source.title} | {source.n_rows} x "
            f"{source.n_features} | {source.n_classes} | {test_part} |"
        )
        assert row in README.read_text()


def test_readme_commands_write_the_committed_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", README.read_text(), re.S)[1], {})
    for name in ("sample.csv", "sample.svm"):
        made, committed = load(tmp_path / name), load(README.with_name(name))
        assert_sound(committed)
        assert made.is_sparse == committed.is_sparse == (name == "sample.svm")
        pair = [
            d.X_train.toarray() if d.is_sparse else d.X_train for d in (made, committed)
        ]
        np.testing.assert_allclose(*pair, atol=0.02)
        np.testing.assert_array_equal(made.y_train, committed.y_train)


@pytest.mark.parametrize("module", ["", *MODULES])
def test_examples_run(module):
    name = f"truesparse.datasets.{module}".rstrip(".")
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", sorted(datasets.__all__))
def test_public_callables_have_an_example(name):
    value = getattr(datasets, name)
    if callable(value):
        assert ">>>" in value.__doc__


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", "Did you mean 'digits'"),
        ("fashionmnist", "Did you mean 'fashion_mnist'"),
        ("synthetic:5", "synthetic:2000x500"),
        ("synthetic:-5x3", "at least 1"),
        ("synthetic:0x3", "at least 2"),
        ("", "must be a name or a path"),
        ("a\0b", "must be a name or a path"),
        (None, "must be a name or a path"),
    ],
)
def test_unknown_names_say_what_is_accepted(name, hint):
    with pytest.raises(UsageError, match=re.escape(hint)) as caught:
        load(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("test_fraction", 0),
        ("test_fraction", 1.0),
        ("test_fraction", math.nan),
        ("test_fraction", "half"),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 0.5),
        ("scale", "minmax"),
        ("task", "clustering"),
        ("dtype", np.float16),
        ("dtype", "no type"),
        ("memory", "1 GB"),
        ("memory", -1),
    ],
)
def test_options_out_of_range_are_usage_errors(option, value):
    with pytest.raises(UsageError) as caught:
        load("iris", **{option: value})
    assert "\n" not in str(caught.value)


def test_names_are_distinct_and_no_file_names():
    assert len(set(NAMES)) == len(NAMES)
    assert not any("." in name or ":" in name for name in NAMES)


def test_bundled_sets_are_cached_and_read_without_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path))
    first = load_bundled("diabetes")
    monkeypatch.setattr("sklearn.datasets.load_diabetes", None)
    again = load_bundled("diabetes")
    assert again.task == first.task == "regression"
    np.testing.assert_array_equal(again.X_train, first.X_train)
    np.testing.assert_array_equal(again.y_train, first.y_train)
    monkeypatch.undo()
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path))
    (cached,) = tmp_path.glob("scikit-learn-*/diabetes.npz")
    cached.write_bytes(cached.read_bytes()[:999])
    np.testing.assert_array_equal(load_bundled("diabetes").X_train, first.X_train)
    assert cached.stat().st_size > 999


def test_bundled_sets_load_where_nothing_can_be_cached(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRUESPARSE_DATA", str(tmp_path / "file"))
    assert len(load_bundled("wine").y_train) == 178


# --- split


@given(
    st.lists(st.integers(0, 8), min_size=2, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_split_covers_all_rows_and_training_knows_all_classes(labels, fraction, seed):
    labels = np.array(labels)
    n_classes = len(np.unique(labels))
    if n_classes == len(labels):
        with pytest.raises(DataError, match="class of its own"):
            split_rows(len(labels), labels, fraction, seed)
        return
    train, test = split_rows(len(labels), labels, fraction, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert min(len(train), len(test)) > 0
    assert set(labels[test]) <= set(labels[train])
    n_test = min(math.ceil(fraction * len(labels)), len(labels) - n_classes)
    assert len(test) == n_test
    spare = np.bincount(labels) - (np.bincount(labels) > 0)
    share = spare * n_test / spare.sum()
    taken = np.bincount(labels[test], minlength=len(share))
    assert (abs(taken - share) < 1).all()


def test_one_row_cannot_be_split():
    with pytest.raises(DataError, match="1 rows cannot be split"):
        split_rows(1, None, 0.5, 0)


# --- scaling


@st.composite
def tables(draw):
    """Dense features of any real dtype."""
    dtype = draw(st.sampled_from(KINDS))
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 5)))
    elements = st.integers(0, 1) if dtype == np.bool_ else st.integers(-100, 100)
    if dtype == np.uint8:
        elements = st.integers(0, 255)
    return draw(hnp.arrays(np.int64, shape, elements=elements)).astype(dtype)


@given(tables(), st.integers(1, 20))
def test_standard_scaling_equals_two_passes_in_float64(X, block_values):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "BLOCK_VALUES", block_values)
        scaler = fit_scaler(X, "standard")
        got = apply_scaler(X, scaler, np.dtype(np.float64), "X", in_place=False)
    wide = X.astype(np.float64)
    deviation = wide.std(axis=0)
    deviation[np.ptp(wide, axis=0) == 0] = 1.0
    np.testing.assert_allclose(scaler.mean, wide.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(scaler.scale, deviation, rtol=1e-12)
    np.testing.assert_allclose(got, (wide - wide.mean(axis=0)) / deviation, atol=1e-12)


@pytest.mark.parametrize(
    ("highest", "is_alike"),
    [
        ([255, 240, 130, 200, 0, 9], True),  # pixels, some of which hardly vary
        ([16] * 60 + [2, 1, 0, 0], True),  # the digits of scikit-learn
        ([1] * 8, True),  # nothing but answers
        ([1] * 8 + [250], False),  # and a count beside them
        ([3, 2, 99, 250], False),
        ([1, 232], False),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_only_pixels_share_one_scale(highest, is_alike, dtype):
    draw = np.random.default_rng(0)
    X = (draw.random((50, len(highest))) * np.array(highest)).round().astype(dtype)
    X[0] = highest
    X[1] = 0
    assert is_grey(X) == is_alike
    assert (fit_scaler(X).mean is None) == is_alike
    assert is_grey(X.astype(np.uint8))  # an image says so itself


@given(tables(), st.sampled_from(["maxabs", "unit"]), st.booleans())
def test_largest_value_becomes_one(X, scale, as_sparse):
    given_X = sparse.csr_array(X.astype(np.float64)) if as_sparse else X
    scaler = fit_scaler(given_X, scale)
    got = apply_scaler(given_X, scaler, np.dtype(np.float64), "X", in_place=False)
    wide = np.abs(X.astype(np.float64))
    largest = wide.max(axis=0) if scale == "maxabs" else np.full(X.shape[1], wide.max())
    expected = X.astype(np.float64) / np.where(largest > 0, largest, 1)
    np.testing.assert_array_equal(got.toarray() if as_sparse else got, expected)


@pytest.mark.parametrize("value", [0.0, 0.1 + 0.2, 1e9 + 0.1, -7.0])
def test_constant_features_become_exactly_zero(value):
    X = np.full((1000, 3), value)
    X[:, 1] = np.arange(1000)
    scaled = apply_scaler(X, fit_scaler(X), np.dtype(np.float32), "X", in_place=False)
    assert not scaled[:, [0, 2]].any()
    assert scaled[:, 1].any()


def test_small_differences_of_large_numbers_survive_float32():
    X = 1.7e9 + np.random.default_rng(0).standard_normal((500, 2))
    scaled = apply_scaler(X, fit_scaler(X), np.dtype(np.float32), "X", in_place=True)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-5)


def test_scaling_is_fitted_on_the_training_part_only(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 4)), np.arange(30) % 2
    loaded = []
    for factor in (1, 1000):
        path = save_npz(tmp_path / "x.npz", X[:20], y[:20], factor * X[20:], y[20:])
        loaded.append(load(path, dtype=np.float64))
    one, thousand = loaded
    np.testing.assert_array_equal(one.X_train, thousand.X_train)
    np.testing.assert_allclose(one.X_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(one.X_train.std(axis=0), 1)
    raw = (X[20:] - X[:20].mean(axis=0)) / X[:20].std(axis=0)
    np.testing.assert_allclose(one.X_test, raw)
    np.testing.assert_array_equal(one.transform(X[20:]), one.X_test)


def test_sparse_features_are_never_centred(tmp_path):
    X = sparse.csr_array(np.random.default_rng(0).poisson(0.3, (40, 30)))
    path = save_npz(tmp_path / "x.npz", X, np.arange(40) % 2)
    data = load(path)
    assert_sound(data)
    assert data.is_sparse
    assert data.feature_mean is None
    assert data.X_train.nnz + data.X_test.nnz == X.nnz
    assert data.X_train.max() == 1
    assert "(CSR)" in repr(data)
    with pytest.raises(UsageError, match="would fill in the zeros of sparse"):
        load(path, scale="standard")


def test_scaling_overwrites_what_has_the_dtype_and_never_new_rows():
    X = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    before, single = X.copy(), np.dtype(np.float32)
    for scaler in (fit_scaler(X), Scaler(None, None)):
        scaled = apply_scaler(X, scaler, single, "X", in_place=False)
        assert not np.shares_memory(scaled, X)
        np.testing.assert_array_equal(X, before)
    assert apply_scaler(X, fit_scaler(X), single, "X", in_place=True) is X
    X.flags.writeable = False
    assert apply_scaler(X, fit_scaler(X), single, "X", in_place=True) is not X


def test_images_are_held_once_beside_their_source(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (20_000, 500), dtype=np.uint8)
    path = save_npz(tmp_path / "x.npz", X[1:], np.arange(19_999) % 3, X[:1], [0])
    load(path)
    tracemalloc.start()
    data = load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Source, result, and at most four blocks of float64.
    assert peak < X.nbytes + data.X_train.nbytes + 4 * 8 * features.BLOCK_VALUES + 1e6


def test_values_too_large_to_scale_are_refused(tmp_path):
    X = np.array([[1e200, 1], [-1e200, 2], [0, 3], [1, 4]])
    path = save_npz(tmp_path / "x.npz", X, [0, 1, 0, 1])
    with pytest.raises(DataError, match="too large to scale in column 0"):
        load(path, test_fraction=0.5)
    save_npz(path, np.eye(2), [0, 1], np.full((1, 2), 1e300), [0])
    with pytest.raises(DataError, match="X_test as float32 has 0 NaN and 2 infinite"):
        load(path)
    save_npz(path, sparse.eye_array(2, format="csr"), [0, 1], X[:1] * 1e99, [0])
    with pytest.raises(DataError, match="X_test as float32"):
        load(path)


def test_regression_targets_are_scaled_when_asked_and_unscaled():
    plain = load("diabetes", dtype=np.float64)
    scaled = load("diabetes", dtype=np.float64, scale_target=True)
    assert plain.target_mean is None
    assert plain.unscale_targets(plain.y_test) is plain.y_test
    np.testing.assert_allclose(scaled.y_train.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.y_train.std(), 1)
    np.testing.assert_allclose(scaled.target_mean, plain.y_train.mean(axis=0))
    np.testing.assert_allclose(scaled.unscale_targets(scaled.y_test), plain.y_test)


def test_transform_refuses_rows_of_another_width():
    with pytest.raises(DataError, match="3 columns; give 4"):
        load("iris").transform(np.ones((2, 3)))
