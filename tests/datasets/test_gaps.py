"""Missing values of features and of the target: refused, left out or filled."""

import numpy as np
import pytest
from support.data_files import parquet, raw, sorted_rows, table

from truesparse.datasets import load, load_rows
from truesparse.errors import DataError

N = 40
NUMBERS = np.random.default_rng(0).standard_normal(N).round(3)
SEX = np.array(["m", "f"])[np.arange(N) % 2]
Y = np.arange(N) % 4 // 2
GAPS = np.array([str(x) for x in NUMBERS], object)
GAPS[[3, 7]] = ["", "NA"]
SEX_GAPS = np.array(SEX, object)
SEX_GAPS[5] = "?"


def test_gaps_are_refused_with_the_options_that_help(folder):
    path = table(folder, "a,b,sex,y", NUMBERS, GAPS, SEX_GAPS, Y)
    with pytest.raises(DataError) as caught:
        load(path)
    assert "line 5, column 2 holds no value, and neither do cells of 'sex'" in str(
        caught.value
    )
    assert "(3 rows in all)" in str(caught.value)
    for option in ("missing='mean' (--missing mean)", "--missing drop", "--drop b)"):
        assert option in str(caught.value)


def test_rows_with_gaps_are_left_out(folder):
    y = np.array([str(label) for label in Y], object)
    y[20] = "nan"
    path = table(folder, "a,b,sex,y", NUMBERS, GAPS, SEX_GAPS, y)
    data, rows, targets = raw(path, missing="drop")
    whole = np.setdiff1d(np.arange(N), [3, 5, 7, 20])
    want = np.column_stack([NUMBERS, NUMBERS, SEX == "f", SEX == "m"])[whole]
    np.testing.assert_array_equal(sorted_rows(rows), sorted_rows(want))
    assert np.bincount(targets).tolist() == np.bincount(Y[whole]).tolist()
    assert data.warnings == ("4 of 40 rows lack a value and are left out, as you say",)
    # A message counts the lines of the file.
    cells = np.array(GAPS)
    cells[:2] = ""
    path = table(folder, "a,b,sex,y", NUMBERS, cells, SEX_GAPS, Y)
    with pytest.raises(DataError, match="line 4, column 3 holds 'm'"):
        load(path, missing="drop", categorical="error")


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent"])
def test_gaps_are_filled_as_scikit_learn_does(folder, missing):
    impute = pytest.importorskip("sklearn.impute")
    path = table(folder, "a,b,y", NUMBERS, GAPS, Y)
    data = load(path, missing=missing, scale="none", dtype="float64")
    fill = data.encoding.columns[1].fill
    # The gaps are those rows whose first column stands at the places of a gap.
    for part in (data.X_train, data.X_test):
        gaps = np.isin(part[:, 0], NUMBERS[[3, 7]])
        assert (part[gaps, 1] == fill).all()
    train = data.X_train
    present = train[~np.isin(train[:, 0], NUMBERS[[3, 7]]), 1]
    imputer = impute.SimpleImputer(strategy=missing)
    assert fill == imputer.fit(present[:, None]).statistics_[0]


def test_a_target_with_gaps_is_refused_unless_its_rows_are_dropped(folder):
    path = table(folder, "a,b,y", NUMBERS, NUMBERS, GAPS)
    for missing in ("error", "mean", "most_frequent"):
        with pytest.raises(
            DataError,
            match="has 2 empty cells, the first in line 5; leave out these rows with "
            r"missing_target='drop' \(--missing-target drop\), or all .* \(2 of 40\)",
        ):
            load(path, missing=missing)
    _, _, y = raw(path, missing="drop")
    assert len(y) == N - 2


def test_columns_or_rows_without_values_are_refused(folder):
    path = table(folder, "a,b,y", NUMBERS, [""] * N, Y)
    with pytest.raises(
        DataError, match=r"'b' holds no values .* drop='b' \(--drop b\)"
    ):
        load(path, missing="mean")
    with pytest.raises(DataError, match="every row lacks a value; leave out the colum"):
        load(path, missing="drop")
    assert load(path, drop="b").n_features == 1


# Rows without a target ----------------------------------------------------------------

LABELS = Y.astype(object)
LABELS[[5, 7]] = ["", "NA"]


