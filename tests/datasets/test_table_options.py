"""Options of a table: what is accepted, where they mean nothing, and what they do."""

import dataclasses
import gzip

import numpy as np
import pytest
from support.data_files import LABELS, X, raw

from truesparse.datasets import TableOptions, load, load_rows, save_npz
from truesparse.errors import DataError, UsageError

OPTIONS = {
    "target": "y",
    "drop": ["a"],
    "index": 1,
    "header": "no",
    "delimiter": ";",
    "decimal": ",",
    "encoding": "latin-1",
    "missing": "drop",
    "missing_target": "drop",
    "categorical": "ordinal",
}


def write(folder, text, name="t.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


# What is accepted ---------------------------------------------------------------------


def test_the_options_of_this_module_are_all_there_are():
    names = [option.name for option in dataclasses.fields(TableOptions)]
    assert names == list(OPTIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 0}, "target takes names of columns or their numbers from 1, got 0"),
        ({"target": ""}, "target takes names of columns .* got ''"),
        ({"index": True}, "index takes names of columns"),
        ({"index": ["a"]}, r"index takes names of columns .* got \['a'\]"),
        ({"index": np.bool_(True)}, "index takes names of columns"),
        ({"target": np.int64(0)}, r"numbers from 1, got np.int64\(0\)"),
        ({"drop": [1.5]}, "drop takes names of columns .* got 1.5"),
        ({"drop": None}, "drop takes names of columns .* got None"),
        ({"header": True}, "unknown header True; use one of auto, no, yes"),
        ({"delimiter": ""}, "delimiter takes one character .*'tab' or 'space', got ''"),
        ({"delimiter": ";;"}, "delimiter takes one character"),
        ({"delimiter": "\n"}, "delimiter takes one character"),
        ({"delimiter": '"'}, "delimiter takes one character other than a quote"),
        ({"decimal": ";"}, "unknown decimal ';'"),
        ({"delimiter": ",", "decimal": ","}, "delimiter and decimal are both ','"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'; use utf-8, utf-16, latin-1"),
        ({"encoding": "base64"}, "unknown encoding 'base64'"),
        ({"encoding": 8}, "unknown encoding 8"),
        (
            {"missing_target": "mean"},
            "unknown missing target 'mean'; use one of drop, e",
        ),
        ({"missing": "means"}, "unknown missing 'means'.* Did you mean 'mean'"),
        ({"categorical": "one-hot"}, "unknown categorical .* Did you mean 'onehot'"),
    ],
)
def test_options_that_are_not_accepted_are_refused_before_reading(options, message):
    with pytest.raises(UsageError, match=message):
        load("there/is/no.csv", **options)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("source", ["iris", "synthetic:20x3", "t.npz", "t", "t.svm"])
def test_sources_that_are_no_tables_refuse_them(folder, name, source):
    save_npz(folder / "t.npz", X, LABELS)
    write(folder, "1 1:1\n", "t.svm")
    given = source if "t." not in source else folder / source
    flag = name.replace("_", "-")
    with pytest.raises(UsageError, match=rf"^{name}=.*\(--{flag} .*\) means nothing"):
        load(given, **{name: OPTIONS[name]})


@pytest.mark.parametrize("name", ["header", "delimiter", "decimal", "encoding"])
def test_parquet_refuses_options_of_text(folder, name):
    write(folder, "PAR1", "t.parquet")
    with pytest.raises(UsageError, match=rf"{name}=.* means nothing for a .parquet"):
        load(folder / "t.parquet", **{name: OPTIONS[name]})


# Target and columns left out ----------------------------------------------------------

TABLE = "id,price,y,size,1\n" + "".join(
    f"{i},{i * 1.5},{i % 2},{i * i},{100 - i}\n" for i in range(20)
)


@pytest.mark.parametrize(
    ("options", "target", "features"),
    [
        ({}, "y", ["id", "price", "size", "1"]),
        ({"target": "price"}, "price", ["id", "y", "size", "1"]),
        ({"target": 2}, "price", ["id", "y", "size", "1"]),
        ({"target": "4"}, "size", ["id", "price", "y", "1"]),
        # A name wins over a number where it is text.
        ({"target": "1"}, "1", ["id", "price", "y", "size"]),
        ({"target": 1}, "id", ["price", "y", "size", "1"]),
        ({"target": np.int64(2), "drop": [np.uint8(1)]}, "price", ["y", "size", "1"]),
        ({"drop": np.int32(4), "index": np.int16(1)}, "y", ["price", "1"]),
        ({"drop": "y"}, "1", ["id", "price", "size"]),
        ({"drop": ["y", 5], "index": "id"}, "size", ["price"]),
        ({"index": 1}, "y", ["price", "size", "1"]),
        ({"target": "size", "drop": ("price", "price")}, "size", ["id", "y", "1"]),
    ],
)
def test_the_target_and_what_is_left_out_are_as_stated(
    folder, options, target, features
):
    data, rows, _ = raw(write(folder, TABLE), task="regression", **options)
    assert data.target_name == target
    assert list(data.feature_names) == features
    columns = dict(zip(TABLE.split("\n")[0].split(","), np.arange(5), strict=True))
    cells = [line.split(",") for line in TABLE.split()[1:]]
    want = np.array(cells, float)[:, [columns[name] for name in features]]
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(want, axis=0))
    why = "as you say" if "target" in options else "by its name"
    if "y" in np.atleast_1d(options.get("drop", ())).tolist():
        why = "the last one"
    assert data.notes[0].startswith(f"target: column {target!r}, {why}; regression")
    assert len(data.notes) == (2 if {"drop", "index"} & set(options) else 1)


