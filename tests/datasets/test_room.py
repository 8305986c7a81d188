"""Files that would not fit in memory are refused before their arrays are made."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from truesparse.datasets import load, save_npz
from truesparse.datasets.room import loading_bytes
from truesparse.errors import DataError, MemoryLimitError

N, N_FEATURES = 10_000, 300


def write(path, dtype=np.float64, has_test=False, is_sparse=False, compress=False):
    draw = np.random.default_rng(0)
    X = (draw.random((N, N_FEATURES)) * 200).astype(dtype)
    if is_sparse:
        X = sparse.csr_array(X * (draw.random(X.shape) < 0.2))
    y = draw.integers(0, 3, N)
    half = N // 2
    parts = (X[:half], y[:half], X[half:], y[half:]) if has_test else (X, y)
    return save_npz(path, *parts, compress=compress)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
@pytest.mark.parametrize("has_test", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_dense_files_take_what_is_estimated(tmp_path, dtype, has_test, compress):
    path = write(tmp_path / "a.npz", dtype, has_test, compress=compress)
    assert_estimate_holds(path)


@pytest.mark.parametrize("has_test", [False, True])
def test_sparse_files_take_what_is_estimated(tmp_path, has_test):
    assert_estimate_holds(write(tmp_path / "a.npz", has_test=has_test, is_sparse=True))


def assert_estimate_holds(path):
    load(path)  # what is imported by it does not count
    tracemalloc.start()
    load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = loading_bytes(path, np.dtype(np.float32))
    assert 0.7 * peak < estimate < 1.5 * peak, estimate / peak


@pytest.mark.parametrize("name", ["a.npz", "a"])
def test_a_file_that_is_too_large_is_refused_unread(tmp_path, name, monkeypatch):
    write(tmp_path / "a.npz")
    needed = loading_bytes(tmp_path / "a.npz", np.dtype(np.float32))
    folder = None if name == "a.npz" else tmp_path
    source = tmp_path / name if folder is None else name
    assert load(source, folder, memory=needed).n_features == N_FEATURES
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(
        MemoryLimitError, match=r"about 0\.0361 GB, but only 0\.0361 GB"
    ):
        load(source, folder, memory=needed - 1)


def test_text_counts_as_it_is(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,target\n" + "0.25,1.5,0\n0.5,-1.5,1\n" * 20)
    with pytest.raises(MemoryLimitError, match=r"a\.csv takes about"):
        load(path, memory=path.stat().st_size - 1)
    assert load(path, memory=10**6).n_features == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x93NUMPY"])
def test_what_cannot_be_read_is_left_to_its_reader(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    assert loading_bytes(path, np.dtype(np.float32)) == 0
    with pytest.raises(DataError):
        load(path, memory=1)


def test_svmlight_with_an_absurd_index_is_refused(tmp_path):
    (tmp_path / "a.svm").write_text("0 1:1 2000000000:1\n1 2:1\n" * 4)
    with pytest.raises(MemoryLimitError, match="2,000,000,000 features"):
        load(tmp_path / "a.svm", memory=10**9)


def test_compressed_text_counts_more_than_it_is(tmp_path):
    (tmp_path / "a.svm.bz2").write_bytes(bytes(1000))
    assert loading_bytes(tmp_path / "a.svm.bz2", np.dtype("f4")) == 4000


def test_arrays_count_by_their_roles_whatever_their_names(tmp_path):
    X, y = np.zeros((50, 4), np.uint8), np.zeros(50)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    np.savez(tmp_path / "b.npz", Data=X, labels=y)
    dtype = np.dtype("f8")
    estimate = loading_bytes(tmp_path / "a.npz", dtype)
    assert estimate == loading_bytes(tmp_path / "b.npz", dtype)
    assert estimate > X.size * 8
