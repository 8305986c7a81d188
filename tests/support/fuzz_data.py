"""Files of data that are fuzzed: how each is made, loaded, and read naively."""

import csv
import functools
import gzip
import io
import itertools
import pathlib
import re
import tempfile
from typing import Any

import numpy as np
import scipy.io
from scipy import sparse
from support import mutations
from support.data_files import LABELS, X
from support.fuzzing import Case

from truesparse import datasets
from truesparse.errors import TruesparseError

SPARSE = sparse.csr_array(X * (X > 0.3))
# Wider sparse rows than fit are refused, as they become dense here.
_MEMORY = 1 << 22
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def written(write, name="file") -> bytes:
    """Return what `write` writes to the path that it is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, name)
        write(path)
        return path.read_bytes()


def table_of(X: Any, y: Any) -> list[tuple]:
    """Return features and label of each row, in an order that a split keeps."""
    X = X.toarray() if sparse.issparse(X) else np.asarray(X)
    targets = np.asarray(y).reshape(len(X), -1).tolist()
    # Sums of duplicates differ in their last bits.
    with np.errstate(over="ignore"):
        rows = (X.astype(float).round(9) + 0.0).tolist()
    return sorted(
        (*row, *map(_label, target))
        for row, target in zip(rows, targets, strict=True)
    )  # fmt: skip


def _label(value: Any) -> str:
    """Return a label as text, numbers of equal value as the same."""
    text = str(value).strip()
    return repr(float(text) + 0.0) if _NUMBER.match(text) else text


def load_data(path: pathlib.Path, **options: Any) -> list[tuple]:
    """Load a data set unscaled; as a part is drawn at random, rows are sorted."""
    data = datasets.load(
        path, scale="none", dtype=np.float64, memory=_MEMORY, **options
    )
    parts = [data.X_train, data.X_test]
    join = sparse.vstack if data.is_sparse else np.concatenate
    y = np.concatenate([data.y_train, data.y_test])
    if data.task == "classification":
        y = np.asarray(data.classes)[y]
    return table_of(join(parts), y)


def says(read) -> Any:
    """Return a judge: whether a naive reader of the content gives the same rows."""
    return lambda content, value: read(content) == value


def naive_csv(content: bytes) -> list[tuple]:
    text = content.decode("utf-8-sig")
    rows = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    head, *body = [row for row in rows if row and (len(row) > 1 or row[0].strip())]
    place = [name.strip() for name in head].index("y")
    # Spreadsheets end with empty rows.
    while body and not any(cell.strip() for cell in body[-1]):
        body.pop()
    assert {len(row) for row in body} == {len(head)}
    skipped = {place} | ({0} if not head[0].strip() else set())
    X = [[_real(c) for i, c in enumerate(row) if i not in skipped] for row in body]
    for i in {*range(len(head))} - skipped:
        truths = {row[i].strip().lower() in ("true", "false") for row in body}
        assert len(truths) == 1, i
    return table_of(X, [row[place] for row in body])


def _real(cell: str) -> float:
    cell = cell.strip()
    if cell.lower() in ("true", "false"):
        return float(cell.lower() == "true")
    assert _NUMBER.match(cell), cell
    return float(cell)


def naive_svmlight(content: bytes) -> list[tuple]:
    labels, rows = [], []
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        label, *pairs = line.partition(b"#")[0].decode("ascii").split() or [None]
        if label is None:
            continue
        labels.append(float(label))
        pairs = [pair.split(":") for pair in pairs if not pair.startswith("qid:")]
        row = {int(index): float(value) for index, value in pairs}
        assert list(row) == sorted(row)
        assert len(row) == len(pairs)
        rows.append(row)
    first = 0 if any(0 in row for row in rows) else 1
    wide = np.zeros((len(rows), max(i for row in rows for i in row) + 1 - first))
    for out, row in zip(wide, rows, strict=True):
        for index, value in row.items():
            out[index - first] = value
    return table_of(wide, labels)


def naive_arff(content: bytes) -> list[tuple]:
    text = io.StringIO(content.decode("utf-8-sig"), newline=None)
    lines = [line.strip() for line in text]
    lines = [line for line in lines if line and not line.startswith("%")]
    words = [line.lower().split()[0] for line in lines]
    start = words.index("@data")
    rows = list(csv.reader(lines[start + 1 :], quotechar="'", skipinitialspace=True))
    assert {len(row) for row in rows} == {words[:start].count("@attribute")}
    return table_of([list(map(_real, r[:-1])) for r in rows], [r[-1] for r in rows])


def _x_and_y(arrays: dict[str, Any]) -> list[Any]:
    """Return two arrays by their names, which may be in any case."""
    assert len(arrays) == 2
    return [
        arrays[name] for name in sorted(arrays, key=lambda name: name.lower() != "x")
    ]


def naive_npz(content: bytes) -> list[tuple]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    x, y = _x_and_y(arrays)
    return table_of(_as_rows(x), y)


def naive_sparse_npz(content: bytes) -> list[tuple]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = dict(file)
    data, indices, indptr, shape = (
        arrays.pop(f"X_{name}") for name in ("data", "indices", "indptr", "shape")
    )
    wide = np.zeros(tuple(int(size) for size in shape))
    for row, (start, stop) in enumerate(itertools.pairwise(indptr)):
        for p in range(start, stop):
            assert indices[p] >= 0
            wide[row, indices[p]] += data[p]
    return table_of(wide, arrays["y"])


def naive_npy(content: bytes) -> list[tuple]:
    array = np.load(io.BytesIO(content), allow_pickle=False)
    return table_of(array[:, :-1], array[:, -1])


def _as_rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def naive_mat(content: bytes) -> list[tuple]:
    arrays = scipy.io.loadmat(io.BytesIO(content), mat_dtype=True)
    x, y = _x_and_y({k: v for k, v in arrays.items() if not k.startswith("__")})
    return table_of(x, y.T if y.shape[0] == 1 else y)


def naive_parquet(content: bytes) -> list[tuple]:
    import pyarrow.parquet

    columns = pyarrow.parquet.read_table(io.BytesIO(content)).to_pydict()
    y = columns.pop("y")
    return table_of(np.array(list(columns.values()), float).T, y)


def naive_h5ad(content: bytes) -> list[tuple]:
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        matrix, target = file["X"], file["obs/y"]
        assert matrix.attrs["encoding-type"] == "csr_matrix"
        data, indices, bounds = (
            matrix[name][()] for name in ("data", "indices", "indptr")
        )
        n_rows, n_columns = matrix.attrs["shape"]
        assert n_rows * n_columns < _MEMORY
        assert len(bounds) == n_rows + 1
        assert len(data) == len(indices) == bounds[-1]
        wide = np.zeros((n_rows, n_columns))
        for row, (first, last) in enumerate(itertools.pairwise(bounds)):
            for p in range(first, last):
                assert indices[p] >= 0
                wide[row, indices[p]] += data[p]
        codes = target["codes"][()]
        assert codes.min() >= 0
        return table_of(wide, target["categories"].asstr()[()][codes])


def naive_hdf5_mat(content: bytes) -> list[tuple]:
    import h5py

    with h5py.File(io.BytesIO(content)) as file:
        x, y = _x_and_y({name: file[name][()] for name in file})
        return table_of(x.T, y.T)


def csv_text() -> bytes:
    lines = [",".join(map(str, (*row, y))) for row, y in zip(X, LABELS, strict=True)]
    return "\n".join(["a,b,c,d,e,y", *lines, ""]).encode()


def svmlight_text() -> bytes:
    rows = zip(SPARSE.toarray(), LABELS, strict=True)
    return "".join(
        f"{y} " + " ".join(f"{i + 1}:{v}" for i, v in enumerate(row) if v) + "\n"
        for row, y in rows
    ).encode()


def arff_text() -> bytes:
    head = "@relation r\n% remark\n@attribute 'a b' real\n@attribute c numeric\n"
    head += "@attribute y {0,1,2}\n@data\n"
    rows = zip(X, LABELS, strict=True)
    return (head + "".join(f"{a},{b},'{y}'\n" for (a, b, *_), y in rows)).encode()


def parquet(path: pathlib.Path) -> None:
    import pandas as pd

    columns = dict(zip("abcde", X.T, strict=True))
    pd.DataFrame({**columns, "y": LABELS}).to_parquet(path)


def _npz(path: pathlib.Path) -> None:
    np.savez(path, X=X, y=LABELS)


def _mat(path: pathlib.Path) -> None:
    scipy.io.savemat(path, {"X": X, "y": LABELS})


def _deflated_mat(path: pathlib.Path) -> None:
    scipy.io.savemat(path, {"X": SPARSE, "y": LABELS}, do_compression=True)


def h5ad(path: pathlib.Path, **options: Any) -> None:
    """Write the layout of anndata; options are those of arrays of h5py."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", SPARSE.shape
        for name in ("data", "indices", "indptr"):
            group.create_dataset(name, data=getattr(SPARSE, name), **options)
        var, obs = file.create_group("var"), file.create_group("obs")
        var["_index"], obs["_index"] = list("abcde"), [str(i) for i in range(len(X))]
        obs.attrs["column-order"] = ["y"]
        kinds = obs.create_group("y")
        kinds["codes"], kinds["categories"] = LABELS, ["no", "yes", "both"]


