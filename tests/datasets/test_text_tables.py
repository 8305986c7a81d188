"""Tables as people write them are read as they are meant, or refused."""

import csv
import gzip
import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.text_tables import ENGINES, read, tab, using

from truesparse.datasets import text_tables
from truesparse.datasets.dialect import (
    GAPS,
    MISSING,
    WORDS_FOR_NOTHING,
    kind_of,
    sniff,
)
from truesparse.datasets.text_tables import read_table
from truesparse.errors import DataError

X = np.random.default_rng(0).standard_normal((60, 3)).round(6)
Y = (X[:, 0] > 0).astype(int)


# Headers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head", ["a,b,c,y", "400,410,420,species", "1,2,3,target", "0,1,2,3", "1100,b,c,d"]
)
@pytest.mark.parametrize("labels", [Y, np.array(["no", "maybe"])[Y]])
def test_a_header_of_numbers_is_none_of_the_samples(tmp_path, engine, head, labels):
    table = read(tmp_path, tab(head, *X.T, labels))
    assert table.names == head.split(",")
    np.testing.assert_array_equal(np.array(table.columns[:3]).T, X)
    assert table.columns[3].tolist() == labels.tolist()


@pytest.mark.parametrize("labels", [Y, np.array(["no", "maybe"])[Y]])
def test_without_header_all_rows_are_samples(tmp_path, engine, labels):
    table = read(tmp_path, tab("", *X.T, labels))
    assert table.names is None
    assert table.n_rows == 60


@pytest.mark.parametrize("head", ["400,410,420,430", "1,2,3,4"])
def test_a_first_row_that_may_be_both_is_refused(tmp_path, head):
    text = tab(head, *X.T, X[:, 0])
    with pytest.raises(DataError, match="may hold names or data; give a column a name"):
        read(tmp_path, text)
    assert read(tmp_path, text, header=True).n_rows == 60
    assert read(tmp_path, text, header=False).n_rows == 61


def test_text_alone_has_a_header_unless_the_first_row_recurs(tmp_path, engine):
    letters = np.array(list("xyz"))[np.random.default_rng(1).integers(0, 3, (60, 4))]
    assert read(tmp_path, tab("", *letters.T)).n_rows == 60
    table = read(tmp_path, tab("cap,gill,ring,class", *letters.T))
    assert (table.n_rows, table.names) == (60, ["cap", "gill", "ring", "class"])


# Rows ---------------------------------------------------------------------------------


def test_one_cell_more_in_every_row_holds_names_of_rows(tmp_path, engine):
    table = read(tmp_path, tab("a,b,c,y", np.arange(60), *X.T, Y))
    assert table.names == ["", "a", "b", "c", "y"]
    assert table.dialect.has_row_names
    assert table.columns[4].tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,y\n1,2,3,4,5\n6,7,8,9,0\n", "line 2 has 5 cells, line 1 has 3"),
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 cells, line 2 has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cells"),
        ("a,b\n" + "1,2\n" * 2000 + "3,4,5\n", "line 2002 has 3 cells"),
        ("a,b\n" + "1,2\n" * 2000 + "3\n" + "1,2\n", "line 2002 has 1 cells"),
        ("a,b\n", "has a header but no rows"),
        ("\n\n", "holds no rows"),
        (b"\x89PNG\x00\x00", "it is a binary file"),
        ("a,b\n1,\xe9\n".encode("latin-1") * 9, "store the table as UTF-8 text"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, engine, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


# Dialects -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "delimiter", "decimal"),
    [
        ("a;b\n1,5;x\n2,5;y\n", ";", ","),
        ("a\tb\n1,5\tx\n2,5\ty\n", "\t", ","),
        ('"a,1";"b,2"\n1.5;x\n2.5;y\n', ";", "."),
        ("a b\n1.5   x\n 2.5 y\n", " ", "."),
        ("a|b\n1.5|x\n2.5|y\n", "|", "."),
        ("sep=;\na;b\n1.5;x\n2.5;y\n", ";", "."),
        ("a, b\n1.5, x\n2.5, y\n", ",", "."),
        ("a,b\r\n1.5,x\r\n2.5,y\r\n", ",", "."),
        ("\ufeffa,b\n1.5,x\n2.5,y\n", ",", "."),
        ('"a\n1",b\n1.5,x\n\n2.5,y\n', ",", "."),
    ],
)
def test_dialects(tmp_path, engine, text, delimiter, decimal):
    table = read(tmp_path, text)
    assert (table.dialect.delimiter, table.dialect.decimal) == (delimiter, decimal)
    assert [column.tolist() for column in table.columns] == [[1.5, 2.5], ["x", "y"]]
    assert len(table.names) == 2


