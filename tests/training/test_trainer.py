"""The training loop: order of samples, events, schedules, divergence, times."""

import math
import pathlib
import tempfile

import numpy as np
import pytest
from support.training import (
    BATCH,
    SIZES,
    N,
    Recorder,
    arrays_of,
    assert_same_arrays,
    hashes_may_wrap,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse import topology
from truesparse.callbacks import Callback, EarlyStopping
from truesparse.common import rng
from truesparse.errors import DivergedError, UsageError
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.storage import models as io
from truesparse.topology import UpdateSchedule
from truesparse.training.run import Clock
from truesparse.training.snapshot import has_finite_weights
from truesparse.training.trainer import Trainer

X, Y = make_problem()


class Wrap:
    """Calls a model's train_batch and notes which samples and rate it was given."""

    def __init__(self, model):
        self.samples, self.rates, self.losses = [], [], []
        self._train_batch, model.train_batch = model.train_batch, self

    def __call__(self, data, targets, samples, optimizer, lr, **settings):
        self.samples.append(samples.copy())
        self.rates.append(lr)
        parts = data, targets, samples, optimizer, lr
        self.losses.append(self._train_batch(*parts, **settings))
        return self.losses[-1]


# Learning ----------------------------------------------------------------------------


def test_a_problem_is_learnt_while_the_topology_evolves():
    trainer = make_trainer(epochs=30)
    history = trainer.fit(X, Y, X_val=X[:BATCH], y_val=Y[:BATCH])
    assert history[-1].train_loss < 0.3 * history[0].train_loss
    assert history[-1].val_score > 0.95
    for layer in trainer.model.layers:
        layer.connections.check()


@hashes_may_wrap
def test_a_run_is_the_steps_of_its_batches():
    """The trainer adds order, rate and updates to SparseMLP.train_batch, no more."""
    schedule = LearningRate(0.05, "linear", warmup=0.5)
    trainer = make_trainer(make_model(dropout=0.2), lr=schedule)
    trainer.fit(X, Y)
    model, optimizer = make_model(dropout=0.2), Optimizer()
    algorithm = topology.make("set")
    model.allocate_moments(optimizer)
    model.prepare(BATCH)
    for epoch in range(3):
        draw = rng.stream(model.seed, rng.Purpose.SHUFFLE, step=model.step)
        order = draw.permutation(N)
        for batch in range(3):
            samples = order[batch * BATCH : (batch + 1) * BATCH]
            lr = schedule.at(epoch + batch / 3, 3)
            model.train_batch(X, Y.astype(np.int32), samples, optimizer, lr)
        if epoch < 2:
            where = 3 * (epoch + 1), epoch + 1, 9, 3
            algorithm.update(model, topology.UpdateContext(model.seed, *where))
    assert_same_arrays(trainer.model, model)


@hashes_may_wrap
def test_the_seed_decides_the_result():
    models = [make_model(seed=seed, dropout=0.2) for seed in (3, 3, 4)]
    histories = [make_trainer(model).fit(X, Y) for model in models]
    assert_same_arrays(models[0], models[1])
    losses = [[record.train_loss for record in history] for history in histories]
    assert losses[0] == losses[1] != losses[2]


# Batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sample_is_used_once_an_epoch(shuffle):
    model = make_model()
    wrap = Wrap(model)
    make_trainer(model, shuffle=shuffle).fit(X, Y)
    assert [samples.size for samples in wrap.samples] == [32, 32, 6] * 3
    epochs = [np.concatenate(wrap.samples[k : k + 3]) for k in (0, 3, 6)]
    for order in epochs:
        np.testing.assert_array_equal(np.sort(order), np.arange(N))
        assert (np.diff(order) == 1).all() == (not shuffle)
    assert np.array_equal(epochs[0], epochs[1]) == (not shuffle)


def test_a_second_run_shuffles_anew():
    model = make_model()
    wrap = Wrap(model)
    for _ in range(2):
        make_trainer(model, epochs=1).fit(X, Y)
    first, second = (np.concatenate(wrap.samples[k : k + 3]) for k in (0, 3))
    assert not np.array_equal(first, second)


def test_the_loss_of_an_epoch_is_the_mean_over_samples():
    model = make_model()
    wrap = Wrap(model)
    history = make_trainer(model).fit(X, Y)
    for epoch, record in enumerate(history):
        losses = wrap.losses[3 * epoch : 3 * epoch + 3]
        assert record.train_loss == pytest.approx(np.dot(losses, [32, 32, 6]) / N)


def test_a_batch_may_be_larger_than_the_data():
    model = make_model()
    wrap = Wrap(model)
    history = make_trainer(model, batch_size=10**9, epochs=2).fit(X[:32], Y[:32])
    assert [samples.size for samples in wrap.samples] == [32, 32]
    assert history[-1].step == 2


# Rates and topology ------------------------------------------------------------------


def test_the_rate_moves_with_every_step():
    model, schedule = make_model(), LearningRate(0.1, "cosine", warmup=1)
    wrap = Wrap(model)
    history = make_trainer(model, lr=schedule).fit(X, Y)
    want = [schedule.at(step / 3, 3) for step in range(9)]
    np.testing.assert_allclose(wrap.rates, want)
    assert [record.lr for record in history] == wrap.rates[2::3]


def test_the_adaptive_rate_follows_the_loss(monkeypatch):
    model = make_model()
    losses = iter([1.0] * 3 + [2.0] * 9)
    monkeypatch.setattr(model, "train_batch", lambda *a, **k: next(losses))
    schedule = LearningRate(0.1, "adaptive", patience=1)
    history = make_trainer(model, epochs=4, lr=schedule, topology="static").fit(X, Y)
    rates = [record.lr for record in history]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.02, 0.004])


