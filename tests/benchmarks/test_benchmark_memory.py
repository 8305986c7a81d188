"""Runs take what the estimate says: as `python -m benchmarks.memory` measures it."""

import json

import pytest

from benchmarks import memory, report
from benchmarks.memory import CASES, Case
from benchmarks.stored import Results

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
    rows = json.loads(path.read_text())["runs"]
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


def test_a_later_start_takes_the_missing_cases(tmp_path, monkeypatch, capsys):
    measured, said = [], {"total": 100e6, "first_total": 220e6}
    monkeypatch.setattr(memory, "make_files", lambda folder: None)
    monkeypatch.setattr(memory, "estimate", lambda *arguments: said)

    def peak(case, folder, threads, cache=None):
        measured.append(case)
        # Kernels are compiled for the first of two runs in a cache of its own.
        return 200e6 if len(measured) % 2 else 100e6 * len(measured) / 2

    monkeypatch.setattr(memory, "peak", peak)
    words = ["--out", str(tmp_path / "memory.json"), "--cases"]
    assert memory.main([*words, "small"]) == 0
    assert memory.main([*words, "small,adam"]) == 0
    assert measured == [CASES[name] for name in ("small", "small", "adam", "adam")]
    assert memory.main([*words, "adam", "--threads", "1"]) == 2
    text = report.table("estimate", Results(tmp_path))
    small, adam = text.splitlines()[2:4]
    ratios = "| 100 MB | 100 MB | 1.00 | 220 MB | 200 MB | 1.10 | yes |"
    assert small == f"| 1,000 | `--data digits` {ratios}"
    ratios = "| 100 MB | 200 MB | 0.50 | 220 MB | 200 MB | 1.10 | **no** |"
    assert adam == f"| 500,000 | `--data digits --optimizer=adam` {ratios}"
    assert "Not measured: hundred_thousand, million" in text
