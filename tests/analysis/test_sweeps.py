"""Sweeps run every setting once, and go on where they were stopped."""

import errno
import json
import math
import os
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from truesparse.analysis import run_sweep
from truesparse.analysis.sweeps import read_journal
from truesparse.errors import StorageError, UsageError

SETTINGS = [{"x": x, "name": "a"} for x in range(5)]


def square(setting):
    return {"y": setting["x"] ** 2, "pid": os.getpid()}


def values(rows):
    return [(setting["x"], result["y"]) for setting, result in rows]


WANTED = [(x, x * x) for x in range(5)]


def test_results_are_in_order_and_in_the_journal(tmp_path):
    seen = []
    rows = run_sweep(square, SETTINGS, tmp_path / "j", n_workers=1, report=seen.append)
    assert values(rows) == WANTED
    lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [line["setting"] for line in lines] == SETTINGS
    assert [(each.n_done, each.n_settings) for each in seen] == [
        (n, 5) for n in range(1, 6)
    ]
    assert seen[-1].remaining_seconds == 0.0 <= seen[0].remaining_seconds
    assert seen[2].setting == SETTINGS[2]


def test_a_stopped_sweep_runs_only_the_rest(tmp_path):
    calls = []

    def stop_at_three(setting):
        if setting["x"] == 3:
            raise KeyboardInterrupt
        calls.append(setting["x"])
        return square(setting)

    with pytest.raises(KeyboardInterrupt):
        run_sweep(stop_at_three, SETTINGS, tmp_path / "j", n_workers=1)
    assert calls == [0, 1, 2]

    def record(setting):
        calls.append(setting["x"])
        return square(setting)

    seen = []
    rows = run_sweep(record, SETTINGS, tmp_path / "j", n_workers=1, report=seen.append)
    assert calls == [0, 1, 2, 3, 4]
    assert values(rows) == WANTED
    assert [each.n_done for each in seen] == [4, 5]
    assert run_sweep(None, SETTINGS, tmp_path / "j", n_workers=1) == rows
    # The order of keys does not matter; other settings are left out.
    turned = [{"name": "a", "x": 2}]
    assert values(run_sweep(None, turned, tmp_path / "j", n_workers=1)) == [(2, 4)]


def test_a_line_that_was_cut_off_is_run_again(tmp_path):
    path = tmp_path / "j"
    run_sweep(square, SETTINGS[:3], path, n_workers=1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert len(read_journal(path)) == 2
    rows = run_sweep(square, SETTINGS, path, n_workers=1)
    assert values(rows) == WANTED
    assert len(read_journal(path)) == 5


@pytest.mark.compiled
def test_several_processes_share_the_work(tmp_path):
    rows = run_sweep(square, SETTINGS, tmp_path / "j", n_workers=2)
    assert values(rows) == WANTED
    assert os.getpid() not in {result["pid"] for _, result in rows}


def end_process(setting):
    os._exit(1)


@pytest.mark.compiled
def test_a_process_that_ends_is_explained(tmp_path):
    with pytest.raises(BrokenProcessPool) as caught:
        run_sweep(end_process, SETTINGS, tmp_path / "j", n_workers=2)
    # All processes end, so that no setting is to blame.
    [note] = caught.value.__notes__
    assert "enough memory, or the script" in note


def test_an_error_stops_the_sweep_after_what_has_ended(tmp_path):
    def fail(setting):
        if setting["x"] == 2:
            raise ZeroDivisionError
        return square(setting)

    with pytest.raises(ZeroDivisionError) as caught:
        run_sweep(fail, SETTINGS, tmp_path / "j", n_workers=1)
    assert caught.value.__notes__ == ['in setting {"name": "a", "x": 2}']
    assert len(read_journal(tmp_path / "j")) == 2


def test_results_are_as_the_journal_gives_them_back(tmp_path):
    wanted = {"pair": [1, 2], "by_width": {"3": 4}}

    def work(setting):
        return {"pair": (1, 2), "by_width": {3: 4}}

    seen = []
    for _ in range(2):
        rows = run_sweep(
            work, SETTINGS[:2], tmp_path / "j", n_workers=1, report=seen.append
        )
        assert rows == [(setting, wanted) for setting in SETTINGS[:2]]
    assert [progress.result for progress in seen] == [wanted] * 2


@pytest.mark.parametrize("result", [{"y": np.float32(1)}, {"y": math.nan}, 1.0, None])
def test_results_that_a_journal_cannot_hold(result, tmp_path):
    with pytest.raises(UsageError, match="results must be dicts of what JSON has"):
        run_sweep(lambda setting: result, SETTINGS, tmp_path / "j", n_workers=1)
    assert read_journal(tmp_path / "j") == {}
    with pytest.raises(UsageError, match=r"got \{'x': np.int64\(3\)\}"):
        run_sweep(square, [{"x": np.int64(3)}], tmp_path / "j", n_workers=1)


def test_a_journal_that_cannot_be_written(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"journal .*No space left"):
        run_sweep(square, SETTINGS, tmp_path / "j", n_workers=1)


def test_what_does_not_suit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="given twice"):
        run_sweep(square, [{"x": 1}, {"x": 1}], tmp_path / "j")
    for n_workers in (-1, 0):
        with pytest.raises(UsageError, match="n_workers"):
            run_sweep(square, SETTINGS, tmp_path / "j", n_workers=n_workers)
    with pytest.raises(UsageError, match="give a file in a folder that exists"):
        run_sweep(None, SETTINGS, tmp_path / "nowhere" / "j", n_workers=1)
    with pytest.raises(UsageError, match="a function of a module, or give n_workers=1"):
        run_sweep(lambda setting: {}, SETTINGS, tmp_path / "j", n_workers=2)
    assert read_journal(tmp_path / "none") == {}
