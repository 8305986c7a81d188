"""ARFF files are read as Weka means them, or refused with the line."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import arff
from support.data_files import assert_same_rows, raw

from truesparse.datasets import load
from truesparse.datasets.arff import read_arff
from truesparse.datasets.table_options import TableOptions
from truesparse.errors import DataError, UsageError

HEAD = """% Leaves
@RELATION 'leaf shapes'

@attribute 'leaf width' REAL
@ATTRIBUTE height numeric
@attribute tree { oak , 'silver fir',"bay"}
@Data
"""
ROWS = "1.5, 2, oak\n% a comment\n2.5,3,'silver fir'\n3.5,4, \"bay\"\n"


def test_quoted_names_and_nominal_classes(folder):
    (folder / "a.arff").write_text(HEAD + ROWS * 5)
    data, rows, y = raw(folder / "a.arff")
    assert data.feature_names == ("leaf width", "height")
    assert data.target_name == "tree"
    assert data.classes.tolist() == ["bay", "oak", "silver fir"]
    assert_same_rows(rows, np.array([[1.5, 2], [2.5, 3], [3.5, 4]] * 5))
    names = {1.5: 1, 2.5: 2, 3.5: 0}
    assert y.tolist() == [names[row[0]] for row in rows.tolist()]


def test_the_class_is_found_by_name_and_nominal_features_are_categories(folder):
    text = (
        "@relation r\n@attribute class {1,2}\n@attribute c {red,none}\n"
        "@attribute b {0,1}\n@data\n" + "1,red,0\n2,none,1\n" * 5
    )
    (folder / "a.txt").write_text(text)
    data, rows, _ = raw(folder / "a.txt")
    assert data.classes.tolist() == [1, 2]
    assert data.feature_names == ("c=none", "c=red", "b")
    assert_same_rows(rows, np.array([[0, 1, 0], [1, 0, 1]] * 5))


def test_missing_values_are_refused_or_filled(folder):
    (folder / "a.arff").write_text(HEAD + ROWS * 5 + "?,2,oak\n")
    with pytest.raises(DataError, match="line 28, column 1 holds no value"):
        load(folder / "a.arff")
    _data, rows, _ = raw(folder / "a.arff", missing="drop")
    assert len(rows) == 15
    (folder / "a.arff").write_text(HEAD + ROWS * 5 + "1,2,?\n")
    with pytest.raises(DataError, match="the target column has 1 empty cells"):
        load(folder / "a.arff", missing="mean")


def test_whole_numbers_are_exact(folder):
    labels = [2**53 + 1, 2**53 + 2]
    rows = "".join(f"{i},{labels[i % 2]}\n" for i in range(8))
    text = "@relation r\n@attribute a real\n@attribute b integer\n@data\n" + rows
    (folder / "a.arff").write_text(text)
    data = load(folder / "a.arff", task="classification")
    assert data.classes.tolist() == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1,2\n", "line 8 has 2 cells, but 3 attributes are declared"),
        (HEAD + "1,2,oak,4\n", "line 8 has 4 cells"),
        (HEAD + "1?,2,oak\n", r"line 8 holds '1\?' for the number 'leaf width'"),
        (HEAD + "1_0,2,oak\n", "line 8 holds '1_0'"),
        (HEAD + "1,2,elm\n", "line 8 holds 'elm', which 'tree' does not declare"),
        (HEAD + "1,2,'oak\n", "line 8 has quotes that do not enclose a cell"),
        (HEAD + "{0 1, 2 oak}\n", "line 8 is sparse ARFF; store all values"),
        (HEAD, "has no rows after @data"),
        ("@relation r\n@data\n1,2\n", "declares no attributes"),
        ("@relation r\n@attribute a matrix\n@data\n1\n", "declares the type 'matrix'"),
        ("@relation r\n@attribute a {x,y\n@data\nx\n", "does not end its values"),
        ("@relation r\nhello\n", "line 2 is neither @relation, @attribute nor @data"),
    ],
)
def test_faults_are_refused_with_the_line(folder, text, message):
    (folder / "a.arff").write_text(text)
    with pytest.raises(DataError, match=message):
        load(folder / "a.arff")


def test_options_of_other_text_are_refused(folder):
    (folder / "a.arff").write_text(HEAD + ROWS)
    with pytest.raises(UsageError, match=r"means nothing for an \.arff file"):
        load(folder / "a.arff", delimiter=";")


@given(
    numbers=st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=8),
    names=st.lists(
        st.text("abc XYZ_-", min_size=2, max_size=6).map(str.strip).filter(len),
        min_size=2,
        max_size=4,
        unique=True,
    ),
)
def test_agrees_with_scipy(tmp_path_factory, numbers, names):
    quoted = [f"'{name}'" for name in names]
    labels = [i % len(names) for i in range(len(numbers))]
    text = f"@relation r\n@attribute a real\n@attribute b {{{','.join(quoted)}}}\n"
    text += "@data\n" + "".join(
        f"{a!r},{quoted[i]}\n" for a, i in zip(numbers, labels, strict=True)
    )
    path = tmp_path_factory.mktemp("arff") / "a.arff"
    path.write_text(text)
    got = read_arff(path, TableOptions())
    limit = csv.field_size_limit()
    rows, _ = arff.loadarff(io.StringIO(text))
    csv.field_size_limit(limit)  # which scipy sets for the whole process
    assert got.X_train[:, 0].tolist() == rows["a"].tolist()
    assert got.y_train.tolist() == [name.decode() for name in rows["b"]]


def test_escapes_are_those_of_weka(folder):
    head = (
        "@relation r\n@attribute a real\n@attribute b {'x\\'y','two\\nlines'}\n@data\n"
    )
    (folder / "a.arff").write_text(head + "1,'x\\'y'\n2,'two\\nlines'\n" * 5)
    data, *_ = raw(folder / "a.arff", target="b")
    assert data.classes.tolist() == ["two\nlines", "x'y"]
    # An octal number to Weka's reader, and nothing that its writer writes.
    (folder / "b.arff").write_text(head + "1,'x\\'y'\n2,'\\1'\n" * 5)
    with pytest.raises(
        DataError, match=r"line 6 has quotes .* backslash before another"
    ):
        load(folder / "b.arff", target="b")
