"""The page that helps to choose a method: its table and its picture."""

import json

import numpy as np
import pytest

from benchmarks import picture_choice, report, stored
from benchmarks.tables_choice import AS_GOOD, Choice, choices, recommended, unbeaten

# Method, accuracy in percent, seconds of training.
FIGURES = [
    ("slow", 98.0, 90.0),
    ("best", 98.5, 60.0),
    ("good", 98.4, 30.0),
    ("near", 98.39, 20.0),
    ("equal", 98.39, 25.0),
    ("quick", 90.0, 10.0),
]


def group():
    """Return the methods of FIGURES as choices."""
    return [
        Choice(name, accuracy / 100, seconds, {}) for name, accuracy, seconds in FIGURES
    ]


def write(folder):
    """Write results: the methods of FIGURES at 99 % sparsity, and a dense net."""
    figures = [("dense", 98.3, 200.0), *FIGURES]
    runs, rows = [], []
    for index, (method, accuracy, seconds) in enumerate(figures):
        key = {"method": method, "sparsity": 0.0 if method == "dense" else 0.99}
        for seed, shift in enumerate((-2.0, 2.0)):
            run = key | {"seed": seed, "scores": [0.5] * 5, "commit": "abc"}
            run["seconds_per_epoch"] = (seconds + shift) / 5
            # Runs of the present program know the sum; the median of epochs may differ.
            if index % 2:
                run |= {"seconds": seconds + shift, "seconds_per_epoch": 0.0}
            runs.append(run)
        rows.append(key | {"final_mean": accuracy / 100, "final_sd": 0.001, "seeds": 2})
    settings = {
        **{"hidden": [20], "epochs": 5, "batch_size": 8, "momentum": 0.9, "lr": 0.1},
        **{"lr_schedule": "linear", "weight_decay": 0, "dropout": 0},
        "update_every": 7,
    }
    file = {
        **{"data": "mnist", "settings": settings, "rows": rows, "runs": runs},
        "machine": {"cpu": "X", "usable_cores": 2},
        "date": "2026-11-28T00:00:00+00:00",
    }
    (folder / "methods-mnist.json").write_text(json.dumps(file))


def test_methods_that_none_beats():
    assert [each.method for each in unbeaten(group())] == [
        *("quick", "near", "good", "best")
    ]
    assert unbeaten([]) == []


def test_the_fastest_of_those_that_are_as_good_is_recommended():
    assert AS_GOOD == 0.001
    assert recommended(group()).method == "good"  # near is 0.11 points below
    assert recommended([each for each in group() if each.method != "good"]).method == (
        "best"
    )


def test_seconds_are_those_of_the_whole_training(tmp_path):
    write(tmp_path)
    got = choices(stored.Results(tmp_path))
    assert [each.method for each in got[0.99]] == [
        *("quick", "near", "equal", "good", "best", "slow")
    ]
    for each in got[0.99]:
        wanted = next(seconds for name, _, seconds in FIGURES if name == each.method)
        assert each.seconds == pytest.approx(wanted)
    assert [(each.method, each.seconds) for each in got[0.0]] == [
        ("dense", pytest.approx(200.0))
    ]
    assert got[0.9] == got[0.95] == []


def test_the_table_of_choices(tmp_path):
    write(tmp_path)
    lines = report.table("choice", stored.Results(tmp_path)).splitlines()
    assert lines[2:6] == [
        "| 99% | `quick` | 90.00% ± 0.10 | -8.50 | 10.0 | 2 of 3 |",
        "| 99% | `near` | 98.39% ± 0.10 | -0.11 | 20.0 | 2 of 3 |",
        "| 99% | **`good`** | 98.40% ± 0.10 | -0.10 | 30.0 | 2 of 3 |",
        "| 99% | `best` | 98.50% ± 0.10 | 0.00 | 60.0 | 2 of 3 |",
    ]
    assert lines[7] == (
        "Chosen among 6 methods, some of them with fewer seeds than planned. The dense "
        "net (dense): 98.30% in 200 s."
    )


def test_the_picture_has_a_point_and_a_name_for_each_method(tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    write(tmp_path)
    picture_choice.draw_choices(figure, stored.Results(tmp_path))
    (panel,) = figure.axes
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    got = sorted((line.get_xdata()[0], line.get_ydata()[0]) for line in dots)
    wanted = sorted((seconds, 1 - accuracy / 100) for _, accuracy, seconds in FIGURES)
    np.testing.assert_allclose(got, wanted)
    names = [text.get_text() for text in panel.texts]
    assert sorted(names) == sorted(
        [*(name for name, _, _ in FIGURES), "dense: 98.30%, 200 s"]
    )
    # Names stand in the order of accuracy, each below the one before.
    places = {text.get_text(): text.xyann[1] for text in panel.texts}
    ordered = [places[name] for name in ("best", "good", "near", "slow", "quick")]
    assert ordered == sorted(ordered, reverse=True)
    assert panel.get_ylim()[0] > panel.get_ylim()[1]  # accuracy grows upwards
    words = picture_choice.choices_in_words(stored.Results(tmp_path))
    assert "good 98.40% 30 s" in words
    assert "dense 98.30% 200 s" in words


def test_names_are_moved_apart_and_stay_on_the_page():
    heights = [0.9, 0.9, 0.5, 0.0, 0.0, 0.0]
    got = picture_choice.apart(heights, 0.1)
    assert got == pytest.approx([0.9, 0.8, 0.5, 0.2, 0.1, 0.0])
    many = picture_choice.apart([0.5] * 41, 0.1)
    assert many == pytest.approx([1.0 - place / 40 for place in range(41)])
    assert picture_choice.apart([]) == []
    assert picture_choice.apart([0.4]) == [0.4]
