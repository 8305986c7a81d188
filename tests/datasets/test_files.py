"""Data sets from files: every format, and every way it can be bad."""

import bz2
import gzip
import lzma
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from support import mutations
from support.data_files import LABELS, RNG, X, assert_same_rows, raw
from support.datasets_invariants import assert_sound

from truesparse.datasets import load, save_npz
from truesparse.errors import DataError

# --- .npz


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array, sparse.csc_matrix])
def test_npz_keeps_features_and_test_part(folder, convert, compress):
    path = save_npz(
        folder / "a", convert(X[:20]), LABELS[:20], convert(X[20:]), LABELS[20:],
        compress=compress,
    )  # fmt: skip
    assert path == folder / "a.npz"
    data, rows, y = raw(path)
    assert data.is_sparse == (convert is not np.asarray)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(y, LABELS)
    assert [file.name for file in folder.iterdir()] == ["a.npz"]


def test_npz_of_numpy_with_images_and_text_labels_is_found_by_name(folder):
    images = RNG.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8)
    names = np.array(["cat", "dog", "emu"])[LABELS]
    np.savez(folder / "zoo.npz", X=images, y=names)
    data, rows, y = raw("zoo")
    assert_same_rows(rows, images.reshape(30, 48))
    assert data.classes.tolist() == ["cat", "dog", "emu"]
    assert np.bincount(y).tolist() == [10, 10, 10]
    assert repr(load("zoo", data_home=folder)) == repr(
        load(folder / "zoo.npz")
    ).replace("zoo.npz", "zoo")


def test_npz_multilabel_and_sparse_targets(folder):
    y = (RNG.random((30, 4)) < 0.5).astype(int)
    for targets in (y, sparse.csr_array(y), np.asfortranarray(y)):
        save_npz(folder / "m.npz", X[:20], targets[:20], X[20:], targets[20:])
        data, _, got = raw(folder / "m.npz")
        assert (data.task, data.classes, data.n_outputs) == ("multilabel", None, 4)
        np.testing.assert_array_equal(got, y)


def test_npz_with_several_real_targets(folder):
    y = RNG.standard_normal((30, 2))
    data, _, got = raw(save_npz(folder / "r.npz", X[:20], y[:20], X[20:], y[20:]))
    assert data.task == "regression"
    np.testing.assert_array_equal(got, y)


def store(**arrays):
    return lambda path: np.savez(path, **arrays)


CSR = {"X_data": [1.0], "X_indices": [0], "X_indptr": [0, 1, 1], "X_shape": [2, 3]}
CSR["y"] = [1, 2]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (store(X=X), "lacks y; it holds 'X'"),
        (store(), "lacks X, y; it holds nothing"),
        (store(X_train=X, y_train=LABELS), "lacks X_test, y_test"),
        (store(X=X, y=LABELS[:9]), "y has 9 rows, but there are 30 rows of features"),
        (store(X=X, y=np.array([None] * 30)), "allow_pickle=False"),
        (store(X=np.array([[1, "a"]], dtype=object), y=[1]), "allow_pickle=False"),
        (store(X=X[:0], y=LABELS[:0]), "X is empty: 0 rows"),
        (store(X=X, y=np.ones(30)), "one class only, 1"),
        (store(X=X[:3], y=[1, 2, 3]), "class of its own"),
        (store(X=X[:1], y=[1]), "1 rows cannot be split"),
        (store(X=X[:, 0], y=LABELS), "2 dimensions"),
        (store(**CSR | {"X_indices": [7]}), "X has invalid index arrays"),
        (store(**CSR | {"X_indices": [-1]}), "X has invalid index arrays"),
        (store(**CSR | {"X_indptr": [0, 2, 1]}), "X has invalid index arrays"),
        (store(**CSR | {"X_indptr": [0, 1]}), "X is not a valid CSR matrix"),
        (store(**CSR | {"X_indices": [0.5]}), "must be whole numbers"),
        (store(**CSR | {"X_shape": [2]}), "X is not a valid CSR matrix"),
        (store(**CSR | {"X_shape": [-2, 3]}), "X is not a valid CSR matrix"),
        (lambda path: sparse.save_npz(path, sparse.eye_array(3)), "without targets"),
        (lambda path: np.save(path.open("wb"), X), "single .npy array"),
        (lambda path: path.write_text("no archive"), "cannot read .* as .npz"),
        (
            store(X_train=X, y_train=LABELS, X_test=X[:2, :4], y_test=[0, 1]),
            "X_test has 4 columns; give 5",
        ),
        (
            store(X_train=X, y_train=LABELS, X_test=X[:2], y_test=[0, 5]),
            "y_test has labels that the training part lacks, in 1 rows: 5",
        ),
        (
            store(X_train=X, y_train=X[:, :2], X_test=X, y_test=X[:, :3]),
            "y_test has 3 columns, but y_train has 2",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file")
def test_bad_npz_says_what_is_wrong(folder, write, message):
    write(folder / "b.npz")
    with pytest.raises(DataError, match=message) as caught:
        load(folder / "b.npz")
    assert "\n" not in str(caught.value)
    assert str(folder / "b.npz") in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((X, LABELS[:5]), "y has 5 rows, but there are 30 rows of features"),
        ((X, LABELS, X), "belong together"),
        ((X, [None] * 30), "must be an array of numbers or text, got Python objects"),
        ((X, 5), "must be an array of numbers or text, got one value"),
        ((X, [[1, 2], [3]]), "different lengths"),
        ((sparse.csr_array((0, 3)), []), "X is empty"),
    ],
)
def test_save_npz_refuses_what_load_could_not_read(folder, arrays, message):
    with pytest.raises(DataError, match=message):
        save_npz(folder / "a.npz", *arrays)
    assert not list(folder.iterdir())