def test_encodings_and_compression(tmp_path, engine):
    text = "größe,y\n1,ä\n2,b\n"
    want = read(tmp_path, text).columns
    for name, data, options in (
        ("t.csv", text.encode("latin-1"), {"encoding": "latin-1"}),
        ("t.csv", text.encode("utf-16"), {}),
        ("t.csv.gz", gzip.compress(text.encode()), {}),
    ):
        table = read(tmp_path, data, name, **options)
        assert table.names == ["größe", "y"]
        assert [c.tolist() for c in table.columns] == [c.tolist() for c in want]


# Columns ------------------------------------------------------------------------------


def test_whole_numbers_are_exact(tmp_path, engine):
    large = [2**53, 2**53 + 1, -(2**62), 2**63 - 1]
    larger = [2**63, 2**64 - 1, 0, 5]
    largest = [10**30, 10**30 + 1, 3, 4]
    table = read(tmp_path, tab("a,b,c", large, larger, largest))
    assert [column.dtype for column in table.columns] == [np.int64, np.uint64, object]
    assert table.columns[0].tolist() == large
    assert table.columns[1].tolist() == larger
    assert table.columns[2].tolist() == list(map(str, largest))


def test_missing_values_do_not_make_numbers_text(tmp_path, engine):
    for mark in sorted(MISSING):
        text = tab("a,b,c", [1, mark, 3], [True, False, mark], "uvw")
        a, b, _ = read(tmp_path, text).columns
        np.testing.assert_array_equal(a, [1, np.nan, 3])
        assert b.tolist() == [True, False, None]


def test_missing_text_is_none_but_words_for_nothing_are_text(tmp_path, engine):
    for mark in sorted(GAPS):
        text = tab("a,b", ["x", mark, "y"], "uvw")
        assert read(tmp_path, text).columns[0].tolist() == ["x", None, "y"]
    for word in sorted(WORDS_FOR_NOTHING | {"None"}):
        for cells in (["some", word, "1"], [word, word, word]):
            text = tab("a,b", cells, "uvw")
            assert read(tmp_path, text).columns[0].tolist() == cells


def test_a_block_of_words_for_nothing_is_of_the_kind_of_all(
    tmp_path, monkeypatch, engine
):
    monkeypatch.setattr(text_tables, "rows_of_block", lambda n_columns: 2)
    text = tab("a,b", ["none", "none", 2, "none", 5], ["none", "none", "u", "v", "w"])
    a, b = read(tmp_path, text).columns
    np.testing.assert_array_equal(a, [np.nan, np.nan, 2, np.nan, 5])
    assert b.tolist() == ["none", "none", "u", "v", "w"]


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=8)


@st.composite
def tables(draw):
    """Return rows of text, a header or None, and how to write them."""
    n_columns, n_rows = draw(st.integers(2, 5)), draw(st.integers(2, 12))
    columns = []
    for _ in range(n_columns):
        cells = draw(
            st.one_of(
                st.lists(
                    st.integers(-(2**70), 2**70), min_size=n_rows, max_size=n_rows
                ),
                st.lists(st.floats(allow_nan=False), min_size=n_rows, max_size=n_rows),
                st.lists(st.booleans(), min_size=n_rows, max_size=n_rows),
                st.lists(TEXTS, min_size=n_rows, max_size=n_rows),
            )
        )
        columns.append([str(cell) for cell in cells])
    header = None
    if draw(st.booleans()):
        names = st.lists(TEXTS, min_size=n_columns, max_size=n_columns)
        header = draw(names)
    how = {
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
    }
    return columns, header, how


def written(columns, header, how):
    file = io.StringIO(newline="")
    writer = csv.writer(file, **how)
    writer.writerows(([header] if header else []) + list(zip(*columns, strict=True)))
    return file.getvalue()


def is_same(cells, column):
    """Whether a column holds what its cells say."""
    has_text = "text" in set(map(kind_of, cells))
    for cell, value in zip(cells, column.tolist(), strict=True):
        kind = kind_of(cell)
        if kind == "missing" and cell.strip().lower() in WORDS_FOR_NOTHING:
            is_word = value == cell.strip()
            same = is_word if has_text else is_word or value != value
        elif kind == "missing":
            same = value is None or value != value
        elif isinstance(value, bool):
            same = cell.strip().lower() == str(value).lower()
        elif isinstance(value, int):
            same = int(cell) == value
        elif isinstance(value, float):
            same = (
                kind != "text"
                and float(cell.replace("True", "1").replace("False", "0")) == value
            )
        else:
            same = cell.strip() == value
        if not same:
            return False
    return True


