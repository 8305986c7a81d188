"""Rows for a trained model: with targets or without, in any order of columns."""

import numpy as np
import pytest
from scipy import sparse

from truesparse import datasets
from truesparse.datasets import load, load_rows
from truesparse.datasets.parquet_table import save_parquet
from truesparse.errors import DataError, UsageError

CSV = "a,b,c,kind\n1,2,3,x\n4,5,6,y\n"
X = [[1, 2, 3], [4, 5, 6]]
NAMES = ("a", "b", "c")


@pytest.fixture
def file(tmp_path):
    def write(text, name="t.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# Tables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names", "y"),
    [
        (CSV, None, ["x", "y"]),
        (CSV, NAMES, None),
        ("a,b,c\n1,2,3\n4,5,6\n", None, None),
        ("a,b,c\n1,2,3\n4,5,6\n", NAMES, None),
        ("1,2,3\n4,5,6\n", NAMES, None),
        ("1,2,3,7\n4,5,6,8\n", NAMES, [7, 8]),
        # Where nothing names the columns, the one with the name of a target is it.
        ("y,b,c,d\n7,1,2,3\n8,4,5,6\n", None, [7, 8]),
        # By name, in any order; what is left and not last is not looked at.
        ("c,id,a,b\n3,p,1,2\n6,q,4,5\n", NAMES, None),
        ("label,c,a,b\n7,3,1,2\n8,6,4,5\n", NAMES, [7, 8]),
        # The last column is not taken for a target where the model knows its features.
        ("c,id,a,b,kind\n3,p,1,2,x\n6,q,4,5,y\n", NAMES, None),
        # A table of pandas, with the index.
        (",a,b,c\n0,1,2,3\n1,4,5,6\n", NAMES, None),
        (",a,b,c,y\n0,1,2,3,7\n1,4,5,6,8\n", None, [7, 8]),
        # Not known yet.
        ("a,b,c,y\n1,2,3,\n4,5,6,\n", NAMES, None),
    ],
)
def test_csv(text, names, y, file):
    rows = load_rows(file(text), n_features=3, feature_names=names)
    np.testing.assert_array_equal(rows.X, X)
    assert (None if rows.y is None else rows.y.tolist()) == y


@pytest.mark.parametrize(
    ("text", "y"),
    [
        ("a,b,c,kind,extra\n1,2,3,x,p\n4,5,6,y,q\n", ["x", "y"]),
        ("kind,y,a,b,c\nx,0,1,2,3\ny,0,4,5,6\n", ["x", "y"]),
        ("a,b,c,y\n1,2,3,x\n4,5,6,y\n", None),
        ("a,b,c\n1,2,3\n4,5,6\n", None),
    ],
)
def test_the_target_is_the_column_that_was_it_in_training(text, y, file):
    options = {"feature_names": NAMES, "target_name": "kind"}
    rows = load_rows(file(text), n_features=3, **options)
    np.testing.assert_array_equal(rows.X, X)
    assert (None if rows.y is None else rows.y.tolist()) == y


def test_one_feature_alone(file):
    assert load_rows(file("a\n1\n2\n"), n_features=1).X.tolist() == [[1], [2]]
    assert load_rows(file("1\n2\n"), n_features=1).X.tolist() == [[1], [2]]
    assert load_rows(file("1;7\n2;8\n"), n_features=1).y.tolist() == [7, 8]


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        (
            "1,2\n3,4\n",
            None,
            "has 2 columns, but the model takes 3 features; .* one more for the target",
        ),
        ("1,2,3,4,5\n", NAMES, "has 5 columns, but the model takes 3 features"),
        ("a,b,cc\n1,2,3\n", NAMES, "lacks 1 of the 3 columns .* 'c' \\(it has 'cc'\\)"),
        ("p,q,r\n1,2,3\n", NAMES, "lacks 3 of the 3 columns .*: 'a', 'b', 'c'; add"),
        ("y,class,b,c\n1,2,3,4\n", None, "2 columns that could be the target"),
        ("a,b,c\n1,2,oops\n", NAMES, "line 2, column 3 holds 'oops'"),
        ("a,b,c\n1,2,3\n1,2\n", NAMES, "line 3 has 2 cells, line 2 has 3"),
        ("a,b,c\n1,2,nan\n", NAMES, "line 2, column 3 holds no value"),
        ("a,b,c\n", NAMES, "has a header but no rows"),
    ],
)
def test_csv_that_does_not_suit(text, names, message, file):
    with pytest.raises(DataError, match=message):
        load_rows(file(text), n_features=3, feature_names=names)


def test_names_of_training_data_are_kept(file):
    data = load(file(CSV * 1 + "7,8,9,x\n1,1,1,y\n1,2,1,x\n"))
    assert data.feature_names == NAMES
    assert load(file("1,2,0\n2,1,1\n3,1,0\n2,2,1\n")).feature_names is None
    # These do not tell columns apart.
    twice = "a,a,y\n1,2,0\n2,1,1\n3,1,0\n2,2,1\n"
    assert load(file(twice)).feature_names is None


def test_parquet(tmp_path):
    path = tmp_path / "t.parquet"
    columns = dict(zip(NAMES, np.array(X).T, strict=True))
    columns["kind"] = np.array(["x", "y"])
    save_parquet(path, columns)
    names = {"feature_names": ("c", "b", "a"), "target_name": "kind"}
    rows = load_rows(path, n_features=3, **names)
    np.testing.assert_array_equal(rows.X, np.array(X)[:, ::-1])
    assert rows.y.tolist() == ["x", "y"]
    del columns["kind"]
    save_parquet(path, columns)
    rows = load_rows(path, n_features=3)
    np.testing.assert_array_equal(rows.X, X)
    assert rows.y is None


