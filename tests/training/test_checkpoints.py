"""Checkpoints: a run is resumed bit by bit; every checkpoint is a model file."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
from support.training import (
    BATCH,
    N,
    StopAfter,
    algorithm,
    arrays_of,
    assert_same_arrays,
    hashes_may_wrap,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse import checkpoint
from truesparse.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Exploration,
    History,
    LearningRateMonitor,
)
from truesparse.callbacks import checkpointing as writing
from truesparse.errors import DataError, DivergedError, UsageError
from truesparse.network import backprop
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.storage import models
from truesparse.topology import ALGORITHMS, UpdateSchedule, make
from truesparse.topology.parts.state import KNOWN

pytestmark = hashes_may_wrap

X, Y = make_problem()
VALIDATION = {"X_val": X[:BATCH], "y_val": Y[:BATCH]}
TIMES = {"seconds", "data_s", "forward_s", "backward_s", "topology_s"}
TIMES |= {"samples_per_s", "rss_mb"}


def facts(history):
    """Return the records without what differs from run to run."""
    return [
        {name: value for name, value in vars(record).items() if name not in TIMES}
        for record in history
    ]


def fit_in_two(path, stop, options, make_topology, listeners=(), **settings):
    """Train, stop, and resume from the file; return both trainers."""

    def trainer(model, *callbacks, topology=None):
        defaults = {"topology": make_topology(), "lr": LearningRate(0.1, "cosine")}
        callbacks = [make() for make in listeners] + list(callbacks)
        return make_trainer(model, callbacks=callbacks, **defaults | options)

    whole = trainer(make_model(**settings))
    history = whole.fit(X, Y, **VALIDATION)
    first = trainer(make_model(**settings), Checkpoint(path), StopAfter(stop))
    if stop % 3:
        with pytest.raises(KeyboardInterrupt):
            first.fit(X, Y, **VALIDATION)
    else:
        first.callbacks.pop()
        first.fit(X, Y, until=stop // 3, **VALIDATION)
    saved = checkpoint.read(path)
    second = trainer(saved.model)
    again = second.fit(X, Y, run=saved.resume(second), **VALIDATION)
    assert facts(again) == facts(history)
    assert_same_arrays(second.model, whole.model)
    assert second.model.step == whole.model.step
    assert second.model.moments_since == whole.model.moments_since
    return whole, second


def keys(model):
    """Return which cells are connected."""
    connections = [each.connections for each in model.layers]
    return [each.keys(np.arange(each.nnz)).tolist() for each in connections]


# Resuming -----------------------------------------------------------------------------


# After an epoch, and within one.
@pytest.mark.parametrize(("stop", "dtype"), [(9, "float32"), (11, "float64")])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_topology_is_resumed_where_it_was(name, stop, dtype, tmp_path):
    settings = {"density": 1.0, "epsilon": None} if name == "lottery" else {}
    settings["dtype"] = dtype
    whole, second = fit_in_two(
        tmp_path / "c", stop, {"epochs": 6}, lambda: algorithm(name), **settings
    )
    assert keys(whole.model) != keys(make_model(**settings)) or name == "static"
    ours, theirs = second.topology.state(), whole.topology.state()
    assert json.dumps(ours, default=np.ndarray.tolist) == json.dumps(
        theirs, default=np.ndarray.tolist
    )


def arrays_in(state):
    """Return the names of the entries that hold arrays."""
    return {name for name, value in state.items() if "array(" in repr(value)}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_arrays_of_every_topology_are_checked(name):
    options = {"density": 1.0, "epsilon": None} if name == "lottery" else {}
    trainer = make_trainer(make_model(**options), topology=algorithm(name), epochs=4)
    trainer.fit(X, Y, until=2, **VALIDATION)
    # Arrays of a new algorithm must be checked too, see topology/parts/state.py.
    assert arrays_in(trainer.topology.state()) <= KNOWN


@pytest.mark.parametrize("activation", ["relu", "srelu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_every_optimiser_is_resumed_where_it_was(optimizer, activation, tmp_path):
    options = {"optimizer": optimizer, "epochs": 4, "lr": 0.01}
    settings = {"activation": activation, "dropout": 0.2}
    path = tmp_path / "c"
    whole, _ = fit_in_two(path, 5, options, lambda: algorithm("rigl"), **settings)
    assert keys(whole.model) != keys(make_model(**settings))


def test_powerpropagation_is_resumed_where_it_was(tmp_path):
    options = {"optimizer": Optimizer("sgd", powerprop=2.0), "epochs": 4}
    schedule = UpdateSchedule(2, "step", start=2)

    def rigl():
        return make("rigl", schedule=schedule, regrow_init="he_uniform")

    whole, _ = fit_in_two(tmp_path / "c", 5, options, rigl)
    assert keys(whole.model) != keys(make_model())


def test_learning_rates_that_follow_the_loss_are_resumed(tmp_path):
    lr = LearningRate(0.5, "adaptive", patience=1, tolerance=0.5)
    options = {"lr": lr, "epochs": 6, "clip_norm": 1.0, "shuffle": False}
    whole, _ = fit_in_two(tmp_path / "c", 10, options, lambda: "set")
    assert len({record.lr for record in whole.run.history}) > 1


def test_callbacks_are_resumed_where_they_were(tmp_path):
    listeners = [
        lambda: EarlyStopping(patience=3, tolerance=0.3),
        lambda: LearningRateMonitor(2),
        History,
        lambda: LearningRateMonitor(3),
        lambda: Exploration(room=20),
    ]
    whole, second = fit_in_two(
        tmp_path / "c", 7, {"epochs": 30}, lambda: "set", listeners
    )
    assert 3 < len(whole.run.history) < 30
    for ours, theirs in zip(second.callbacks, whole.callbacks, strict=True):
        assert json.dumps(ours.state(), default=np.ndarray.tolist) == json.dumps(
            theirs.state(), default=np.ndarray.tolist
        )
    assert second.callbacks[2]["lr"] == whole.callbacks[2]["lr"]
    assert second.callbacks[4].rate == whole.callbacks[4].rate


def test_a_run_that_is_done_can_be_lengthened(tmp_path):
    path = tmp_path / "c"
    make_trainer(epochs=2, callbacks=[Checkpoint(path)]).fit(X, Y)
    saved = checkpoint.read(path)
    assert saved.run.is_over
    trainer = make_trainer(saved.model, epochs=5)
    history = trainer.fit(X, Y, run=saved.resume(trainer))
    whole = make_trainer(epochs=5)
    assert facts(history) == facts(whole.fit(X, Y))
    assert_same_arrays(trainer.model, whole.model)


def test_a_checkpoint_is_a_model_too(tmp_path):
    trainer = make_trainer(callbacks=[Checkpoint(tmp_path / "c", config="text")])
    trainer.fit(X, Y)
    model = models.load(tmp_path / "c")
    for ours, theirs in zip(model.layers, trainer.model.layers, strict=True):
        np.testing.assert_array_equal(
            ours.connections.values, theirs.connections.values
        )
        np.testing.assert_array_equal(ours.bias, theirs.bias)
    assert model.step == trainer.model.step
    saved = checkpoint.read(tmp_path / "c")
    assert (saved.config, saved.about) == ("text", {})
    assert saved.versions == checkpoint.versions()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "rigl"}, "topology 'set', the trainer 'rigl'"),
        ({"optimizer": "adam"}, r"optimizer \(True, False\), .* \(True, True\)"),
        ({"batch_size": 16}, "batch_size 32, the trainer 16"),
        ({"shuffle": False}, "shuffle True"),
        ({"epochs": 1}, "is in epoch 2, beyond epochs=1"),
    ],
)
def test_a_trainer_that_does_not_fit(options, message, tmp_path):
    callbacks = [Checkpoint(tmp_path / "c"), StopAfter(4)]
    with pytest.raises(KeyboardInterrupt):
        make_trainer(callbacks=callbacks).fit(X, Y)
    saved = checkpoint.read(tmp_path / "c")
    with pytest.raises(UsageError, match=message):
        saved.resume(make_trainer(saved.model, **options))
    with pytest.raises(UsageError, match="needs the model of the checkpoint"):
        saved.resume(make_trainer())
    trainer = make_trainer(saved.model)
    run = saved.resume(trainer)
    with pytest.raises(DataError, match=f"epoch of {N} samples, got {N - 1}"):
        trainer.fit(X[1:], Y[1:], run=run)


# When it is written ------------------------------------------------------------------


class Count(Callback):
    """Notes the checkpoints and the warnings of a run."""

    def __init__(self):
        self.places, self.warnings = [], []

    def on_checkpoint(self, run, seconds):
        assert seconds >= 0.0
        self.places.append((run.epoch, run.batch))

    def on_warning(self, run, message):
        self.warnings.append(message)


def places(tmp_path, *, epochs=4, **options):
    count = Count()
    callbacks = [count, Checkpoint(tmp_path / "c", **options)]
    make_trainer(callbacks=callbacks, epochs=epochs).fit(X, Y)
    return count.places


def test_a_short_run_writes_one_at_its_end(tmp_path):
    assert places(tmp_path) == [(4, 0)]


def test_every_so_many_epochs(tmp_path):
    assert places(tmp_path, every=2) == [(2, 0), (4, 0)]
    assert places(tmp_path, every=3) == [(3, 0), (4, 0)]


def test_a_long_run_writes_within_epochs_a_share_of_the_time(tmp_path, monkeypatch):
    class Watch:
        now = 0.0

        def perf_counter(self):
            return self.now

    watch, write = Watch(), checkpoint.write

    def slow_write(*arguments, **options):
        watch.now += 4.0
        write(*arguments, **options)

    class Tick(Callback):
        def on_batch_end(self, run):
            watch.now += 40.0

    monkeypatch.setattr(writing, "time", watch)
    monkeypatch.setattr(writing.checkpoints, "write", slow_write)
    count = Count()
    callbacks = [count, Tick(), Checkpoint(tmp_path / "c", share_of_time=0.05)]
    make_trainer(callbacks=callbacks, epochs=3).fit(X, Y)
    # The first soon, as a small file is expected to take no time; then a twentieth.
    assert count.places == [(0, 1), (1, 0), (1, 2), (2, 1), (3, 0)]


def test_a_run_that_diverges_keeps_the_last_one(tmp_path):
    class Spoil(Callback):
        def on_batch_end(self, run):
            if run.epoch == 1:
                run.model.layers[0].connections.values[:] = np.nan

    callbacks = [Checkpoint(tmp_path / "c", every=1), Spoil()]
    trainer = make_trainer(callbacks=callbacks)
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        trainer.fit(X, Y)
    assert not trainer.run.intact
    assert "diverged" in trainer.run.error or "nan" in trainer.run.error
    assert checkpoint.read(tmp_path / "c").run.epoch == 1


def test_an_error_within_a_step_leaves_the_last_one(tmp_path, monkeypatch):
    trainer = make_trainer(callbacks=[Checkpoint(tmp_path / "c", every=1)])
    step = backprop.step

    def fail(*arguments):
        step(*arguments)
        if trainer.model.step == 4:
            raise MemoryError

    monkeypatch.setattr(backprop, "step", fail)
    with pytest.raises(MemoryError):
        trainer.fit(X, Y)
    assert checkpoint.read(tmp_path / "c").run.epoch == 1


def test_a_full_disk_does_not_end_a_run(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise UsageError("cannot write model: no space")

    monkeypatch.setattr(models, "save", refuse)
    count = Count()
    callbacks = [count, Checkpoint(tmp_path / "c")]
    trainer = make_trainer(callbacks=callbacks, keep_last_good=False)
    assert len(trainer.fit(X, Y)) == 3
    assert count.places == []
    assert count.warnings == ["cannot write model: no space"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "missing/c"}, "give a file in a folder that exists"),
        ({"path": "."}, "give a file in a folder that exists"),
        ({"path": None}, "cannot write checkpoint None: give a path"),
        ({"path": "c", "every": 0}, "every must be a whole number of at least 1"),
        ({"path": "c", "share_of_time": 2}, "share_of_time must be from 0 to 1, got 2"),
    ],
)
def test_bad_arguments(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        make_trainer(callbacks=[Checkpoint(**arguments)]).fit(X, Y)


def test_a_run_can_be_copied():
    trainer = make_trainer(callbacks=[Callback()])
    trainer.fit(X, Y)
    assert trainer.run.trainer is None
    for other in (copy.copy(trainer.run), pickle.loads(pickle.dumps(trainer.run))):
        assert facts(other.history) == facts(trainer.run.history)
        assert other.is_over
        for ours, theirs in zip(
            arrays_of(other.model), arrays_of(trainer.model), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert dataclasses.replace(trainer.run).epoch == 3
