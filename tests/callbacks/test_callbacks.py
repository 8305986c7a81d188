"""Progress for people, metrics for programs, stopping early or on a signal."""

import copy
import io
import itertools
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading

import pytest
from support.training import (
    BATCH,
    SIZES,
    N,
    make_problem,
    make_run,
    make_trainer,
    record,
)

from truesparse.callbacks import (
    Callback,
    EarlyStopping,
    Interrupted,
    MetricsFile,
    Progress,
    StopOnSignal,
    progress,
)
from truesparse.errors import UsageError

X, Y = make_problem()
VALIDATION = {"X_val": X[:BATCH], "y_val": Y[:BATCH]}


def test_a_trainer_takes_callbacks_or_one_or_none():
    one = Callback()
    assert make_trainer(callbacks=one).callbacks == [one]
    assert make_trainer(callbacks=iter([one, one])).callbacks == [one, one]
    assert make_trainer(callbacks=None).callbacks == []


@pytest.mark.parametrize("path", [None, True])
def test_metrics_need_a_path(path):
    with pytest.raises(UsageError, match=f"cannot write metrics {path}: give a path"):
        MetricsFile(path)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Ticks:
    """A clock that advances by one step at each look."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


# Progress ----------------------------------------------------------------------------


def fit_with(progress, epochs=5):
    make_trainer(callbacks=[progress], epochs=epochs).fit(X, Y, **VALIDATION)
    return progress.stream.getvalue()


def test_a_file_gets_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress.time, "perf_counter", Ticks(1.0))
    lines = fit_with(Progress(io.StringIO())).splitlines()
    pattern = (
        r"epoch (\d)/5  loss \d+\.\d{4}, accuracy [01]\.\d{4}  [\d,]+ samples/s  "
        r"\d+ s left"
    )
    epochs = [int(re.fullmatch(pattern, line)[1]) for line in lines]
    # The first, the last, and one between them when two seconds have passed.
    assert epochs[0] == 1
    assert epochs[-1] == 5
    assert 2 < len(epochs) <= 5
    assert epochs == sorted(set(epochs))


def test_epochs_of_milliseconds_do_not_flood_a_file():
    assert len(fit_with(Progress(io.StringIO()), epochs=30).splitlines()) < 10


def test_without_validation_there_is_no_score():
    stream = io.StringIO()
    make_trainer(callbacks=[Progress(stream)]).fit(X, Y)
    assert "accuracy" not in stream.getvalue()
    assert "loss" in stream.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(Progress, "_BAR_SECONDS", 0.0)
    text = fit_with(Progress(Terminal(), score_name="R2"))
    assert "epoch 1/5" in text
    assert "epoch 5/5" in text
    assert "loss" in text
    assert "samples/s" in text
    assert re.search(r", R2 -?\d\.\d{4}", text)
    assert re.search(r"\d\d:\d\d left", text)
    last = text.split("\r")[-1]
    assert "100%" in last
    assert text.endswith("\n")
    assert "s left\n" not in text


def test_a_bar_is_closed_when_a_run_fails():
    class Fail(Callback):
        def on_epoch_end(self, run, record):
            raise RuntimeError

    progress = Progress(Terminal())
    with pytest.raises(RuntimeError):
        make_trainer(callbacks=[progress, Fail()]).fit(X, Y)
    assert progress.stream.getvalue().endswith("\n")


def test_a_copy_of_progress_draws_its_own_bar():
    """Scikit-learn's clone copies what an estimator is given."""
    progress = Progress(score_name="R2")
    for copied in (copy.deepcopy(progress), pickle.loads(pickle.dumps(progress))):
        assert copied.score_name == "R2"
    ours = Progress(Terminal())
    ours.on_train_begin(make_run())
    assert copy.deepcopy(ours)._bar is None
    ours.on_train_end(make_run())


def test_a_closed_stderr_gets_nothing_and_stdout_neither(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    progress = Progress()
    make_trainer(callbacks=[progress]).fit(X, Y)
    progress.on_warning(make_run(), "watch out")
    assert capsys.readouterr().out == ""


def test_progress_goes_to_stderr(capsys):
    make_trainer(callbacks=[Progress()]).fit(X, Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3" in err


# Metrics -----------------------------------------------------------------------------


def lines_of(path):
    def no_constant(text):
        raise ValueError(text)

    lines = path.read_text().splitlines()
    return [json.loads(line, parse_constant=no_constant) for line in lines]


def test_metrics_are_json_a_line_an_event(tmp_path):
    path = tmp_path / "metrics.jsonl"
    trainer = make_trainer(callbacks=[MetricsFile(path)])
    history = trainer.fit(X, Y, **VALIDATION)
    lines = lines_of(path)
    assert [line["event"] for line in lines] == [
        "run_start",
        *["epoch", "topology", "topology"] * 2,
        "epoch",
        "run_end",
    ]
    assert all(a["time"] <= b["time"] for a, b in itertools.pairwise(lines))
    start, end = lines[0], lines[-1]
    assert start["layer_sizes"] == list(SIZES)
    assert start["nnz"] == trainer.model.nnz
    assert start["density"] == trainer.model.density
    assert (start["epochs"], start["samples"], start["seed"]) == (3, N, 1)
    assert (end["epoch"], end["step"]) == (3, 9)
    epochs = [line for line in lines if line["event"] == "epoch"]
    for line, want in zip(epochs, history, strict=True):
        assert line == line | vars(want)
        assert {"val_loss", "val_score", "rss_mb", "samples_per_s"} <= set(line)
    topology = [line for line in lines if line["event"] == "topology"]
    assert [line["layer"] for line in topology] == [0, 1] * 2
    assert [(line["epoch"], line["step"]) for line in topology] == [
        (1, 3),
        (1, 3),
        (2, 6),
        (2, 6),
    ]
    assert all(line["removed"] == line["grown"] > 0 for line in topology)


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.write("warning", a=math.nan, b=math.inf, c=-math.inf, d=1.5, e=None, f="é")
    (line,) = lines_of(path)
    del line["time"]
    nulls = {"a": None, "b": None, "c": None, "e": None}
    assert line == {"event": "warning", "d": 1.5, "f": "é"} | nulls


def test_lines_are_on_disk_at_once_and_earlier_ones_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"event": "earlier"}\n')
    metrics = MetricsFile(path)
    metrics.write("now")
    assert [line["event"] for line in lines_of(path)] == ["earlier", "now"]


def test_metrics_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match=r"cannot write metrics .*missing"):
        MetricsFile(tmp_path / "missing" / "metrics.jsonl")


