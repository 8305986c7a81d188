"""Random trainings: a net, data, an optimiser and a topology, all drawn from a seed.

``configurations.py SEED COUNT THREADS ...`` prints for each of COUNT configurations
what training it gave with each number of threads, and interrupted and resumed from its
checkpoint; test_determinism.py and the long lanes compare them.
"""

import contextlib
import hashlib
import json
import pathlib
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from support import golden
from support.topology_options import draw_options
from support.training import StopAfter

from truesparse import SparseMLP, Trainer, checkpoint, topology
from truesparse.activations import ACTIVATIONS
from truesparse.callbacks import Checkpoint
from truesparse.drawing.cells import INITIALIZERS
from truesparse.drawing.patterns import INIT_TOPOLOGIES
from truesparse.errors import TruesparseError
from truesparse.kernels import jit
from truesparse.losses import LOSSES
from truesparse.optimizers import DECAYS, OPTIMIZERS, Optimizer
from truesparse.schedules import SCHEDULES, LearningRate
from truesparse.topology import ALGORITHMS

# One tile of each width, and several of the widest; others compile the same kernels.
BATCH_SIZES = (2, 3, 9, 20, 100)


@dataclass(frozen=True)
class Configuration:
    """The settings of a training, as its parts take them, and of its data.

    Attributes
    ----------
    sizes : tuple of int
    model, trainer, topology : dict
        Arguments of SparseMLP, Trainer and topology.make.
    optimizer : dict
        Arguments of Optimizer.
    lr : dict
        Arguments of LearningRate.
    n : int
        Number of samples.
    is_sparse, is_weighted : bool
        Whether the data are CSR, and have sample weights.
    stop : int
        Step after which the run is interrupted.
    """

    sizes: tuple[int, ...]
    model: dict[str, Any]
    trainer: dict[str, Any]
    topology: dict[str, Any]
    optimizer: dict[str, Any]
    lr: dict[str, Any]
    n: int
    is_sparse: bool
    is_weighted: bool
    stop: int


