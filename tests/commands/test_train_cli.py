"""The command line on small real data: results, files, options."""

import contextlib
import json
import math

import numba
import numpy as np
import pytest
import safetensors
from numba.core import event
from support.commands import NET, SMALL, call, finish, start, write_svm
from support.training import arrays_of, assert_same_arrays, hashes_may_wrap

from truesparse import datasets
from truesparse.commands import build
from truesparse.commands import config as config_module
from truesparse.commands.config import RunConfig
from truesparse.commands.config_files import read_toml
from truesparse.kernels import jit
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.storage import models
from truesparse.topology import UpdateSchedule
from truesparse.topology.set import Set
from truesparse.topology.static import Static

pytestmark = hashes_may_wrap

PROMISED = {
    "test_score": float,
    "train_loss": float,
    "seconds": float,
    "epochs": int,
    "neurons": int,
    "nnz": int,
    "density": float,
    "peak_rss_mb": float,
    "model": str,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# Runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "lr", "least"),
    [
        ("iris", 0.1, 0.85),
        # Takes half a minute without the JIT.
        pytest.param("digits", 0.1, 0.85, marks=pytest.mark.compiled),
        ("diabetes", 0.01, 0.2),
    ],
)
def test_real_data_are_learnt(data, lr, least, capsys):
    words = *SMALL[data], "--hidden", "60,50", "--epsilon", "10", "--epochs", "20"
    words = *words, "--lr", lr, "--batch-size", "32", "--dropout", "0"
    got = call(capsys, *words, "--json", "--quiet")
    assert got.code == 0
    assert got.json["test_score"] >= least
    assert got.json["epochs"] == 20


def test_a_sparse_file_is_learnt(tmp_path, capsys):
    path = write_svm(tmp_path / "thin.svm")
    words = "--hidden", "40", "--epochs", "30", "--dropout", "0", "--epsilon", "10"
    got = call(capsys, "--data", path, *words, "--lr", "0.1", "--json")
    assert got.code == 0
    assert got.json["test_score"] > 0.9
    assert "72 samples, 39 features, 2 outputs" in got.err
    assert got.json["model"] == "runs/thin-1/model.safetensors"


def test_the_result_is_one_object_on_stdout_and_the_rest_on_stderr(tmp_path):
    process = start(*SMALL["iris"], *NET, "--json", cwd=tmp_path)
    got = finish(process)
    assert got.code == 0, got.err
    assert got.out.count("\n") == 1
    result = got.json
    assert {name: type(result[name]) for name in PROMISED} == PROMISED
    assert (result["epochs"], result["neurons"]) == (3, 44)
    assert 0 < result["density"] < 1
    assert result["train_loss"] > 0
    assert 50 < result["peak_rss_mb"] < 2000
    model = models.load(tmp_path / result["model"])
    assert model.nnz == result["nnz"]
    assert model.layer_sizes == (4, 24, 20, 3)
    phases = ["data", "forward", "backward", "topology"]
    parts = [result[f"{name}_s_per_epoch"] for name in phases]
    assert sum(parts) <= result["seconds_per_epoch"] < result["seconds"]
    # The saved model is the one that was tested.
    data = datasets.load("iris")
    assert model.evaluate(data.X_test, data.y_test)[1] == result["test_score"]
    for text in (
        "iris: 120 samples, 4 features, 3 outputs",
        "4 - 24 - 20 - 3:",
        "epoch 3/3  loss",
        "test accuracy",
        "connections",
        "seconds per epoch",
        "peak memory",
        "runs/iris-1/model.safetensors",
    ):
        assert text in got.err


