"""SIGINT and SIGTERM in every phase of a run: its end is clear, and nothing is lost.

A hook sends the signal from within the phase, so that it arrives there.
"""

import os
import pkgutil
import signal

import pytest
from support.commands import NET, SMALL, Result, call, finish, start

from truesparse import load
from truesparse.storage.models import load_config

RUN = [*SMALL["iris"], *NET, "--update-every", "1", "--checkpoint-every", "1"]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
BEFORE = {
    "loading": "truesparse.datasets:load",
    "building": "truesparse.commands.build:make_model",
    "compiling": "truesparse.network.sparse_mlp:SparseMLP.prepare",
}
WITHIN = {
    "steps": "truesparse.network.sparse_mlp:SparseMLP.train_batch",
    "updating": "truesparse.topology.set:Set.grow",
    "evaluating": "truesparse.network.sparse_mlp:SparseMLP.evaluate",
    "metrics": "truesparse.callbacks.metrics:MetricsFile.on_epoch_end",
    "checkpoint": "truesparse.training.checkpoints:write",
    "last good model": "truesparse.training.snapshot:Snapshot.take",
}
LAST = {
    "final save": "truesparse.train:_save",
}


def run(capsys, *words):
    """Run the command line; an interrupted training exits by itself."""
    try:
        return call(capsys, *words)
    except SystemExit as ended:
        return Result(ended.code, *capsys.readouterr())


def hook(monkeypatch, place, number, skipped=0):
    """Send a signal to this process when a function is called, or only count."""
    owner, _, name = place.replace(":", ".").rpartition(".")
    owner = pkgutil.resolve_name(owner)
    function, calls = getattr(owner, name), []

    def hooked(*arguments, **options):
        calls.append(name)
        if number is not None and len(calls) == skipped + 1:
            os.kill(os.getpid(), number)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, hooked)
    return calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the model of a run that was not interrupted."""
    from truesparse.train import main

    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*RUN, "--out", str(folder), "--quiet"]) == 0
    return load(folder)


def assert_same(model, other):
    assert model.step == other.step
    for one, two in zip(model.layers, other.layers, strict=True):
        for left, right in zip(one.connections.csr, two.connections.csr, strict=True):
            assert left.tobytes() == right.tobytes()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("phase", BEFORE)
def test_before_the_first_step(
    phase, number, code, tmp_path, capsys, monkeypatch, whole
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        assert not hook(patch, BEFORE[phase], number)
        got = run(capsys, *RUN, "--out", folder)
    assert got.code == code
    text = f"truesparse: stopped by {number.name}; no model was saved"
    assert got.err.splitlines()[-1] == text
    # The same command then works.
    assert run(capsys, *RUN, "--out", folder).code == 0
    assert_same(load(folder), whole)


@pytest.mark.compiled
def test_while_kernels_are_compiled(tmp_path):
    """The first step compiles; it is finished, as any other is."""
    empty = str(tmp_path / "cache")
    process = start(*RUN, "--out", "run", cwd=tmp_path, NUMBA_CACHE_DIR=empty)
    assert any("compiling kernels" in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    got = finish(process)
    assert got.code == 143
    told, text = got.err.splitlines()
    assert told == "SIGTERM: stops after this step and saves; once more ends at once"
    assert text.startswith("stopped by SIGTERM; the model is saved in run/")
    assert load(tmp_path / "run" / "model.safetensors").step == 1


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("phase", WITHIN)
def test_within_training(phase, number, code, tmp_path, capsys, monkeypatch, whole):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        hook(patch, WITHIN[phase], number)
        got = run(capsys, *RUN, "--out", folder)
    assert got.code == code
    last = got.err.splitlines()[-1]
    assert last.startswith(f"stopped by {number.name}; the model is saved in ")
    assert last.endswith(f"resume the run with --resume {folder}")
    assert 0 < load(folder).step < whole.step
    assert not list(folder.glob(".*part*"))
    assert run(capsys, "--resume", folder).code == 0
    assert_same(load(folder), whole)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("phase", LAST)
def test_after_the_last_step(phase, number, code, tmp_path, capsys, monkeypatch, whole):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        calls = hook(patch, LAST[phase], None)
        assert run(capsys, *RUN, "--out", folder).code == 0
        skipped = len(calls) - 1
    for path in [*folder.iterdir()]:
        path.unlink()
    with monkeypatch.context() as patch:
        hook(patch, LAST[phase], number, skipped)
        got = run(capsys, *RUN, "--out", folder)
    assert got.code == code
    assert "Traceback" not in got.err
    assert f"stopped by {number.name}; " in got.err.splitlines()[-1]
    assert run(capsys, "--resume", folder).code == 0
    assert_same(load(folder), whole)
    assert load_config(folder / "model.safetensors") is not None
