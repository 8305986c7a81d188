"""A disk that fails at any call: what was saved stays, the next run puts it right."""

import errno
import functools
import itertools
import os
import resource
import shutil

import numpy as np
import pytest
from support import faulty_runs
from support.commands import NET, SMALL, call, finish, start
from support.io_faults import CAUSES, EXTENTS, SHORT, Fault, injected
from support.training import make_model, make_problem, make_trainer

from truesparse import checkpoint, load, save
from truesparse.callbacks import BestModel, Callback, Checkpoint, MetricsFile
from truesparse.commands.report_page import write_page
from truesparse.common import writing
from truesparse.common.writing import replacing
from truesparse.condensed import CondensedMLP
from truesparse.errors import ModelFileError, StorageError
from truesparse.storage import digest

RUN = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--out", "run"]
# Others have few calls; pages take seconds.
DRAWS = {"train": 30, "resume": 15, "report": 3, "analysis_html": 3}
DRAWS |= dict.fromkeys(("curves", "csr", "onnx", "torch"), 12)


@pytest.mark.compiled
@pytest.mark.parametrize("name", faulty_runs.SCENARIOS)
def test_a_fault_loses_nothing_and_is_put_right(name):
    if name not in faulty_runs.available():
        pytest.skip("needs a library")
    draw, reached = np.random.default_rng(22), 0
    faults = faulty_runs.draw_faults(draw, name, DRAWS.get(name, 8))
    for number, fault in enumerate(faults):
        outcome, wrong = faulty_runs.attempt(name, fault, whole=number % 2 == 0)
        assert not wrong, f"{name}, {fault}: {wrong}"
        reached += outcome != "not reached"
    assert reached


@pytest.mark.compiled
def test_a_file_that_cannot_even_be_looked_at_is_a_fault_of_the_disk():
    for index, extent in itertools.product(range(3), EXTENTS):
        fault = Fault(index, errno.EIO, extent)
        outcome, wrong = faulty_runs.attempt("analysis_json", fault)
        assert outcome in ("code 0", "code 6", "code 7"), fault
        assert not wrong, fault


def every_fault_of(prepare, write, folder, causes=CAUSES):
    """Yield each fault of each call that `write` makes, and its error or None."""
    prepare()
    with injected(folder) as calls:
        write()
    for index, cause, extent in itertools.product(
        range(len(calls.names)), causes, EXTENTS
    ):
        for file in folder.iterdir():
            file.unlink()
        prepare()
        with injected(folder, Fault(index, cause, extent)):
            try:
                write()
            except StorageError as error:
                said = error
            else:
                said = None
        yield f"{calls.names[index]}, {cause}, {extent}", said


@pytest.mark.parametrize("kind", ["report", "model"])
def test_a_file_is_replaced_as_a_whole_or_not_at_all(kind, tmp_path):
    path = tmp_path / "file"
    write = functools.partial(write_page, "<p>" * 1000, path)
    if kind == "model":
        write = functools.partial(CondensedMLP.from_model(make_model()).save, path)
    write()
    whole, n_refused = path.read_bytes(), 0
    prepare = functools.partial(path.write_bytes, b"old")
    for fault, error in every_fault_of(prepare, write, tmp_path):
        assert path.read_bytes() in (b"old", whole), fault
        assert error is not None or path.read_bytes() == whole, fault
        assert error is None or f"cannot write {kind} '{path}': " in str(error), fault
        n_refused += error is not None
        # A stray file stays only where even removing fails.
        stray = list(tmp_path.glob(".*.part*"))
        assert not stray or "all" in fault or "unlink" in fault, fault
    assert n_refused > 50


