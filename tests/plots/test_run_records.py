"""Displays of a run's history, and how patiently its metrics.jsonl is read."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from support.drawing import drawn
from support.training import hashes_may_wrap, make_problem, make_trainer

from truesparse import SparseMLPClassifier, callbacks, plots
from truesparse.errors import DataError, UsageError

# Displays of histories ---------------------------------------------------------------


def epochs(n, **fields):
    return [
        {"epoch": i, "step": 10 * i, "train_loss": 1 / i} | fields
        for i in range(1, n + 1)
    ]


def update(step, layer=0, removed=30, grown=30, nnz=100, **fields):
    parts = {"layer": layer, "removed": removed, "grown": grown, "nnz": nnz}
    return {"event": "topology", "epoch": step // 10, "step": step} | parts | fields


@hashes_may_wrap
def test_histories_of_the_trainer_are_drawn():
    X, y = make_problem()
    trainer = make_trainer(topology="set")
    history = trainer.fit(X, y, X_val=X, y_val=y)
    display = drawn(plots.TrainingDisplay.from_history(history, score_name="accuracy"))
    train, validation, score = display.lines_
    assert list(train.get_ydata()) == [record.train_loss for record in history]
    assert list(validation.get_ydata()) == [record.val_loss for record in history]
    assert list(score.get_ydata()) == [record.val_score for record in history]
    assert display.ax_[1].get_ylabel() == "accuracy"
    estimator = SimpleNamespace(history_=history)
    again = plots.TrainingDisplay.from_history(estimator)
    assert again.losses == display.losses


def test_updates_are_marked_where_they_were():
    history = [*epochs(3), *(update(step, n) for step in (5, 20, 25) for n in (0, 1))]
    display = drawn(plots.TrainingDisplay.from_history(history))
    np.testing.assert_allclose(display.updates, [0.5, 2.0, 2.5])
    (ticks,) = display.updates_
    xs = [segment[0, 0] for segment in ticks.get_segments()]
    np.testing.assert_allclose(xs, display.updates)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["training", "3 topology updates"]


def test_updates_after_the_last_epoch_keep_its_pace():
    history = plots.History.of([*epochs(2), update(10), update(25)])
    np.testing.assert_allclose(history.times(history.changes), [1.0, 2.5])
    # Without steps the epoch has to do.
    history = plots.History.of([{"epoch": 1}, update(40)])
    assert history.times(history.changes).tolist() == [4.0]


@pytest.mark.parametrize("n", [1, 2, 200])
def test_any_number_of_epochs_is_drawn(n):
    from_history = plots.TrainingDisplay.from_history
    display = drawn(from_history(epochs(n, val_loss=None, val_score=0.5)))
    assert len(display.lines_) == 2
    # 1 to 1/200 asks for a log axis.
    assert display.ax_[0].get_yscale() == ("log" if n == 200 else "linear")


def test_without_an_epoch_there_are_no_curves():
    with pytest.raises(UsageError, match="no epoch has ended"):
        plots.TrainingDisplay.from_history([update(1)])


def test_turnover_leaves_out_what_grew_again():
    history = [
        *epochs(2, explored=0.4),
        update(10, removed=30, grown=20, nnz=90, regrown=10),
        update(20, removed=9, grown=9, nnz=90),
        update(20, layer=2, removed=0, grown=0, nnz=0),
    ]
    display = drawn(plots.TurnoverDisplay.from_history(history))
    first, second, explored = display.lines_
    np.testing.assert_allclose(first.get_ydata(), [0.2, 0.1])
    np.testing.assert_allclose(first.get_xdata(), [1.0, 2.0])
    assert second.get_label() == "layer 3"
    assert second.get_ydata().tolist() == [0.0]
    assert explored.get_ydata().tolist() == [0.4, 0.4]
    assert display.text_ is None


def test_no_updates_are_said():
    display = drawn(plots.TurnoverDisplay.from_history(epochs(2)))
    assert display.shape == (1, 1)
    assert display.text_.get_text() == "no topology updates recorded"


@hashes_may_wrap
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_of_a_warm_start_are_numbered_on():
    X, y = make_problem()
    net = SparseMLPClassifier((8,), max_iter=3, warm_start=True, random_state=0)
    for _ in range(3):
        net.fit(X, y)
    history = plots.History.of(net)
    assert history.column("epoch") == list(range(1, 10))
    assert history.column("train_loss") == net.loss_curve_
    # The records themselves are as they were.
    assert net.history_[-1].epoch == 3


@hashes_may_wrap
def test_the_history_among_the_callbacks_knows_of_updates():
    X, y = make_problem()
    history = callbacks.History()
    make_trainer(topology="set", callbacks=[history]).fit(X, y)
    training = plots.TrainingDisplay.from_history(history)
    assert training.losses == {"training": history["train_loss"]}
    turnover = plots.TurnoverDisplay.from_history(history).turnover
    layers = history.updates["layer"]
    assert sorted(turnover) == sorted(set(layers))
    assert sum(shares.size for _, shares in turnover.values()) == len(layers) > 0
    assert all((shares > 0).all() for _, shares in turnover.values())


# Reading metrics.jsonl ---------------------------------------------------------------


def write_lines(folder, *events, tail=""):
    lines = [json.dumps(event) for event in events]
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(lines) + "\n" + tail)
    return path


def epoch(number, **fields):
    return {"event": "epoch", "epoch": number, "step": 10 * number} | fields


def test_what_a_resumed_run_did_again_replaces_what_it_did(tmp_path):
    start = {"event": "run_start", "epochs": 5}
    write_lines(
        tmp_path,
        start,
        *(epoch(1, train_loss=1), update(10), epoch(2, train_loss=2), update(20)),
        *(epoch(3, train_loss=3), update(30), update(30, layer=1)),
        # Resumed from the end of epoch 1.
        *(start, epoch(2, train_loss=20), update(20), update(20, layer=1)),
        {"event": "run_end"},
    )
    history = plots.History.read(tmp_path)
    assert history.column("train_loss") == [1, 20]
    places = [(change["step"], change["layer"]) for change in history.changes]
    assert places == [(10, 0), (20, 0), (20, 1)]
    assert (len(history.starts), len(history.ends)) == (2, 1)
    assert history.n_unreadable == 0
    display = drawn(plots.TrainingDisplay.from_run(tmp_path))
    assert display.lines_[0].get_ydata().tolist() == [1, 20]
    turnover = drawn(plots.TurnoverDisplay.from_run(tmp_path / "metrics.jsonl"))
    assert sorted(turnover.turnover) == [0, 1]


BAD_LINES = [
    '{"event": "epoch", "epoch": 2, "train_l',
    "\x00\x00",
    "[1, 2]",
    "3",
    '{"event": 1}',
    '{"event": "epoch"}',
    '{"event": "epoch", "epoch": "2"}',
    '{"event": "epoch", "epoch": true}',
    f'{{"event": "epoch", "epoch": {10**30}}}',
    '{"event": "topology", "epoch": 1, "layer": 0}',
    "[" * 100_000,
    '{"event": "epoch", "epoch": ' + "9" * 5000 + "}",
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_lines_that_make_no_sense_are_counted(tmp_path, line):
    write_lines(tmp_path, epoch(1, train_loss=0.5), tail=line)
    history = plots.History.read(tmp_path)
    assert history.n_unreadable == 1
    assert history.column("train_loss") == [0.5]


def test_events_of_other_kinds_are_passed_over(tmp_path):
    write_lines(tmp_path, epoch(1), {"event": "checkpoint"}, tail="\n\n")
    assert plots.History.read(tmp_path).n_unreadable == 0


def test_numbers_that_are_none_are_nan():
    values = [0.5, None, "x", True, 10**400, math.inf]
    history = plots.History.of([epoch(i + 1, a=v) for i, v in enumerate(values)])
    np.testing.assert_array_equal(history.column("a"), [0.5, *[math.nan] * 4, math.inf])
    assert history.has("a")
    assert not history.has("b")


def test_other_sources_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read metrics"):
        plots.History.of(tmp_path)
    with pytest.raises(UsageError, match="got int"):
        plots.History.of(3)
    with pytest.raises(UsageError, match="EpochRecord or dict"):
        plots.History.of([3])
    history = plots.History.of([])
    assert plots.History.of(history) is history


def test_a_run_that_went_on_behind_a_line_cut_short_is_understood(tmp_path):
    start = {"event": "run_start", "epochs": 5}
    path = write_lines(
        tmp_path,
        *(start, epoch(1, train_loss=1), epoch(2, train_loss=2), update(20)),
        tail='{"event": "epoch", "epoch": 3, "tra',
    )
    more = [start, update(20, layer=1), epoch(2, train_loss=20), {"event": "run_end"}]
    with open(path, "a") as file:
        file.write("".join(json.dumps(event) + "\n" for event in more))
    history = plots.History.read(tmp_path)
    assert history.n_unreadable == 1
    assert len(history.starts) == 2
    assert history.column("train_loss") == [1, 20]
    assert [change["layer"] for change in history.changes] == [1]
    assert history.has_ended


def test_steps_that_go_back_are_another_run():
    before = [update(10), update(20), update(30)]
    again = [update(20, nnz=7), update(20, layer=1)]
    history = plots.History.of([*before, *again])
    places = [(change["step"], change["layer"]) for change in history.changes]
    assert places == [(10, 0), (20, 0), (20, 1)]
    assert history.changes[1]["nnz"] == 7


def test_validation_now_and_then_leaves_no_gaps():
    records = [
        {"epoch": i, "train_loss": 1.0, "val_loss": 2.0 if i % 5 == 0 else None}
        for i in range(1, 101)
    ]
    display = drawn(plots.TrainingDisplay.from_history(records))
    assert display.lines_[1].get_xdata().tolist() == list(range(5, 101, 5))


def test_many_layers_share_a_legend():
    changes = [update(10, layer) for layer in range(30)]
    display = drawn(plots.TurnoverDisplay.from_history(changes))
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(display.lines_) == 30
    assert len(texts) == 10
    assert (texts[0], texts[-1]) == ("layer 1", "layer 30")


def test_runs_are_paths():
    with pytest.raises(UsageError, match=r"run folder.*got int"):
        plots.TrainingDisplay.from_run(3)
