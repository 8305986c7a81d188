"""Columns of dates and quantities in notations that are not read: never in silence."""

import numpy as np
import pytest
from support.data_files import table

from truesparse.datasets import check_targets, load
from truesparse.datasets.notations import find_unit, is_amount, is_date
from truesparse.errors import DataError

N = 40
NUMBERS = np.random.default_rng(0).standard_normal(N).round(3)
Y = np.arange(N) % 4 // 2


@pytest.mark.parametrize(
    "cell",
    [
        *("$5", "-$5.25", "$ 1,234.50", "5 €", "¥100", "12%", "12.5 %", "3‰"),
        *(
            "1,234",
            "1,234,567.8",
            "1.234,56",
            "1'234",
            "1 234",
            "1\u00a0234,5",
            "1_000",
        ),
        *("12,34,567", "(5)", "(1,234.50)", "( $5 )", "5-", "\u22125"),
        *("0x1F", "-0x1f", "0b101", "0o17", "1.5D+03", "1d-3", "1+2j", "-1.5e3-2i"),
    ],
)
def test_amounts(cell):
    assert is_amount(cell)


@pytest.mark.parametrize(
    "cell",
    [
        *("ash", "", "A1", "1st", "3rd", "5more", "2D4", "1d2", "0x", "0b2", "1/2"),
        *(
            "5-10",
            "10.0.0.1",
            "1.2.3",
            "()",
            "(a)",
            "$",
            "%",
            "12-34-56",
            "1,23,4",
            "j",
        ),
    ],
)
def test_what_are_no_amounts(cell):
    assert not is_amount(cell)


def test_dates_are_no_amounts_and_numbers_no_dates():
    dates = ("2024-01-31", "31/1/24 10:30", "2024-01", "Jan-24", "31 Jan 2024", "10:30")
    assert all(map(is_date, dates))
    assert not any(map(is_amount, dates))
    assert not any(map(is_date, ("1.5", "1/2", "may", "10:3", "12 %")))


@pytest.mark.parametrize("form", ["({})", "0x{:x}", "${}", '"{},5"'])
def test_a_target_in_such_a_notation_is_refused_unless_it_is_labels(folder, form):
    cells = [form.format(i % 7 + 10) for i in range(N)]
    path = table(folder, "a,y", NUMBERS, cells)
    with pytest.raises(
        DataError,
        match=r"target 'y' holds text such as .* in row .*, a number in a notation",
    ) as caught:
        load(path)
    assert "--task classification" in str(caught.value)
    assert len(load(path, task="classification").classes) == 7


def test_labels_among_which_one_looks_like_an_amount_are_labels():
    assert check_targets(["(5)", "ash"], 2)[1] == "classification"
    assert check_targets(["<=50K", ">50K"], 2)[1] == "classification"


def test_numbers_with_a_unit_are_warned_of(folder):
    cells = [f"{i % 7 + 0.5} kg" for i in range(N)]
    data = load(table(folder, "a,weight,y", NUMBERS, cells, Y))
    [warning] = data.warnings
    assert warning.startswith("column 'weight' holds numbers with a unit (kg), which b")
    cells[0] = "heavy"
    assert not load(table(folder, "a,weight,y", NUMBERS, cells, Y)).warnings


def test_two_values_or_several_units_are_names():
    assert find_unit(["2wd", "4wd"]) is None
    assert find_unit(["2kg", "4kg", "5 m"]) is None
    assert find_unit([]) is None
    assert find_unit(["-2 µm", "4.5µm", ".5 µm"]) == "µm"
