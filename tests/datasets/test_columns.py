"""What a table's columns were taken for, and the doubts about it."""

import numpy as np
import pytest

from truesparse.datasets import load

X = np.random.default_rng(0).standard_normal((60, 3)).round(3)
LABELS = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


def table(folder, head, *columns):
    rows = [",".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    path = folder / "t.csv"
    path.write_text("\n".join([head, *rows] if head else rows) + "\n")
    return load(path)


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


def test_other_sources_have_no_notes():
    assert load("iris").notes == ()
