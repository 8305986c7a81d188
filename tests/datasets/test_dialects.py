"""Random tables in random dialects: values are read as they were written, or refused.

A table is drawn with its columns, written as some program might write it, and loaded
with no option, or with those that state the truth.
"""

import csv
import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.datasets import load
from truesparse.errors import DataError, TruesparseError

WORDS = ("oak", "ash, white", 'the "elm"', "fir; red", "a b", "bay\ntree", "née", "x|y")
NAMES = ("width", "a b", "x;y", "tree, kind", "größe", 'the "n"', "n.1", "T", "size")
NOTHING = "none"
MARKS = ("", "NA", "?", "nan", "null")


class Written:
    """A table, the text of a file that holds it, and the options that say how."""

    def __init__(self, draw: random.Random):
        self.n_rows = draw.randint(12, 40)
        # The first column tells the rows apart.
        self.columns = [[i + 0.25 for i in range(self.n_rows)]]
        draw.shuffle(self.columns[0])
        for _ in range(draw.randint(0, 4)):
            self.columns.append(self._column(draw))
        self.columns.append(self._target(draw))
        self.delimiter = draw.choice(",;\t|")
        self.decimal = draw.choice(".," if self.delimiter != "," else ".")
        self.mark = draw.choice(MARKS)
        self.names = None
        if draw.random() < 0.6:
            self.names = draw.sample(NAMES, len(self.columns))
        self.text = self._write(draw)

    def _column(self, draw):
        kind = draw.choice(
            ("whole", "real", "truth", "text", "gaps", "text gaps", "truth gaps")
        )
        words = draw.sample(WORDS, 3)
        make = {
            "whole": lambda: draw.randint(-5, 300),
            "truth": lambda: draw.random() < 0.5,
            "text": lambda: draw.choice(words),
        }.get(kind.removesuffix(" gaps"), lambda: round(draw.uniform(-9, 9), 3))
        cells = [make() for _ in range(self.n_rows)]
        if kind.endswith("gaps"):
            for row in draw.sample(range(1, self.n_rows), 2):
                cells[row] = None
            # Among numbers a word stands for nothing too.
            if kind == "gaps" and draw.random() < 0.3:
                cells = [NOTHING if cell is None else cell for cell in cells]
        return cells

    def _target(self, draw):
        words = draw.sample(WORDS, 2)
        if draw.random() < 0.5:
            return [words[i % 2] for i in range(self.n_rows)]
        return [i * 1.5 + 0.125 for i in range(self.n_rows)]

    def _cell(self, value):
        if value is None:
            return self.mark
        if isinstance(value, float):
            return str(value).replace(".", self.decimal)
        return str(value)

    def _write(self, draw):
        stream = io.StringIO()
        writer = csv.writer(
            stream,
            delimiter=self.delimiter,
            quoting=draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
            lineterminator=draw.choice(("\n", "\r\n")),
        )
        if self.names is not None:
            writer.writerow(self.names)
        for row in zip(*self.columns, strict=True):
            writer.writerow([self._cell(value) for value in row])
        return draw.choice(("", "", "\ufeff")) + stream.getvalue()

    @property
    def truth(self):
        """The options that state how the table is written."""
        header = "no" if self.names is None else "yes"
        dialect = {"delimiter": self.delimiter, "decimal": self.decimal}
        return {"header": header, **dialect}

    @property
    def has_gaps(self):
        return any({None, NOTHING}.intersection(column) for column in self.columns)


def read(path, table, **options):
    """Load a table and check every value; return whether it was not refused."""
    path.write_bytes(table.text.encode())
    how = {"scale": "none", "dtype": "float64", "categorical": "ordinal"}
    try:
        data = load(path, **how, **options)
    except TruesparseError:
        return False
    assert len(data.y_train) + len(data.y_test) == table.n_rows
    *columns, target = table.columns
    if data.feature_names is not None:
        assert list(data.feature_names) == table.names[:-1]
    assert (data.task == "classification") == isinstance(target[0], str)
    encodings = (
        [None] * len(columns) if data.encoding is None else data.encoding.columns
    )
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.shape[1] == len(columns)
        for row, label in zip(X, y, strict=True):
            place = columns[0].index(row[0])
            wanted = target[place]
            got = data.classes[label] if data.classes is not None else label[0]
            assert got == wanted
            for value, column, how in zip(row, columns, encodings, strict=True):
                assert_cell(value, column[place], how)
    return True