def test_without_json_stdout_is_empty_and_with_quiet_stderr_too(capsys):
    loud = call(capsys, *SMALL["iris"], *NET)
    assert (loud.code, loud.out) == (0, "")
    assert loud.err
    quiet = call(capsys, *SMALL["iris"], *NET, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_the_first_use_says_that_kernels_are_compiled(capsys, monkeypatch):
    text = "compiling kernels, once on this machine ..."
    compiles = lambda callback: contextlib.nullcontext(callback())  # noqa: E731
    monkeypatch.setattr(jit, "when_compiling", compiles)
    assert text in call(capsys, *SMALL["iris"], *NET).err
    monkeypatch.setattr(jit, "when_compiling", lambda _: contextlib.nullcontext())
    assert text not in call(capsys, *SMALL["iris"], *NET).err


@pytest.mark.compiled
def test_compiling_is_announced_once_and_not_later():
    listeners = list(event._registered["numba:compile"])
    said = []
    with jit.when_compiling(lambda: said.append(1)):
        assert not said
        for number in (1, 1.5):
            numba.njit(lambda x: x + 1)(number)
        assert said == [1]
    # A run that compiles nothing leaves no listener behind either.
    with jit.when_compiling(lambda: said.append(2)):
        pass
    numba.njit(lambda x: x + 2)(1)
    assert said == [1]
    assert event._registered["numba:compile"] == listeners


def test_a_regression_reports_what_it_is(capsys):
    got = call(capsys, *SMALL["diabetes"], *NET)
    assert "test R2" in got.err
    assert "10 - 24 - 20 - 1:" in got.err


def test_the_share_of_explored_cells_is_reported_if_asked(capsys):
    words = *SMALL["iris"], "--hidden", "24,20", "--epochs", "3"
    got = call(capsys, *words, "--explored", "--json")
    assert got.json["density"] < got.json["explored"] < 1
    assert f"cells explored     {got.json['explored']:.3g} of all" in got.err
    assert "explored" not in call(capsys, *words, "--json").json


def test_numbers_that_json_lacks_become_null(capsys, monkeypatch):
    evaluate = lambda *arguments: (math.inf, math.nan)  # noqa: E731
    monkeypatch.setattr(SparseMLP, "evaluate", evaluate)
    got = call(capsys, *SMALL["iris"], *NET, "--json")
    assert got.json["test_score"] is got.json["test_loss"] is None


# The run folder ----------------------------------------------------------------------


def test_the_run_folder(tmp_path, capsys):
    folder = tmp_path / "deep" / "run"
    words = *SMALL["iris"], *NET, "--out", folder, "--zeta", "0.2"
    got = call(capsys, *words, "--json")
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.safetensors",
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
    ]
    assert got.json["model"] == str(folder / "model.safetensors")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert events[0] == "run_start"
    assert events[-1] == "run_end"
    assert events.count("epoch") == 3
    options = read_toml(folder / "config.toml")
    assert (options["zeta"], options["hidden"]) == (0.2, (24, 20))
    # Resolved: also what depends on the data.
    assert options["lr"] > 0
    assert options["epsilon"] > 0
    assert options["label_smoothing"] >= 0


def test_its_configuration_repeats_the_run(tmp_path, capsys):
    words = *SMALL["iris"], *NET, "--seed", "5", "--out", "first"
    assert call(capsys, *words).code == 0
    words = "--config", "first/config.toml", "--out", "second"
    assert call(capsys, *words).code == 0
    first, second = (tmp_path / name for name in ("first", "second"))
    name = "model.safetensors"
    assert (first / name).read_bytes() == (second / name).read_bytes()
    with safetensors.safe_open(first / name, framework="numpy") as file:
        assert file.metadata()["config"] == (first / "config.toml").read_text()
    # Without --out the first folder is not in the way.
    assert call(capsys, "--config", "first/config.toml").code == 0
    again = tmp_path / "runs" / "iris-1" / name
    assert again.read_bytes() == (first / name).read_bytes()
    changed = "--config", "first/config.toml", "--out", "third", "--seed", "6"
    assert call(capsys, *changed).code == 0
    third = tmp_path / "third" / name
    assert third.read_bytes() != (first / name).read_bytes()


def test_folders_are_numbered(tmp_path, capsys):
    for _ in range(2):
        assert call(capsys, *SMALL["iris"], *NET).code == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "iris-1",
        "iris-2",
    ]


