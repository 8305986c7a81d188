"""Checkpoints: a run goes on bit by bit; damage is found; a model file all the same."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
import safetensors
from training import (
    BATCH,
    N,
    arrays_of,
    assert_same_arrays,
    hashes_may_wrap,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse import checkpoint, io
from truesparse.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LearningRateMonitor,
)
from truesparse.callbacks import checkpoint as writing
from truesparse.errors import DataError, DivergedError, ModelFileError, UsageError
from truesparse.schedules import LearningRate
from truesparse.tensors import write_tensors
from truesparse.topology import ALGORITHMS, Exploration, UpdateSchedule, make
from truesparse.topology.stored import KNOWN

pytestmark = hashes_may_wrap

X, Y = make_problem()
VALIDATION = {"X_val": X[:BATCH], "y_val": Y[:BATCH]}
TIMES = {"seconds", "data_s", "forward_s", "backward_s", "topology_s"}
TIMES |= {"samples_per_s", "rss_mb"}


class StopAfter(Callback):
    """Leaves a run after a step, as a signal does."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, run):
        if run.model.step == self.step:
            raise KeyboardInterrupt


def facts(history):
    """Return the records without what differs from run to run."""
    return [
        {name: value for name, value in vars(record).items() if name not in TIMES}
        for record in history
    ]


def algorithm(name):
    if name == "static":
        return make(name)
    if name in ("snfs", "top_kast"):
        return make(name, sample_every=1, schedule=UpdateSchedule(4, "step", start=4))
    options = {"lottery": {"rounds": 2, "rewind_epoch": 1}}.get(name, {})
    return make(name, **options)


def fit_in_two(path, stop, options, make_topology, listeners=(), **settings):
    """Train, stop, and go on from the file; return both trainers."""

    def trainer(model, *callbacks, topology=None):
        own = {"topology": make_topology(), "lr": LearningRate(0.1, "cosine")}
        callbacks = [make() for make in listeners] + list(callbacks)
        return make_trainer(model, callbacks=callbacks, **own | options)

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


# Going on ----------------------------------------------------------------------------


# After an epoch, and within one.
@pytest.mark.parametrize("stop", [9, 11])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_topology_goes_on_where_it_was(name, stop, tmp_path):
    settings = {"density": 1.0, "epsilon": None} if name == "lottery" else {}
    whole, second = fit_in_two(
        tmp_path / "c", stop, {"epochs": 6}, lambda: algorithm(name), **settings
    )
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
    # Those of an algorithm that is new have to be checked too, see topology/stored.py.
    assert arrays_in(trainer.topology.state()) <= KNOWN


@pytest.mark.parametrize("activation", ["relu", "srelu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_every_optimiser_goes_on_where_it_was(optimizer, activation, tmp_path):
    options = {"optimizer": optimizer, "epochs": 4, "lr": 0.01}
    settings = {"activation": activation, "dropout": 0.2}
    path = tmp_path / "c"
    fit_in_two(path, 5, options, lambda: make("rigl"), **settings)


def test_learning_rates_that_follow_the_loss_go_on(tmp_path):
    lr = LearningRate(0.5, "adaptive", patience=1, tolerance=0.5)
    options = {"lr": lr, "epochs": 6, "clip_norm": 1.0, "shuffle": False}
    whole, _ = fit_in_two(tmp_path / "c", 10, options, lambda: "set")
    assert len({record.lr for record in whole.run.history}) > 1


def test_callbacks_go_on_where_they_were(tmp_path):
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
    model = io.load(tmp_path / "c")
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
        ({"topology": "rigl"}, "topology 'set', the trainer that is to go on 'rigl'"),
        ({"optimizer": "adam"}, r"optimizer \(True, False\), .* \(True, True\)"),
        ({"batch_size": 16}, "batch_size 32, the trainer that is to go on 16"),
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
    with pytest.raises(UsageError, match="needs the model of the file"):
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
        watch.now += 2.0
        write(*arguments, **options)

    class Tick(Callback):
        def on_batch_end(self, run):
            watch.now += 20.0

    monkeypatch.setattr(writing, "time", watch)
    monkeypatch.setattr(checkpoint, "write", slow_write)
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
    with pytest.raises(DivergedError):
        trainer.fit(X, Y)
    assert not trainer.run.intact
    assert "diverged" in trainer.run.error or "nan" in trainer.run.error
    assert checkpoint.read(tmp_path / "c").run.epoch == 1


def test_an_error_within_a_step_leaves_the_last_one(tmp_path, monkeypatch):
    trainer = make_trainer(callbacks=[Checkpoint(tmp_path / "c", every=1)])
    step = trainer.model._backward

    def fail(*arguments):
        step(*arguments)
        if trainer.model.step == 4:
            raise MemoryError

    monkeypatch.setattr(trainer.model, "_backward", fail)
    with pytest.raises(MemoryError):
        trainer.fit(X, Y)
    assert checkpoint.read(tmp_path / "c").run.epoch == 1


def test_a_full_disk_does_not_end_a_run(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise UsageError("cannot write model: no space")

    monkeypatch.setattr(io, "save", refuse)
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


# Damage ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Return tensors and metadata of a checkpoint within an epoch."""
    path = tmp_path_factory.mktemp("parts") / "c"
    topology = make("snfs", sample_every=1, schedule=UpdateSchedule(3, "step"))
    callbacks = [Checkpoint(path), StopAfter(5)]
    settings = {"optimizer": "adam", "topology": topology, "callbacks": callbacks}
    with pytest.raises(KeyboardInterrupt):
        make_trainer(make_model(activation="srelu"), **settings).fit(X, Y)
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, file.metadata()


def resume(path):
    saved = checkpoint.read(path)
    topology = make("snfs", sample_every=1, schedule=UpdateSchedule(3, "step"))
    trainer = make_trainer(saved.model, optimizer="adam", topology=topology)
    return trainer.fit(X, Y, run=saved.resume(trainer))


def spoil(path, parts, changes=(), tensors=()):
    """Write a checkpoint in which some entries of description or tensors differ."""
    arrays, metadata = parts
    description = json.loads(metadata["checkpoint"])
    for (*places, name), value in dict(changes).items():
        table = description
        for place in places:
            table = table[place]
        table[name] = value
    metadata = metadata | {"checkpoint": json.dumps(description)}
    arrays = {k: v for k, v in (arrays | dict(tensors)).items() if v is not None}
    return write_tensors(path, arrays, metadata)


def test_unspoilt_parts_make_a_run(parts, tmp_path):
    assert len(resume(spoil(tmp_path / "c", parts))) == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 2),
        (("run", "epoch"), -1),
        (("run", "epoch"), 2),
        (("run", "epoch"), 1.0),
        (("run", "batch"), 99),
        (("run", "first_step"), 4),
        (("run", "n_batches"), 0),
        (("run", "n_samples"), 0),
        (("run", "loss_sum"), float("nan")),
        (("run", "weight_sum"), "x"),
        (("run", "history"), []),
        (("run", "history"), [{"epoch": 1}]),
        (("run", "history", 0, "train_loss"), "x"),
        (("run", "history", 0, "step"), None),
        (("run", "history", 0, "more"), 1),
        (("run",), 3),
        (("moments_since",), 99),
        (("moments",), [True]),
        (("topology_state",), 3),
        (("topology_state", "pool"), {}),
        (("topology_state", "pool"), {"7": {"tensor": "states.0"}}),
        (("topology_state", "budgets"), None),
        (("callbacks",), [["Checkpoint"]]),
    ],
)
def test_a_spoilt_description(place, value, parts, tmp_path):
    path = spoil(tmp_path / "c", parts, {place: value})
    with pytest.raises(ModelFileError):
        resume(path)


