"""Damaged files of every format load, or are refused with an error of truesparse."""

import bz2
import contextlib
import gzip

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import mmwrite, savemat
from support.data_files import LABELS, X

from truesparse.datasets import load, load_rows, save_npz
from truesparse.errors import DataError, UsageError

SPARSE = sparse.csr_array(X * (X > 0))


def svmlight():
    rows = (f"{y} 1:{row[0]} 3:{row[1]}\n" for y, row in zip(LABELS, X, strict=True))
    return "".join(rows).encode()


def arff():
    rows = (f"{a},{b},'{y}'\n" for (a, b, *_), y in zip(X, LABELS, strict=True))
    head = "@relation r\n@attribute 'a b' real\n@attribute c real\n"
    return (head + "@attribute y {0,1,2}\n@data\n" + "".join(rows)).encode()


def csv(path):
    np.savetxt(path, np.c_[X, LABELS], "%g", delimiter=",", header="a,b,c,d,e,y")


def h5ad(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["X"] = X
        for part, names in (("var", list("abcde")), ("obs", list(map(str, LABELS)))):
            group = file.create_group(part)
            group.attrs["_index"] = "y"
            group.attrs["column-order"] = np.array(["y"], h5py.string_dtype())
            group["y"] = np.array(names, object).astype(h5py.string_dtype())


def mat_73(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, array in (("X", X), ("y", LABELS[:, None])):
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")


WRITERS = {
    "b.npz": lambda path: save_npz(path, SPARSE, LABELS),
    "b.npy": lambda path: np.save(path, np.c_[X, LABELS]),
    "b.mat": lambda path: savemat(path, {"X": SPARSE, "y": LABELS}),
    "b.zip.mat": lambda path: savemat(path, {"X": X, "y": LABELS}, do_compression=True),
    "b.h5.mat": mat_73,
    "b.h5ad": h5ad,
    "b.csv": csv,
    "b.csv.gz": lambda path: path.write_bytes(
        gzip.compress(b"1.5,2,a\n2.5,3,b\n" * 15)
    ),
    "b": lambda path: path.write_bytes(svmlight()),
    "b.svm": lambda path: path.write_bytes(svmlight()),
    "b.svm.bz2": lambda path: path.write_bytes(bz2.compress(svmlight())),
    "b.arff": lambda path: path.write_bytes(arff()),
    "b.mtx": lambda path: mmwrite(path, sparse.coo_array(SPARSE)),
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(
    cut=st.floats(0, 0.999),
    flips=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=1)), max_size=5
    ),
)
def test_damaged_files_load_or_are_refused(tmp_path_factory, name, cut, flips):
    path = tmp_path_factory.mktemp("damaged") / name
    WRITERS[name](path)
    content = bytearray(path.read_bytes())
    for position, byte in flips:
        content[min(int(position * len(content)), len(content) - 1)] = byte[0]
    if not flips:
        del content[int(cut * len(content)) :]
    path.write_bytes(content)
    with contextlib.suppress(DataError, UsageError):
        if name.endswith(".mtx"):
            load_rows(path, n_features=5)
        else:
            load(path, target="y") if name.endswith(".h5ad") else load(path)


@pytest.mark.parametrize("name", WRITERS)
def test_whole_files_load(tmp_path, name):
    WRITERS[name](tmp_path / name)
    if name.endswith(".mtx"):
        assert load_rows(tmp_path / name, n_features=5).X.shape == (30, 5)
    else:
        data = load(tmp_path / name)
        assert len(data.X_train) if not data.is_sparse else data.X_train.shape[0]


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789.,;:-+eE \t\n\"'#%@{}?NAabxy=|/", max_size=200))
@example("@data\n")
@example("1:2\n")
@example("sep=;\n")
@example("'\n\"")
def test_random_text_loads_or_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("random") / "a"
    path.write_text(text)
    for name in ("a", "a.arff", "a.csv", "a.mtx"):
        path = path.rename(path.with_name(name))
        with contextlib.suppress(DataError, UsageError):
            load(path)
        with contextlib.suppress(DataError, UsageError):
            load_rows(path, n_features=2)
