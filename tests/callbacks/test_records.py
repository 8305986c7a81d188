"""Callbacks that write down what happened: lists, files, TensorBoard."""

import contextlib
import errno
import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
from support.io_faults import SHORT, Fault, injected
from support.training import BATCH, make_problem, make_trainer

from truesparse import callbacks
from truesparse.callbacks import (
    Callback,
    History,
    LearningRateMonitor,
    MetricsFile,
    Progress,
    TensorBoard,
)
from truesparse.errors import DivergedError, UsageError
from truesparse.schedules import LearningRate

X, Y = make_problem()
VALIDATION = {"X_val": X[:BATCH], "y_val": Y[:BATCH]}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_name_is_there():
    assert set(callbacks.__all__) <= set(dir(callbacks))
    for name in callbacks.__all__:
        assert getattr(callbacks, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Progres'"):
        callbacks.Progres  # noqa: B018


# An exception, and what listens to work between steps.
OTHERS = {"Interrupted", "WorkProgress"}


@pytest.mark.parametrize("name", sorted(set(callbacks.__all__) - OTHERS))
def test_every_callback_is_one(name):
    assert issubclass(getattr(callbacks, name), Callback)


# History -----------------------------------------------------------------------------


def test_history_is_the_records_by_name():
    history = History()
    trainer = make_trainer(callbacks=[history])
    records = trainer.fit(X, Y, **VALIDATION)
    assert history["val_loss"] == [each.val_loss for each in records]
    table = pd.DataFrame(history.epochs)
    assert table.shape == (3, len(vars(records[0])))
    assert table["step"].tolist() == [3, 6, 9]
    updates = pd.DataFrame(history.updates)
    assert updates["epoch"].tolist() == [1, 1, 2, 2]
    assert updates["step"].tolist() == [3, 3, 6, 6]
    assert updates["layer"].tolist() == [0, 1, 0, 1]
    assert (updates["grown"] == updates["removed"]).all()


def test_history_lasts_over_a_pause_and_starts_anew_with_a_run():
    history = History()
    trainer = make_trainer(callbacks=[history], epochs=4)
    trainer.fit(X, Y, until=2)
    trainer.fit(X, Y, run=trainer.run)
    assert history["epoch"] == [1, 2, 3, 4]
    assert history.updates["epoch"] == [1, 1, 2, 2, 3, 3]
    make_trainer(callbacks=[history], epochs=1).fit(X, Y)
    assert history["epoch"] == [1]
    assert history.updates["epoch"] == []


# Learning rates ----------------------------------------------------------------------


def test_learning_rates_by_step():
    rates, sparse = LearningRateMonitor(), LearningRateMonitor(4)
    lr = LearningRate(0.1, "linear")
    trainer = make_trainer(lr=lr, callbacks=[rates, sparse], epochs=4)
    trainer.fit(X, Y)
    assert rates.steps == list(range(1, 13))
    np.testing.assert_allclose(rates.rates, 0.1 * (1 - np.arange(12) / 12))
    assert sparse.steps == [1, 5, 9]
    assert sparse.rates == rates.rates[::4]
    # A second run counts from its start.
    make_trainer(trainer.model, callbacks=[sparse], epochs=2).fit(X, Y)
    assert sparse.steps == [13, 17]
    with pytest.raises(UsageError, match="every must be a whole number"):
        LearningRateMonitor(0)


# Metrics -----------------------------------------------------------------------------


def test_more_fields_of_an_epoch(tmp_path):
    metrics = MetricsFile(tmp_path / "m", lambda: {"explored": 0.5})
    make_trainer(callbacks=[metrics]).fit(X, Y)
    for line in lines_of(tmp_path / "m"):
        assert ("explored" in line) == (line["event"] == "epoch")


def test_a_divergence_is_a_warning(tmp_path):
    metrics = MetricsFile(tmp_path / "m")
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        make_trainer(callbacks=[metrics], lr=1e30).fit(X, Y)
    *_, warning, end = lines_of(tmp_path / "m")
    assert (warning["event"], end["event"]) == ("warning", "run_end")
    assert "lower the learning rate" in warning["message"]


def test_going_on_removes_what_will_come_again(tmp_path):
    path = tmp_path / "m"
    metrics = MetricsFile(path)
    metrics.write("epoch", epoch=1)
    state = metrics.state()
    for event in ("topology", "checkpoint", "epoch", "warning", "run_end"):
        metrics.write(event, epoch=2)
    with open(path, "a") as file:
        file.write('["no event"]\n{"event": "run_end"')
    MetricsFile(path).restore(state)
    got = [(line["event"], line["epoch"]) for line in lines_of(path)]
    assert got == [
        ("epoch", 1),
        *[(event, 2) for event in ("checkpoint", "warning", "run_end")],
    ]
    # Once more, with a file that has become shorter.
    path.write_text('{"event": "mine"}\n')
    MetricsFile(path).restore({"bytes": 10**6})
    assert lines_of(path) == [{"event": "mine"}]
    path.unlink()
    assert metrics.state() == {"bytes": 0}
    with pytest.raises(UsageError, match="cannot write metrics"):
        metrics.restore(state)


def test_warnings_are_shown(capsys):
    Progress().on_warning(None, "the disk is full")
    assert capsys.readouterr().err == "warning: the disk is full\n"


# TensorBoard -------------------------------------------------------------------------


def scalars(folder):
    """Return (step, value) pairs by tag, read by TensorBoard."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    got = {}
    for path in sorted(folder.iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                pair = event.step, value.tensor.float_val[0]
                got.setdefault(value.tag, []).append(pair)
    return got


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_all_curves(tmp_path):
    folder = tmp_path / "runs" / "tensorboard"
    trainer = make_trainer(callbacks=[TensorBoard(folder)], topology="set")
    history = trainer.fit(X, Y, **VALIDATION)
    got = scalars(folder)
    assert set(got) == {
        *("loss", "val_loss", "val_score", "lr", "nnz", "samples_per_s", "seconds"),
        *("turnover/layer_0", "turnover/layer_1"),
    }
    for tag, name in (("loss", "train_loss"), ("val_score", "val_score")):
        want = [(each.step, getattr(each, name)) for each in history]
        np.testing.assert_allclose(got[tag], want, rtol=1e-6)
    assert [step for step, _ in got["turnover/layer_0"]] == [3, 6]
    assert all(0 < share < 0.4 for _, share in got["turnover/layer_0"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_continues_in_a_second_file(tmp_path):
    board = TensorBoard(tmp_path)
    trainer = make_trainer(callbacks=[board], topology="static")
    trainer.fit(X, Y, until=1)
    trainer.fit(X, Y, run=trainer.run)
    assert [step for step, _ in scalars(tmp_path)["loss"]] == [3, 6, 9]
    assert "val_loss" not in scalars(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cause", [errno.ENOSPC, SHORT])
def test_what_tensorboard_cannot_write_comes_later(tmp_path, cause):
    folder, said = tmp_path / "curves", []

    class Fail(Callback):
        """Lets the disk fail in the second epoch."""

        def on_batch_end(self, run):
            if run.epoch == 1 and run.batch == 1:
                calls = injected(folder, Fault(0, errno.ENOSPC, "all"))
                if cause == SHORT:
                    calls = injected(folder, Fault(2, SHORT))
                stack.enter_context(calls)

        def on_epoch_end(self, run, record):
            stack.close()

        def on_warning(self, run, message):
            said.append(message)

    with contextlib.ExitStack() as stack:
        # Callbacks are called in turn: the board writes while the disk fails.
        callbacks = [TensorBoard(folder), Fail()]
        trainer = make_trainer(callbacks=callbacks, topology="static")
        history = trainer.fit(X, Y)
    reason = os.strerror(errno.ENOSPC)
    assert said == [
        f"cannot write to TensorBoard folder {str(folder)!r}: {reason}; give another "
        "folder"
    ]
    want = [(each.step, each.train_loss) for each in history]
    np.testing.assert_allclose(scalars(folder)["loss"], want, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_python_warns_of_curves_if_no_callback_does(tmp_path):
    folder = tmp_path / "curves"

    class Fail(Callback):
        """Lets the disk fail after the first epoch."""

        def on_epoch_end(self, run, record):
            stack.enter_context(injected(folder, Fault(0, errno.ENOSPC, "all")))

    with contextlib.ExitStack() as stack:
        callbacks = [Fail(), TensorBoard(folder)]
        trainer = make_trainer(callbacks=callbacks, topology="static", epochs=1)
        with pytest.warns(UserWarning, match="cannot write to TensorBoard folder"):
            trainer.fit(X, Y)


def test_tensorboard_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(UsageError, match=r"pip install 'truesparse\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_tensorboard_that_cannot_write(tmp_path):
    (tmp_path / "file").write_text("mine")
    trainer = make_trainer(callbacks=[TensorBoard(tmp_path / "file")])
    with pytest.raises(UsageError, match="cannot write to TensorBoard folder"):
        trainer.fit(X, Y)
