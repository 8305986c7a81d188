"""What columns of each kind become, as features and as the target."""

import datetime
import decimal

import numpy as np
import pytest
from support.data_files import parquet, raw, sorted_rows, table

from truesparse.datasets import load
from truesparse.errors import DataError, MemoryLimitError

N = 40
NUMBERS = np.random.default_rng(0).standard_normal(N).round(3)
SEX = np.array(["m", "f"])[np.arange(N) % 2]
Y = np.arange(N) % 4 // 2


# Text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [table, parquet])
def test_text_becomes_a_feature_for_each_value(folder, write):
    columns = {"a": NUMBERS, "sex": SEX, "y": Y}
    path = (
        write(folder, ",".join(columns), *columns.values())
        if write is table
        else write(folder, **columns)
    )
    data, rows, _ = raw(path)
    assert data.feature_names == ("a", "sex=f", "sex=m")
    want = np.column_stack([NUMBERS, SEX == "f", SEX == "m"])
    np.testing.assert_array_equal(sorted_rows(rows), sorted_rows(want))
    assert data.notes[1] == "categories: 'sex' (2 values)"
    data, rows, _ = raw(path, categorical="ordinal")
    assert data.feature_names == ("a", "sex")
    want = np.column_stack([NUMBERS, SEX == "m"])
    np.testing.assert_array_equal(sorted_rows(rows), sorted_rows(want))
    with pytest.raises(DataError, match=r"column 2 holds 'm'; make .*l='onehot'"):
        load(path, categorical="error")


def test_encodings_are_learnt_from_the_training_part_alone(folder):
    words = [f"w{i}" for i in range(N)]
    path = table(folder, "", words, NUMBERS, Y)
    with_words = load(path, dtype="float64", scale="none", missing="mean")
    train = with_words.encoding.columns[0].categories
    assert len(train) == 32
    # Values of the test part alone have no feature.
    assert with_words.X_train.sum(axis=0)[:32].tolist() == [1] * 32
    assert not with_words.X_test[:, :32].any()
    assert with_words.feature_names is None


def test_none_among_text_is_a_value(folder):
    improved = np.array(["None", "Some", "Marked"])[np.arange(N) % 3]
    data = load(table(folder, "alcohol,a,improved", improved, NUMBERS, improved))
    assert data.classes.tolist() == ["Marked", "None", "Some"]
    assert data.feature_names == (
        *("alcohol=Marked", "alcohol=None", "alcohol=Some"),
        "a",
    )
    only = table(folder, "alcohol,a,y", ["none"] * N, NUMBERS, Y)
    assert load(only).feature_names == ("alcohol=none", "a")
    with pytest.raises(DataError, match=r"column 1 holds 'none'; make"):
        load(only, categorical="error")


def test_none_among_numbers_dates_and_amounts_is_a_gap(folder):
    kinds = [("3", "holds no value"), ("2024-01-31", "holds dates"), ("$3", "notation")]
    for value, message in kinds:
        cells = np.array(["none", value])[np.arange(N) % 2]
        with pytest.raises(DataError, match=message):
            load(table(folder, "a,b,y", cells, NUMBERS, Y))


def test_text_among_many_numbers_is_an_error_with_its_line(folder):
    cells = [str(i) for i in range(N)]
    for bad, where in ((["x", "x"], 5), (["?", "x"], 6)):
        cells[3:5] = bad
        path = table(folder, "a,b,y", cells, NUMBERS, Y)
        with pytest.raises(DataError, match=f"line {where}, column 1 holds 'x' among"):
            load(path, missing="mean")
        data = load(path, categorical="onehot", missing="most_frequent")
        assert "a=x" in data.feature_names
    # A text that recurs among a few numbers is one more category.
    doors = np.array(["2", "3", "4", "5more"])[np.arange(N) % 4]
    data = load(table(folder, "doors,b,y", doors, NUMBERS, Y))
    assert data.feature_names[:4] == ("doors=2", "doors=3", "doors=4", "doors=5more")
    doors[0] = "many"
    with pytest.raises(DataError, match="line 2, column 1 holds 'many' among 3 diff"):
        load(table(folder, "doors,b,y", doors, NUMBERS, Y))


