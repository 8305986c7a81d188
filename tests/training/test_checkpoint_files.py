"""Damaged checkpoint files: refused before anything is trained."""

import json

import numpy as np
import pytest
from support import tensor_files
from support.training import (
    StopAfter,
    algorithm,
    hashes_may_wrap,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse import checkpoint
from truesparse.callbacks import Callback, Checkpoint
from truesparse.errors import ModelFileError
from truesparse.storage import models
from truesparse.storage.tensors import write_tensors
from truesparse.topology import UpdateSchedule, make
from truesparse.training import checkpoints

pytestmark = hashes_may_wrap

X, Y = make_problem()


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Return tensors and metadata of a checkpoint within an epoch."""
    path = tmp_path_factory.mktemp("parts") / "c"
    topology = make("snfs", sample_every=1, schedule=UpdateSchedule(3, "step"))
    callbacks = [Checkpoint(path), StopAfter(5)]
    settings = {"optimizer": "adam", "topology": topology, "callbacks": callbacks}
    with pytest.raises(KeyboardInterrupt):
        make_trainer(make_model(activation="srelu"), **settings).fit(X, Y)
    return tensor_files.read(path)


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


class Remembers(Callback):
    """Has a state."""

    def __init__(self, state):
        self.given = state

    def state(self):
        return self.given


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"tensor": 1}}, "cannot store a dict whose only key is 'tensor'"),
        ({"a": np.zeros(2, complex)}, "cannot store an array of complex128"),
        ({"a": {1, 2}}, "cannot store a set in a state"),
    ],
)
def test_states_that_cannot_be_stored(state, message, tmp_path):
    class Listen(Callback):
        def on_warning(self, run, message):
            heard.append(message)

    heard: list[str] = []
    callbacks = [Remembers(state), Listen(), Checkpoint(tmp_path / "c")]
    make_trainer(callbacks=callbacks).fit(X, Y)
    assert any(message in each for each in heard), heard


def test_unspoilt_parts_make_a_run(parts, tmp_path):
    assert len(resume(spoil(tmp_path / "c", parts))) == 3


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 3),
        (("format",), "1"),
        (("run", "epoch"), -1),
        (("run", "epoch"), 2),
        (("run", "epoch"), 10**18),
        (("run", "epoch"), 1.0),
        (("run", "batch"), 99),
        (("run", "first_step"), 4),
        (("run", "n_batches"), 0),
        (("run", "n_samples"), 0),
        (("run", "loss_sum"), float("nan")),
        (("run", "weight_sum"), "x"),
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


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": []},
        {"epoch": [1, 2]},
        {"epoch": [2]},
        {"epoch": [True]},
        {"train_loss": ["x"]},
        {"train_loss": [None]},
        {"step": [None]},
        {"step": [1.0]},
        {"nnz": 3},
        {"nnz": None},
    ],
)
def test_a_spoilt_history(changes, parts, tmp_path):
    columns = json.loads(parts[0]["history"].tobytes())
    assert len(columns["epoch"]) == 1
    content = json.dumps(columns | changes).encode()
    history = np.frombuffer(content, np.uint8)
    path = spoil(tmp_path / "c", parts, tensors={"history": history})
    with pytest.raises(ModelFileError):
        resume(path)


@pytest.mark.parametrize(
    "history",
    [
        None,
        np.zeros(0, np.uint8),
        np.arange(200, dtype=np.uint8),
        np.frombuffer(b"[]", np.uint8),
        np.frombuffer(b"{}", np.uint8),
        np.frombuffer(b"9" * 4, np.int32),
    ],
)
def test_a_history_that_is_none(history, parts, tmp_path):
    path = spoil(tmp_path / "c", parts, tensors={"history": history})
    with pytest.raises(ModelFileError):
        resume(path)


def test_the_first_format_is_read(parts, tmp_path):
    columns = json.loads(parts[0]["history"].tobytes())
    records = [{name: values[0] for name, values in columns.items()}]
    old = {("format",): 1, ("run", "history"): records}
    path = spoil(tmp_path / "old", parts, old, {"history": None})
    new = spoil(tmp_path / "new", parts)
    assert checkpoint.read(path).run.history == checkpoint.read(new).run.history
    assert len(resume(path)) == 3
    for wrong in ([], [{"epoch": 1}], [records[0] | {"more": 1}], None):
        changes = old | {("run", "history"): wrong}
        path = spoil(tmp_path / "wrong", parts, changes, {"history": None})
        with pytest.raises(ModelFileError):
            resume(path)


def test_records_take_no_room_in_the_header(tmp_path):
    # That of a safetensors file takes 100 MB.
    class Repeat(Callback):
        def on_epoch_end(self, run, record):
            history = run.history
            for n in (1, 1000):
                run.history = history[:1] * n
                checkpoints.write(run, tmp_path / f"{n}")
            run.history = history

    make_trainer(callbacks=[Repeat()], epochs=1).fit(X, Y)
    heads, bodies = [], []
    for n in (1, 1000):
        content = (tmp_path / f"{n}").read_bytes()
        heads.append(int.from_bytes(content[:8], "little"))
        bodies.append(len(content) - heads[-1])
    assert heads[1] - heads[0] < 100
    assert bodies[1] - bodies[0] > 50_000


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
    [
        *(("deepr", "signs"), ("lottery", "noted"), ("top_kast", "keys")),
        *(("dst_ee", "visited"), ("wast", "row_importance"), ("soft_deepr", "near")),
    ],
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
    model = models.save(make_model(), tmp_path / "m")
    with pytest.raises(ModelFileError, match="is a model, not a checkpoint"):
        checkpoint.read(model)
    with pytest.raises(ModelFileError, match="cannot read"):
        checkpoint.read(tmp_path / "missing")
    data = spoil(tmp_path / "c", parts).read_bytes()
    for length in (0, 7, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            checkpoint.read(tmp_path / "cut")