def test_an_array_is_all_that_its_file_holds(folder):
    """NumPy reads as much as the header says, and keeps quiet about the rest."""
    np.save(folder / "a.npy", np.c_[X, LABELS])
    content = (folder / "a.npy").read_bytes()
    np.savez(folder / "a.npz", X=X, y=LABELS)
    for old, new, message in (
        ("(30, 6)", "(20, 6)", "it holds more than"),
        ("(30, 6)", "(40, 6)", "cannot read"),
        ("<f8", "4f8", "4,.* is none"),
        ("(30, 6)", "(-3, 6)", "is none"),
        ("(30, 6), ", f"({2**62}, 6), ", "is none"),
    ):
        head = content[:128].replace(old.encode(), new.encode()).rstrip()
        (folder / "b.npy").write_bytes(head.ljust(127) + b"\n" + content[128:])
        with pytest.raises(DataError, match=message):
            load(folder / "b.npy")
        members = mutations.unpack_zip((folder / "a.npz").read_bytes())
        head = members["X.npy"][:128].replace(b"(30, 5)", b"(20, 5)")
        members["X.npy"] = head + members["X.npy"][128:]
        (folder / "b.npz").write_bytes(mutations.pack_zip(members, True))
        with pytest.raises(DataError, match="it holds more than"):
            load(folder / "b.npz")


def test_interrupted_writing_leaves_the_old_file(folder, monkeypatch):
    path = save_npz(folder / "a.npz", X, LABELS)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(DataError, match=r"cannot write .*a\.npz: No space left"):
        save_npz(path, X, LABELS)
    assert path.read_bytes() == before
    assert [file.name for file in folder.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "No such file"),
        ("none/none.npz", "No such file"),
        (".", "it is a folder"),
        ("table.xlsx", "the ending '.xlsx' is unknown, .* known endings are .npz, "),
        ("words.npz.gz", "only text may be compressed; unpack it"),
        ("empty.svm", "the file is empty"),
    ],
)
def test_files_that_cannot_be_read_say_why(folder, name, message):
    (folder / "table.xlsx").write_text("x")
    (folder / "empty.svm").write_text("")
    with pytest.raises(DataError, match=message) as caught:
        load(folder / name)
    assert "\n" not in str(caught.value)


# --- .csv


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (None, "abcdey"),
        ("a,b,c,d,e,y", "abcdey"),
        ("Target,a,b,c,d,e", "yabcde"),
        ("a,b,CLASS,c,d,e", "abycde"),
        ("a,b,c,d,e,f", "abcdey"),
        ("0,1,2,3,4,target", "abcdey"),
        ("0,1,2,3,4,5", "abcdey"),
        (',0,1,2,3,4,"label"', "iabcdey"),
        (",a,b,c,d,e,y", "tabcdey"),
    ],
)
@pytest.mark.parametrize("text_labels", [False, True])
def test_csv_headers_and_delimiters(folder, delimiter, header, columns, text_labels):
    names = np.array(['"cat, big"', "dog", "emu"]) if text_labels else np.arange(3)
    lines = [] if header is None else [header]
    for i, (row, label) in enumerate(zip(X, LABELS, strict=True)):
        cells = dict(zip("abcde", row, strict=True)) | {"i": i, "t": f"row{i}"}
        cells["y"] = names[label]
        lines.append("\0".join(str(cells[column]) for column in columns))
    text = "\n".join(lines).replace("\0", delimiter)
    if header is not None:
        text = text.replace(header, header.replace(",", delimiter))
    path = folder / "t.csv"
    path.write_text("\n" + text + "\n\n", encoding="utf-8-sig")
    data, rows, y = raw(path)
    assert_same_rows(rows, X)
    expected = ["cat, big", "dog", "emu"] if text_labels else [0, 1, 2]
    assert data.classes.tolist() == expected
    row_of = {tuple(row): label for row, label in zip(X.tolist(), LABELS, strict=True)}
    assert [row_of[tuple(row)] for row in rows.tolist()] == y.tolist()


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("t.tsv", bytes),
        ("t.data", bytes),
        ("t.txt", bytes),
        ("t.csv.gz", gzip.compress),
        ("t.txt.bz2", bz2.compress),
        ("t.csv.xz", lzma.compress),
    ],
)
def test_text_tables_by_other_names_and_compressed(folder, name, compress):
    rows = "".join(f"{a},{b},{y}\n" for (a, b), y in zip(X[:, :2], LABELS, strict=True))
    (folder / name).write_bytes(compress(rows.encode()))
    _, got, y = raw(folder / name)
    assert_same_rows(got, X[:, :2])
    assert np.bincount(y).tolist() == [10, 10, 10]


