"""Options: names that exist, flags, precedence over files, errors that help."""

import argparse
import dataclasses
import typing

import pytest

from truesparse.activations import ACTIVATIONS
from truesparse.callbacks.monitor import MONITORS
from truesparse.commands import config as config_module
from truesparse.commands.config import CHOICES, RunConfig, flag, merge
from truesparse.commands.config_files import read_toml
from truesparse.commands.flags import add_flags, parse_flags
from truesparse.common.tasks import TASKS
from truesparse.datasets.scaling import SCALES
from truesparse.datasets.table_options import (
    CATEGORICAL_CHOICES,
    DECIMALS,
    HEADERS,
    MISSING_CHOICES,
    MISSING_TARGET_CHOICES,
)
from truesparse.drawing.cells import INITIALIZERS
from truesparse.drawing.draw_layers import INIT_TOPOLOGIES
from truesparse.errors import UsageError
from truesparse.network.precision import NAMES as ACTIVATION_DTYPES
from truesparse.optimizers import DECAYS, OPTIMIZERS
from truesparse.schedules import SCHEDULES
from truesparse.topology import ALGORITHMS, Set

OPTIONS = [option.name for option in dataclasses.fields(RunConfig)]

# What the command line does not take from a registry.
ACCEPTED = {
    "topology": ALGORITHMS,
    "init_topology": INIT_TOPOLOGIES,
    "activation": ACTIVATIONS,
    "optimizer": OPTIMIZERS,
    "decay": DECAYS,
    "lr_schedule": SCHEDULES,
    "weight_init": INITIALIZERS,
    "regrow_init": INITIALIZERS,
    "removal": ("per_sign", "magnitude"),
    "final": ("none", "prune_only"),
    "update_unit": ("epoch", "step"),
    "dtype": ("float32", "float64"),
    "activation_dtype": ACTIVATION_DTYPES,
    "task": ("auto", *TASKS),
    "scale": SCALES,
    "header": HEADERS,
    "decimal": DECIMALS,
    "missing": MISSING_CHOICES,
    "missing_target": MISSING_TARGET_CHOICES,
    "categorical": CATEGORICAL_CHOICES,
    "monitor": MONITORS,
}


def configured(*words, file=None):
    """Return the configuration of a command line, with a file of options."""
    flags = vars(parse_flags(list(words)))
    others = "json", "quiet", "debug", "dry_run", "config", "resume", "verify"
    for name in (*others, "list_topologies"):
        del flags[name]
    return RunConfig(**merge(read_toml(file) if file else {}, flags))


# Names -------------------------------------------------------------------------------


def test_the_names_are_those_of_the_registries():
    assert {name: sorted(names) for name, names in ACCEPTED.items()} == {
        name: sorted(names) for name, names in CHOICES.items()
    }


def test_every_accepted_removal_and_final_update_exists():
    for removal in CHOICES["removal"]:
        assert Set(removal=removal).removal == removal
    for final in CHOICES["final"]:
        assert Set(final=final).final == final


@pytest.mark.parametrize("name", CHOICES)
def test_a_name_that_is_not_accepted(name):
    wrong = CHOICES[name][-1] + "x"
    # The accepted name that is closest.
    with pytest.raises(UsageError, match=f"unknown {name.replace('_', ' ')} '{wrong}'"):
        RunConfig(**{name: wrong})
    with pytest.raises(UsageError, match=f"Did you mean '{wrong[:-1]}'"):
        RunConfig(**{name: wrong})
    assert getattr(RunConfig(**{name: wrong[:-1]}), name) == wrong[:-1]


def test_defaults_are_accepted():
    defaults = RunConfig()
    assert defaults.data == "digits"
    assert sum(defaults.hidden_sizes) == 1_000_000
    assert len(defaults.hidden_sizes) == 2
    assert defaults.topology == "set"
    assert configured() == defaults


# Flags -------------------------------------------------------------------------------


def test_every_option_has_a_flag_and_every_flag_helps():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    text = parser.format_help()
    for name in OPTIONS:
        assert flag(name) in text
    for option in dataclasses.fields(RunConfig):
        assert option.metadata["help"]
        hint = typing.get_type_hints(RunConfig)[option.name]
        assert config_module.base_type(hint) in config_module.KINDS


def test_flags():
    got = configured(
        *("--neurons", "300", "--depth", "3", "--lr-schedule", "cosine", "--fetch"),
        *("--epsilon=2.5", "--no-evolve-output", "--dtype", "float64", "--out", "x"),
    )
    want = RunConfig(
        neurons=300,
        depth=3,
        lr_schedule="cosine",
        fetch=True,
        epsilon=2.5,
        dtype="float64",
        evolve_output=False,
        out="x",
    )
    assert got == want
    assert configured("--hidden", "10,20,30").hidden == (10, 20, 30)


def test_flags_win_over_the_file_and_the_file_over_defaults(toml):
    path = toml("epochs = 3\nlr = 0.5\nfetch = true\n")
    got = configured("--epochs", "7", "--no-fetch", file=path)
    assert (got.epochs, got.lr, got.fetch) == (7, 0.5, False)
    assert got.batch_size == RunConfig().batch_size


