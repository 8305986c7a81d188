"""Text files are read by what they hold, whatever their name and compression."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.data_files import assert_same_rows, raw

from truesparse.datasets import load, load_rows
from truesparse.datasets.content import recognise
from truesparse.errors import DataError

SVM = "1 1:.5 3:2\n-1 2:1e-1 # a comment\n" * 5
ROWS = np.array([[0.5, 0, 2], [0, 0.1, 0]] * 5)
TABLE = "1,2.5,a\n2,3.5,b\n" * 5


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("a9a", bytes),
        ("a9a.t", bytes),
        ("mnist.scale", bytes),
        ("w8a.txt", bytes),
        ("w8a.data", bytes),
        ("w8a.csv", bytes),
        ("w8a.svm", bytes),
        ("w8a.bz2", bz2.compress),
        ("w8a.t.xz", lzma.compress),
        ("w8a.svm.gz", gzip.compress),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_svmlight_is_known_by_its_rows(folder, name, compress, mark):
    (folder / name).write_bytes(compress(mark + SVM.encode()))
    data, rows, y = raw(folder / name)
    assert data.is_sparse
    assert_same_rows(rows, ROWS)
    assert data.classes.tolist() == [-1, 1]
    assert (rows[:, 0] > 0).tolist() == (y == 1).tolist()


def test_svmlight_with_labels_of_text_is_no_table_of_pairs(folder):
    (folder / "a.txt").write_text("yes 1:0.5 2:1\nno 1:1.5 2:2\n" * 20)
    with pytest.raises(DataError, match=r"as SVMlight text: .*yes.*; write each line"):
        load(folder / "a.txt")


def test_compressed_svmlight_takes_its_compressed_test_part(folder):
    (folder / "a.bz2").write_bytes(bz2.compress(SVM.encode()))
    (folder / "a.t.bz2").write_bytes(bz2.compress(b"1 4:7\n"))
    data = load(folder / "a.bz2", scale="none")
    assert data.X_test.toarray().tolist() == [[0, 0, 0, 7]]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (SVM, "svmlight"),
        ("1,3 1:2\n3 1:1\n", "svmlight"),  # several labels
        (" 1:2\n 2:2\n", "svmlight"),  # none
        ("3 qid:1 1:2\n", "svmlight"),
        ("# by svm-scale\n1 1:2\n", "svmlight"),
        ("1 1:2\n2 1:x\n3 2:2\n", "svmlight"),  # its reader names the bad line
        ("1\n1 1:2\n", "svmlight"),  # a row of zeros
        ("1 1:10\n0 1:30 2:59\n", "svmlight"),  # times would fill every column
        ("1 1:10\n0 1:61\n", "svmlight"),
        (TABLE, "table"),
        ("a b:1 c\n1 2 3\n", "table"),
        ("time,y\n10:30,1\n11:45,0\n", "table"),
        ("@RELATION iris\n", "arff"),
        ("% Iris\n\n@relation iris\n", "arff"),
        ("%%MatrixMarket matrix\n", "mtx"),
        ("", "table"),
    ],
)
def test_contents(folder, text, content):
    (folder / "a").write_text(text)
    assert recognise(folder / "a", "utf-8") == content


def test_a_table_of_any_name_is_read(folder):
    for name in ("iris", "iris.dat", "iris.names.old"):
        (folder / name).write_text(TABLE)
        data, rows, _ = raw(folder / name)
        assert data.classes.tolist() == ["a", "b"]
        assert_same_rows(rows, np.array([[1, 2.5], [2, 3.5]] * 5))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1 10:30 12:45\n0 9:05 11:59\n", "SVMlight text or a table of times"),
        ("a.json", '{"a": 1, "y": 2}\n' * 4, "it looks like JSON"),
        ("a.csv", "<html>\n", "it looks like JSON, XML or HTML"),
        ("a.txt", "[[1, 2], [3, 4]]\n", "it looks like JSON"),
        ("a.bin", "a\0b", "binary file; the ending '.bin' is unknown, .*known endings"),
        ("a", "1 1:1\n2 3:1 2:1\n1 2:2\n", "sorted and unique"),
        ("a.npz.gz", "x", "only text may be compressed; unpack it"),
        ("a.svm", "9007199254740993 1:1\n1 1:2\n", "labels of 2.53 or more"),
    ],
)
def test_other_contents_are_refused(folder, name, text, message):
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load(folder / name)
    assert str(folder / name) in str(caught.value)


def test_a_table_of_times_is_one_where_the_caller_says_so(folder):
    (folder / "a.txt").write_text("1 10:30\n0 9:05\n" * 5)
    with pytest.raises(DataError, match="holds dates or times such as '10:30'"):
        load(folder / "a.txt", delimiter="space", target=1)


@given(
    st.lists(
        st.dictionaries(
            st.integers(1, 9),
            st.floats(-1e9, 1e9).filter(bool),
            min_size=1,
        ),
        min_size=4,
        max_size=9,
    )
)
def test_random_svmlight_is_read_as_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("svm") / "set.txt"
    lines = [
        f"{i % 2} " + " ".join(f"{j}:{row[j]!r}" for j in sorted(row))
        for i, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines))
    dense = np.zeros((len(rows), 9))
    for i, row in enumerate(rows):
        dense[i, [j - 1 for j in row]] = list(row.values())
    got = load_rows(path, n_features=9, first_index=1, dtype=np.float64)
    assert got.X.toarray().tolist() == dense.tolist()
    assert got.y.tolist() == [i % 2 for i in range(len(rows))]