@given(tables())
def test_a_table_is_read_back_or_refused(tmp_path_factory, drawn):
    columns, header, how = drawn
    folder = tmp_path_factory.mktemp("tables")
    text = written(columns, header, how)
    options = {"delimiter": how["delimiter"], "header": header is not None}
    read_back = []
    for engine in ENGINES:
        with using(engine):
            try:
                read_back.append(read(folder, text, **options).columns)
            except DataError:
                read_back.append(None)
    first, second = read_back
    assert (first is None) == (second is None)
    if first is None:
        return
    rows = list(zip(*columns, strict=True))
    while rows and all(kind_of(cell) == "missing" for cell in rows[-1]):
        rows.pop()
    assume(rows)
    for cells, one, other in zip(zip(*rows, strict=True), first, second, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
        assert is_same(cells, one)


@pytest.mark.parametrize(
    "last",
    [
        "1,2.5,x",
        "NA,2.5,x",
        "1,2.5,",
        "1,text,x",
        '1,2.5,"q, ""r"""',
        "9007199254740993,1,x",
    ],
)
def test_what_comes_after_the_first_rows_is_read_the_same(tmp_path, last):
    text = "a,b,c\n" + "3,1.5,y\n4,0.5,z\n" * 1500 + last + "\n"
    read_back = []
    for engine in ENGINES:
        with using(engine):
            read_back.append(read(tmp_path, text).columns)
    for one, other in zip(*read_back, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert len(read_back[0][0]) == 3001


@pytest.mark.parametrize(
    "last",
    ["1,2.5,x", "NA,2.5,x", "1,2.5,", "1,text,x", "300,1,1", "9007199254740993,1,x"],
)
def test_small_blocks_give_the_same_columns(tmp_path, monkeypatch, engine, last):
    text = "a,b,c\n" + "3,1.5,y\n4,0.5,z\n" * 6 + last + "\n4,1,z\n"
    at_once = read(tmp_path, text).columns
    monkeypatch.setattr(text_tables, "rows_of_block", lambda n_columns: 3)
    in_blocks = read(tmp_path, text, together=lambda names, n: [0, 1]).columns
    for one, other in zip(at_once, in_blocks, strict=True):
        # Features side by side have one type.
        assert one.dtype.kind == other.dtype.kind or other.dtype == np.float64
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("end", ["", ",\n,\n", ",\n" * 5 + "\n"])
def test_empty_rows_at_the_end_cost_no_exactness(tmp_path, engine, end):
    numbers = [2**53 + 1, 2**53 + 3]
    table = read(tmp_path, "a,b\n" + "".join(f"{n},1\n" for n in numbers) + end)
    assert table.columns[0].dtype == np.int64
    assert table.columns[0].tolist() == numbers


def test_large_labels_are_exact_though_their_type_changes_between_blocks(
    tmp_path, monkeypatch, engine
):
    monkeypatch.setattr(text_tables, "rows_of_block", lambda n_columns: 4)
    labels = [2**53 + 1, 2**53 + 2] * 10 + [2**63 + 1, 2**63 + 2] * 10
    (tmp_path / "a.csv").write_text(tab("a,y", np.arange(40) / 2, labels))
    column = read_table(tmp_path / "a.csv").columns[1]
    assert [int(label) for label in column] == labels


@pytest.mark.parametrize("n_lines", [2, 3, 4])
def test_cells_of_several_lines_where_the_first_rows_end(tmp_path, engine, n_lines):
    texts = ["\n".join(f"{i % 3}{line}" for line in range(n_lines)) for i in range(900)]
    cells = [f'"{text}"' for text in texts]
    (tmp_path / "a.csv").write_text(tab("a,t,y", range(900), cells, range(900)))
    assert read_table(tmp_path / "a.csv").columns[1].tolist() == texts


def test_a_stray_quote_does_not_make_the_whole_file_the_sample(tmp_path):
    lines = ["a,t,y\n", '1,5" pipe,2\n', *["1,pipe,2\n"] * 400_000]
    n_read = 0

    def counted():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    assert sniff(counted(), tmp_path).n_columns == 3
    assert n_read < 150_000


def test_rows_are_counted_once_however_many_blocks_have_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr(text_tables, "rows_of_block", lambda n_columns: 4)
    (tmp_path / "a.csv").write_text(tab("a,y", range(40), ["1", ""] * 20))
    find = mock.Mock(side_effect=text_tables._find_fault)
    monkeypatch.setattr(text_tables, "_find_fault", find)
    assert np.isnan(read_table(tmp_path / "a.csv").columns[1]).sum() == 20
    assert find.call_count <= 1