def test_a_rate_may_be_a_number_and_an_optimiser_a_name():
    trainer = make_trainer(lr=0.5, optimizer="adam", topology="static")
    assert trainer.lr == LearningRate(0.5)
    assert trainer.optimizer == Optimizer("adam")
    assert trainer.topology.name == "static"


def test_a_second_run_continues_and_still_evolves():
    model, recorder = make_model(), Recorder()
    make_trainer(model).fit(X, Y)
    make_trainer(model, callbacks=[recorder]).fit(X, Y)
    updates = [event[:2] for event in recorder.of("topology_update")]
    assert updates == [(1, 12), (2, 15)]
    assert model.step == 18


def test_a_loaded_model_trains_on_like_the_saved_one(tmp_path):
    model = make_model()
    make_trainer(model).fit(X, Y)
    again = io.load(io.save(model, tmp_path / "m"))
    for each in (model, again):
        make_trainer(each).fit(X, Y)
    assert_same_arrays(again, model)


# Events ------------------------------------------------------------------------------


def test_events_come_in_order():
    recorder = Recorder()
    trainer = make_trainer(callbacks=[recorder], epochs=2)
    history = trainer.fit(X, Y)
    assert recorder.names() == [
        "train_begin",
        *["batch_end"] * 3,
        "epoch_end",
        "topology_update",
        *["batch_end"] * 3,
        "epoch_end",
        "train_end",
    ]
    steps = [event[1] for event in recorder.of("batch_end")]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert [event[2] for event in recorder.of("epoch_end")] == history
    ((epoch, step, changes),) = recorder.of("topology_update")
    assert (epoch, step) == (1, 3)
    assert [change.layer for change in changes] == [0, 1]
    assert all(change.removed == change.grown > 0 for change in changes)