def assert_cell(value, wanted, how):
    if how is not None and how.categories is not None:
        wanted = how.fill if wanted is None else wanted
        # A text that the training part lacks is none of its categories.
        assert (
            wanted not in how.categories
            if value < 0
            else (how.categories[int(value)] == wanted)
        )
    else:
        assert value == (how.fill if wanted in (None, NOTHING) else wanted)


@given(st.randoms(use_true_random=False))
def test_values_are_read_as_they_were_written_or_refused(tmp_path_factory, draw):
    table = Written(draw)
    path = tmp_path_factory.mktemp("dialect") / "t.csv"
    is_read = read(path, table)
    assert not (is_read and table.has_gaps)
    read(path, table, missing="most_frequent")
    read(path, table, missing="most_frequent", **table.truth)


@pytest.mark.parametrize(("options", "least"), [("none", 0.8), ("all", 0.98)])
def test_nearly_all_tables_are_read(tmp_path, options, least):
    tables = [Written(random.Random(seed)) for seed in range(150)]
    loaded = [
        read(
            tmp_path / "t.csv",
            table,
            missing="most_frequent",
            **(table.truth if options == "all" else {}),
        )
        for table in tables
    ]
    assert np.mean(loaded) >= least


@pytest.mark.parametrize("sign", [";", "|", "\t"])
def test_a_comma_that_may_be_a_decimal_sign_is_not_guessed(tmp_path, sign):
    path = tmp_path / "t.csv"
    path.write_text("".join(f"{i},25{sign}a{i % 2}\n" for i in range(20)))
    name = "tab" if sign == "\t" else sign
    with pytest.raises(DataError) as caught:
        load(path)
    message = (
        f"the delimiter may be ',' or '{name}'; say which, as in delimiter='{name}'"
    )
    assert message in str(caught.value)
    data = load(path, delimiter=name, scale="none", dtype="float64")
    X = np.concatenate([data.X_train, data.X_test])
    assert sorted(X[:, 0]) == [i + 0.25 for i in range(20)]
    # Another column of numbers makes it clear.
    path.write_text("".join(f"{i},25{sign}{i},5{sign}a{i % 2}\n" for i in range(20)))
    assert load(path).n_features == 2


def test_runs_of_spaces_and_tabs_are_one_delimiter(tmp_path):
    path = tmp_path / "cars.data"
    path.write_text("".join(f' {i}.5   8\t"a car {i % 2}"\t\n' for i in range(20)))
    data = load(path)
    assert data.classes.tolist() == ["a car 0", "a car 1"]
    assert data.n_features == 2


def test_the_ending_tsv_decides_between_tab_and_comma(tmp_path):
    text = "".join(f"{i},5\tash\n{i},25\toak\n" for i in range(9))
    (tmp_path / "t.txt").write_text(text)
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(DataError, match="the delimiter may be ',' or 'tab'"):
        load(tmp_path / "t.txt")
    data = load(tmp_path / "t.tsv", scale="none", dtype="float64")
    assert data.classes.tolist() == ["ash", "oak"]
    assert data.n_features == 1
    assert {0.5, 8.25} <= {*data.X_train.ravel(), *data.X_test.ravel()}


# Headers of numbers above whole numbers -----------------------------------------------

COUNTS = np.random.default_rng(0).integers(0, 100, (40, 5))


def counted(path, head, *columns):
    rows = zip(*columns, strict=True)
    path.write_text(
        "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"
    )
    return path


@pytest.mark.parametrize("head", ["2019,2020,2021", "-1,-2,-3", "10,30,50,70,90"])
def test_a_first_row_that_counts_up_above_whole_numbers_is_refused(tmp_path, head):
    n_columns = head.count(",") + 1
    path = counted(tmp_path / "t.csv", head, *COUNTS.T[:n_columns])
    with pytest.raises(DataError, match=r"may hold names or data; .*header='yes'"):
        load(path)
    assert load(path, header="yes", task="regression").feature_names is not None
    data = load(path, header="no", task="regression")
    assert len(data.y_train) + len(data.y_test) == 41