# Arrays ------------------------------------------------------------------------------


def test_npz(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, X=np.array(X))
    assert load_rows(path, n_features=3).y is None
    np.savez(path, X=np.array(X), y=[1, 0])
    assert load_rows(path, n_features=3).y.tolist() == [1, 0]
    images = np.arange(12).reshape(2, 3, 2)
    np.savez(path, X_train=np.zeros((4, 6)), X_test=images)
    assert load_rows(path, n_features=6).X.tolist() == images.reshape(2, 6).tolist()
    assert load_rows(path, n_features=6, part="train").X.shape == (4, 6)
    assert load_rows(path, n_features=6, part="all").X.shape == (6, 6)
    with pytest.raises(DataError, match="6 columns; give 5"):
        load_rows(path, n_features=5)
    np.savez(path, y=[1, 0])
    with pytest.raises(DataError, match="lacks X;"):
        load_rows(path, n_features=3)
    # Training needs them as ever.
    np.savez(path, X=np.array(X))
    with pytest.raises(DataError, match="lacks y;"):
        load(path)


def test_a_matrix_of_scipy(tmp_path):
    matrix = sparse.random_array((5, 4), density=0.5, rng=0, format="csc")
    sparse.save_npz(tmp_path / "t.npz", matrix)
    rows = load_rows(tmp_path / "t.npz", n_features=4)
    assert isinstance(rows.X, sparse.csr_array)
    np.testing.assert_array_equal(rows.X.toarray(), matrix.toarray())


# SVMlight ----------------------------------------------------------------------------


def test_features_count_as_in_training(file):
    train = "0 1:1 3:2\n1 2:1\n0 3:1\n1 1:2\n"
    assert load(file(train, "t.svm")).first_index == 1
    zero = file(train.replace("0 1:1", "0 0:1 1:1"), "z.svm")
    assert load(zero).first_index == 0
    # Alone this file looks as if it counted from 1.
    path = file("1 1:5\n0 2:7\n", "new.svm")
    rows = load_rows(path, n_features=4, first_index=0)
    assert rows.X.toarray().tolist() == [[0, 5, 0, 0], [0, 0, 7, 0]]
    rows = load_rows(path, n_features=4, first_index=1)
    assert rows.X.toarray().tolist() == [[5, 0, 0, 0], [0, 7, 0, 0]]
    assert rows.y.tolist() == [1, 0]
    assert load_rows(path, n_features=4).X[[0], [0]] == 5
    for words, first in (("1 0:5\n", 1), ("1 4:5\n", 0), ("1 5:5\n", 1)):
        with pytest.raises(DataError, match=f"model takes {first} to {3 + first}"):
            load_rows(file(words, "bad.svm"), n_features=4, first_index=first)


def test_svm_files_with_no_or_several_labels(file):
    rows = load_rows(file("1:5\n2:7 3:1\n", "t.svm"), n_features=3, first_index=1)
    assert rows.y is None
    assert rows.X.toarray().tolist() == [[5, 0, 0], [0, 7, 1]]
    rows = load_rows(file("1,5 1:5\n5 2:7\n", "t.svm"), n_features=3)
    assert rows.classes.tolist() == [1, 5]
    assert rows.y.tolist() == [[1, 1], [0, 1]]


def test_a_test_part_beside_the_file(file):
    path = file("0 1:1\n1 2:1\n", "t.svm")
    file("1 3:4\n", "t.svm.t")
    assert load_rows(path, n_features=3).X.toarray().tolist() == [[0, 0, 4]]
    assert load_rows(path, n_features=3, part="all").X.shape == (3, 3)
    assert load_rows(path, n_features=3, part="all").y.tolist() == [0, 1, 1]


# Parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["iris", "diabetes", "synthetic:50x6"])
def test_parts_are_those_of_training(name, dtype):
    data = load(name, scale="none", seed=3, test_fraction=0.3, dtype=dtype)
    how = {"n_features": data.n_features, "task": data.task}
    # Generated data depend on the dtype they are drawn in.
    how |= {"seed": 3, "test_fraction": 0.3, "dtype": dtype}
    for part, features in (("train", data.X_train), ("test", data.X_test)):
        rows = load_rows(name, part=part, **how)
        np.testing.assert_allclose(rows.X, features, rtol=1e-7)
        assert len(rows.y) == len(features)
    everything = load_rows(name, part="all", **how)
    assert len(everything.X) == len(data.X_train) + len(data.X_test)
    np.testing.assert_array_equal(load_rows(name, **how).X, rows.X)


def test_parts_that_cannot_be(file, tmp_path):
    path = file("a,b,c\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="rows without targets cannot be split"):
        load_rows(path, n_features=3, part="test")
    with pytest.raises(UsageError, match=r"unknown part 'tests'.*'test'"):
        load_rows(path, n_features=3, part="tests")
    np.savez(tmp_path / "t.npz", X=np.array(X), y=[1])
    with pytest.raises(
        DataError, match="y has 1 rows, but there are 2 rows of features"
    ):
        load_rows(tmp_path / "t.npz", n_features=3)
    with pytest.raises(UsageError, match="unknown data set 'iriss'"):
        load_rows("iriss", n_features=4)


def test_a_name_in_the_data_folder_is_a_named_set(tmp_path):
    draw = np.random.default_rng(0)
    datasets.save_npz(tmp_path / "mine.npz", draw.random((10, 3)), [0, 1] * 5)
    rows = load_rows("mine", tmp_path, n_features=3, task="classification")
    assert rows.X.shape == (2, 3)
