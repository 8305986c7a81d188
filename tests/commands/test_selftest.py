"""truesparse.selftest: its checks pass here, and fail where the engine is wrong."""

import json

import numpy as np
import pytest
from support.commands import call

from truesparse import selftest
from truesparse.commands import self_checks
from truesparse.commands.self_checks import CHECKS
from truesparse.kernels import jit
from truesparse.network import backprop
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import digest

QUICK = [
    "kernels against dense matrices",
    "gradients by differences",
    "the same bits on any threads",
    "model files and digests",
]


@pytest.mark.parametrize("name", QUICK)
def test_a_check_passes(name):
    assert CHECKS[name]()


@pytest.mark.compiled
@pytest.mark.parametrize("name", [name for name in CHECKS if name not in QUICK])
def test_a_check_with_processes_passes(name):
    text = CHECKS[name]()
    assert text == "killed and resumed" or "MB estimated" in text


def wrong_step(change):
    """Return a step that then does something else, too."""
    real = backprop.step

    def step(layers, *arguments):
        real(layers, *arguments)
        change(layers)

    return step


def test_a_wrong_weight_is_noticed(monkeypatch):
    def change(layers):
        layers[1].connections.values[3] += np.float32(1e-3)

    monkeypatch.setattr(backprop, "step", wrong_step(change))
    for name in QUICK[:2]:
        with pytest.raises(AssertionError, match="off by"):
            CHECKS[name]()


def test_a_wrong_output_is_noticed(monkeypatch):
    real = SparseMLP.decision_function
    wrong = lambda self, *words, **options: 1.001 * real(self, *words, **options)  # noqa: E731
    monkeypatch.setattr(SparseMLP, "decision_function", wrong)
    with pytest.raises(AssertionError, match="off by"):
        CHECKS[QUICK[0]]()


def test_threads_that_change_bits_are_noticed(monkeypatch):
    def change(layers):
        layers[0].bias[0] += np.float32(jit.thread_count() == 1)

    monkeypatch.setattr(jit, "most_threads", lambda: 2)
    monkeypatch.setattr(backprop, "step", wrong_step(change))
    with pytest.raises(AssertionError, match="threads give other weights"):
        CHECKS[QUICK[2]]()


def test_readers_that_do_not_verify_are_noticed(monkeypatch):
    monkeypatch.setattr(digest, "_verify", lambda path, gate: True)
    with pytest.raises(AssertionError, match="is not noticed"):
        CHECKS[QUICK[3]]()


@pytest.mark.parametrize("peak", [104.0, 55.0])
def test_memory_beyond_the_estimate_is_noticed(peak, monkeypatch):
    said = '{"total": 70000000, "first_total": 100000000}'
    results = iter([said, json.dumps({"peak_rss_mb": peak})])
    monkeypatch.setattr(self_checks, "_train", lambda *words: None)
    monkeypatch.setattr(self_checks, "_finish", lambda process: next(results))
    wanted = f"{peak:.0f} MB taken, 70 to 100 MB estimated"
    with pytest.raises(AssertionError, match=wanted):
        CHECKS["memory as estimated"]()


def test_the_report(capsys, monkeypatch):
    def broken():
        raise ValueError("two and two")

    checks = {"this": lambda: "fine", "that": broken}
    monkeypatch.setattr(self_checks, "CHECKS", checks)
    with pytest.raises(SystemExit) as ended:
        call(capsys, main=selftest.main)
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "1 of 2 checks FAILED: do not trust" in out
    assert "FAILED  that" in out
    assert "ValueError: two and two" in out
    assert "processor" in out
    del checks["that"]
    got = call(capsys, main=selftest.main)
    assert (got.code, got.err) == (0, "")
    assert "all 1 checks passed" in got.out
    facts = call(capsys, "--json", main=selftest.main).json
    assert facts["checks"][0]["passed"]
    assert set(facts["machine"]) > {"truesparse", "python", "processor"}
    assert json.dumps(facts)