def test_years_beside_a_name_that_is_no_value_are_names(tmp_path):
    words = np.array(["oak", "ash"])[COUNTS[:, 0] % 2]
    path = counted(tmp_path / "t.csv", "tree,2019,2020,2021", words, *COUNTS.T[:3])
    data = load(path, task="regression")
    assert data.feature_names[-2:] == ("2019", "2020")
    assert data.target_name == "2021"


@pytest.mark.parametrize("head", ["1,2,3,4", "7,7,7,7,7", "0,1,2,3,5", "2019,2020"])
def test_a_first_row_that_may_be_by_chance_is_data(tmp_path, head):
    columns = COUNTS.T[: head.count(",") + 1]
    data = load(counted(tmp_path / "t.csv", head, *columns), task="regression")
    assert len(data.y_train) + len(data.y_test) == 41


def test_a_few_rows_that_count_up_are_data(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1,2,3,4,5\n" + "4,5,6,7,8\n7,8,9,10,11\n" * 4)
    data = load(path, task="regression")
    assert len(data.y_train) + len(data.y_test) == 9


def test_a_delimiter_at_the_end_of_rows_but_not_of_the_header_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "1,2.5,no,\n2,3.5,yes,\n" * 9)
    with pytest.raises(DataError, match="rows end with a delimiter, which the header"):
        load(path)
    path.write_text("a,b,y,\n" + "1,2.5,no,\n2,3.5,yes,\n" * 9)
    with pytest.raises(DataError, match=r"drop=4 \(--drop 4\)"):
        load(path)
    assert load(path, drop=4).classes.tolist() == ["no", "yes"]


def test_a_header_that_has_lost_a_cell_is_none_of_row_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("width,y\n" + "".join(f"{i}.5,{i},{i % 2}\n" for i in range(20)))
    with pytest.raises(DataError, match="line 2 has 3 cells, the header 2"):
        load(path)


def test_a_decimal_comma_between_spaces_is_not_guessed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("".join(f"{i},25 a{i % 2}\n" for i in range(20)))
    with pytest.raises(DataError, match="may be ',' or 'space'; say which, as in deli"):
        load(path)
    data = load(path, delimiter="space", scale="none", dtype="float64")
    assert {0.25, 19.25} <= {*data.X_train.ravel(), *data.X_test.ravel()}
    # A space after a comma is none of the cell's.
    path.write_text("".join(f"{i}, 25, a{i % 2}\n" for i in range(20)))
    assert load(path).n_features == 2


def test_one_whole_number_above_real_ones_may_be_a_name(tmp_path):
    path = counted(tmp_path / "t.csv", "2020,1,7", COUNTS[:, 0] / 7, *COUNTS.T[1:3])
    with pytest.raises(DataError, match="may hold names or data"):
        load(path)
    assert load(path, header="yes", task="regression").target_name == "7"
    words = np.array(["oak", "ash"])[COUNTS[:, 0] % 2]
    with pytest.raises(DataError, match="may hold names or data"):
        load(counted(tmp_path / "t.csv", "1.5,2020", COUNTS[:, 0] / 7, words))
    path = counted(tmp_path / "t.csv", "2020,1,.5", COUNTS[:, 0] / 7, *COUNTS.T[1:3])
    data = load(path, task="regression")
    assert len(data.y_train) + len(data.y_test) == 41


@pytest.mark.parametrize("mark", ["none", "nil", "None"])
def test_words_for_nothing_among_numbers_with_a_decimal_comma_are_gaps(tmp_path, mark):
    path = tmp_path / "t.csv"
    cells = [mark if i in (3, 8) else f"{i},5" for i in range(30)]
    path.write_text(
        "a;b;y\n" + "".join(f"{i},25;{c};{i % 2}\n" for i, c in enumerate(cells))
    )
    with pytest.raises(DataError, match=r"line 5, column 2 holds no value \(2 rows"):
        load(path)
    data = load(path, missing="mean", scale="none", dtype="float64")
    assert data.feature_names == ("a", "b")
    present = sorted({*data.X_train[:, 1]} | {*data.X_test[:, 1]})
    assert {i + 0.5 for i in range(30)} - {3.5, 8.5} <= set(present)
