"""The accuracy benchmark: what it compares, resumes, refuses and writes."""

import json
import sys

import numpy as np
import pytest
from support.training import save_small_data

from benchmarks import accuracy, report, stored, tables_accuracy
from benchmarks.stored import ROOT
from benchmarks.torch_dense import TorchDense
from truesparse.errors import DivergedError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.training.trainer import Trainer


@pytest.fixture
def small_data(tmp_path):
    """Return the folder and name of a data set that a small net can learn."""
    save_small_data(tmp_path)
    return f"--data small --data-home {tmp_path} --hidden 16,16,16 --batch-size 8"


def test_accuracy_compares_methods(small_data, tmp_path, capsys):
    path = tmp_path / "accuracy-small.json"
    flags = f"{small_data} --epsilons 3 --seeds 2 --epochs 2 --out {path}"
    assert accuracy.main(flags.split()) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3 * 2 * 2
    assert {line["method"] for line in lines} == {"set", "static", "dense"}
    rows = json.loads(path.read_text())["rows"]
    assert [row["method"] for row in rows] == ["set", "static", "dense"]
    assert rows[2]["nnz"] == 12 * 16 + 2 * 16 * 16 + 16 * 2
    last = [x["val_score"] for x in lines if x["method"] == "set" and x["epoch"] == 2]
    assert rows[0]["final_mean"] == pytest.approx(np.mean(last))
    assert rows[0]["final_sd"] == pytest.approx(np.std(last, ddof=1))
    text = report.table("accuracy", stored.Results(tmp_path))
    assert "| small | set, eps 3 | zero | 0.1 |" in text


@pytest.mark.parametrize("decay", ["0", "0.01"])
def test_torch_trains_the_same_dense_net(decay, small_data, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "accuracy-small.json"
    flags = f"{small_data} --seeds 1 --epochs 3 --dropout 0 --out {path}"
    flags += f" --methods dense,torch_dense --weight-decay {decay}"
    assert accuracy.main(flags.split()) == 0
    ours, torch = json.loads(path.read_text())["runs"]
    assert ours["nnz"] == torch["nnz"]
    assert torch["train_losses"] == pytest.approx(ours["train_losses"], rel=1e-5)


def test_torch_dense_continues_from_arrays_that_were_replaced():
    pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    X = draw.standard_normal((20, 6), np.float32)
    y = draw.integers(0, 3, 20)
    model = TorchDense((6, 5, 3), threads=1, seed=0)
    Trainer(model, epochs=1, topology="static").fit(X, y)
    other = SparseMLP((6, 5, 3), density=1.0, seed=1)
    for layer, new in zip(model.layers, other.layers, strict=True):
        layer.connections.adopt(new.connections)
        layer.bias[:] = new.bias
    want = other.decision_function(X)
    np.testing.assert_allclose(model.decision_function(X), want, rtol=1e-5, atol=1e-6)


def test_torch_dense_leaves_the_model_as_it_is_when_the_loss_is_not_finite():
    pytest.importorskip("torch")
    model = TorchDense((2, 3, 2), threads=1, seed=0)
    X, y = np.full((4, 2), 3e38, np.float32), np.array([0, 1, 0, 1])
    with pytest.raises(DivergedError, match="epoch 1, step 1"):
        Trainer(model, epochs=1, topology="static").fit(X, y)
    assert model.step == 0


def test_torch_dense_takes_sgd_with_momentum_only(small_data, tmp_path, capsys):
    flags = f"{small_data} --momentum 0 --methods static,torch_dense --epochs 1"
    assert accuracy.main([*flags.split(), "--out", str(tmp_path / "x.json")]) == 2
    printed = capsys.readouterr()
    # Before the other methods have taken their hours.
    assert not printed.out
    assert "torch_dense takes" in printed.err


def test_torch_dense_needs_torch(small_data, tmp_path, monkeypatch, capsys):
    # Makes the import fail, where torch is installed too.
    monkeypatch.setitem(sys.modules, "torch", None)
    flags = f"{small_data} --methods set,torch_dense --out {tmp_path / 'x.json'}"
    assert accuracy.main(flags.split()) == 2
    printed = capsys.readouterr()
    assert "torch is not installed" in printed.err
    assert not printed.out


def test_accuracy_resumes_where_it_was_interrupted(
    small_data, tmp_path, capsys, monkeypatch
):
    path = tmp_path / "accuracy-small.json"
    flags = (
        f"{small_data} --methods static --epsilons 3 --epochs 1 --out {path}".split()
    )
    train, seeds = accuracy.train, []

    def train_two(data, run, settings):
        if len(seeds) == 2:
            raise KeyboardInterrupt
        seeds.append(run["seed"])
        return train(data, run, settings)

    monkeypatch.setattr(accuracy, "train", train_two)
    with pytest.raises(KeyboardInterrupt):
        accuracy.main(flags)
    before = json.loads(path.read_text())["runs"]
    assert seeds == [run["seed"] for run in before] == [0, 1]
    seeds.clear()
    assert accuracy.main([*flags, "--threads", "1"]) == 0
    assert "2 finished runs kept" in capsys.readouterr().err
    assert seeds == [2]
    after = json.loads(path.read_text())
    assert after["runs"][:2] == before
    assert after["rows"][0]["seeds"] == 3
    written = path.read_bytes()
    assert accuracy.main([*flags, "--dropout", "0.5"]) == 2
    assert "dropout 0.1, not 0.5" in capsys.readouterr().err
    assert accuracy.main(["--data", "digits", *flags[2:]]) == 2
    assert path.read_bytes() == written
    path.write_text("[]")
    assert accuracy.main(flags) == 4
    assert "choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("", "accuracy-mnist"),
        ("--epochs 30", "accuracy-mnist-30"),
        ("--regrow-init-study", "regrow-mnist"),
        ("--regrow-init-study --epochs 2", "regrow-mnist-2"),
    ],
)
def test_results_of_other_epochs_have_a_file_of_their_own(flags, name):
    result = accuracy.parse(["--data", "mnist", *flags.split()]).out
    assert result == ROOT / "benchmarks" / "results" / f"{name}.json"


def test_accuracy_of_set_within_30_epochs_has_targets():
    row = {"method": "set", "epsilon": 13.0, "epochs": 30, "final_mean": 0.98}
    verdict, net = tables_accuracy.accuracy_target, [1000, 1000, 1000]
    assert verdict("fashion_mnist", net, row) == "88.0%: met"
    assert verdict("mnist", net, row) == "98.2%: **missed**"
    assert verdict("digits", net, row) == "-"
    assert verdict("mnist", [30, 20], row) == "-"
    for other in ({"epochs": 31}, {"method": "static"}, {"epsilon": 5.0}):
        assert verdict("mnist", net, row | other) == "-"


def test_regrow_study_tries_every_initialiser(small_data, tmp_path, capsys):
    path = tmp_path / "regrow-small.json"
    flags = f"{small_data} --regrow-init-study --epochs 2 --epsilons 3 --out {path}"
    assert accuracy.main(flags.split()) == 0
    capsys.readouterr()
    rows = json.loads(path.read_text())["rows"]
    tried = {(row["lr"], row["regrow_init"]) for row in rows}
    assert tried == {(lr, i) for lr in (0.01, 0.05) for i in accuracy.STUDY_INITS}
    assert all(row["final_sd"] is None for row in rows)
    assert "he_uniform" in report.table("regrow", stored.Results(tmp_path))