def draw_configuration(seed: int, largest: int = 3000) -> Configuration:
    """Return the configuration of a seed, with layers of at most `largest` neurons.

    Topologies take turns, so that so many seeds have all of them.
    """
    draw = np.random.default_rng([seed, 5])

    def choose(options):
        options = list(options)
        return options[draw.integers(len(options))]

    def size(least, most):
        return int(np.exp(draw.uniform(np.log(least), np.log(most))))

    loss = choose(LOSSES)
    hidden = [size(3, largest) for _ in range(draw.integers(1, 4))]
    sizes = (size(3, 400), *hidden, 3 if loss == "softmax" else size(1, 6))
    batch_size, epochs = choose(BATCH_SIZES), int(draw.integers(2, 4))
    n = batch_size * int(draw.integers(2, 5)) + int(draw.integers(1, batch_size + 1))
    n_steps = epochs * -(-n // batch_size)
    powerprop = choose((1.0, 1.0, 1.0, 2.0))
    names = list(ALGORITHMS)
    algorithm = {"name": names[seed % len(names)]}
    algorithm |= draw_options(draw, algorithm["name"], len(sizes) - 1)
    if powerprop > 1.0 and "regrow_init" in ALGORITHMS[algorithm["name"]].options():
        algorithm["regrow_init"] = "he_uniform"
    pattern = choose(name for name in INIT_TOPOLOGIES if name != "csti")
    budget = {"epsilon": float(draw.uniform(1, 8))}
    if pattern == "uniform":
        budget = {"density": float(draw.uniform(0.01, 0.1))}
    dtype = choose(("float32", "float64"))
    activations = choose((None, "bfloat16")) if dtype == "float32" else None
    return Configuration(
        sizes=sizes,
        model={
            **budget,
            "activation_dtype": activations,
            "activation": choose(ACTIVATIONS),
            "loss": loss,
            "dropout": choose((0.0, 0.0, 0.2, 0.5)),
            "init_topology": pattern,
            "weight_init": choose(name for name in INITIALIZERS if name != "zero"),
            "dtype": dtype,
            "seed": int(draw.integers(2**32)),
        },
        trainer={
            "epochs": epochs,
            "batch_size": batch_size,
            "shuffle": bool(draw.random() < 0.8),
            "clip_norm": choose((None, None, 0.5)),
        },
        topology=algorithm,
        optimizer={
            "name": choose(OPTIMIZERS),
            "momentum": choose((0.9, 0.0)),
            "weight_decay": choose((0.0, 1e-3)),
            "decay": choose((None, *DECAYS)),
            "fan_in_limit": choose((None, 20.0)),
            "powerprop": powerprop,
        },
        lr={"base": 0.003, "name": choose(SCHEDULES), "warmup": choose((0.0, 1.0))},
        n=n,
        is_sparse=bool(draw.random() < 0.4),
        is_weighted=bool(draw.random() < 0.3),
        stop=int(draw.integers(1, n_steps)),
    )


def make_data(configuration: Configuration):
    """Return samples, targets and sample weights or None."""
    draw = np.random.default_rng(configuration.n)
    n, n_out = configuration.n, configuration.sizes[-1]
    X = draw.standard_normal((n, configuration.sizes[0])).astype(np.float32)
    if configuration.is_sparse:
        X = scipy.sparse.csr_array(X * (draw.random(X.shape) < 0.3))
    targets = {
        "softmax": lambda: draw.integers(0, n_out, n),
        "logistic": lambda: np.rint(draw.random((n, n_out))),
        "poisson": lambda: draw.poisson(2.0, (n, n_out)).astype(float),
    }
    loss = configuration.model["loss"]
    y = targets.get(loss, lambda: draw.standard_normal((n, n_out)))()
    return X, y, draw.random(n) + 0.5 if configuration.is_weighted else None


def make_trainer(configuration: Configuration, model=None, callbacks=()) -> Trainer:
    """Return a trainer of the configuration, by default with a new model."""
    if model is None:
        model = SparseMLP(configuration.sizes, **configuration.model)
    return Trainer(
        model,
        optimizer=Optimizer(**configuration.optimizer),
        lr=LearningRate(**configuration.lr),
        topology=topology.make(**configuration.topology),
        callbacks=callbacks,
        **configuration.trainer,
    )


def result(configuration: Configuration, *, resumed_with: int | None = None) -> str:
    """Train and return a digest of all bits, or the text of the error that it ended in.

    Parameters
    ----------
    configuration : Configuration
    resumed_with : int, optional
        Stop after a step, and resume from the checkpoint with so many threads.
    """
    X, y, weights = make_data(configuration)
    data = {"X_val": X[:20], "y_val": y[:20], "sample_weight": weights}
    try:
        if resumed_with is not None:
            trainer, run = _interrupt(configuration, X, y, data)
            jit.set_threads(resumed_with)
        else:
            trainer, run = make_trainer(configuration), None
        history = trainer.fit(X, y, run=run, **data)
    except TruesparseError as error:
        return f"{type(error).__name__}: {error}"
    sha = hashlib.sha256(golden.digest(trainer.model).encode())
    scores = [(each.train_loss, each.val_loss, each.nnz) for each in history]
    sha.update(repr(scores).encode())
    sha.update(trainer.model.decision_function(X).tobytes())
    return sha.hexdigest()


def _interrupt(configuration: Configuration, X, y, data):
    """Return a new trainer and the run to resume, read from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "checkpoint.safetensors")
        callbacks = [StopAfter(configuration.stop), Checkpoint(path)]
        with contextlib.suppress(KeyboardInterrupt):
            make_trainer(configuration, callbacks=callbacks).fit(X, y, **data)
        saved = checkpoint.read(path)
    assert saved.model.step == configuration.stop
    trainer = make_trainer(configuration, saved.model)
    return trainer, saved.resume(trainer)


def results(seed: int, threads: list[int], largest: int = 3000) -> dict[str, str]:
    """Return what a configuration gave by number of threads, and when resumed.

    A run is resumed with the last number of threads after a start with the first, and
    the other way round.
    """
    configuration = draw_configuration(seed, largest)
    got = {}
    for count in threads:
        assert jit.set_threads(count) == count
        got[str(count)] = result(configuration)
    ends = threads[0], threads[-1]
    for before, after in (ends, ends[::-1]):
        jit.set_threads(before)
        got[f"{before}, then {after}"] = result(configuration, resumed_with=after)
    return got


if __name__ == "__main__":
    first, number, *counts = map(int, sys.argv[1:])
    print(json.dumps([results(first + k, counts) for k in range(number)]))
