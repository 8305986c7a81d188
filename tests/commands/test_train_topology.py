"""Topologies on the command line: listed, chosen, given options, reported."""

import json

import pytest
from support.commands import NET, SMALL, call
from support.training import hashes_may_wrap

from truesparse.topology import ALGORITHMS

pytestmark = hashes_may_wrap


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_ticket_is_drawn_from_a_full_net(capsys):
    words = *SMALL["iris"], "--hidden", "24,20", "--density", "1", "--epochs", "9"
    options = "--topology-arg", "rounds=2", "--topology-arg", "final_share=0.25"
    got = call(
        capsys, *words, "--topology", "lottery", *options, "--lr-cycles", "3", "--json"
    )
    # A half twice in hidden layers, a quarter twice in the output layer.
    assert got.json["nnz"] == (4 * 24 + 24 * 20) // 4 + round(20 * 3 * 0.75**2)


@pytest.mark.parametrize(
    ("candidates", "reported"),
    [("auto", "exact"), ("exact", "exact"), ("sampled", "sampled")],
)
def test_how_candidates_were_chosen_is_reported(candidates, reported, tmp_path, capsys):
    words = "--topology", "rigl", "--topology-arg", f"candidates={candidates}"
    got = call(
        capsys, *SMALL["iris"], *NET, *words, "--update-every", 5, "--out", "run"
    )
    assert got.code == 0, got.err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    updates = [line for line in map(json.loads, lines) if line["event"] == "topology"]
    assert {line["layer"] for line in updates} == {0, 1}
    assert {line["growth"] for line in updates} == {reported}


def test_topologies_are_listed(capsys):
    result = call(capsys, "--list-topologies")
    assert result.code == 0
    lines = result.out.splitlines()
    for name in ALGORITHMS:
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 2
    assert "zeta" in lines[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--topology", "rigl", "--topology-arg", "gama=2"],
            "unknown option 'gama' of topology 'rigl'; use one of",
        ),
        (["--topology", "static", "--zeta", "0.2"], "takes no options, got 'zeta'"),
        (
            ["--zeta", "0.2", "--topology-arg", "zeta=0.3"],
            "give either --zeta or --topology-arg zeta, not both",
        ),
        (["--topology-arg", "chain_removal=1"], "chain_removal must be true or false"),
        (["--topology-arg", "schedule=1"], "schedule must be an UpdateSchedule"),
    ],
)
def test_bad_options_of_topologies(words, message, capsys):
    result = call(capsys, *SMALL["iris"], *NET, *words)
    assert result.code == 2
    assert message in result.err
