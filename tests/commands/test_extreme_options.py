"""Numbers that are far too large or small for an option: accepted, or refused as such.

Every option that is a number is given each; the registry of options is RunConfig, so
that a new one cannot be forgotten.
"""

import dataclasses
import re
import typing

import numpy as np
import pytest
from support.commands import call

from truesparse.commands.config import RunConfig, base_type, flag

NUMBERS = (
    *("0", "-1", "1e-320", "1e30", "nan", "-inf", "1e400", "2147483648"),
    *("9223372036854775808", "1" + "0" * 30, "9" * 5000),
)
HINTS = typing.get_type_hints(RunConfig)
OPTIONS = [
    field.name
    for field in dataclasses.fields(RunConfig)
    if base_type(HINTS[field.name]) in (int, float, tuple[int, ...])
]
DATA = ["--data", "iris", "--epochs", "2"]


def net_beside(name):
    """Return a small net, given by other options than the one that is tried."""
    if name in ("hidden", "neurons", "depth"):
        return [] if name != "depth" else ["--neurons", "100"]
    return ["--hidden", "8,8"]


def test_all_numbers_are_tried():
    assert {"lr", "hidden", "seed", "epochs", "clip_norm"} <= {*OPTIONS}


@pytest.mark.parametrize("name", OPTIONS)
def test_extreme_numbers(name, capsys):
    codes = set()
    for number in NUMBERS:
        words = [*DATA, *net_beside(name), flag(name), number, "--dry-run", "--quiet"]
        got = call(capsys, *words)
        codes.add(got.code)
        assert got.code in (0, 2)
        assert "Traceback" not in got.err
        assert len(got.err.splitlines()) == (got.code != 0)
    # Not a number and minus infinity are none of any option.
    assert 2 in codes


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("lr", "1e30", 5),
        ("weight_decay", "1e30", 5),
        ("lr", "1e-320", 0),
        ("clip_norm", "1e-320", 0),
        ("density", "1e-320", 0),
        ("epsilon", "1e30", 0),
        ("warmup", "1e30", 0),
        ("fan_in_limit", "1e30", 0),
        ("batch_size", "9223372036854775808", 0),
        ("update_every", "9223372036854775808", 0),
    ],
)
def test_those_that_are_accepted_also_train(name, number, code, tmp_path, capsys):
    words = [*DATA, *net_beside(name), "--out", tmp_path / "run", flag(name), number]
    # Compiled kernels overflow in silence; plain Python would warn.
    with np.errstate(over="ignore", invalid="ignore"):
        got = call(capsys, *words)
    assert got.code == code
    if code == 5:
        assert re.search(r"of layer \d of 3 became NaN or infinite in step", got.err)
