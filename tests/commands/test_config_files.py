"""Configuration files: written and read back, types, errors that help."""

import dataclasses
import os
import tomllib
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import NET, SMALL, call

from truesparse.commands.config import CHOICES, RunConfig, base_type, merge
from truesparse.commands.config_files import read_toml, to_toml
from truesparse.commands.flags import parse_flags
from truesparse.errors import UsageError

OPTIONS = dataclasses.fields(RunConfig)


# There and back ----------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NUMBER = st.floats(allow_nan=False) | st.sampled_from([1e-8, 1e16, 1e300, 0.1, 5.0])
SHARE = st.floats(0.001, 0.999)
CONFIGS = st.builds(
    RunConfig,
    data=TEXT,
    data_home=NAME | st.none(),
    fetch=st.booleans(),
    test_fraction=SHARE,
    neurons=st.integers(100, 2**31 - 1),
    depth=st.integers(1, 100),
    hidden=st.lists(st.integers(1, 2**31 - 1), min_size=1).map(tuple) | st.none(),
    epsilon=NUMBER | st.none(),
    zeta=NUMBER,
    activation=st.sampled_from(CHOICES["activation"]),
    lr=NUMBER | st.none(),
    clip_norm=NUMBER | st.none(),
    threads=st.integers(1, 4) | st.none(),
    evolve_output=st.booleans() | st.none(),
    topology_arg=st.dictionaries(
        NAME, NUMBER | st.booleans() | TEXT | st.lists(st.integers(0, 9)), min_size=1
    )
    | st.none(),
    out=NAME | st.none(),
    early_stopping=st.integers(1, 9) | st.none(),
    checkpoint_every=st.integers(0, 9) | st.none(),
    restore_best=st.booleans(),
)


@given(CONFIGS)
def test_toml_there_and_back(config):
    table = tomllib.loads(to_toml(config))
    assert set(table) <= {option.name for option in OPTIONS}
    if config.hidden is not None:
        table["hidden"] = tuple(table["hidden"])
        # What --hidden makes void is left out.
        assert not {"neurons", "depth"} & set(table)
        defaults = RunConfig()
        config = dataclasses.replace(
            config, neurons=defaults.neurons, depth=defaults.depth
        )
    # A folder holds one run.
    assert "out" not in table
    assert RunConfig(**table) == dataclasses.replace(config, out=None)


# An accepted value other than the default, for options whose type does not suggest one.
CHOSEN = {
    "threads": 1,
    "neurons": 50,
    "test_fraction": 0.3,
    "hidden": (7, 5),
    "topology": "rigl",
    "drop": ("street, number", 'the "name"', "3"),
}


def another(option):
    """Return a value that is not the default of an option."""
    if option.name in CHOSEN:
        return CHOSEN[option.name]
    kind = base_type(typing.get_type_hints(RunConfig)[option.name])
    if option.name in CHOICES:
        return next(c for c in CHOICES[option.name] if c != option.default)
    if kind is bool:
        return not option.default
    if kind in (int, float):
        return kind(3 if option.default is None else option.default + 0.25 + 1)
    return {
        str: 'a "new" \\ näme\n',
        dict: {"key": 1.5, "other": [1, 2], "text": "x", "yes": True},
    }[kind]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_written_and_read_back(option, tmp_path):
    value = another(option)
    assert value != option.default
    config = RunConfig(**{option.name: value})
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    flags = vars(parse_flags(["--config", str(path)]))
    assert flags["config"] == str(path)
    again = RunConfig(**merge(read_toml(path), {}))
    if option.name == "out":
        # A folder holds one run.
        assert again == RunConfig()
    else:
        assert again == config
        assert getattr(again, option.name) == value


def test_all_options_at_once(tmp_path):
    for void in (("epsilon", "hidden"), ("density", "neurons", "depth")):
        chosen = {o.name: another(o) for o in OPTIONS if o.name not in (*void, "out")}
        config = RunConfig(**chosen)
        path = tmp_path / "config.toml"
        path.write_text(to_toml(config), encoding="utf-8")
        assert RunConfig(**read_toml(path)) == config


