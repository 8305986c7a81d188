"""Which options each algorithm takes: those of its constructor and of its stages."""

import inspect

import pytest

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology import ALGORITHMS, TopologyAlgorithm

FRACTION = {"zeta", "decay", "decay_end", "decay_floor"}
LAYERS = {"layers", "evolve_output"}
SHARE = {"final_share", "share_shape", "share_end"}
IMPORTANCE = {"importance", "importance_every", "importance_start"}
# What every algorithm takes that is updated on a schedule.
BASIC = {"schedule", "decay_end", "final", *LAYERS}
COMMON = {
    *(*BASIC, *FRACTION, *SHARE, *IMPORTANCE),
    *("surplus", "chain_removal", "early_stop", "regrow_init"),
}
SAMPLED = {"gamma", "gradient_batches"}
GUIDED = {"candidates", *SAMPLED}

ACCEPTED = {
    "static": set(),
    "set": COMMON | {"removal"},
    "accset": COMMON - SHARE - {"surplus"} | {"removal", "least_share"},
    "cht": COMMON | {"rule", "removal"},
    "chts": COMMON | {"removal", "last_temperature", "rule"},
    "chtss": COMMON | {"removal", "last_temperature", "rule"},
    "deepr": COMMON - FRACTION - {"surplus", "regrow_init"}
    | {"decay_end", "l1", "temperature"},
    "dsr": COMMON - {"early_stop", "surplus"} | {"threshold"},
    "ggr": COMMON - {"surplus", "regrow_init"} | GUIDED,
    "granet": COMMON - {"surplus"} | GUIDED,
    "gse": COMMON | GUIDED | {"distribution"},
    "itop": COMMON | {"removal", "unfired_first"},
    "mest": COMMON | {"gradient_weight", "gradient_batches", "soft_bound"},
    "nest": COMMON - SHARE - {"early_stop", "surplus", "regrow_init"}
    | SAMPLED
    | {"most_growth", "grow_until", "prune_threshold"},
    "rigl": COMMON | GUIDED,
    "snfs": COMMON
    | {
        "gamma",
        "pool_momentum",
        "sample_every",
        "removal",
        "redistribution",
        "grow_by",
    },
    "srigl": COMMON - IMPORTANCE - {"chain_removal", "early_stop", "surplus"}
    | {"candidates"}
    | SAMPLED
    | {"gamma_salience"},
    "top_kast": BASIC | SHARE | IMPORTANCE | {"extra", "penalty", "sample_every"},
    "grasp": {
        *("gamma", "gradient_batches", "weight_init", "evolve_output"),
        *("temperature", "rescale"),
    },
    "synflow": {"gamma", "weight_init", "evolve_output", "rounds", "rescale"},
    "snip": {
        *("gamma", "gradient_batches", "weight_init", "evolve_output"),
        *("prune_biases", "rescale"),
    },
    "magnitude": LAYERS | {"final_share", "prune_at", "scope", "chain_removal"},
    "lottery": LAYERS
    | {"final_share", "rounds", "rewind_epoch", "scope", "chain_removal"},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_takes_these_options_and_no_others(name):
    options = ALGORITHMS[name].options()
    assert len(options) == len(set(options))
    assert set(options) == ACCEPTED[name]
    every = set().union(*ACCEPTED.values())
    for option in every - ACCEPTED[name]:
        what = f"unknown option {option!r} of" if options else "takes no options, got"
        with pytest.raises(UsageError, match=what):
            topology.make(name, **{option: 0.1})


@pytest.mark.parametrize("name", ALGORITHMS)
def test_options_are_those_of_the_constructor(name):
    parameters = inspect.signature(ALGORITHMS[name]).parameters.values()
    named = {each.name for each in parameters if each.kind != each.VAR_KEYWORD}
    assert named <= set(ALGORITHMS[name].options())


def test_the_base_takes_the_common_options():
    assert set(TopologyAlgorithm.options()) == COMMON
