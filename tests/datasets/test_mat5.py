"""MATLAB's files of level 5 are read as scipy reads them, or refused."""

import random

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from truesparse.datasets import load
from truesparse.datasets.mat5 import Mat5File, is_mat5
from truesparse.errors import DataError, TruesparseError

KINDS = {
    **{name: name for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    **{"int64": "int64", "uint64": "uint64", "float32": "single", "float64": "double"},
    "bool": "logical",
}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("do_compression", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (2, 3, 2), (0, 3)])
def test_numbers(dtype, do_compression, shape, tmp_path):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"some_name": array}, do_compression=do_compression)
    file = Mat5File(path.read_bytes())
    assert file.kinds == {"some_name": KINDS[dtype]}
    got = file.read("some_name")
    np.testing.assert_array_equal(got, array)
    assert got.dtype == ("uint8" if dtype == "bool" else dtype)


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_what_scipy_reads(tmp_path_factory, seed, do_compression, is_small):
    draw = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    n = int(draw.integers(1, 3 if is_small else 40))
    holed = sparse.random_array((n, 5), density=0.4, rng=draw)
    arrays = {
        "a": draw.standard_normal((n, 3)),
        "B": draw.integers(-5, 300, (n, 2)) * 1.0,  # stored in two bytes
        "z": draw.standard_normal((n, 2)) + 1j,
        "sparse_of_a_long_name_that_takes_more": holed,
        "truth": holed > 0,
        "text": np.array([f"w{i:02}" for i in range(n)]),
        "cells": np.array(["one", 2], object),
    }
    scipy.io.savemat(path, arrays, do_compression=do_compression)
    content = path.read_bytes()
    assert is_mat5(content[:128])
    file = Mat5File(content)
    assert set(file.kinds) == set(arrays)
    # With mat_dtype, scipy 1.17 loses the imaginary part.
    names = [name for name in arrays if name != "z"]
    want = scipy.io.loadmat(path, mat_dtype=True, variable_names=names)
    want["z"] = scipy.io.loadmat(path, variable_names=["z"])["z"]
    for name in set(arrays) - {"cells"}:
        got = file.read(name)
        if sparse.issparse(got):
            np.testing.assert_array_equal(got.toarray(), want[name].toarray())
        else:
            np.testing.assert_array_equal(got, want[name])
            assert got.dtype == want[name].dtype


def test_bytes_of_other_machines(tmp_path):
    """A file of a big-endian machine, element by element."""

    def element(kind, array, dtype):
        data = np.asarray(array).astype(">" + dtype).tobytes()
        tag = np.array([kind, len(data)], ">u4").tobytes()
        return tag + data + bytes(-len(data) % 8)

    matrix = element(6, [6, 0], "u4") + element(5, [2, 3], "i4")
    matrix += element(1, [ord("X")], "i1") + element(3, [1, 2, 3, 4, 5, 300], "i2")
    tag = np.array([14, len(matrix)], ">u4").tobytes()
    file = Mat5File(b" " * 124 + b"\x01\x00MI" + tag + matrix)
    np.testing.assert_array_equal(file.read("X"), [[1, 3, 5], [2, 4, 300]])


def saved(path):
    X = np.random.default_rng(0).standard_normal((30, 4))
    holed = sparse.random_array((30, 9), density=0.3, rng=0)
    labels = np.arange(30) % 3
    scipy.io.savemat(path / "a.mat", {"X": X, "Y": labels})
    scipy.io.savemat(path / "b.mat", {"X": holed, "Y": labels}, do_compression=True)
    scipy.io.savemat(path / "c.mat", {"X": holed, "Y": labels})
    return [path / name for name in ("a.mat", "b.mat", "c.mat")]


def test_damage_never_ends_the_process(tmp_path):
    draw = random.Random(3)
    files, messages = saved(tmp_path), set()
    for _ in range(300):
        content = bytearray(draw.choice(files).read_bytes())
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(124, len(content))
            size = draw.choice((1, 4, 30))
            content[place : place + size] = draw.choice(
                (draw.randbytes(size), b"\xff" * size, b"", bytes(size))
            )
        path = tmp_path / "m.mat"
        path.write_bytes(content)
        try:
            load(path)
        except TruesparseError as error:
            messages.add(str(error))
    assert not [text for text in messages if "\n" in text]
    assert len(messages) > 5


@pytest.mark.parametrize(
    ("find", "replacement", "message"),
    [
        # Dimensions of 30 x 4 and of far more; the class; the end of the column starts.
        (b"\x1e\0\0\0\x04\0\0\0", b"\x1e\0\0\0\x05\0\0\0", "120 numbers, not 150"),
        (b"\x1e\0\0\0\x04\0\0\0", b"\xff\xff\xff\x7f" * 2, "numbers, not 46116860"),
        (b"\x1e\0\0\0\x04\0\0\0", b"\xff\xff\xff\xff" * 2, "has dimensions"),
        (b"\x06\0\0\0\x08\0\0\0\x06", b"\x06\0\0\0\x08\0\0\0\x60", "has class 96"),
    ],
)
def test_sizes_that_lie(find, replacement, message, tmp_path):
    path = saved(tmp_path)[0]
    content = path.read_bytes()
    assert find in content
    path.write_bytes(content.replace(find, replacement, 1))
    with pytest.raises(DataError, match=message):
        load(path)


def test_rows_of_a_sparse_matrix_that_do_not_exist(tmp_path):
    holed = sparse.csc_array(np.array([[0, 1.0], [2, 0], [0, 3]]))
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"X": holed, "Y": np.arange(3)})
    content = path.read_bytes()
    rows = np.array([1, 0, 2], "<i4").tobytes()
    assert rows in content
    path.write_bytes(content.replace(rows, np.array([1, 0, 9], "<i4").tobytes(), 1))
    with pytest.raises(DataError, match="indices must be < 3"):
        load(path)


@pytest.mark.parametrize("content", [bytes(300), b"", b"text\n" * 90, b" " * 128])
def test_what_is_no_mat_file(content, tmp_path):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mat"):
        load(tmp_path / "a.mat")


def test_version_4_is_read(tmp_path):
    X = np.random.default_rng(0).standard_normal((30, 4))
    arrays = {"X": X, "Y": np.arange(30)[:, None] % 3}
    scipy.io.savemat(tmp_path / "a.mat", arrays, format="4")
    assert load(tmp_path / "a.mat", scale="none").n_features == 4


def test_a_deflated_matrix_is_compared_with_its_checksum(tmp_path):
    path = saved(tmp_path)[1]
    content = bytearray(path.read_bytes())
    size = int.from_bytes(content[132:136], "little")
    content[135 + size] ^= 1  # the last byte of the first stream
    path.write_bytes(content)
    with pytest.raises(DataError, match="incorrect data check"):
        load(path)


@pytest.mark.parametrize(
    ("more", "message"),
    [(b"\0", "last 1 bytes are no element"), (bytes(8), "of type 0 is no matrix")],
)
def test_bytes_that_nothing_refers_to(more, message, tmp_path):
    path = saved(tmp_path)[0]
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(DataError, match=message):
        load(path)


def test_logical_values_are_zeros_and_ones(tmp_path):
    path = tmp_path / "a.mat"
    truth = np.arange(12).reshape(6, 2) % 5 > 1
    scipy.io.savemat(path, {"X": truth, "Y": np.arange(6) % 2})
    content = path.read_bytes()
    values = truth.T.astype("u1").tobytes()
    assert content.count(values) == 1
    path.write_bytes(content.replace(values, b"\2" + values[1:]))
    with pytest.raises(DataError, match="X is logical, but not of zeros and ones"):
        load(path)