def test_callbacks_see_the_run():
    seen = []

    class Watch(Callback):
        def on_train_begin(self, run):
            seen.append((run.n_epochs, run.n_batches, run.n_samples))

        def on_batch_end(self, run):
            seen.append((run.epoch, run.batch, math.isfinite(run.loss), run.lr))

    trainer = make_trainer(callbacks=[Watch(), Callback()], epochs=2)
    trainer.fit(X, Y)
    assert seen[0] == (2, 3, N)
    assert seen[1:] == [(k // 3, k % 3 + 1, True, 0.05) for k in range(6)]


def test_callbacks_are_called_one_after_the_other_and_end_with_an_error():
    calls = []

    class Named(Callback):
        def __init__(self, name):
            self.name = name

        def on_batch_end(self, run):
            calls.append(self.name)
            if len(calls) == 6:
                raise KeyError("stop")

        def on_train_end(self, run):
            calls.append(self.name.upper())

    with pytest.raises(KeyError):
        make_trainer(callbacks=[Named("a"), Named("b")]).fit(X, Y)
    assert calls == list("abababAB")


def test_a_stopped_run_returns_the_model_that_was_evaluated():
    stops = EarlyStopping(patience=1, tolerance=1e9)
    recorder = Recorder()
    trainer = make_trainer(epochs=50, callbacks=[stops, recorder])
    history = trainer.fit(X, Y, X_val=X[:BATCH], y_val=Y[:BATCH])
    # The first loss is the best so far whatever the tolerance.
    assert len(history) == 2
    want = history[-1].val_loss, history[-1].val_score
    assert trainer.model.evaluate(X[:BATCH], Y[:BATCH].astype(np.int32)) == want
    assert len(recorder.of("topology_update")) == 1
    assert recorder.names()[-2:] == ["epoch_end", "train_end"]


def test_a_run_may_be_stopped_within_an_epoch():
    class Stop(Callback):
        def on_batch_end(self, run):
            run.stop = True

    recorder = Recorder()
    assert len(make_trainer(callbacks=[Stop(), recorder]).fit(X, Y)) == 1
    # The epoch is finished.
    assert recorder.names().count("batch_end") == 3


# Divergence --------------------------------------------------------------------------


@pytest.mark.parametrize("lr", [1e10, 1e25])
def test_divergence_keeps_a_model_that_works(lr, tmp_path):
    model, recorder = make_model(), Recorder()
    trainer = make_trainer(
        model, lr=lr, epochs=60, callbacks=[recorder], snapshot_path=tmp_path / "m"
    )
    message = r"in epoch \d+.*at learning rate .*; lower the learning rate or clip"
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match=message):
        trainer.fit(X, Y, X_val=X[:BATCH], y_val=Y[:BATCH])
    assert recorder.names()[-1] == "train_end"
    assert has_finite_weights(model)
    assert np.isfinite(model.decision_function(X, BATCH)).all()
    assert_same_arrays(io.load(tmp_path / "m"), model)
    # It can be trained again.
    make_trainer(model, lr=0.01).fit(X, Y)


def test_a_last_step_that_spoils_the_weights_is_noticed():
    model = make_model()
    before = arrays_of(model)
    trainer = make_trainer(model, lr=3e38, epochs=1, batch_size=BATCH)
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="NaN or inf"):
        trainer.fit(100 * X[:BATCH], Y[:BATCH])
    for got, want in zip(arrays_of(model), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_nothing_is_left_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_trainer().fit(X, Y)
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        make_trainer(lr=1e10, epochs=60).fit(X, Y)
    assert list(tmp_path.iterdir()) == []


def test_the_snapshot_file_is_a_model(tmp_path):
    path = pathlib.Path(tmp_path, "model")
    options = {"config": "seed = 0"}
    make_trainer(snapshot_path=path, snapshot_options=options).fit(X, Y)
    assert io.load(path).layer_sizes == SIZES
    assert io.load_config(path) == "seed = 0"


# Records -----------------------------------------------------------------------------


def test_records():
    trainer = make_trainer()
    nnz = trainer.model.nnz
    history = trainer.fit(X, Y)
    assert [record.epoch for record in history] == [1, 2, 3]
    assert [record.step for record in history] == [3, 6, 9]
    assert all(record.nnz == nnz for record in history)
    assert all(record.val_loss is record.val_score is None for record in history)
    assert all(record.rss_mb > 10 for record in history)


@pytest.mark.compiled
def test_the_times_of_the_phases_add_up():
    # Large enough that the loop around the phases takes little.
    model = make_model((SIZES[0], 20_000, 20_000, SIZES[-1]), epsilon=10)
    for record in make_trainer(model).fit(X, Y):
        phases = record.data_s, record.forward_s, record.backward_s, record.topology_s
        assert all(seconds >= 0 for seconds in phases)
        assert record.forward_s > 0 < record.backward_s
        assert (record.topology_s > 0) == (record.epoch > 1)
        assert 0.7 * record.seconds < sum(phases) <= record.seconds
        assert record.samples_per_s == pytest.approx(N / record.seconds)


def test_the_clock(monkeypatch):
    times = iter([0.0, 1.0, 3.0, 10.0, 10.5, 20.0])
    monkeypatch.setattr(
        "truesparse.training.trainer.time.perf_counter", lambda: next(times)
    )
    clock = Clock()
    clock("a")
    clock("b")
    clock.restart()
    clock("a")
    clock("b")
    assert clock.seconds == {"a": 1.5, "b": 11.5}


# Arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number of at least 1, got 2.5"),
        ({"batch_size": -1}, "batch_size must be a whole number of at least 1, got -1"),
        ({"batch_size": True}, "batch_size must be a whole number .* got True"),
        ({"optimizer": "adm"}, "unknown optimizer.*mean 'adam'"),
        ({"topology": "sett"}, "unknown topology.*mean 'set'"),
        ({"lr": 0.0}, "learning rate must be above 0"),
        ({"clip_norm": "a"}, "clip_norm must be a number, got 'a'"),
        ({"lr": "a"}, "learning rate must be a number, got 'a'"),
        ({"optimizer": 3}, "optimizer must be a name or an Optimizer, got 3"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0 and finite, got 0.0"),
        ({"clip_norm": math.nan}, "clip_norm must be above 0 and finite, got nan"),
        ({"model": [6, 4]}, r"model must be a SparseMLP, got \[6, 4\]"),
        ({"shuffle": 1}, "shuffle must be true or false, got 1"),
        ({"callbacks": [print]}, "callbacks must be a list of Callback objects, got"),
        ({"callbacks": 3}, "callbacks must be a list of Callback objects, got 3"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(UsageError, match=message):
        Trainer(**{"model": make_model()} | arguments)


def test_step_schedules_end_before_the_run_does():
    recorder = Recorder()
    every_step = topology.make("set", schedule=UpdateSchedule(1, "step"))
    make_trainer(topology=every_step, callbacks=[recorder], epochs=2).fit(X, Y)
    steps = [event[1] for event in recorder.of("topology_update")]
    assert steps == [1, 2, 3, 4, 5]
