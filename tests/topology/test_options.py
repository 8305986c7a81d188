"""Which options each algorithm takes: those of its constructor and of its stages."""

import inspect
import math
import re

import pytest

from truesparse import topology
from truesparse.errors import UsageError
from truesparse.topology import ALGORITHMS, TopologyAlgorithm

FRACTION = {"zeta", "decay", "decay_end", "decay_floor"}
LAYERS = {"layers", "evolve_output"}
SHARE = {"final_share", "share_shape", "share_end", "share_peak", "share_cycles"}
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
    | {"decay_end", "l1", "temperature", "scope"},
    "soft_deepr": COMMON - FRACTION - {"surplus", "regrow_init"}
    | {"decay_end", "l1", "temperature", "window"},
    "dst_ee": COMMON | GUIDED | {"gradient_share", "exploration", "smoothing"},
    "dsr": COMMON - {"early_stop", "surplus"} | {"threshold"},
    "ggr": COMMON - {"surplus", "regrow_init"} | GUIDED | {"gradient_share"},
    "granet": COMMON - {"surplus"} | GUIDED | {"gradient_share"},
    "gse": COMMON | GUIDED | {"distribution"},
    "itop": COMMON | {"removal", "unfired_first"},
    "mest": COMMON | {"gradient_weight", "gradient_batches", "soft_bound"},
    "nest": COMMON - SHARE - {"early_stop", "surplus", "regrow_init"}
    | SAMPLED
    | {"most_growth", "grow_until", "prune_threshold"},
    "rigl": COMMON | GUIDED | {"gradient_share"},
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
    "wast": COMMON | {"removal", "error_weight", "sample_every"},
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


# Values that no option takes, except for None, by which some mean their default.
NONSENSE = (None, "nonsense", [], {}, math.nan, -1.5, 1j)
MAY_BE_NONE = {"schedule", "layers", "early_stop"}


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_option_takes_nonsense(name, value):
    for option in ALGORITHMS[name].options():
        if value is None and option in MAY_BE_NONE:
            topology.make(name, **{option: None})
        else:
            with pytest.raises(UsageError, match=re.escape(str(value))):
                topology.make(name, **{option: value})


@pytest.mark.parametrize("name", ["granet", "snfs"])
def test_only_the_default_of_decay_floor_gives_way_to_zeta(name):
    floor = ALGORITHMS[name].fraction.floor
    assert floor > 0.001
    assert topology.make(name, zeta=0.001).fraction.floor == 0.001
    assert topology.make(name, zeta=0.2).fraction.floor == floor
    with pytest.raises(UsageError, match=r"decay_floor must be from 0 to zeta, 0.001"):
        topology.make(name, zeta=0.001, decay_floor=floor)


@pytest.mark.parametrize("value", [1.1, math.inf])
def test_early_stop_is_a_share(value):
    with pytest.raises(UsageError, match="early_stop must be from 0 to 1"):
        topology.make("set", early_stop=value)
