"""Runs that are killed give what they would have given."""

import pytest
from support.faulty_runs import call

from tests.long.lanes import kills
from truesparse import train


@pytest.mark.compiled
def test_killed_runs_end_with_the_same_bits():
    figures = kills.kill(0, 1)
    assert not figures.failures
    assert figures.cases == 1
    assert set(figures.outcomes) - {"ended first"}


@pytest.mark.compiled
def test_another_result_is_noticed(monkeypatch):
    def run_otherwise(words, moments):
        assert call(train.main, [*words, "--seed", "1"])[0] == 0
        return 1, []

    monkeypatch.setattr(kills, "_run", run_otherwise)
    [sentence] = kills.kill(0, 1).failures
    for what in ("model", "checkpoint", "epochs"):
        assert f"another {what}" in sentence
