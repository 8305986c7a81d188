"""Progress of drawing and updating: who hears of it, what is shown, interrupts."""

import io
import os
import re
import signal

import numpy as np
import pytest
from support.commands import SMALL

from truesparse.callbacks import WorkProgress, work_progress
from truesparse.common.work import listening, work
from truesparse.drawing import draw_layers
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models
from truesparse.topology import Set, UpdateContext
from truesparse.topology.base import TopologyAlgorithm
from truesparse.train import main

SIZES = (30, 40, 50, 5)
COUNTS = [2 * 70, 2 * 90, 2 * 55]
CONTEXT = UpdateContext(0, 1, 1, 10**6, 10**3)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def heard(job):
    """Return what a listener hears while `job` runs."""
    events = []

    class Listener:
        def __init__(self, *what):
            events.append(what)

        def __enter__(self):
            return events.append

        def __exit__(self, *error):
            events.append("end")

    with listening(Listener):
        job()
    return events


def test_drawing_and_updating_say_how_far_they_are():
    models = []
    events = heard(lambda: models.append(SparseMLP(SIZES, epsilon=2)))
    assert events == [("drawing connections", sum(COUNTS)), *COUNTS, "end"]
    for algorithm in (Set(), Set(chain_removal=True)):
        nnz = [layer.connections.nnz for layer in models[0].layers]
        events = heard(lambda: algorithm.update(models[0], CONTEXT))  # noqa: B023
        # The output layer does not evolve.
        assert events == [("updating the topology", sum(nnz[:2])), *nnz[:2], "end"]


def test_nobody_has_to_listen():
    with work("a", 1) as advance:
        advance(1)
    events = heard(lambda: None)
    SparseMLP(SIZES, epsilon=2)
    assert events == []


class Clock:
    """A clock that goes on by some seconds whenever it is read."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def shown(stream, least, parts=(10, 20, 30)):
    with listening(WorkProgress(stream, least)), work("doing it", 60) as advance:
        for part in parts:
            advance(part)
    return stream.getvalue()


def test_a_file_gets_lines_with_rate_and_remaining_time(monkeypatch):
    monkeypatch.setattr(work_progress.time, "perf_counter", Clock(5.0))
    assert shown(io.StringIO(), 60).splitlines() == [
        "doing it: 60 in all",
        "doing it  10/60  2 connections/s  25 s left",
        "doing it  30/60  3 connections/s  10 s left",
        "doing it  60/60  4 connections/s  0 s left",
    ]


def test_short_parts_do_not_flood_a_file(monkeypatch):
    monkeypatch.setattr(work_progress.time, "perf_counter", Clock(0.9))
    lines = shown(io.StringIO(), 1, parts=[1] * 60).splitlines()
    assert 15 <= len(lines) <= 25


def test_a_terminal_gets_a_bar_that_vanishes():
    text = shown(Terminal(), 60)
    assert "doing it" in text
    assert "connections/s" in text
    assert text.endswith("\r")


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_short_work_is_not_shown(kind):
    assert shown(kind(), 61) == ""


def test_work_without_stderr(monkeypatch):
    monkeypatch.setattr(work_progress.sys, "stderr", None)
    with listening(WorkProgress(least=0)), work("a", 1) as advance:
        advance(1)


@pytest.fixture
def all_is_long(monkeypatch):
    monkeypatch.setattr(WorkProgress.__init__, "__defaults__", (None, 1))


WORDS = [*SMALL["iris"], "--neurons", "40", "--epochs", "3", "--out", "run"]


@pytest.mark.usefixtures("all_is_long")
def test_the_command_line_shows_it(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(WORDS) == 0
    text = capsys.readouterr().err
    assert re.search(r"^drawing connections: [\d,]+ in all$", text, re.M)
    assert re.search(r"^updating the topology: [\d,]+ in all$", text, re.M)
    assert main([*WORDS[:-1], "quiet", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_an_interrupt_while_drawing_leaves_nothing(capsys, tmp_path, monkeypatch):
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(draw_layers, "draw_weights", interrupted)
    assert main(WORDS) == 130
    err = capsys.readouterr().err
    assert err == "truesparse: stopped by SIGINT; no model was saved\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_an_update_ends_the_run_after_it(capsys, tmp_path, monkeypatch):
    grow, counts = TopologyAlgorithm.grow, []

    def interrupted(self, update):
        os.kill(os.getpid(), signal.SIGINT)
        counts.append(len(update.connections))
        return grow(self, update)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TopologyAlgorithm, "grow", interrupted)
    # One signal: a second one would end the process at once.
    monkeypatch.setattr(Set, "takes_turns", False)
    with pytest.raises(SystemExit) as ending:
        main(WORDS)
    assert ending.value.code == 130
    assert len(counts) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("stopped by SIGINT; the model is saved in run/model")
    model = models.load(tmp_path / "run" / "model.safetensors")
    for layer in model.layers:
        layer.connections.check()
        assert np.isfinite(layer.connections.values).all()
