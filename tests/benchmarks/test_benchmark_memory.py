"""Runs take what the estimate says: as `python -m benchmarks.memory` measures it."""

import json

import pytest

from benchmarks import memory
from benchmarks.memory import CASES, Case

# What stands for nets of 100 times as many neurons in the benchmark's own cases.
SMALL = {
    "adam": Case(40_000, "--optimizer=adam --epsilon=10"),
    "csr": Case(20_000, "--batch-size=32", "csr"),
}


@pytest.mark.compiled
def test_runs_take_what_the_estimate_says(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "CASES", SMALL)
    path = tmp_path / "memory.json"
    assert memory.main(["--parts", "warm", "--out", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["case"] for row in rows] == list(SMALL)
    for row in rows:
        warm = row["warm"]
        assert warm["estimate"] == row["estimate"]["total"]
        assert warm["peak"] > 100e6
        assert warm["ratio"] == pytest.approx(warm["estimate"] / warm["peak"])
        # An estimate too low would be paid for with a killed process.
        assert 0.97 < warm["ratio"] < 1.10, row
        assert row["estimate"]["first_total"] > warm["estimate"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(SMALL)]] == list(SMALL)


def test_large_cases_are_left_out_unless_asked_for():
    assert len(CASES) >= 20
    names = memory.parse([]).cases
    assert set(CASES) - set(names) == {"hundred_million"}
    assert memory.parse(["--largest", "100000000"]).cases == list(CASES)
    assert memory.parse([]).out.name == "memory.json"
    assert memory.parse(["--parts", "cold"]).out is None