def test_csv_regression_target(folder):
    np.savetxt(folder / "r.csv", X, delimiter=",")
    data, rows, y = raw(folder / "r.csv")
    assert data.task == "regression"
    assert_same_rows(np.column_stack([rows, y]), X)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "it holds no rows"),
        ("1\n4\n", "has 1 column;"),
        ("a,b,y\n", "has a header but no rows"),
        ("a,b,y\n1,2,0\n3,,1\n", "line 3, column 2 holds no value"),
        ("\na,b,y\n1,2,0\n3,x,1\n", "line 4, column 2 holds 'x'"),
        ("1,2,0\n3,4\n", "line 2 has 2 cells, line 1 has 3"),
        ("a,b,y\n1,2,0\n3,4,1,5\n", "line 3 has 4 cells, line 2 has 3"),
        ("a,b,y\n1,nan,0\n3,inf,1\n", "line 2, column 2 holds no value"),
        ("a,b,y\n1,2,0\n3,inf,1\n", "X has 0 NaN and 1 infinite values: column 1"),
        (
            "a,b,y\n1,2,\n3,4,1\n",
            "the target column has 1 empty cells, the first in line 2",
        ),
        (
            "a,b,y\n1,2,nan\n3,4,1\n",
            "the target column has 1 empty cells, the first in line 2",
        ),
        ("a,b,y\n1_0,2,0\n3,4,1\n", "line 2, column 1 holds '1_0'"),
        (
            f"a,b,y\n{'x' * 200_000},2,0\n3,4,1\n",
            "as a text table: field larger than field limit",
        ),
        ("label,a,target\n1,2,3\n", "could be the target: 'label', 'target'"),
        ("a,b\0c,y\n1,2,3\n", "binary file"),
        ("\N{DEGREE SIGN},1\n".encode("latin-1"), "as a text table: 'utf-8' codec"),
    ],
)
def test_bad_csv_says_where(folder, text, message):
    path = folder / "b.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


# --- .parquet


def test_parquet_reads_numbers_and_categories(folder):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame.insert(2, "Label", pd.Categorical(np.array(["p", "q", "r"])[LABELS]))
    frame["n"] = pd.array(LABELS, dtype="Int64")
    frame.to_parquet(folder / "t.parquet")
    data, rows, _ = raw(folder / "t.parquet")
    assert_same_rows(rows, np.column_stack([X, LABELS]))
    assert data.classes.tolist() == ["p", "q", "r"]
    for bad, message in [
        (frame.assign(a=[b"x"] * 30), "column 'a' holds values of type bytes"),
        (
            frame.assign(n=pd.array([None] * 30, dtype="Int64")),
            "row 1, column 7 holds no value",
        ),
        (frame.assign(Label=None), "the target column has 30 empty cells"),
        (frame.assign(target=1), "could be the target: 'Label', 'target'"),
        (frame[["a"]], "has 1 column;"),
    ]:
        bad.to_parquet(folder / "b.parquet")
        with pytest.raises(DataError, match=message):
            load(folder / "b.parquet")
    pd.DataFrame(X.astype(np.float32)).rename(columns=str).to_parquet(
        folder / "f.parquet"
    )
    assert_sound(load(folder / "f.parquet"))
    (folder / "d.parquet").write_bytes(b"PAR1 damaged")
    with pytest.raises(DataError, match=r"cannot read .* as \.parquet"):
        load(folder / "d.parquet")


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_parquet_without_its_libraries_says_what_to_install(
    folder, monkeypatch, library
):
    (folder / "t.parquet").write_bytes(b"PAR1")
    for name in ("pandas", "pyarrow"):
        stand_in = None if name == library else SimpleNamespace()
        monkeypatch.setitem(sys.modules, name, stand_in)
    with pytest.raises(DataError, match=f"{library} is not installed.*pip install"):
        load(folder / "t.parquet")