def hdf5_mat(path: pathlib.Path) -> None:
    """Write a .mat file of version 7.3."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in {"X": X, "y": LABELS[:, None].astype(float)}.items():
            file.create_dataset(name, data=array.T, chunks=True, compression="gzip")
            file[name].attrs["MATLAB_class"] = np.bytes_("double")


_CSV = {
    **{"header": "yes", "delimiter": ",", "decimal": ".", "encoding": "utf-8-sig"},
    **{"target": "y", "categorical": "error"},
}
_COLUMNS = {"target": "y", "categorical": "error"}
_compress = functools.partial(gzip.compress, mtime=0)
_text, _binary = mutations.TEXT, mutations.BINARY
_zipped = (*_binary, *[mutations.in_members(_binary)] * 8)
_gzipped = (*_binary, *[mutations.packed(_text, gzip.decompress, _compress)] * 8)
_deflated = (*_binary, *[mutations.in_elements(_binary)] * 8)
# Content or what writes it, mutations, naive reader, options.
DATA: dict[str, tuple[Any, Any, Any, dict[str, str]]] = {
    "a.npz": (_npz, _zipped, naive_npz, {}),
    "csr.npz": (
        lambda path: datasets.save_npz(path, SPARSE, LABELS),
        *(_zipped, naive_sparse_npz, {}),
    ),
    "a.npy": (lambda path: np.save(path, np.c_[X, LABELS]), _binary, naive_npy, {}),
    "a.csv": (csv_text(), _text, naive_csv, _CSV),
    "z.csv.gz": (
        _compress(csv_text()),
        *(_gzipped, lambda content: naive_csv(gzip.decompress(content)), _CSV),
    ),
    "a.svm": (svmlight_text(), _text, naive_svmlight, {}),
    "a.arff": (arff_text(), _text, naive_arff, _COLUMNS),
    "a.parquet": (parquet, _binary, naive_parquet, _COLUMNS),
    "a.mat": (_mat, _binary, naive_mat, {}),
    "z.mat": (_deflated_mat, _deflated, naive_mat, {}),
    "a.h5ad": (h5ad, _binary, naive_h5ad, {"target": "y"}),
    "z.h5ad": (
        functools.partial(h5ad, compression="gzip", shuffle=True, fletcher32=True),
        *(_binary, naive_h5ad, {"target": "y"}),
    ),
    "hdf5.mat": (hdf5_mat, _binary, naive_hdf5_mat, {}),
}
# Which libhdf5 reads.
HDF5 = ("a.h5ad", "z.h5ad", "hdf5.mat")


def data_case(name: str) -> Case:
    """Return a format of data."""
    content, kinds, naive, options = DATA[name]
    if callable(content):
        content = written(content, name)
    read = functools.partial(load_data, **options)
    judge, refusals = says(naive), (TruesparseError,)
    return Case(name, content, kinds, read, judge, refusals, name in HDF5)