@pytest.mark.parametrize(
    "form",
    [
        *('"{:,}"', "${}", "$ {}.50", "{} %", "{}%", '"{},5"', "{:,} €", "\u2212{}"),
        *("({})", "0x{:x}", "0b{:b}", "{:_}", "{}.5D+02", "{}-", "{}+2j", "(${:,}.5)"),
    ],
)
def test_numbers_with_other_signs_are_no_categories(folder, form):
    cells = [form.format(i % 7 * 1000 + 1000) for i in range(N)]
    if "," in form.format(1000) and '"' not in form:
        cells = [f'"{cell}"' for cell in cells]
    path = table(folder, "a,b,y", NUMBERS, cells, Y)
    with pytest.raises(
        DataError, match=r"line 2, column 2 holds .*, a number in a notation that is"
    ):
        load(path)
    assert load(path, categorical="onehot").n_features == 8
    words = np.array(["10.0.0.1", "1/2", "5-10", "2D4"])[np.arange(N) % 4]
    assert load(table(folder, "a,b,y", NUMBERS, words, Y)).n_features == 5


def test_text_among_many_numbers_of_the_target_is_an_error(folder):
    prices = [*NUMBERS[:-1], "unknown"]
    path = table(folder, "a,b,price", NUMBERS, NUMBERS, prices)
    with pytest.raises(
        DataError, match=r"and text such as 'unknown' in row 39 .*task="
    ):
        load(path)
    with pytest.raises(DataError, match="holds text such as 'unknown'; give numbers"):
        load(path, task="regression")
    # Labels that are asked for; here each is the only one.
    with pytest.raises(DataError, match="class of its own"):
        load(path, task="classification")


def test_names_are_warned_of(folder):
    names = [f"Mr. {i}" for i in range(N)]
    data = load(table(folder, "name,a,y", names, NUMBERS, Y))
    [warning] = data.warnings
    assert warning.startswith("column 'name' holds text that differs in almost every")
    assert warning.endswith("leave it out with drop='name' (--drop name)")
    data = load(table(folder, "name,a,y", names, NUMBERS, Y), drop="name")
    assert data.warnings == ()
    data = load(table(folder, "sex,a,y", SEX, NUMBERS, Y))
    assert data.warnings == ()


def test_many_values_make_csr(folder):
    words = [f"w{i % 101}" for i in range(505)]
    path = table(folder, "word,a,y", words, np.arange(505) % 7, np.arange(505) % 2)
    data = load(path, scale="none")
    assert data.is_sparse
    assert data.X_train.shape == (404, 102)
    assert load(path, categorical="ordinal").X_train.shape == (404, 2)


def test_categories_that_do_not_fit_in_memory_are_refused(folder):
    words = [f"w{i % 90}" for i in range(900)]
    path = table(folder, "word,a,y", words, np.arange(900), np.arange(900) % 2)
    with pytest.raises(
        MemoryLimitError, match=r"91 features, which take .*--categorica"
    ):
        load(path, memory=200_000)
    assert load(path, memory=2_000_000).n_features == 91


# Truth values and categories of numbers -----------------------------------------------


@pytest.mark.parametrize("spelling", [("True", "False"), ("TRUE", "FALSE")])
def test_truth_values_are_alike_in_text_and_parquet(folder, spelling):
    truth = np.arange(N) % 2 == 0
    text = np.where(truth, *spelling)
    rows = []
    for path in (
        table(folder, "b,a,y", text, NUMBERS, Y),
        parquet(folder, b=truth, a=NUMBERS, y=Y),
    ):
        data, got, _ = raw(path)
        assert data.encoding is None
        rows.append(sorted_rows(got))
    want = np.column_stack([truth, NUMBERS])
    np.testing.assert_array_equal(rows[0], sorted_rows(want))
    np.testing.assert_array_equal(rows[0], rows[1])
    for path in (
        table(folder, "a,b", NUMBERS, text),
        parquet(folder, a=NUMBERS, b=truth),
    ):
        data = load(path)
        assert data.classes.tolist() == [False, True]
        assert data.task == "classification"


def test_truth_values_are_no_pixels(folder):
    truth = np.arange(N) % 2 == 0
    pixels = (np.arange(N) * 6).astype(np.uint8)
    data = load(parquet(folder, a=truth, b=truth, p=pixels, y=Y))
    assert data.feature_mean is not None


