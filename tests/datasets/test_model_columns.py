"""Columns that a model takes from a table: by name, or by place, or refused."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from truesparse.datasets import load, load_rows
from truesparse.errors import DataError, UsageError

N = 40
NUMBERS = np.random.default_rng(0).standard_normal(N).round(3)
WITH_GAPS = np.array([str(x) for x in NUMBERS], object)
WITH_GAPS[[3, 7]] = ["", "NA"]
SEX = np.array(["m", "f"])[np.arange(N) % 2]
Y = np.arange(N) % 4 // 2


def write(folder, head, *columns, name="t.csv"):
    rows = [",".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    path = folder / name
    path.write_text("\n".join([head, *rows] if head else rows) + "\n")
    return path


def expected(data):
    names = ("feature_names", "first_index", "target_name", "layout")
    return {
        "n_features": data.n_features,
        "table_encoding": data.encoding,
        **{name: getattr(data, name) for name in names},
    }


# By place -----------------------------------------------------------------------------

# Column i holds 100 i and a bit, except for the target, which holds 0 and 1.
PLACES = [100 * i + NUMBERS for i in range(5)]


def trained(folder, target, left_out):
    """Return what a model knows that was trained on five columns without names."""
    columns = list(PLACES)
    columns[target] = Y
    path = write(folder, "", *columns)
    drop = [number + 1 for number in left_out]
    return columns, load(path, target=target + 1, drop=drop)


@given(
    st.integers(0, 4),
    st.sets(st.integers(0, 4), max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_without_names_columns_have_the_places_of_training(
    tmp_path_factory, target, left_out, has_target, has_left_out
):
    assume(target not in left_out)
    folder = tmp_path_factory.mktemp("places")
    columns, data = trained(folder, target, left_out)
    features = [i for i in range(5) if i != target and i not in left_out]
    given = {*features}
    given |= {target} if has_target else set()
    given |= left_out if has_left_out else set()
    new = write(folder, "", *(columns[i] for i in sorted(given)), name="new.csv")
    if left_out and has_left_out != has_target:
        # Which ones these are the width does not tell.
        with pytest.raises(DataError, match="features out of 5 columns; give all of"):
            load_rows(new, header="no", **expected(data))
        return
    rows = load_rows(new, header="no", **expected(data))
    np.testing.assert_array_equal(
        rows.X, np.column_stack([columns[i] for i in features])
    )
    assert (None if rows.y is None else rows.y.tolist()) == (
        Y.tolist() if has_target else None
    )


@pytest.mark.parametrize(
    ("left_out", "widths"),
    [((), (4, 5)), ({1}, (3, 5)), ({1, 2}, (2, 5)), ({1, 2, 3}, (1, 5))],
)
def test_other_widths_are_refused(tmp_path, left_out, widths):
    columns, data = trained(tmp_path, 4, left_out)
    columns.append(NUMBERS)
    for width in range(1, 7):
        new = write(tmp_path, "", *columns[:width], name="new.csv")
        if width in widths:
            assert load_rows(new, header="no", **expected(data)).X.shape[0] == N
        else:
            with pytest.raises(DataError, match=f"has {width} columns"):
                load_rows(new, header="no", **expected(data))


def test_one_column_too_many_is_not_guessed(tmp_path):
    columns, data = trained(tmp_path, 4, {0})
    path = write(tmp_path, "", *columns[:4], name="new.csv")
    message = r"takes 3 features out of 5 columns; .* as in drop=1 \(--drop 1\), and"
    with pytest.raises(DataError, match=message):
        load_rows(path, **expected(data))
    want = np.column_stack(columns[1:4])
    got = load_rows(path, drop=1, **expected(data))
    np.testing.assert_array_equal(got.X, want)
    assert got.y is None
    for path, how in (
        (write(tmp_path, "", *columns), {"drop": 1}),
        (write(tmp_path, "", *columns), {"index": 1}),
        (write(tmp_path, "", *columns[1:], name="new.csv"), {"target": 4}),
    ):
        got = load_rows(path, **how, **expected(data))
        np.testing.assert_array_equal(got.X, want)
        assert got.y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("given", "drop", "message"),
    [
        # The target is missing, and one of two columns left out is dropped again.
        ((0, 1, 2, 3), [1], "has 3 columns, but the model takes 2 .* drop=1"),
        ((0, 1, 2, 3), [2], "has 3 columns, but the model takes 2 .* drop=1"),
        # Here another one is.
        ((0, 1, 2, 3, 4), [4], "has 4 columns, but the model takes 2"),
        ((0, 2, 3, 0), [4], "has 3 columns, but the model takes 2"),
    ],
)
def test_what_is_dropped_again_is_not_guessed(tmp_path, given, drop, message):
    columns, data = trained(tmp_path, 4, {0, 1})
    path = write(tmp_path, "", *(columns[i] for i in given), name="new.csv")
    with pytest.raises(DataError, match=message):
        load_rows(path, drop=drop, **expected(data))


def test_what_is_dropped_again_is_known_by_its_place(tmp_path):
    columns, data = trained(tmp_path, 2, {0, 3})
    want = np.column_stack([columns[1], columns[4]])
    for chosen, drop, has_y in (
        ((0, 1, 2, 3, 4), [1, 4], True),
        ((0, 1, 2, 3, 4), [4], True),
        ((0, 1, 2, 3, 4), [1, 3, 4], False),
        ((0, 1, 3, 4), [1, 3], False),
        ((1, 2, 4, 0), [4, 4], None),
    ):
        path = write(tmp_path, "", *(columns[i] for i in chosen), name="new.csv")
        if has_y is None:
            with pytest.raises(DataError, match="features out of 5 columns"):
                load_rows(path, drop=drop, **expected(data))
            continue
        rows = load_rows(path, drop=drop, **expected(data))
        np.testing.assert_array_equal(rows.X, want)
        assert (rows.y is not None) == has_y


def test_names_decide_even_if_others_are_not_unique(tmp_path):
    data = load(write(tmp_path, "a,b,y", NUMBERS, NUMBERS + 9, Y))
    path = write(tmp_path, "b,n,n,a", NUMBERS + 9, Y, Y, NUMBERS)
    rows = load_rows(path, **expected(data))
    np.testing.assert_array_equal(rows.X, np.column_stack([NUMBERS, NUMBERS + 9]))
    path = write(tmp_path, "b,a,a", NUMBERS + 9, NUMBERS, NUMBERS)
    with pytest.raises(DataError, match="has 2 columns named 'a', which the model"):
        load_rows(path, **expected(data))


def test_a_target_in_front_stays_in_front(tmp_path):
    columns, data = trained(tmp_path, 0, ())
    rows = load_rows(write(tmp_path, "", *columns), **expected(data))
    np.testing.assert_array_equal(rows.X, np.column_stack(columns[1:]))
    assert rows.y.tolist() == Y.tolist()
    # A header may say otherwise; then nobody knows.
    path = write(tmp_path, "p,q,r,s,y", *columns)
    with pytest.raises(DataError, match="was column 1 in training, but column 'y' has"):
        load_rows(path, **expected(data))
    rows = load_rows(path, target="p", **expected(data))
    np.testing.assert_array_equal(rows.X, np.column_stack(columns[1:]))


def test_row_names_of_training_need_not_be_there(tmp_path):
    path = write(tmp_path, ",a,a,y", np.arange(N), NUMBERS, NUMBERS + 9, Y)
    data = load(path)
    assert (data.feature_names, data.layout.left_out) == (None, (0,))
    want = np.column_stack([NUMBERS, NUMBERS + 9])
    for head, columns, has_y in (
        (",a,a,y", (np.arange(N), NUMBERS, NUMBERS + 9, Y), True),
        (",a,a", (np.arange(N), NUMBERS, NUMBERS + 9), False),
        ("a,a", (NUMBERS, NUMBERS + 9), False),
        ("", (np.arange(N), NUMBERS, NUMBERS + 9, Y), True),
    ):
        rows = load_rows(write(tmp_path, head, *columns), **expected(data))
        np.testing.assert_array_equal(rows.X, want)
        assert (rows.y is not None) == has_y


# By name ------------------------------------------------------------------------------


def test_a_target_may_be_stated_for_a_model(tmp_path):
    data = load(write(tmp_path, "a,b,kind", NUMBERS, NUMBERS + 9, Y))
    path = write(tmp_path, "kind,truth,b,a", 1 - Y, Y, NUMBERS + 9, NUMBERS)
    assert load_rows(path, **expected(data)).y.tolist() == (1 - Y).tolist()
    rows = load_rows(path, target="truth", **expected(data))
    assert rows.y.tolist() == Y.tolist()
    np.testing.assert_array_equal(rows.X[:, 0], NUMBERS)
    with pytest.raises(UsageError, match="the target 'b' is a feature of the model"):
        load_rows(path, target="b", **expected(data))
    with pytest.raises(UsageError, match="has no column of this name"):
        load_rows(path, target="true", **expected(data))
    with pytest.raises(DataError, match=r"lacks 1 of the 2 columns .*: 'a'"):
        load_rows(path, drop="a", **expected(data))


# Encoded ------------------------------------------------------------------------------


def test_rows_are_encoded_as_in_training(folder):
    path = write(folder, "a,b,sex,y", NUMBERS, WITH_GAPS, SEX, Y)
    data = load(path, missing="mean", scale="none", dtype="float64")
    fill = data.encoding.columns[1].fill
    new = folder / "new.csv"
    new.write_text("sex,b,note,a\nf,1,x,2\nother,,x,3\n,4,x,5\n")
    rows = load_rows(new, **expected(data))
    assert rows.y is None
    assert rows.X.tolist() == [[2, 1, 1, 0], [3, fill, 0, 0], [5, 4, 1, 0]]
    with_target = load_rows(path, **expected(data))
    assert with_target.y.tolist() == Y.tolist()
    assert with_target.X.shape == (N, 4)


def test_none_is_a_gap_where_the_model_takes_a_number(folder):
    data = load(write(folder, "a,b,y", NUMBERS, WITH_GAPS, Y), missing="mean")
    fill = data.encoding.columns[1].fill
    new = folder / "new.csv"
    new.write_text("a,b\n1,none\n2,None\n")
    assert load_rows(new, **expected(data)).X.tolist() == [[1, fill], [2, fill]]
    data = load(write(folder, "a,b,y", NUMBERS, NUMBERS, Y))
    with pytest.raises(DataError, match="line 2, column 2 holds no value"):
        load_rows(new, **expected(data))


def test_numbers_stand_for_the_same_categories_as_their_text(folder):
    doors = np.array(["2", "04", "4.5", "more"])[np.arange(N) % 4]
    truth = np.array(["true", "FALSE", "unknown"])[np.arange(N) % 3]
    path = write(folder, "doors,ok,a,y", doors, truth, NUMBERS, Y)
    data = load(path, categorical="ordinal")
    assert data.encoding.columns[0].categories == ("04", "2", "4.5", "more")
    new = folder / "new.csv"
    new.write_text("doors,ok,a\n2,true,1\n4,false,1\n4.50,true,1\n9,true,1\n")
    got = load_rows(new, **expected(data)).X
    assert got[:, 0].tolist() == [1, 0, 2, -1]
    assert got[:, 1].tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,sex\n1,m\n,f\n", "column 'a' holds no value in line 3, and the model has"),
        ("a,sex\n1,m\n2,\n", "column 'sex' holds no value in line 3"),
        ("a,sex\n1,m\nx,f\n", "'a' holds 'x' in line 3; it holds numbers in the"),
        ("a,sx\n1,m\n2,f\n", r"lacks 1 of the 2 columns .*'sex' \(it has 'sx'\)"),
        ("1\n2\n", "has 1 columns, but the model takes 2"),
    ],
)
def test_rows_that_cannot_be_encoded(folder, text, message):
    data = load(write(folder, "a,sex,y", NUMBERS, SEX, Y))
    new = folder / "new.csv"
    new.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_rows(new, **expected(data))
    assert str(new) in str(caught.value)


def test_raw_rows_of_another_width_are_refused(folder):
    data = load(write(folder, "a,sex,y", NUMBERS, SEX, Y))
    want = "X has 2 columns; give 3: the 2 columns of the table with their categories"
    with pytest.raises(DataError, match=want):
        data.transform([[1.0, 2.0]])
    got = data.transform([[NUMBERS[0], 0, 1]])
    assert got.shape == (1, 3)


def test_features_of_one_name_do_not_hide_the_columns(tmp_path):
    first = np.array(["c", "d"])[np.arange(N) % 2]
    second = np.array(["b=c", "e"])[np.arange(N) % 4 // 2]
    data = load(write(tmp_path, "a=b,a,n,y", first, second, NUMBERS, Y))
    assert data.encoding.feature_names[::2] == ["a=b=c", "a=b=c", "n"]
    assert data.feature_names is None
    new = write(tmp_path, "n,a,a=b", NUMBERS, second, first, name="new.csv")
    got = load_rows(new, **expected(data)).X
    np.testing.assert_array_equal(got[:, 0], first == "c")
    np.testing.assert_array_equal(got[:, 2], second == "b=c")
    np.testing.assert_array_equal(got[:, 4], NUMBERS)


def test_two_columns_with_the_name_of_the_target_are_not_guessed(tmp_path):
    known = expected(load(write(tmp_path, "a,y", NUMBERS, Y)))
    path = write(tmp_path, "a,y,y", NUMBERS, Y, 1 - Y)
    with pytest.raises(DataError, match="has 2 columns named 'y', which was the targ"):
        load_rows(path, **known)
    assert load_rows(path, target=2, **known).y.tolist() == Y.tolist()
    assert load_rows(path, drop=2, **known).y.tolist() == (1 - Y).tolist()
