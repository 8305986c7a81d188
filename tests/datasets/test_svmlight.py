"""SVMlight files: sparse features, test parts, several labels, and faults."""

import numpy as np
import pytest
from support.data_files import assert_same_rows, raw

from truesparse.datasets import load, load_rows
from truesparse.errors import DataError


def test_svmlight_stays_sparse_and_takes_its_test_part(folder):
    (folder / "a.svm").write_text("# comment\n1 1:.5 # end\n-1 1:1 3:2\n-1 2:1\n")
    (folder / "a.svm.t").write_text("1 1:2 5:1\n")
    data, rows, y = raw(folder / "a.svm")
    assert data.is_sparse
    assert data.classes.tolist() == [-1, 1]
    assert y.tolist() == [1, 0, 0, 1]
    expected = [[0.5, 0, 0, 0, 0], [1, 0, 2, 0, 0], [0, 1, 0, 0, 0], [2, 0, 0, 0, 1]]
    assert rows.tolist() == expected


def test_svmlight_with_several_labels_or_none_is_multilabel(folder):
    (folder / "m.libsvm").write_text("1,7 1:1\n7 2:1\n 3:1\n1 1:1\n")
    data, rows, y = raw(folder / "m.libsvm", test_fraction=0.5)
    assert data.task == "multilabel"
    assert data.classes.tolist() == [1, 7]
    expected = [[1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 1, 0]]
    assert_same_rows(np.column_stack([rows, y]), np.array(expected))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# only a comment\n", "X is empty"),
        ("1 2:x\n", "as SVMlight text"),
        ("1 3:1 2:1\n", "sorted and unique"),
        ("1 -3:1\n", "Invalid index"),
        ("1 99999999999999999999:1\n", "as SVMlight text"),
        ("1 1:nan\n2 1:1\n", "X has 1 NaN"),
        (" 1:1\n 2:1\n", "has no labels"),
        ("some text\n", "as SVMlight text"),
    ],
)
def test_bad_svmlight_says_what_is_wrong(folder, text, message):
    (folder / "b.svmlight").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load(folder / "b.svmlight")
    assert "\n" not in str(caught.value)


def test_a_row_without_label_does_not_make_the_task_multilabel(folder):
    (folder / "l.svm").write_text("1 1:1\n2 2:1\n 3:1\n1 1:1\n")
    with pytest.raises(DataError, match="1 rows have no label, the first is row 3"):
        load(folder / "l.svm")
    # Rows for a model may lack them.
    rows = load_rows(folder / "l.svm", n_features=3)
    assert rows.X.shape == (4, 3)


def test_labels_alone_are_no_data(folder):
    """A file that was cut to pieces may hold nothing else."""
    (folder / "a.svm").write_text("0 # 3\n1\n0\n1\n" * 5)
    with pytest.raises(DataError, match="has labels and no features; write each line"):
        load(folder / "a.svm")