def names_of(parts, text):
    return [name for name in parts[0] if text in name]


def test_spoilt_optimiser_state(parts, tmp_path):
    names = names_of(parts, "moments")
    assert len(names) == 2 * (2 * 3 + 2)
    for name in names:
        array = parts[0][name]
        for value in (None, array[:-1], array.astype(np.float64), array * np.nan):
            path = spoil(tmp_path / "c", parts, tensors={name: value})
            with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
                checkpoint.read(path)
    second = next(name for name in names if name.endswith("second"))
    path = spoil(tmp_path / "c", parts, tensors={second: -1 - parts[0][second]})
    with pytest.raises(ModelFileError, match="are negative"):
        checkpoint.read(path)


def test_spoilt_arrays_of_the_topology(parts, tmp_path):
    description = json.loads(parts[1]["checkpoint"])["topology_state"]
    for kind in ("pool", "momentum"):
        for entry in description[kind].values():
            name = entry["tensor"]
            array = parts[0][name]
            wrong = [None, array[:-1], array.astype(np.int32)]
            if kind == "pool":
                wrong += [array + 2**40, array - 2**40, array[::-1].copy()]
            else:
                wrong += [array * np.nan]
            for value in wrong:
                path = spoil(tmp_path / "c", parts, tensors={name: value})
                with pytest.raises(ModelFileError):
                    resume(path)


@pytest.mark.parametrize(
    ("name", "entry"),
    [("deepr", "signs"), ("lottery", "noted"), ("top_kast", "keys")],
)
def test_spoilt_arrays_of_other_topologies(name, entry, tmp_path):
    options = {"density": 1.0, "epsilon": None} if name == "lottery" else {}
    callbacks = [Checkpoint(tmp_path / "c")]
    settings = {"topology": algorithm(name), "epochs": 6}
    model = make_model(**options)
    make_trainer(model, callbacks=callbacks, **settings).fit(X, Y, until=4)
    saved = checkpoint.read(tmp_path / "c")
    state = saved.topology_state[entry]["0"]
    array = state[0] if isinstance(state, list) else state
    wrong = array[: array.size // 2]
    saved.topology_state[entry]["0"] = [wrong] if isinstance(state, list) else wrong
    trainer = make_trainer(saved.model, topology=algorithm(name), epochs=6)
    with pytest.raises(ModelFileError, match="is not valid"):
        saved.resume(trainer)


def test_files_that_are_no_checkpoints(parts, tmp_path):
    model = io.save(make_model(), tmp_path / "m")
    with pytest.raises(ModelFileError, match="is a model, not a checkpoint"):
        checkpoint.read(model)
    with pytest.raises(ModelFileError, match="cannot read"):
        checkpoint.read(tmp_path / "missing")
    data = spoil(tmp_path / "c", parts).read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            checkpoint.read(tmp_path / "cut")


def test_a_run_can_be_copied_without_its_trainer():
    trainer = make_trainer(callbacks=[Callback()])
    trainer.fit(X, Y)
    for other in (copy.copy(trainer.run), pickle.loads(pickle.dumps(trainer.run))):
        assert other.trainer is None
        assert facts(other.history) == facts(trainer.run.history)
        assert other.is_over
        for ours, theirs in zip(
            arrays_of(other.model), arrays_of(trainer.model), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    assert dataclasses.replace(trainer.run).epoch == 3