# Reading -----------------------------------------------------------------------------


def test_a_file_is_read_with_its_types(toml):
    path = toml(
        'data = "a\\"b\\\\c.csv"\nneurons = 500\nhidden = [3, 4]\nlr = 1\n'
        'lr-schedule = "step"\nevolve_output = true\nepsilon = inf\n'
    )
    assert read_toml(path) == {
        "data": 'a"b\\c.csv',
        "neurons": 500,
        "hidden": (3, 4),
        "lr": 1.0,
        "lr_schedule": "step",
        "evolve_output": True,
        "epsilon": float("inf"),
    }
    assert type(read_toml(path)["lr"]) is float
    assert read_toml(toml("")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = 2.0", "epochs in .* must be a whole number, got 2.0"),
        ("epochs = true", "epochs in .* must be a whole number, got True"),
        ('epochs = "2"', "epochs in .* must be a whole number, got '2'"),
        ('lr = "0.1"', "lr in .* must be a number, got '0.1'"),
        ("lr = false", "lr in .* must be a number, got False"),
        ("fetch = 1", "fetch in .* must be true or false, got 1"),
        ("data = 3", "data in .* must be a string, got 3"),
        ("hidden = 3", "hidden in .* must be a list of whole numbers, got 3"),
        ("hidden = [3, 2.5]", "hidden in .* must be a list of whole numbers"),
        ("hidden = [true]", "hidden in .* must be a list of whole numbers"),
        ("topology_arg = 3", "topology_arg in .* must be a table of options, got 3"),
        ("[topology]\nname = 1", "topology in .* must be a string, got {"),
        ("epsilom = 3", "unknown key 'epsilom' in .*options.toml.*mean 'epsilon'"),
        ("json = true", "unknown key 'json' in "),
        ("epochs = ", "cannot read configuration .*options.toml"),
        ("epochs = 1\nepochs = 2", "cannot read configuration"),
        pytest.param("a = " + "[" * 100_000, "cannot read conf", id="deep"),
        pytest.param("seed = " + "9" * 5000, "cannot read conf", id="long"),
        pytest.param("lr = " + "9" * 400, "lr in .* must be a number", id="large"),
    ],
)
def test_a_bad_file(text, message, toml):
    with pytest.raises(UsageError, match=message):
        read_toml(toml(text))


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot read configuration"):
            read_toml(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot read configuration"):
        read_toml(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epsilom = 3", "unknown key 'epsilom' in run.toml; use one of"),
        ("epsilom = 3", "Did you mean 'epsilon'?"),
        (
            'topology = "rigl"\n[topology_arg]\nprune_fracton = 0.2',
            "unknown option 'prune_fracton' of topology 'rigl'; use one of",
        ),
        ('topology = "gse"\n[topology_arg]\ngama = 2', "Did you mean 'gamma'?"),
        (
            'init_topology = "bsw"\n[init_arg]\nbeto = 0.5',
            "unknown option 'beto' of initial topology 'bsw'",
        ),
        ('init_topology = "bsw"\n[init_arg]\nbeto = 0.5', "Did you mean 'beta'?"),
    ],
)
def test_unknown_keys_of_a_file(text, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(text)
    got = call(capsys, "--config", "run.toml", *SMALL["iris"], *NET)
    assert got.code == 2
    assert message in got.err
    assert got.err.count("\n") == 1
    assert os.listdir() == ["run.toml"]


def test_ends_of_lines_are_those_of_toml(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"seed = 3\r\nepochs = 2\r\n")
    assert read_toml(path) == {"seed": 3, "epochs": 2}
    path.write_bytes(b"seed = 3\repochs = 2\n")
    with pytest.raises(UsageError, match="cannot read configuration"):
        read_toml(path)
