"""Defaults of topology algorithms are those of their papers or their authors' code."""

import pytest

from truesparse.topology import ALGORITHMS, UpdateSchedule, make
from truesparse.topology.parts.schedule import Fraction, Share

# Share that is replaced, and when it ends.
FRACTIONS = {
    "set": Fraction(0.3),
    "cht": Fraction(0.3),
    "chts": Fraction(0.3),
    "chtss": Fraction(0.3),
    "dsr": Fraction(0.1),
    "ggr": Fraction(0.1, "cosine", end=0.5),
    "granet": Fraction(0.5, "cosine", floor=0.005),
    "gse": Fraction(0.2, "cosine", end=0.6),
    "mest": Fraction(0.3, "cosine"),
    "rigl": Fraction(0.3, "cosine", end=0.75),
    "snfs": Fraction(0.5, "cosine", floor=0.005),
    "srigl": Fraction(0.3, "cosine", end=0.75),
}
# Others update after every epoch.
SCHEDULES = {
    "deepr": UpdateSchedule(1, "step"),
    "granet": UpdateSchedule(100, "step", start=100),
    "gse": UpdateSchedule(1000, "step", start=1000),
    "rigl": UpdateSchedule(100, "step", start=100),
    "srigl": UpdateSchedule(100, "step", start=100),
    "top_kast": UpdateSchedule(100, "step", start=100),
}
SHARES = {
    "chtss": Share(0.1, "sigmoid"),
    "granet": Share(0.2, "cubic", end=0.7),
    "magnitude": Share(0.1),
    "lottery": Share(0.1),
}
OWN = {
    "set": {"removal": "per_sign", "regrow_init": "zero"},
    "cht": {"rule": "ch3_l3p", "chain_removal": True, "early_stop": 0.9},
    "chts": {"rule": "ch3_l3p", "chain_removal": True, "early_stop": 0.9},
    "chtss": {"rule": "ch3_l3p", "chain_removal": True, "early_stop": 0.9},
    "deepr": {"l1": 1e-5, "temperature": 2.5e-11},
    "dsr": {"threshold": 1e-3},
    "gse": {"gamma": 1.0, "distribution": "uniform"},
    "mest": {"gradient_weight": 0.01, "soft_bound": False},
    "snfs": {"pool_momentum": 0.9, "sample_every": 10},
    "srigl": {"gamma_salience": 0.3},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_the_published_ones(name):
    algorithm = make(name)
    if name in FRACTIONS:
        assert algorithm.fraction == FRACTIONS[name]
    assert algorithm.schedule == SCHEDULES.get(name, UpdateSchedule())
    assert algorithm.share == SHARES.get(name, Share())
    for option, value in OWN.get(name, {}).items():
        assert getattr(algorithm, option) == value, option