def test_what_is_left_out_is_said(folder):
    data = load(write(folder, TABLE), drop=["price", "size"], index="id")
    assert data.notes[1] == "columns left out: 'id', 'price', 'size'"
    assert data.warnings == ()


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TABLE, {"target": "sizes"}, r"has no column of this name \(it has 'size'\)"),
        (TABLE, {"target": 6}, r"target=6 \(--target 6\): .* has columns 1 to 5"),
        (TABLE, {"drop": "9"}, r"drop='9' \(--drop 9\): .* has columns 1 to 5"),
        (TABLE, {"drop": "id,size"}, "one of each part: give --drop once for each"),
        (TABLE, {"target": "y", "drop": 3}, "is one of the columns to leave out"),
        ("1,2\n3,4\n", {"target": "y"}, "has no header with names; give a name, or a"),
        ("a,a,y\n1,2,0\n3,4,1\n", {"drop": "a"}, "has columns 1, 2 of this name"),
    ],
)
def test_columns_that_are_not_there(folder, text, options, message):
    with pytest.raises(UsageError, match=message):
        load(write(folder, text), **options)


def test_a_column_without_a_name_may_be_stated(folder):
    text = ",a,y\n" + "".join(f"{i % 2},{i}.5,{i}.25\n" for i in range(20))
    data = load(write(folder, text), target=1)
    assert (data.task, data.feature_names) == ("classification", ("a", "y"))
    assert (data.layout.target, data.layout.left_out) == (0, ())
    # With one column more it is the only feature.
    text = ",y\n" + "".join(f"{i}.5,{i % 2}\n" for i in range(20))
    assert load(write(folder, text)).n_features == 1


def test_no_column_is_left(folder):
    path = write(folder, "a,b\n1,2\n3,4\n")
    with pytest.raises(DataError, match="no feature besides the target and the"):
        load(path, drop="a")
    with pytest.raises(DataError, match="no column left for the target"):
        load(path, drop=["a", "b"])


# Dialect ------------------------------------------------------------------------------


def test_the_dialect_is_as_stated(folder):
    rows = "".join(f"{i},5~{i % 2}~x{i % 2}\xe9\n" for i in range(20))
    text = "breite~hoch~name\n" + rows
    dialect = {"delimiter": "~", "decimal": ",", "encoding": "latin-1"}
    path = write(folder, text, encoding="latin-1")
    data, got, _ = raw(path, header="yes", **dialect)
    assert data.feature_names == ("breite", "hoch")
    assert sorted(got[:, 0]) == [i + 0.5 for i in range(20)]
    assert data.classes.tolist() == ["x0é", "x1é"]
    new = write(folder, "3,5~1\n", "new.csv")
    rows = load_rows(new, n_features=2, header="no", **dialect)
    assert rows.X.tolist() == [[3.5, 1]]


def test_a_byte_order_mark_is_none_of_the_first_name(folder):
    text = "a,b,y\n" + "".join(f"{i},{i},{i % 2}\n" for i in range(9))
    for encoding in ("utf-8", "UTF8", "utf-16"):
        path = write(
            folder, "\ufeff" * (encoding != "utf-16") + text, encoding=encoding
        )
        assert load(path, encoding=encoding).feature_names == ("a", "b")


def test_a_decimal_comma_is_no_delimiter(folder):
    path = write(folder, "".join(f"{i},5;x{i % 2}\n" for i in range(9)))
    _, rows, _ = raw(path, decimal=",")
    assert sorted(rows[:, 0]) == [i + 0.5 for i in range(9)]


def test_a_first_row_is_what_the_caller_says(folder):
    path = write(
        folder, "1,2,3\n" + "".join(f"{i}.5,1.5,{i % 2}.5\n" for i in range(9))
    )
    with pytest.raises(DataError, match=r"header='yes' \(--header yes\) .* names"):
        load(path)
    data, rows, _ = raw(path, header="yes")
    assert (len(rows), data.feature_names) == (9, ("1", "2"))
    data, rows, _ = raw(path, header="no")
    assert (len(rows), data.feature_names) == (10, None)


def test_tabs_have_a_name_and_compressed_files_options(folder):
    text = "".join(f"{i} 1,5\t{i % 2}, 3\t{i / 8}\n" for i in range(10))
    path = folder / "t.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    data = load(path, delimiter="tab", categorical="ordinal")
    assert TableOptions(delimiter="\\t") == TableOptions(delimiter="tab")
    assert data.task == "regression"
    first, second = (set(column.categories) for column in data.encoding.columns)
    assert first < {f"{i} 1,5" for i in range(10)}
    assert second == {"0, 3", "1, 3"}


# Scales -------------------------------------------------------------------------------


def test_range_scales_the_training_part_to_0_and_1(folder):
    path = save_npz(folder / "t.npz", X, LABELS)
    data = load(path, scale="range", dtype="float64")
    np.testing.assert_array_equal(data.X_train.min(axis=0), 0)
    np.testing.assert_array_equal(data.X_train.max(axis=0), 1)
    plain = load(path, scale="none", dtype="float64")
    least, most = plain.X_train.min(axis=0), plain.X_train.max(axis=0)
    want = (plain.X_test - least) / (most - least)
    np.testing.assert_allclose(data.X_test, want, rtol=1e-12)