def damage(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def without_digest(content):
    return content.replace(b'"digest"', b'"digesT"')


@pytest.mark.parametrize("spoil", [None, damage, without_digest, lambda _: b""])
def test_of_two_checkpoints_one_is_there_after_any_fault(spoil, tmp_path):
    """The extent "all" is a process that is killed before the call.

    After a fall back on the previous one, the last is damaged: it took its place.
    """
    path = tmp_path / "c.safetensors"
    previous = tmp_path / "c.previous.safetensors"
    models = [make_model(seed=seed) for seed in range(3)]
    for step, model in enumerate(models):
        model.step = step

    def prepare():
        save(models[0], previous)
        save(models[1], path)
        if spoil is not None:
            path.write_bytes(spoil(path.read_bytes()))
            os.utime(path, (1, 1))  # clocks of files tick every few milliseconds

    def write():
        save(models[2], path, previous=previous)

    good = [(2, 1), (1, 0), (1, 1)]
    accepted = [(2, 0), (None, 0)] if spoil else good
    for fault, error in every_fault_of(prepare, write, tmp_path, CAUSES[-2:]):
        steps = verified_step(path), verified_step(previous)
        # What cannot be read while it is replaced is not known to be good.
        is_unread = fault.split(",")[0].endswith(f" {path.name}") and steps == (2, 0)
        assert steps in accepted or is_unread, fault
        assert error is not None or steps == accepted[0] or is_unread, fault


def verified_step(path):
    try:
        return load(path).step if digest.verify(path) else None
    except ModelFileError:
        return None


@pytest.mark.compiled
def test_the_calls_of_a_run_are_counted():
    with faulty_runs._folder("train"), injected("run") as calls:
        assert call_quietly(*faulty_runs.SCENARIOS["train"].words)[0] == 0
    seen = {name.split()[0] for name in calls.names}
    wanted = {"open", "write", "close", "fsync", "replace", "stat", "unlink", "mkdir"}
    assert wanted <= seen
    files = {name.split()[1] for name in calls.names}
    assert {"metrics.jsonl", "config.toml", "model.safetensors", "run"} <= files


def call_quietly(*words):
    return faulty_runs.call(faulty_runs.train.main, list(words))


@pytest.mark.parametrize("cause", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_folders_that_cannot_be_flushed_are_no_fault(tmp_path, cause):
    def write(fault=None):
        with (
            injected(tmp_path, fault) as calls,
            replacing(tmp_path / "file", "file") as partial,
        ):
            partial.write_text("new")
        return calls.names

    names = write()
    [flush] = [k for k, name in enumerate(names) if name == f"fsync {tmp_path.name}"]
    write(Fault(flush, cause))
    with pytest.raises(StorageError, match="Input/output error"):
        write(Fault(flush, errno.EIO))
    assert (tmp_path / "file").read_text() == "new"


def test_half_a_line_that_cannot_be_taken_back_goes_with_the_next_one(tmp_path):
    path = tmp_path / "m.jsonl"
    metrics = MetricsFile(path)
    metrics.write("one")
    with injected(tmp_path) as calls:
        metrics.write("two")
    half = calls.names.index("write m.jsonl")
    with injected(tmp_path, Fault(half, SHORT, "all")):
        metrics.write("lost")
    assert metrics.state()["bytes"] < path.stat().st_size
    metrics.write("three")
    assert path.read_text().count("\n") == 3
    assert "lost" not in path.read_text()
    assert metrics.state()["bytes"] == path.stat().st_size


class Vanish(Callback):
    """Removes a folder after the first epoch."""

    def __init__(self, folder):
        self.folder, self.warnings = folder, []

    def on_epoch_end(self, run, record):
        shutil.rmtree(self.folder, ignore_errors=True)

    def on_warning(self, run, message):
        self.warnings.append(message)


def test_a_folder_that_vanishes_does_not_end_the_training(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    vanish = Vanish(folder)
    callbacks = [vanish, MetricsFile(folder / "m"), Checkpoint(folder / "c", every=1)]
    trainer = make_trainer(callbacks=callbacks, epochs=3)
    assert len(trainer.fit(*make_problem())) == 3
    said = "cannot write model"
    assert sum(said in text and "No such file" in text for text in vanish.warnings) == 3
    assert any("of its lines are missing" in text for text in vanish.warnings)


@pytest.mark.compiled
def test_the_model_of_a_run_whose_folder_vanished_goes_elsewhere(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from truesparse.callbacks import Progress

    monkeypatch.setattr(
        Progress, "on_epoch_end", lambda self, run, record: shutil.rmtree("run", True)
    )
    got = call(capsys, *RUN)
    assert got.code == 7
    assert "No such file or directory" in got.err
    last = got.err.splitlines()[-1]
    assert last.endswith("instead; choose another --out")
    [path] = tmp_path.glob("truesparse-*/model.safetensors")
    assert str(path) in last
    assert load(path).step == 12


def test_a_best_model_of_which_only_the_flush_failed_is_the_best(tmp_path, monkeypatch):
    def fail(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writing, "_flush_folder", fail)
    best, vanish = BestModel("train_loss", tmp_path / "best"), Vanish("nowhere")
    settings = {"keep_last_good": False, "callbacks": [best, vanish], "epochs": 3}
    history = make_trainer(**settings).fit(*make_problem())
    losses = [record.train_loss for record in history]
    assert best.epoch == 1 + losses.index(min(losses))
    assert load(tmp_path / "best").step == history[best.epoch - 1].step
    assert all("Input/output error" in text for text in vanish.warnings)
    assert vanish.warnings


@pytest.mark.compiled
def test_a_read_only_folder_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkdir("run", 0o500)
    if os.geteuid() == 0:  # whom no folder refuses
        with injected("run") as calls:
            call(capsys, *RUN, "--epochs", "1")
        shutil.rmtree("run")
        os.mkdir("run")
        first = calls.names.index("open config.toml")
        with injected("run", Fault(first, errno.EACCES, "all")):
            got = call(capsys, *RUN)
    else:
        got = call(capsys, *RUN)
    assert got.code == 7
    assert got.err.splitlines()[-1] == (
        "truesparse: cannot write run folder 'run': Permission denied; give another "
        "--out"
    )
    assert not os.listdir("run")


@pytest.mark.compiled
def test_a_limit_of_the_size_of_files_is_a_full_disk_not_a_signal(tmp_path):
    """SIGXFSZ would end the process; Python ignores it, and the write fails."""
    program = start(*RUN, cwd=tmp_path)
    resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (4000, 4000))
    got = finish(program)
    assert got.code == 7, got.err
    assert "File too large" in got.err.splitlines()[-1]
    assert "--out" in got.err.splitlines()[-1]
    assert "Traceback" not in got.err


@pytest.mark.compiled
def test_a_complete_run_whose_best_model_cannot_be_read_keeps_the_last(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    from truesparse.training.snapshot import SavedModel

    words = ["--restore-best", "--monitor", "train_loss", "--lr", "3", "--seed", "1"]
    assert call(capsys, *RUN, *words).code == 0
    want = load("run/model.safetensors").step
    assert want < 12, "choose settings that are best before the end"
    shutil.rmtree("run")
    restore = SavedModel.restore

    def lose(self, *arguments):
        os.rename(self.path, "elsewhere")
        restore(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SavedModel, "restore", lose)
        got = call(capsys, *RUN, *words)
    assert got.code == 6
    assert got.err.splitlines()[-1].endswith(
        "; the model of the last epoch is saved in run/model.safetensors; resume the "
        "run with --resume run"
    )
    assert load("run/model.safetensors").step == 12
    os.rename("elsewhere", "run/best.safetensors")
    assert call(capsys, "--resume", "run").code == 0
    assert load("run/model.safetensors").step == want
    assert checkpoint.read("run/checkpoint.safetensors").model.step == 12
