"""What trained nets and files are to be, to the last bit, whatever moves in the code.

    python -m support.golden            in tests/: compares, prints what differs
    python -m support.golden --write    writes the figures and the files anew

Written on 2026-11-28 with commit 1737092, before the modules were put in their present
places. It is written again only where arithmetic or a file format changes on purpose,
and the change log says so.
"""

import hashlib
import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import scipy.sparse

from truesparse import (
    SparseMLP,
    SparseMLPRegressor,
    Trainer,
    checkpoint,
    load,
    save,
    topology,
)
from truesparse.condensed import CondensedMLP
from truesparse.losses import Loss
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.train import main

DATA = pathlib.Path(__file__).parents[1] / "data"
FIGURES = DATA / "golden.json"
RUN = DATA / "run"
BATCH, N_BATCHES, EPOCHS = 32, 5, 4  # 20 steps

# Settings of the model, the trainer, the data; what is left out is that of _train.
NETS: dict[str, tuple[dict, dict, dict]] = {
    "sgd": ({}, {}, {}),
    "partial_batch": ({}, {"batch_size": 33}, {}),
    "small_batch": ({}, {"batch_size": 2}, {"n": 40, "epochs": 1}),
    "adam_dropout": (
        {"activation": "gelu", "dropout": 0.2},
        {"optimizer": Optimizer("adam"), "lr": 0.01},
        {},
    ),
    "srelu_rmsprop": (
        {"activation": "srelu"},
        {"optimizer": Optimizer("rmsprop"), "lr": 0.005},
        {},
    ),
    "all_relu_decay": (
        {"activation": "all_relu", "weight_init": "xavier_normal"},
        {"optimizer": Optimizer("sgd", weight_decay=1e-3, decay="set")},
        {},
    ),
    "smoothing_cosine": (
        {"loss": Loss("softmax", label_smoothing=0.1), "activation": "silu"},
        {"lr": LearningRate(0.1, "cosine", warmup=1), "optimizer": "nesterov"},
        {},
    ),
    "powerprop": (
        {},
        {
            "optimizer": Optimizer("nesterov", weight_decay=1e-3, powerprop=2.0),
            "topology": topology.make("set", regrow_init="he_uniform"),
        },
        {},
    ),
    "clipped": ({"activation": "elu"}, {"clip_norm": 0.05}, {}),
    "float64_logistic": (
        {"dtype": "float64", "loss": "logistic", "activation": "tanh"},
        {"optimizer": Optimizer("adamw", weight_decay=0.01), "lr": 0.01},
        {"targets": "binary"},
    ),
    "huber": ({"loss": "huber", "activation": "leaky_relu"}, {}, {"targets": "real"}),
    "squared": ({"loss": "squared"}, {"lr": 0.01}, {"targets": "real"}),
    "poisson": ({"loss": "poisson"}, {"lr": 0.01}, {"targets": "binary"}),
    "sparse_input": ({}, {}, {"sparse": True}),
    "sparse_small_batch": (
        {},
        {"batch_size": 4},
        {"sparse": True, "n": 80, "epochs": 1},
    ),
}
PATTERNS = ("constant_fan_in", "bsf", "bsw", "brf", "csti", "erk", "uniform")
# Those that cut a full net down, and what they cut it to.
FROM_FULL = {
    "lottery": {"final_share": 0.1, "rounds": 2},
    "magnitude": {"final_share": 0.1},
}
# Stages that more than one algorithm has.
EVERY_4 = topology.UpdateSchedule(4, "step", 4)
OPTIONS = {
    "deepr_global": {"name": "deepr", "scope": "global", "schedule": EVERY_4},
    "cyclic": {"name": "rigl", "share_peak": 2.0, "schedule": EVERY_4},
}
# The others update every few steps.
ONCE = ("static", "snip", "grasp", "synflow", *FROM_FULL)


def trajectories():
    """Return by name the digest of each net after 20 steps, and its last losses."""
    digests = {name: _train(*settings) for name, settings in NETS.items()}
    for name in topology.ALGORITHMS:
        model = {"density": 1.0} if name in FROM_FULL else {}
        options = FROM_FULL.get(name, {})
        if name not in ONCE:
            options = {"schedule": EVERY_4}
        algorithm = topology.make(name, **options)
        digests[f"topology_{name}"] = _train(model, {"topology": algorithm}, {})
    removing = {"chain_removal": True, "importance": 0.1, "importance_every": 1}
    options = {"importance_start": 1, "decay": "cosine", **removing}
    algorithm = topology.make("set", zeta=0.2, **options)
    digests["set_removing"] = _train({}, {"topology": algorithm}, {})
    for name, options in OPTIONS.items():
        digests[name] = _train({}, {"topology": topology.make(**options)}, {})
    for name in PATTERNS:
        digests[f"pattern_{name}"] = _train(
            {"init_topology": name, "density": 0.3}, {}, {}
        )
    return digests


