"""What ``info --verify`` says and how it ends where nothing could be verified."""

import importlib
import json
import warnings

import numpy as np
import pytest
from support.commands import NET, ROOT, SMALL, call, finish, start
from support.training import make_model

from truesparse import analyse, info, load, predict, report, save, train

export_main = importlib.import_module("truesparse.export.__main__").main
OLDER = ROOT / "tests" / "data" / "model.safetensors"


def flip_key(content):
    place = content.index(b'"digest"') + 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def no_key(content):
    return content.replace(b'"digest"', b'"letter"', 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: b"", "cannot read model "),
        (lambda _: b"some words\n" * 50, "cannot read model "),
        (flip_key, "where its digest should be stands something else; use another"),
        (no_key, "has no digest, so changes of its content would not be noticed"),
    ],
)
def test_a_file_of_which_nothing_can_be_verified_is_not_verified(
    spoil, message, tmp_path
):
    """It used to say "has no digest" and to end with code 0."""
    path = save(make_model(), tmp_path / "m")
    path.write_bytes(spoil(path.read_bytes()))
    for words in ((path, "--verify"), (path, "--verify", "--json")):
        got = finish(start(*words, cwd=tmp_path, module="truesparse.info"))
        assert (got.code, got.out) == (6, ""), got.err
        assert message in got.err
        assert got.err.count("\n") == 1


def test_what_is_verified(tmp_path, capsys):
    path = save(make_model(), tmp_path / "m")
    got = call(capsys, path, "--verify", "--json", main=info.main)
    assert (got.code, got.json) == (0, {"file": str(path), "verified": True})


def test_every_file_of_a_run_is_verified(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--restore-best"]
    assert call(capsys, *words, "--out", "run").code == 0
    names = ("model", "checkpoint", "checkpoint.previous", "best")
    got = call(capsys, "run", "--verify", main=info.main)
    said = "".join(f"run/{name}.safetensors is as it was written\n" for name in names)
    assert (got.code, got.out) == (0, said)
    for name in names:
        path = tmp_path / "run" / f"{name}.safetensors"
        content = path.read_bytes()
        for damaged in (content[:-1] + bytes([content[-1] ^ 1]), b""):
            path.write_bytes(damaged)
            got = call(capsys, "run", "--verify", main=info.main)
            assert got.code == 6
            assert f"run/{name}.safetensors" in got.err
            assert got.out.count("is as it was written") == 3
        path.write_bytes(content)
    assert call(capsys, "run", "--verify", "--json", main=info.main).json["verified"]
    (tmp_path / "empty").mkdir()
    got = call(capsys, "empty", "--verify", main=info.main)
    assert got.code == 6
    assert "holds no model.safetensors" in got.err


def test_an_older_file_is_described_with_a_warning(capsys):
    assert call(capsys, OLDER, "--verify", main=info.main).code == 6
    for more, n_warnings in (([], 1), (["--no-verify"], 0)):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            got = call(capsys, OLDER, "--json", *more, main=info.main)
        assert (got.code, json.loads(got.out)["verified"]) == (0, False)
        assert got.err.count(f"warning: {OLDER} has no digest, so") == n_warnings


@pytest.mark.parametrize("name", ["analyse", "predict", "export", "report", "resume"])
def test_a_damaged_run_is_read_only_without_the_check(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL["iris"], *NET, "--checkpoint-every", "1", "--out", "run"]
    assert call(capsys, *words).code == 0
    for path in tmp_path.glob("run/*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-4] ^= 1  # the lowest bit of a number
        path.write_bytes(content)
    np.savetxt("rows.csv", np.ones((2, 4)), delimiter=",")
    main, *words = {
        "analyse": (analyse.main, "run", "--only", "structure"),
        "predict": (predict.main, "run", "rows.csv"),
        "export": (export_main, "run", "--to", "csr", "--out", "net.npz"),
        "report": (report.main, "run"),
        "resume": (train.main, "--resume", "run", "--epochs", "4"),
    }[name]
    got = call(capsys, *words, main=main)
    assert got.code == 6, got.err
    assert "has changed since it was written" in got.err
    assert "--no-verify" in got.err
    assert call(capsys, *words, "--no-verify", main=main).code == 0


def test_a_damaged_best_model_is_put_back_only_without_the_check(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = [*SMALL["iris"], "--hidden", "8", "--epochs", "3", "--restore-best"]
    words += ["--monitor", "train_loss", "--lr", "3", "--seed", "1", "--quiet"]
    assert call(capsys, *words, "--checkpoint-every", "1", "--out", "run").code == 0
    path = tmp_path / "run" / "best.safetensors"
    want = load(tmp_path / "run").step
    assert want < load(tmp_path / "run" / "checkpoint.safetensors").step
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    (tmp_path / "run" / "model.safetensors").unlink()
    assert call(capsys, "--resume", "run").code == 6
    assert call(capsys, "--resume", "run", "--no-verify").code == 0
    assert load(tmp_path / "run").step == want
