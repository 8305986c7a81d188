"""Runs whose folder fails them: full disks, damage, another process, remains."""

import builtins
import contextlib
import errno
import json
import os
import pathlib
import subprocess
import sys
import time
import warnings

import pytest
from support import tensor_files
from support.commands import NET, SMALL, call

from truesparse import checkpoint, info, load
from truesparse.commands import resume
from truesparse.common import writing
from truesparse.errors import UsageError
from truesparse.storage import run_folder

RUN = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--out", "run"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def failing(monkeypatch):
    """Return a context in which no file of a name can be written."""
    real = os.replace

    @contextlib.contextmanager
    def fail(name):
        def replace(source, target):
            if os.path.basename(target) == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            yield

    return fail


def events(name):
    with open("run/metrics.jsonl", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line for line in lines if line["event"] == name]


def test_checkpoints_that_cannot_be_written_are_warned_of_each_time(capsys, failing):
    with failing("checkpoint.safetensors"):
        got = call(capsys, *RUN)
    assert got.code == 0, got.err
    said = "cannot write model 'run/checkpoint.safetensors': No space left on device"
    assert got.err.count(said) == 3
    assert [line["message"] for line in events("warning")] == [said] * 3
    assert load("run/model.safetensors").step == 12


def test_a_quiet_run_warns_all_the_same(capsys, failing):
    """Failed checkpoints used to reach the metrics only."""
    with failing("checkpoint.safetensors"):
        got = call(capsys, *RUN, "--quiet")
    assert got.code == 0
    said = "warning: cannot write model 'run/checkpoint.safetensors': No space left on"
    assert got.err == f"{said} device\n" * 3


def test_a_folder_that_takes_no_model_is_noticed_before_training(capsys, failing):
    with failing("model.safetensors"):
        got = call(capsys, *RUN)
    assert got.code == 7
    assert "cannot write model 'run/model.safetensors': No space left" in got.err
    # Nothing was trained and nothing is left, so that the same command can be given.
    assert "loss" not in got.err
    assert not os.path.exists("run")
    assert call(capsys, *RUN).code == 0


def test_the_model_of_a_run_goes_elsewhere(capsys, failing, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    # No snapshot but the first, however long an epoch takes.
    monkeypatch.setattr("truesparse.training.snapshot._SHARE_OF_TIME", 0.0)
    from truesparse.training.trainer import Trainer

    fit, real = Trainer.fit, os.replace

    def full(source, target):
        if str(target) == "run/model.safetensors":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        real(source, target)

    def fit_and_fill(self, *arguments, **options):
        history = fit(self, *arguments, **options)
        monkeypatch.setattr(os, "replace", full)
        return history

    monkeypatch.setattr(Trainer, "fit", fit_and_fill)
    got = call(capsys, *RUN)
    monkeypatch.setattr(os, "replace", real)
    assert got.code == 7
    [path] = elsewhere.glob("truesparse-*/model.safetensors")
    assert got.err.splitlines()[-1] == (
        "truesparse: cannot write model 'run/model.safetensors': No space left on "
        f"device; the model is in {path} instead; resume the run with --resume run, "
        "or choose another --out"
    )
    assert load(path).step == 12
    # With room again, the run is resumed to save its model where it belongs, although
    # an earlier state is there.
    assert load("run/model.safetensors").step < 12
    monkeypatch.setattr(Trainer, "fit", fit)
    got = call(capsys, "--resume", "run")
    assert got.code == 0, got.err
    assert load("run/model.safetensors").step == 12


def test_metrics_that_are_lost_are_counted(capsys, monkeypatch):
    from truesparse.callbacks import MetricsFile

    append = MetricsFile._append

    def full(self, text):
        if '"event": "epoch"' in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, text)

    monkeypatch.setattr(MetricsFile, "_append", full)
    got = call(capsys, *RUN)
    assert got.code == 0, got.err
    said = "cannot write metrics 'run/metrics.jsonl': No space left on device; 1 of its"
    assert got.err.count(said) == 3
    assert not events("epoch")
    assert len(events("run_end")) == 1