def test_an_empty_folder_is_taken(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert call(capsys, *SMALL["iris"], *NET, "--out", "run").code == 0


# Options reach the engine ------------------------------------------------------------


def test_options_of_training():
    config = RunConfig(
        hidden=(8,),
        lr=0.5,
        lr_schedule="step",
        warmup=2.0,
        optimizer="adamw",
        weight_decay=0.01,
        decay="l2",
        momentum=0.7,
        fan_in_limit=50.0,
        powerprop=2.0,
        zeta=0.1,
        removal="magnitude",
        regrow_init="he_normal",
        evolve_output=True,
        final="prune_only",
        update_every=3,
        epochs=9,
        batch_size=17,
        clip_norm=2.0,
    )
    model = SparseMLP((4, 8, 3))
    trainer = build.make_trainer(config, model)
    assert trainer.lr == LearningRate(0.5, "step", warmup=2.0)
    assert trainer.optimizer == Optimizer(
        "adamw",
        momentum=0.7,
        weight_decay=0.01,
        decay="l2",
        fan_in_limit=50.0,
        powerprop=2.0,
    )
    assert (trainer.epochs, trainer.batch_size, trainer.clip_norm) == (9, 17, 2.0)
    algorithm = trainer.topology
    assert isinstance(algorithm, Set)
    assert (algorithm.zeta, algorithm.removal) == (0.1, "magnitude")
    assert (algorithm.evolve_output, algorithm.final) == (True, "prune_only")
    assert algorithm.regrow_init == "he_normal"
    assert algorithm.schedule == UpdateSchedule(every=3, start=3)
    config = RunConfig(
        topology="gse",
        topology_arg={"gamma": 2.0, "distribution": "grabo"},
        update_every=5,
        update_unit="step",
        update_start=7,
        update_end=70,
    )
    algorithm = build.make_topology(config)
    assert (algorithm.gamma, algorithm.distribution) == (2.0, "grabo")
    assert algorithm.schedule == UpdateSchedule(5, "step", start=7, end=70)
    # A unit alone does not make epochs of a number of steps.
    config = RunConfig(topology="rigl", update_unit="epoch")
    algorithm = build.make_topology(config)
    assert algorithm.schedule == UpdateSchedule(1, "epoch", start=1)
    # What is not given is as the topology has it.
    algorithm = build.make_topology(RunConfig(topology="gse"))
    assert (algorithm.zeta, algorithm.schedule.every) == (0.2, 1000)
    assert isinstance(build.make_topology(RunConfig(topology="static")), Static)
    # It takes no schedule; one that is given changes nothing.
    config = RunConfig(topology="static", update_every=5)
    assert build.make_topology(config).schedule == UpdateSchedule()


def test_options_of_the_model():
    data = datasets.load("iris", dtype=np.float64)
    config = RunConfig(
        neurons=25,
        depth=2,
        density=0.3,
        activation="all_relu",
        activation_parameter=0.75,
        dropout=0.1,
        label_smoothing=0.2,
        weight_init="set_normal",
        dtype="float64",
        seed=9,
    )
    model = build.make_model(config, data)
    want = SparseMLP(
        (4, 13, 12, 3), density=0.3, weight_init="set_normal", dtype="float64", seed=9
    )
    assert_same_arrays(model, want)
    names = [layer.activation.name for layer in model.layers]
    assert names == ["all_relu", "all_relu", "identity"]
    assert [layer.activation.parameter for layer in model.layers[:2]] == [-0.75, 0.75]
    assert [layer.activation.dropout for layer in model.layers] == [0.1, 0.1, 0.0]
    assert (model.loss.name, model.loss.label_smoothing) == ("softmax", 0.2)
    assert arrays_of(model)[2].dtype == np.float64


@pytest.mark.parametrize(
    ("data", "loss", "n_outputs"),
    [("digits", "softmax", 10), ("diabetes", "squared", 1)],
)
def test_the_data_decide_loss_and_outputs(data, loss, n_outputs):
    loaded = datasets.load(data, scale_target=True)
    config = build.resolve(RunConfig(hidden=(8,)), loaded)
    model = build.make_model(config, loaded)
    assert model.loss.name == loss
    assert model.layer_sizes[-1] == n_outputs


def test_defaults_that_depend_on_other_options():
    names = "optimizer", "lr", "label_smoothing", "epochs", "epsilon"

    def defaults(data, **given):
        config = build.resolve(RunConfig(**given), datasets.load(data))
        return tuple(getattr(config, name) for name in names)

    # 1,437 rows make 45 steps an epoch, 120 make 4, and 353 make 12.
    assert defaults("digits") == ("sgd", 0.2, 0.1, 15, 3.0)
    assert defaults("iris") == ("sgd", 0.1, 0.0, 50, 3.0)
    assert defaults("diabetes") == ("adam", 0.003, 0.0, 59, 3.0)
    assert defaults("diabetes", hidden=(10_000, 9)) == ("adam", 0.01, 0.0, 59, 3.0)
    assert defaults("diabetes", optimizer="nesterov") == (
        "nesterov",
        3e-4,
        0.0,
        59,
        3.0,
    )
    assert defaults("iris", optimizer="rmsprop")[:2] == ("rmsprop", 1e-3)
    assert defaults("iris", scale="range")[1:3] == (0.2, 0.1)
    assert defaults("iris", batch_size=120)[3] == 200
    given = RunConfig(
        density=0.5, optimizer="sgd", lr=0.3, label_smoothing=0.0, epochs=2
    )
    assert build.resolve(given, datasets.load("diabetes")) == given
    assert config_module.RunConfig().epsilon is None


@pytest.mark.parametrize(("threads", "text"), [(1, "1 thread"), (3, "3 threads")])
def test_threads(threads, text, tmp_path):
    words = *SMALL["iris"], *NET, "--threads", threads
    got = finish(start(*words, cwd=tmp_path))
    assert got.code == 0, got.err
    assert f", {text}\n" in got.err