def test_yes_and_no_are_text(folder):
    answers = np.where(np.arange(N) % 2 == 0, "yes", "no")
    data = load(table(folder, "q,a,y", answers, NUMBERS, Y))
    assert data.feature_names == ("q=no", "q=yes", "a")
    assert load(table(folder, "a,q", NUMBERS, answers)).classes.tolist() == [
        "no",
        "yes",
    ]


def test_categories_of_parquet(folder):
    pd = pytest.importorskip("pandas")
    sexes = pd.Categorical([None, *SEX[1:]])
    path = parquet(folder, sex=sexes, a=NUMBERS, y=Y)
    data = load(path, missing="most_frequent")
    assert data.feature_names == ("sex=f", "sex=m", "a")
    data = load(parquet(folder, a=NUMBERS, sex=pd.Categorical(SEX)))
    assert data.classes.tolist() == ["f", "m"]


# Numbers of other types ---------------------------------------------------------------


def test_decimals_are_exact_labels_and_float_features(folder):
    large = [decimal.Decimal(2**53 + i % 2) for i in range(N)]
    data = load(parquet(folder, a=NUMBERS, y=large))
    assert data.classes.tolist() == [2**53, 2**53 + 1]
    prices = [decimal.Decimal("1.25") * i for i in range(N)]
    data, rows, _ = raw(parquet(folder, price=prices, y=Y))
    assert sorted(rows[:, 0]) == [1.25 * i for i in range(N)]
    data = load(parquet(folder, a=NUMBERS, price=prices))
    assert data.task == "regression"


def test_labels_above_2_53_beside_gaps_are_refused(folder):
    pd = pytest.importorskip("pandas")
    large = [None, *(2**53 + 1 + i % 2 for i in range(N - 1))]
    text = ["" if label is None else label for label in large]
    for path in (
        table(folder, "a,y", NUMBERS, text),
        parquet(folder, a=NUMBERS, y=pd.array(large, dtype="Int64")),
    ):
        with pytest.raises(DataError, match="above 2\\^53, which may not be exact"):
            load(path, missing="drop")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"x", "column 'a' holds values of type bytes"),
        ([1, 2], "column 'a' holds values of type ndarray"),
        (datetime.date(2024, 1, 31), "'a' holds dates or times such as '2024-01-31'"),
        (datetime.datetime(2024, 1, 31, 5), "dates or times such as '2024-01-31"),
        (datetime.time(10, 30), "dates or times such as '10:30:00'"),
        (datetime.timedelta(hours=5), "dates or times such as '"),
        (
            datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC),
            "dates or times such as '2024-01-31",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_of_parquet_are_refused(folder, value, message):
    path = parquet(folder, a=[value] * N, b=NUMBERS, y=Y)
    with pytest.raises(DataError, match=message):
        load(path)
    assert load(path, drop="a").n_features == 1


# Dates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M"),
        *("%H:%M", "%b-%Y", "%Y-%m", "%d-%b-%Y", '"%B %d, %Y"'),
    ],
)
def test_dates_are_refused_with_the_option_that_helps(folder, form):
    first = datetime.datetime(2023, 1, 3)
    days = [(first + datetime.timedelta(33 * i)).strftime(form) for i in range(N)]
    path = table(folder, "day,a,y", days, NUMBERS, Y)
    with pytest.raises(
        DataError,
        match=r"column 'day' holds dates or times such as .*"
        r"drop='day' \(--drop day\)",
    ):
        load(path)
    assert load(path, drop="day").n_features == 1
    path = table(folder, "a,b,day", NUMBERS, NUMBERS, days)
    with pytest.raises(
        DataError,
        match=r"choose another target .* leave this column out with drop='day' \(",
    ):
        load(path)
    assert load(path, target="b", drop="day").n_features == 1


def test_what_only_looks_like_a_date_is_text(folder):
    for words in (["May", "June"], ["ward 12", "ward 13"], ["10.0.0.1", "10.0.0.2"]):
        words = np.array(words)[np.arange(N) % 2]
        data = load(table(folder, "w,a,y", words, NUMBERS, Y))
        assert data.n_features == 3
