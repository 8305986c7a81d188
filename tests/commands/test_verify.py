"""What ``info --verify`` says and how it ends where nothing could be verified."""

import json
import warnings

import pytest
from support.commands import ROOT, call, finish, start
from support.training import make_model

from truesparse import info, save

OLDER = ROOT / "tests" / "data" / "model.safetensors"


def flip_key(content):
    place = content.index(b'"digest"') + 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: b"", "cannot read model "),
        (lambda _: b"some words\n" * 50, "cannot read model "),
        (flip_key, "has no digest, so changes of its content would not be noticed"),
    ],
)
def test_a_file_of_which_nothing_can_be_verified_is_not_verified(
    spoil, message, tmp_path
):
    """It used to say "has no digest" and to end with code 0."""
    path = save(make_model(), tmp_path / "m")
    path.write_bytes(spoil(path.read_bytes()))
    for words in ((path, "--verify"), (path, "--verify", "--json")):
        got = finish(start(*words, cwd=tmp_path, module="truesparse.info"))
        assert (got.code, got.out) == (6, ""), got.err
        assert message in got.err
        assert got.err.count("\n") == 1


def test_what_is_verified(tmp_path, capsys):
    path = save(make_model(), tmp_path / "m")
    got = call(capsys, path, "--verify", "--json", main=info.main)
    assert (got.code, got.json) == (0, {"file": str(path), "verified": True})


def test_an_older_file_is_described_with_a_warning(capsys):
    assert call(capsys, OLDER, "--verify", main=info.main).code == 6
    for more, n_warnings in (([], 1), (["--no-verify"], 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            got = call(capsys, OLDER, "--json", *more, main=info.main)
        assert (got.code, json.loads(got.out)["verified"]) == (0, False)
        assert got.err.count(f"warning: {OLDER} has no digest, so") == n_warnings
