"""Defaults of topology algorithms are those of their papers or their authors' code."""

import pytest

from truesparse.topology import ALGORITHMS, UpdateSchedule, make
from truesparse.topology.parts.schedule import Fraction, Share

CHT = {"rule": "ch3_l3p", "chain_removal": True, "early_stop": 0.9}
EVERY_100 = UpdateSchedule(100, "step", start=100)

# One row for each algorithm. Where nothing else stands, `fraction` is not an option of
# it, updates happen after every epoch and the number of connections stays.
FIGURES = {
    "static": {},
    "set": {"fraction": Fraction(0.3), "removal": "per_sign", "regrow_init": "zero"},
    "accset": {
        "fraction": Fraction(0.3),
        "removal": "per_sign",
        "least_share": 0.4,
    },
    "cht": {"fraction": Fraction(0.3), "removal": "per_sign", **CHT},
    "chts": {"fraction": Fraction(0.3), "last_temperature": 3.0, **CHT},
    "chtss": {"fraction": Fraction(0.3), "share": Share(0.2, "sigmoid"), **CHT},
    "deepr": {
        "schedule": UpdateSchedule(1, "step"),
        "l1": 1e-5,
        "temperature": 2.5e-11,
        "scope": "layer",
    },
    "soft_deepr": {
        "schedule": UpdateSchedule(1, "step"),
        "l1": 1e-5,
        # Rate 0.05 and noise 1e-5 of the authors' script: 0.05 (1e-5)^2 / 2.
        "temperature": 2.5e-12,
        "window": 10.0,
    },
    "dst_ee": {
        "fraction": Fraction(0.3, "cosine", end=0.75),
        "schedule": EVERY_100,
        "exploration": 1e-3,
        "smoothing": 1.0,
    },
    "wast": {
        "fraction": Fraction(0.3),
        "schedule": UpdateSchedule(1, "step"),
        "removal": "per_sign",
        "error_weight": 0.9,
        "sample_every": 1,
    },
    "dsr": {"fraction": Fraction(0.1), "threshold": 1e-3},
    "ggr": {"fraction": Fraction(0.1, "cosine", end=0.5), "candidates": "auto"},
    "granet": {
        "fraction": Fraction(0.5, "cosine", floor=0.005),
        "schedule": EVERY_100,
        "share": Share(0.2, "cubic", end=0.7),
    },
    "gse": {
        "fraction": Fraction(0.2, "cosine", end=0.6),
        "schedule": UpdateSchedule(1000, "step", start=1000),
        "gamma": 1.0,
        "distribution": "uniform",
    },
    "itop": {
        "fraction": Fraction(0.5, "cosine", floor=0.005),
        "schedule": UpdateSchedule(1500, "step", start=1500),
        "removal": "magnitude",
        "unfired_first": True,
    },
    "mest": {
        "fraction": Fraction(0.2, "steps", end=0.75),
        "schedule": UpdateSchedule(5, start=5),
        "gradient_weight": 0.0,
        "soft_bound": False,
    },
    "nest": {
        "fraction": Fraction(0.1),
        "most_growth": 2.0,
        "grow_until": 0.5,
        "prune_threshold": 0.1,
        "gradient_batches": 4,
    },
    "rigl": {"fraction": Fraction(0.3, "cosine", end=0.75), "schedule": EVERY_100},
    "snfs": {
        "fraction": Fraction(0.5, "cosine", floor=0.005),
        "removal": "magnitude",
        "redistribution": "momentum",
        "grow_by": "cell",
        "pool_momentum": 0.9,
        "sample_every": 10,
    },
    "srigl": {
        "fraction": Fraction(0.3, "cosine", end=0.75),
        "schedule": EVERY_100,
        "gamma_salience": 0.3,
    },
    "top_kast": {
        "schedule": EVERY_100,
        "extra": 0.5,
        "penalty": 1e-4,
        "sample_every": 10,
    },
    "snip": {
        "gamma": 4.0,
        "gradient_batches": 1,
        "weight_init": "he_uniform",
        "prune_biases": True,
        "rescale": False,
        "evolve_output": True,
    },
    "grasp": {
        "gamma": 4.0,
        "gradient_batches": 1,
        "temperature": 200.0,
        "rescale": False,
        "evolve_output": True,
    },
    "synflow": {
        "gamma": 4.0,
        "rounds": 100,
        "evolve_output": True,
        "rescale": False,
    },
    "magnitude": {"share": Share(0.1), "prune_at": 1.0, "scope": "global"},
    # Five rounds, each of which leaves 0.8.
    "lottery": {
        "share": Share(0.32768),
        "rounds": 5,
        "rewind_epoch": 0,
        "scope": "layer",
    },
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_the_published_ones(name):
    assert name in FIGURES, f"add a row of published defaults for {name!r}"
    figures = {"schedule": UpdateSchedule(), "share": Share(), **FIGURES[name]}
    algorithm = make(name)
    assert ("fraction" in figures) == ("zeta" in algorithm.options())
    for attribute, value in figures.items():
        assert getattr(algorithm, attribute) == value, attribute


def test_every_row_is_of_an_algorithm():
    assert set(FIGURES) == set(ALGORITHMS)
