"""A process that trains again and again holds no more each time."""

import copy

import pytest

from tests.long.lanes import soak


@pytest.mark.compiled
def test_fits_leave_nothing_behind(monkeypatch):
    monkeypatch.setattr(soak, "EPOCHS", 8)
    figures = soak.soak(0, 25)
    assert not figures.failures
    assert figures.outcomes == {"fits of 8 epochs": 25, "fit of 200 epochs": 1}


def test_growth_is_noticed():
    after = [{"bytes": 10**8, "descriptors": 5, "threads": 1, "temporary": 1}] * 30
    assert soak.growth(after) == []
    leaking = copy.deepcopy(after)
    for number, each in enumerate(leaking):
        leaking[number] = {key: value + 10**6 * number for key, value in each.items()}
    assert len(soak.growth(leaking)) == 4