def test_metrics_continue_in_a_second_run(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for _ in range(2):
        make_trainer(callbacks=[metrics], epochs=1, topology="static").fit(X, Y)
    events = [line["event"] for line in lines_of(metrics.path)]
    assert events == ["run_start", "epoch", "run_end"] * 2


# Early stopping ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "stop_after"),
    [
        ([3, 2, 1, 0.5, 0.4], None),
        ([3, 3, 3], 3),
        ([3, 4, 2, 2.5, 2.5], 5),
        # A fall within the tolerance does not count.
        ([3, 2.99995, 2.99992], 3),
        ([3, math.nan, math.nan], 3),
    ],
)
@pytest.mark.parametrize("is_validation", [False, True])
def test_early_stopping(losses, stop_after, is_validation):
    stops, run = EarlyStopping(patience=2), make_run()
    for epoch, loss in enumerate(losses, 1):
        # Where there is a validation loss, the training loss does not matter.
        pair = (1 / epoch, loss) if is_validation else (loss, None)
        stops.on_epoch_end(run, record(epoch, *pair))
        assert run.stop == (epoch == stop_after)


def test_early_stopping_starts_anew_with_every_run():
    stops = EarlyStopping(patience=1)
    for _ in range(2):
        run = make_run()
        stops.on_train_begin(run)
        stops.on_epoch_end(run, record(1, 1.0))
        assert not run.stop


@pytest.mark.parametrize("patience", [0, math.nan, None, "3", True])
def test_bad_patience(patience):
    with pytest.raises(UsageError, match=f"patience must be .*, got {patience!r}"):
        EarlyStopping(patience)


# Signals -----------------------------------------------------------------------------


class Raise(Callback):
    """Sends the process a signal after the second step, and notes later ones."""

    def __init__(self, number):
        self.number, self.steps = number, []

    def on_batch_end(self, run):
        self.steps.append(run.model.step)
        if len(self.steps) == 2:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_stops_after_the_present_step(number, exit_code):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sender = Raise(number)
    # The sender comes first, so that the signal has arrived when the other one looks.
    trainer = make_trainer(callbacks=[sender, StopOnSignal()])
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as caught:
        trainer.fit(X, Y)
    assert caught.value.exit_code == exit_code
    assert sender.steps == [1, 2]
    assert trainer.model.step == 2
    assert handlers == (
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
    )


def test_without_a_signal_nothing_stops():
    assert len(make_trainer(callbacks=[StopOnSignal()]).fit(X, Y)) == 3


def test_a_signal_stops_one_run_only():
    stops = StopOnSignal()
    trainer = make_trainer(callbacks=[Raise(signal.SIGTERM), stops])
    with pytest.raises(Interrupted):
        trainer.fit(X, Y)
    trainer.callbacks = [stops]
    assert len(trainer.fit(X, Y)) == 3


def test_below_nohup_a_run_outlives_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = make_trainer(callbacks=[Raise(signal.SIGHUP), StopOnSignal()])
        assert len(trainer.fit(X, Y)) == 3
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_that_gets_no_signals_trains():
    lengths, trainer = [], make_trainer(callbacks=[StopOnSignal()])
    thread = threading.Thread(target=lambda: lengths.append(len(trainer.fit(X, Y))))
    thread.start()
    thread.join()
    assert lengths == [3]


@pytest.mark.parametrize("tells", [False, True])
def test_a_second_signal_ends_the_process_at_once(tells):
    program = (
        "import os, signal, time\n"
        "from truesparse.callbacks import StopOnSignal\n"
        f"StopOnSignal(tells={tells}).on_train_begin(None)\n"
        "for number in (signal.SIGTERM, signal.SIGINT):\n"
        "    os.kill(os.getpid(), number)\n"
        "    print(number, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 130
    assert done.stdout.split() == ["15"]
    said = [
        "SIGTERM: stops after this step and saves; once more ends at once",
        "SIGINT once more: ended at once, what was not saved is lost",
    ]
    assert done.stderr.splitlines() == (said if tells else [])


def test_a_handler_that_is_not_of_python_stays(monkeypatch):
    """None stands for it, which cannot be put back: that raised TypeError."""
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", None)
    assert len(make_trainer(callbacks=[StopOnSignal()]).fit(X, Y)) == 3
