"""The frame of the long lanes: what was run is known, and the table shows it."""

import json
import subprocess

import pytest

from tests.long import figures
from tests.long.__main__ import main
from tests.long.journal import Journal
from tests.long.lanes import commands
from tests.long.registry import Figures, Lane, lane, lanes


def count_seeds(seed, count):
    done = Figures()
    done.add("fine", count - 1)
    if seed == 2:
        done.fail("seed 2")
    else:
        done.add("well")
    return done


def test_the_table_is_that_of_the_figures():
    text = figures.README.read_text()
    assert figures.with_table(text, figures.written()) == text
    assert set(figures.written()) <= set(lanes())


def test_a_journal_goes_on_where_it_was_stopped(tmp_path):
    path = tmp_path / "new" / "journal.jsonl"
    each = Lane("some", "holds", count_seeds, 5, "pytest")
    journal = Journal(path)
    for seed in (0, 1):
        assert journal.next_seed("some") == seed
        journal.run(each, seed)
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"lane": "so')
    journal = Journal(path)
    assert journal.next_seed("some") == 2
    assert journal.next_seed("another") == 0
    journal.run(each, 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seed"] for line in lines] == [0, 1, 2]
    totals = figures.summarise(lines)["some"]
    assert totals["cases"] == 15
    assert totals["failures"] == ["seed 2"]
    assert totals["outcomes"] == {"fine": 12, "well": 2}


def test_lanes_run_in_turn_and_a_broken_promise_is_code_1(
    tmp_path, monkeypatch, capsys
):
    every = {name: Lane(name, "holds", count_seeds, 5, "pytest") for name in ("a", "b")}
    monkeypatch.setattr("tests.long.__main__.lanes", lambda: every)
    words = ["--journal", str(tmp_path / "j"), "--minutes"]
    assert main([*words, "0"]) == 0
    assert main([*words, "0.005"]) == 1
    out = capsys.readouterr().out
    assert "FAILED: seed 2" in out
    seeds = [(line["lane"], line["seed"]) for line in Journal(tmp_path / "j").batches]
    assert {("a", 2), ("b", 2)} <= set(seeds)
    assert main(["--lanes", "a", "--seed", "1"]) == 0
    assert main(["--lanes", "a", "--seed", "2"]) == 1
    with pytest.raises(SystemExit, match="no lane c; there are a, b"):
        main(["--lanes", "c"])


def test_two_lanes_of_one_name_are_refused():
    name = next(iter(lanes()))
    with pytest.raises(ValueError, match="two lanes"):
        lane(name, "holds", batch=1, test="pytest")(count_seeds)


def test_tests_of_a_command_are_counted_one_by_one(tmp_path, monkeypatch):
    path = tmp_path / "test_some.py"
    path.write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('value', [1, 2, 3])\n"
        "def test_values(value):\n"
        "    assert value != 2\n"
        "@pytest.mark.skip\n"
        "def test_left_out():\n"
        "    pass\n"
    )
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    got = commands.run_tests(("test_some.py",), 0, 1)
    assert got.outcomes == {"passed": 2, "skipped": 1}
    assert got.failures == ["test_some.test_values[2]"]
    (text,) = commands.run_tests(("missing.py",), 0, 1).failures
    assert text.startswith("pytest ends with 4: ")


def test_checks_of_the_self_test_are_cases(monkeypatch):
    checks = [{"check": "a", "passed": True}, {"check": "b", "passed": False}]
    checks[1]["text"] = "wrong"
    done = subprocess.CompletedProcess([], 1, json.dumps({"checks": checks}), "")
    monkeypatch.setattr(commands, "_call", lambda *words: done)
    got = commands.self_test(0, 1)
    assert got.outcomes == {"passed": 1}
    assert got.failures == ["b: wrong"]
