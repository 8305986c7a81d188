"""What trained nets and files were on 2026-11-28 is what they are, to the last bit."""

import json

import pytest
from support import golden

WANT = json.loads(golden.FIGURES.read_text(encoding="utf-8"))


@pytest.mark.compiled  # the sums of plain Python have other last bits
def test_nets_are_what_they_were_after_20_steps():
    got = golden.trajectories()
    assert got.keys() == WANT["trajectories"].keys()
    for name, want in WANT["trajectories"].items():
        assert got[name] == want, name


def test_no_two_nets_are_the_same():
    digests = [net["digest"] for net in WANT["trajectories"].values()]
    assert len(set(digests)) == len(digests) > 30


@pytest.mark.compiled
def test_files_of_then_are_read_and_resumed(tmp_path):
    assert golden.files(tmp_path) == WANT["files"]