@pytest.mark.parametrize(
    ("file", "words", "name", "value"),
    [
        ("epsilon = 3.0", ["--density", "0.5"], "density", 0.5),
        ("density = 0.5", ["--epsilon", "3"], "epsilon", 3.0),
        ("hidden = [3, 4]", ["--neurons", "50"], "hidden_sizes", (25, 25)),
        ("neurons = 50", ["--hidden", "3,4"], "hidden_sizes", (3, 4)),
        ("neurons = 9\nhidden = [3]", ["--depth", "3"], "hidden_sizes", (3, 3, 3)),
        # Files of runs hold all three in older versions.
        ("neurons = 9\ndepth = 3\nhidden = [3]", [], "hidden_sizes", (3,)),
    ],
)
def test_a_flag_replaces_the_one_it_excludes(file, words, name, value, toml):
    assert getattr(configured(*words, file=toml(file)), name) == value


@pytest.mark.parametrize(
    ("file", "words", "wanted"),
    [
        ("", ["--topology-arg", "gamma=2"], {"gamma": 2}),
        (
            "",
            ["--topology-arg", "layers=[0, 1]", "--topology-arg", "chain-removal=true"],
            {"layers": [0, 1], "chain_removal": True},
        ),
        ("", ["--topology-arg", "distribution=grabo"], {"distribution": "grabo"}),
        ("[topology_arg]\ngamma = 2.5", [], {"gamma": 2.5}),
        (
            "[topology_arg]\ngamma = 2.5\nl1 = 1",
            ["--topology-arg", "gamma=3"],
            {"gamma": 3, "l1": 1},
        ),
        # They belong to another topology.
        ("[topology_arg]\ngamma = 2.5", ["--topology", "dsr"], None),
        (
            "[topology_arg]\ngamma = 2.5",
            ["--topology", "dsr", "--topology-arg", "threshold=1"],
            {"threshold": 1},
        ),
    ],
)
def test_options_of_the_topology(file, words, wanted, toml):
    assert configured(*words, file=toml(file)).topology_arg == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {"beta": 0.5}),
        (["--init-arg", "distribution=erk"], {"beta": 0.5, "distribution": "erk"}),
        (["--init-topology", "brf"], None),
        (["--init-topology", "brf", "--init-arg", "r=1"], {"r": 1}),
    ],
)
def test_options_of_the_initial_topology_in_a_file_and_flags(words, wanted, toml):
    file = toml('init_topology = "bsw"\n[init_arg]\nbeta = 0.5')
    assert configured(*words, file=file).init_arg == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--topology-arg", "gamma"], "--topology-arg: must be KEY=VALUE, got 'gamma'"),
        (["--topology-arg", "=3"], "--topology-arg: must be KEY=VALUE, got '=3'"),
        (["--epsilom", "3"], "unknown argument --epsilom .did you mean --epsilon"),
        (["--epsilom=3"], "unknown argument --epsilom .did you mean --epsilon"),
        # No abbreviations: they would break when an option is added.
        (["--epoch", "3"], "unknown argument --epoch .did you mean --epochs"),
        (["digits"], "unknown argument digits; --help"),
        (["--nope"], "unknown argument --nope; --help"),
        (["--epochs", "2.5"], "--epochs: must be a whole number, got '2.5'"),
        (["--lr", "fast"], "--lr: must be a number, got 'fast'"),
        (["--hidden", "3,x"], "--hidden: must be whole numbers separated by commas"),
        (["--hidden", ""], "--hidden: must be whole numbers separated by commas"),
        (["--hidden", "3", "--neurons", "9"], "either --hidden or --neurons"),
        (["--hidden", "3", "--depth", "1"], "either --hidden or --neurons"),
        (["--neurons", "9" * 15], "lower --neurons or raise --depth"),
        (["--threads", "100000"], "more only take turns"),
        (["--out", ""], "--out must name a folder"),
        (["--out"], "--out: expected one argument"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--batch-size", "-3"], "--batch-size must be at least 1, got -3"),
        (["--neurons", "-5"], "--neurons must be at least 1, got -5"),
        (["--depth", "0"], "--depth must be at least 1, got 0"),
        (["--update-every", "0"], "--update-every must be at least 1"),
        (["--early-stopping", "0"], "--early-stopping must be at least 1, got 0"),
        (["--checkpoint-every", "-1"], "--checkpoint-every must be at least 0, got -1"),
        (["--monitor", "loss"], "unknown monitor 'loss'"),
        (["--threads", "0"], "--threads must be from 1 to .*, got 0"),
        (["--neurons", "2", "--depth", "3"], "--neurons 2 cannot fill --depth 3"),
        (["--hidden", "3,0"], r"--hidden takes sizes of at least 1, got \[3, 0\]"),
        (["--epsilon", "1", "--density", "1"], "either --epsilon or --density"),
        (["--test-fraction", "1"], "--test-fraction must be between 0 and 1"),
        (["--test-fraction", "nan"], "--test-fraction must be between 0 and 1"),
    ],
)
def test_bad_flags(words, message):
    with pytest.raises(UsageError, match=message):
        configured(*words)


def test_neurons_are_spread_evenly():
    assert RunConfig(neurons=10, depth=3).hidden_sizes == (4, 3, 3)
    assert RunConfig(neurons=7, depth=1).hidden_sizes == (7,)
    assert RunConfig(hidden=(5, 6)).hidden_sizes == (5, 6)