def test_half_a_line_is_taken_back(tmp_path):
    from truesparse.callbacks import MetricsFile

    metrics = MetricsFile(tmp_path / "m.jsonl")
    metrics.write("one")

    class Half:
        """A file whose disk is full after five bytes."""

        def __init__(self, file):
            self.file, self.left = file, 5

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            if self.left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.left = 0
            return self.file.write(data[:5])

    import truesparse.callbacks.metrics as module

    module.open = lambda *words, **options: Half(open(*words, **options))  # noqa: SIM115
    try:
        metrics.write("two")
    finally:
        del module.open
    metrics.write("three")
    lines = (tmp_path / "m.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["one", "three"]


def test_a_second_process_is_refused(capsys, tmp_path):
    assert call(capsys, *RUN).code == 0
    program = (
        "import sys, time\n"
        "from truesparse.storage import run_folder\n"
        "with run_folder.claim('run'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        got = call(capsys, "--resume", "run", "--epochs", "5")
        assert got.code == 2
        assert f"another process (number {holder.pid}) trains in run" in got.err
        # Killed, so that it cannot tidy up.
        holder.kill()
    got = call(capsys, "--resume", "run", "--epochs", "5")
    assert got.code == 0, got.err
    assert not os.path.exists("run/.lock")


def test_a_folder_is_claimed_once_at_a_time(tmp_path):
    second = run_folder.claim(tmp_path)
    with (
        run_folder.claim(tmp_path),
        pytest.raises(UsageError, match="another process"),
        second,
    ):
        pass
    with run_folder.claim(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_blank_is_quoted_in_the_hint(tmp_path):
    folder = tmp_path / "a run"
    folder.mkdir()
    assert resume.hint(folder) == ""
    (folder / "checkpoint.previous.safetensors").touch()
    assert resume.hint(folder) == f"; resume the run with --resume '{folder}'"


def test_what_a_killed_process_left_is_swept(capsys):
    assert call(capsys, *RUN).code == 0
    remains = ["run/.model.0123abcd.part.safetensors", "run/.page.0123abcd.part"]
    others = ["run/.model.part", "run/notes.part.txt"]
    for name in (*remains, *others):
        with open(name, "w", encoding="utf-8") as file:
            file.write("half")
    assert call(capsys, "--resume", "run", "--epochs", "4").code == 0
    assert not any(map(os.path.exists, remains))
    assert all(map(os.path.exists, others))


def test_old_partial_files_of_a_name_go_when_it_is_written(tmp_path):
    fresh, old = (tmp_path / f".m.{n}.part" for n in ("0123abcd", "4567abcd"))
    for path in (fresh, old):
        path.write_text("half")
    day = time.time() - 86400
    os.utime(old, (day, day))
    with writing.replacing(tmp_path / "m", "file") as partial:
        partial.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"m", fresh.name}


def test_a_run_killed_before_it_saved_its_model_is_resumed(capsys):
    assert call(capsys, *RUN).code == 0
    want = load("run/model.safetensors")
    with open("run/metrics.jsonl", encoding="utf-8") as file:
        lines = file.readlines()
    with open("run/metrics.jsonl", "w", encoding="utf-8") as file:
        file.writelines(line for line in lines if '"run_end"' not in line)
    os.remove("run/model.safetensors")
    got = call(capsys, "--resume", "run")
    assert got.code == 0, got.err
    again = load("run/model.safetensors")
    assert again.step == want.step
    values = [layer.connections.values.tobytes() for layer in want.layers]
    assert values == [layer.connections.values.tobytes() for layer in again.layers]


def flip_last_byte(path):
    with open(path, "rb+") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(capsys):
    assert call(capsys, *RUN).code == 0
    want = load("run/model.safetensors")
    flip_last_byte("run/checkpoint.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        got = call(capsys, "--resume", "run", "--epochs", "4")
    assert got.code == 0, got.err
    assert "warning: the content of run/checkpoint.safetensors has changed" in got.err
    assert "resuming at step 8, after epoch 2" in got.err
    assert [line["epoch"] for line in events("epoch")] == [1, 2, 3, 4]
    assert want.step == 12


def test_after_a_fall_back_the_good_checkpoint_stays(capsys, failing):
    """The damaged one used to be moved over it, before the new one was in place."""
    assert call(capsys, *RUN).code == 0
    flip_last_byte("run/checkpoint.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with failing("checkpoint.safetensors"):
            assert call(capsys, "--resume", "run", "--epochs", "5").code == 0
        saved = checkpoint.read("run/checkpoint.safetensors")
    assert saved.run.epoch == 2


def test_a_checkpoint_of_a_later_format_does_not_replace_the_one_before(capsys):
    assert call(capsys, *RUN).code == 0
    path = "run/checkpoint.safetensors"
    with open(path, "rb+") as file:
        content = file.read()
        later = content.replace(
            rb"{\"format\": 2, \"versions", rb"{\"format\": 9, \"versions"
        )
        assert later != content
        file.seek(0)
        file.write(later)
    tensor_files.restamp(path)
    before = load("run/checkpoint.previous.safetensors").step
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call(capsys, "--resume", "run").code == 0
    assert load("run/checkpoint.previous.safetensors").step == before
    assert load(path).step == 12


def test_info_verifies(capsys):
    assert call(capsys, *RUN).code == 0
    path = "run/model.safetensors"
    got = call(capsys, "--verify", path, main=info.main)
    assert (got.code, got.out) == (0, f"{path} is as it was written\n")
    flip_last_byte(path)
    for words in (["--verify", path], [path], ["run"]):
        got = call(capsys, *words, main=info.main)
        assert got.code == 6
        assert "has changed since it was written" in got.err
    assert call(capsys, "--no-verify", path, main=info.main).code == 0
    got = call(capsys, "--no-verify", "--verify", path, main=info.main)
    assert got.code == 2


@pytest.mark.parametrize("every", ["1", "0"])
def test_a_disk_that_does_not_answer_makes_no_run_begin_afresh(
    every, capsys, monkeypatch
):
    assert call(capsys, *RUN, "--checkpoint-every", every).code == 0
    before = {path: path.read_bytes() for path in pathlib.Path("run").iterdir()}
    silent = {"1": "checkpoint", "0": "metrics"}[every]
    real, real_open = os.stat, open

    def refuse(function):
        def call(path, *arguments, **options):
            if isinstance(path, str | os.PathLike) and silent in os.fspath(path):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return function(path, *arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse(real))
        patch.setattr(builtins, "open", refuse(real_open))
        got = call(capsys, "--resume", "run", "--epochs", "5")
    assert got.code == 6
    assert f"cannot read 'run/{silent}" in got.err
    assert "Input/output error" in got.err
    assert {path: path.read_bytes() for path in before} == before
