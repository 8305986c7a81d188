"""What a table's columns were taken for, and the doubts about it."""

import numpy as np
import pytest

from truesparse.datasets import load
from truesparse.errors import DataError

X = np.random.default_rng(0).standard_normal((60, 3)).round(3)
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def table(folder, head, *columns, **options):
    rows = [",".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    path = folder / "t.csv"
    path.write_text("\n".join([head, *rows] if head else rows) + "\n")
    return load(path, **options)


@pytest.mark.parametrize(
    ("head", "target", "note"),
    [
        ("a,b,c,kind", LABELS, "column 'kind', the last one; classification of text: "),
        ("a,b,c,y", X[:, 0] * 3, "column 'y', by its name; regression of real numbers"),
        ("", LABELS, "column 4, the last one; classification of text: no, yes"),
        (
            "a,b,c,n",
            np.arange(60) // 2,
            "regression of whole numbers, most of them rare",
        ),
        ("a,b,c,n", np.arange(60) % 9, "whole numbers: 0, 1, 2, 3, 4, ... (9 classes)"),
    ],
)
def test_what_was_understood_is_said(tmp_path, head, target, note):
    data = table(tmp_path, head, *X.T, target)
    [line] = data.notes
    assert line.startswith("target: ")
    assert note in line
    assert data.warnings == ()


@pytest.mark.parametrize(
    ("head", "columns", "warning"),
    [
        ("id,a,y", (X[:, 0], X[:, 1], LABELS), "column 'id' has the name of one, like"),
        ("n,a,y", (np.arange(60), X[:, 1], LABELS), "column 'n' counts the rows, like"),
        (
            "",
            (np.arange(1, 61), X[:, 1], LABELS),
            "column 1 counts the rows, like a row",
        ),
        (
            "",
            (np.arange(60) % 3, X[:, 1], X[:, 2]),
            "the first column looks like a label",
        ),
        (
            "",
            (np.arange(60) % 3, X[:, 1], np.arange(60) * 7),
            "the first column looks like a label",
        ),
    ],
)
def test_doubts_are_warnings(tmp_path, head, columns, warning):
    [got] = table(tmp_path, head, *columns).warnings
    assert got.startswith(warning)
    stated = head.split(",")[0] or 1
    option = "target" if "label" in warning else "index"
    assert f"{option}={stated!r} (--{option} {stated})" in got


@pytest.mark.parametrize("head", ["carat,price,x,y,z", "X,Y,month,rain,area"])
def test_a_y_beside_an_x_may_be_a_coordinate(tmp_path, head):
    columns = *X.T, *X.T[:2]
    y = "y" if "y" in head.split(",") else "Y"
    with pytest.raises(
        DataError,
        match=rf"has a column '{y}', which may be the target, or a coordinate .*"
        rf"say target='{y}' \(--target {y}\), or which other",
    ):
        table(tmp_path, head, *columns)
    assert table(tmp_path, head, *columns, target=y).target_name == y
    other = head.split(",")[1 if y == "y" else 4]
    data = table(tmp_path, head, *columns, target=other)
    assert data.target_name == other
    assert data.warnings == ()


def test_a_y_beside_an_x_alone_is_the_target(tmp_path):
    data = table(tmp_path, "y,x", X[:, 0], X[:, 1])
    assert data.target_name == "y"
    assert data.warnings == ()


@pytest.mark.parametrize(
    ("head", "target", "warning"),
    [
        ("a,class,c", LABELS, "column 'class' is taken as the target by its name, "),
        ("class,b,c", LABELS, None),
        ("a,b,class", LABELS, None),
        (",a,class,c", LABELS, "column 'class' is taken as the target by its name, "),
        (",class,b,c", LABELS, None),
        ("a,b,ID", np.arange(60) % 9, "column 'ID', which is taken as the target, has"),
        (
            "a,b,n",
            np.arange(1, 61),
            "column 'n', which is taken as the target, counts the rows, like a row",
        ),
    ],
)
def test_doubts_about_the_target_are_warnings(tmp_path, head, target, warning):
    names = head.split(",")
    place = next(i for i, name in enumerate(names) if name in ("class", "ID", "n"))
    columns = [np.arange(60), *X.T] if names[0] == "" else list(X.T)
    columns[place] = target
    got = table(tmp_path, head, *columns).warnings
    assert len(got) == (warning is not None)
    assert not got or got[0].startswith(warning)
    assert table(tmp_path, head, *columns, target=names[place]).warnings == ()


def test_row_names_that_are_left_out_are_called_so(tmp_path):
    data = table(tmp_path, ",a,b,kind", np.arange(60), *X.T[:2], LABELS, drop="b")
    assert data.notes[-1] == "columns left out: 1 (row names), 'b'"


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (np.arange(43, 64).repeat(6), "each of 21 whole numbers from 43 to 63 is a"),
        (np.r_[0:20, 21].repeat(6), "each of 21 whole numbers from 0 to 21 is a class"),
        (np.arange(21).repeat(6), None),
        (np.arange(1, 22).repeat(6), None),
        (np.arange(43, 63).repeat(6), None),
        (
            np.array(["a", "b", *"cdefg"]).repeat([9, 9, *[1] * 5]),
            "5 of 7 classes have",
        ),
        (np.array([*"abcdef"]).repeat([9, 9, 9, 1, 1, 1]), None),
    ],
)
def test_doubts_about_the_classes_are_warnings(tmp_path, labels, warning):
    feature = np.random.default_rng(1).standard_normal(len(labels))
    got = table(tmp_path, "a,kind", feature, labels).warnings
    assert len(got) == (warning is not None)
    assert not got or got[0].startswith(warning)


def test_a_stated_task_leaves_no_doubt_about_numbers(tmp_path):
    labels = np.arange(43, 64).repeat(6)
    feature = np.random.default_rng(1).standard_normal(len(labels))
    for task in ("classification", "regression"):
        data = table(tmp_path, "a,n", feature, labels, task=task)
        assert (data.task, data.warnings) == (task, ())


def test_gaps_of_the_target_count_the_rows_that_would_go(tmp_path):
    feature, labels = X[:, 0].astype(str), LABELS.astype(object)
    feature[:5], labels[3:9] = "", ""
    with pytest.raises(DataError, match=r"6 empty cells.* a value \(9 of 60\) with"):
        table(tmp_path, "a,b,kind", feature, X[:, 1], labels)
    data = table(tmp_path, "a,b,kind", feature, X[:, 1], labels, missing="drop")
    assert len(data.y_train) + len(data.y_test) == 51


def test_other_sources_have_no_notes():
    assert load("iris").notes == ()