def test_rows_without_a_target_are_left_out_and_other_gaps_filled(folder):
    path = table(folder, "a,b,y", NUMBERS, GAPS, LABELS)
    data, rows, y = raw(path, missing="most_frequent", missing_target="drop")
    assert data.warnings == ("2 of 40 rows lack a target and are left out, as you say",)
    left = np.setdiff1d(np.arange(N), [5, 7])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), np.sort(NUMBERS[left]))
    place = [NUMBERS.tolist().index(value) for value in rows[:, 0]]
    assert data.classes[y].tolist() == Y[place].tolist()
    # The value that row 3 lacks is filled; row 7 is gone.
    fill = data.encoding.columns[1].fill
    want = np.where(np.array(place) == 3, fill, NUMBERS[place])
    np.testing.assert_array_equal(rows[:, 1], want)


def test_gaps_of_features_beside_a_target_are_refused_all_the_same(folder):
    path = table(folder, "a,b,y", NUMBERS, GAPS, LABELS)
    with pytest.raises(DataError, match=r"line 5, column 2 .* \(1 rows in all\)"):
        load(path, missing_target="drop")
    only_there = NUMBERS.astype(object)
    only_there[[5, 7]] = ""
    path = table(folder, "a,b,y", NUMBERS, only_there, LABELS)
    _, rows, _ = raw(path, missing_target="drop")
    assert len(rows) == N - 2
    _, rows, _ = raw(table(folder, "a,b,y", NUMBERS, GAPS, Y), missing="drop")
    assert len(rows) == N - 2


@pytest.mark.parametrize("write", [table, parquet])
@pytest.mark.parametrize("option", ["missing", "missing_target"])
def test_truth_values_with_gaps_are_labels_false_and_true(folder, write, option):
    truth = np.array([True, False] * (N // 2), object)
    truth[[1, 6]] = "" if write is table else None
    columns = {"a": NUMBERS, "y": truth}
    path = (
        table(folder, "a,y", *columns.values())
        if write is table
        else parquet(folder, **columns)
    )
    data, rows, y = raw(path, **{option: "drop"})
    assert data.classes.dtype == bool
    assert "classification of truth values: False, True" in data.notes[0]
    wanted = dict(zip(NUMBERS, truth, strict=True))
    assert data.classes[y].tolist() == [wanted[row] for row in rows[:, 0]]
    assert len(y) == N - 2


def test_truth_values_above_empty_rows_are_truth_values(folder):
    path = table(folder, "a,y", NUMBERS, np.arange(N) % 2 == 0)
    path.write_text(path.read_text() + ",\n" * 3)
    assert load(path).classes.tolist() == [False, True]


@pytest.mark.parametrize("write", [table, parquet])
def test_truth_values_with_gaps_are_features_0_and_1(folder, write):
    truth = np.array([True, True, False, True] * (N // 4), object)
    truth[[1, 6]] = "" if write is table else None
    columns = {"a": NUMBERS, "b": truth, "y": Y}
    path = (
        table(folder, "a,b,y", *columns.values())
        if write is table
        else parquet(folder, **columns)
    )
    data, rows, _ = raw(path, missing="most_frequent")
    place = [NUMBERS.tolist().index(value) for value in rows[:, 0]]
    assert data.encoding.columns[1].fill == 1.0
    want = [0.0 if truth[i] is False else 1.0 for i in place]
    assert rows[:, 1].tolist() == want


def test_truth_values_with_gaps_suit_categories_that_they_are_among(folder):
    words = np.array(["True", "False", "maybe"])[np.arange(N) % 3]
    data = load(
        table(folder, "a,b,y", NUMBERS, words, Y), missing="most_frequent", seed=1
    )
    path = table(folder, "a,b", NUMBERS[:3], ["True", "", "False"], name="new.csv")
    rows = load_rows(
        path,
        n_features=4,
        feature_names=data.feature_names,
        target_name="y",
        table_encoding=data.encoding,
    )
    fill = data.encoding.columns[1].fill
    names = ["False", "True", "maybe"]
    want = [[name == given for name in names] for given in ("True", fill, "False")]
    np.testing.assert_array_equal(rows.X[:, 1:], want)