def _train(model_settings, trainer_settings, data_settings):
    X, y = make_data(**{k: v for k, v in data_settings.items() if k != "epochs"})
    given = dict(model_settings)
    if given.get("init_topology") == "csti":
        given["init_data"] = X
    net = {"epsilon": 4, "seed": 3} | given
    if "density" in given:
        del net["epsilon"]
    model = SparseMLP((24, 40, 30, 3), **net)
    settings = {"lr": 0.05, "epochs": EPOCHS, "batch_size": BATCH} | trainer_settings
    settings["epochs"] = data_settings.get("epochs", settings["epochs"])
    history = Trainer(model, **settings).fit(X, y, X_val=X[:32], y_val=y[:32])
    last = history[-1]
    losses = [last.train_loss, last.val_loss]
    return {"digest": digest(model), "losses": losses, "connections": model.nnz}


def make_data(n=BATCH * N_BATCHES, targets="labels", sparse=False):
    """Return samples (n, 24) and targets of one kind."""
    draw = np.random.default_rng(7)
    X = draw.standard_normal((n, 24)).astype(np.float32)
    answers = {
        "labels": (X[:, 0] > 0).astype(int) + (X[:, 1] > 0),
        "binary": (X[:, :3] > 0).astype(float),
        "real": X[:, :3] + 0.1 * X[:, 3:6] ** 2,
    }
    if sparse:
        X = scipy.sparse.csr_array(X * (draw.random(X.shape) < 0.3))
    return X, answers[targets]


def digest(model):
    """Return a hash of all that training changes, optimiser state included."""
    total = hashlib.sha256()
    for layer in model.layers:
        for array in (
            *layer.connections.csr,
            *layer.connections.moments,
            layer.bias,
            *layer.bias_moments,
            *((layer.srelu.values,) if layer.srelu is not None else ()),
        ):
            total.update(str((array.dtype.str, array.shape)).encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def write_files():
    """Write one file of each kind."""
    shutil.rmtree(RUN, ignore_errors=True)
    words = "--data iris --hidden 12,9 --topology rigl --activation srelu --explored"
    words += " --optimizer adam --lr 0.01 --update-every 3 --update-unit step --quiet"
    words += " --early-stopping 9 --restore-best --epochs 2 --batch-size 16 --out"
    assert main([*words.split(), str(RUN)]) == 0
    X, y = make_data(targets="real")
    settings = {"epsilon": 3, "max_iter": 2, "random_state": 0}
    regressor = SparseMLPRegressor((8, 6), **settings)
    save(regressor.fit(X.astype(float), y), DATA / "regressor.safetensors")
    save(small_model(), DATA / "model.safetensors")
    condensed = CondensedMLP.from_model(small_model("srelu", "constant_fan_in"))
    condensed.save(DATA / "condensed.safetensors")


def small_model(activation="relu", init_topology="erdos_renyi"):
    """Return a model that is drawn, not trained: no arithmetic of kernels is in it."""
    settings = {"activation": activation, "init_topology": init_topology}
    return SparseMLP((24, 10, 8, 3), density=0.3, seed=11, **settings)


def files(folder):
    """Return by name what each file gives; the run is resumed in a copy in `folder`.

    The files are older than digests, of which readers warn.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* has no digest", UserWarning)
        return _read_files(folder)


def _read_files(folder):
    X, _ = make_data(n=4)
    flowers = np.linspace(0.1, 7.0, 8, dtype=np.float32).reshape(2, 4)
    again = pathlib.Path(folder) / "run"
    shutil.copytree(RUN, again)
    saved = checkpoint.read(RUN / "checkpoint.safetensors")
    digests = {
        "checkpoint": digest(saved.model),
        "run": _outputs(load(RUN / "model.safetensors"), flowers, scaled=True),
        "best": _outputs(load(RUN / "best.safetensors"), flowers, scaled=True),
        "regressor": _outputs(load(DATA / "regressor.safetensors"), X),
        "model": _outputs(load(DATA / "model.safetensors"), X),
        "condensed": _outputs(CondensedMLP.load(DATA / "condensed.safetensors"), X),
    }
    # Of a run that early stopping and the best epoch take part in.
    assert main(["--resume", str(again), "--epochs", "4", "--quiet"]) == 0
    last = checkpoint.read(again / "checkpoint.safetensors")
    digests["resumed"] = digest(last.model)
    digests["resumed_model"] = digest(load(again / "model.safetensors"))
    return digests


def _outputs(model, X, **how):
    return np.round(model.decision_function(X, **how), 4).tolist()


if __name__ == "__main__":
    import tempfile

    if "--write" in sys.argv:
        write_files()
    with tempfile.TemporaryDirectory() as folder:
        got = {"trajectories": trajectories(), "files": files(folder)}
    if "--write" in sys.argv:
        FIGURES.write_text(json.dumps(got, indent=1) + "\n")
    want = json.loads(FIGURES.read_text())
    for part, figures in want.items():
        for name, value in figures.items():
            if got[part][name] != value:
                print(f"{part}: {name} differs: {got[part][name]}, not {value}")
