"""truesparse.selftest: its checks pass here, and fail where the engine is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from support.commands import ROOT, call

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


def changed(monkeypatch, source):
    """Let the processes of the self-test have other checks."""
    program = "import os, signal, sys\nfrom truesparse.commands import self_checks\n"
    program += f"self_checks.CHECKS = {{{source}}}\nself_checks.main(sys.argv[1:])"

    def start(first):
        words = [sys.executable, "-c", program, str(first)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    names = [part.split(":")[0].strip(" '") for part in source.split(", '")]
    monkeypatch.setattr(self_checks, "CHECKS", dict.fromkeys(names))
    monkeypatch.setattr(selftest, "_start", start)


def test_the_report(capsys, monkeypatch):
    fails = "'that': lambda: [].index(7), 'these': lambda: 'fine too'"
    changed(monkeypatch, f"'this': lambda: 'fine', {fails}")
    with pytest.raises(SystemExit) as ended:
        call(capsys, main=selftest.main)
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "1 of 3 checks FAILED: do not trust" in out
    assert "FAILED  that" in out
    assert "ValueError: 7 is not in list" in out
    assert "ok      these" in out
    assert "processor" in out
    changed(monkeypatch, "'this': lambda: 'fine'")
    got = call(capsys, main=selftest.main)
    assert (got.code, got.err) == (0, "")
    assert "all 1 checks passed" in got.out


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the signal SIGKILL"),
        ("os._exit(9)", "exit code 9"),
        ("os._exit(0)", "exit code 0"),
        ("print('torn', flush=True) or os._exit(3)", "exit code 3"),
    ],
)
def test_a_check_that_ends_its_process_has_failed(end, said, capsys, monkeypatch):
    checks = f"'a': lambda: 'fine', 'b': lambda: {end}, 'c': lambda: 'fine'"
    changed(monkeypatch, checks)
    with pytest.raises(SystemExit):
        call(capsys, "--json", main=selftest.main)
    results = json.loads(capsys.readouterr().out)["checks"]
    assert [each["passed"] for each in results] == [True, False, True]
    assert [each["check"] for each in results] == ["a", "b", "c"]
    assert results[1]["text"] == f"the process ended with {said}"


def test_a_process_that_fails_at_its_end_has_failed(capsys, monkeypatch):
    changed(
        monkeypatch, "'a': lambda: __import__('atexit').register(os._exit, 4) and ''"
    )
    with pytest.raises(SystemExit):
        call(capsys, "--json", main=selftest.main)
    results = json.loads(capsys.readouterr().out)["checks"]
    assert [each["passed"] for each in results] == [True, False]
    assert results[1]["check"] == "the end of the process"
    assert results[1]["text"] == "the process ended with exit code 4"
