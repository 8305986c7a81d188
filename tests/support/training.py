"""A small learnable problem, and what a run of the trainer did."""

import numpy as np
import pytest

from truesparse.callbacks import Callback
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology import ALGORITHMS, UpdateSchedule, make
from truesparse.training.run import EpochRecord, Run
from truesparse.training.trainer import Trainer

SIZES = (6, 12, 10, 3)
# With the JIT off, NumPy remarks upon the wrap-around that hashes for dropout rely on.
hashes_may_wrap = pytest.mark.filterwarnings(
    "ignore:overflow encountered in scalar multiply"
)
# 70 samples in batches of 32 leave a partial one of 6.
N, BATCH = 70, 32


def make_problem(n=N, seed=0):
    """Return float32 samples of three classes that a network can tell apart."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, SIZES[-1], n)
    centres = 2 * np.random.default_rng(1).standard_normal((SIZES[-1], SIZES[0]))
    x = centres[labels] + 0.5 * draw.standard_normal((n, SIZES[0]))
    return x.astype(np.float32), labels


def save_small_data(folder):
    """Write small.npz: 60 and 30 samples of 12 features, the first of which decides."""
    draw = np.random.default_rng(0)
    X = draw.standard_normal((90, 12)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    parts = {"X_train": X[:60], "y_train": y[:60], "X_test": X[60:], "y_test": y[60:]}
    np.savez(folder / "small.npz", **parts)


def make_model(sizes=SIZES, **settings):
    return SparseMLP(sizes, **{"epsilon": 2, "seed": 1} | settings)


def make_trainer(model=None, **settings):
    defaults = {"lr": 0.05, "epochs": 3, "batch_size": BATCH}
    return Trainer(model or make_model(), **defaults | settings)


def arrays_of(model):
    """Return copies of all arrays that training changes."""
    return [
        array.copy()
        for layer in model.layers
        for array in (
            *layer.connections.csr,
            *layer.connections.moments,
            *layer.neuron_parameters(),
        )
    ]


def assert_same_arrays(got, want):
    for ours, theirs in zip(arrays_of(got), arrays_of(want), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Recorder(Callback):
    """Notes the events of a run: name, epoch, step, and what was handed over."""

    def __init__(self):
        self.events = []

    def on_train_begin(self, run):
        self._note("train_begin", run)

    def on_batch_end(self, run):
        self._note("batch_end", run)

    def on_topology_update(self, run, changes):
        self._note("topology_update", run, changes)

    def on_epoch_end(self, run, record):
        self._note("epoch_end", run, record)

    def on_train_end(self, run):
        self._note("train_end", run)

    def names(self):
        return [event[0] for event in self.events]

    def of(self, name):
        """Return what was noted of one kind of event."""
        return [event[1:] for event in self.events if event[0] == name]

    def _note(self, name, run, *arguments):
        self.events.append((name, run.epoch, run.model.step, *arguments))


class StopAfter(Callback):
    """Leaves a run after a step, as a signal does."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, run):
        if run.model.step == self.step:
            raise KeyboardInterrupt


def algorithm(name):
    """Return an algorithm that updates within the short runs here."""
    taken = ALGORITHMS[name].options()
    every = 4 if "sample_every" in taken else 2
    options = {
        "schedule": UpdateSchedule(every, "step", start=every),
        "sample_every": 1,
        "rounds": 2,
        "rewind_epoch": 1,
    }
    return make(name, **{each: options[each] for each in options if each in taken})


def record(epoch, train_loss=1.0, val_loss=None):
    times = dict.fromkeys(
        ["seconds", "data_s", "forward_s", "backward_s", "topology_s"], 1.0
    )
    return EpochRecord(
        epoch=epoch,
        step=epoch,
        train_loss=train_loss,
        val_loss=val_loss,
        val_score=None,
        lr=0.1,
        nnz=5,
        samples_per_s=1.0,
        rss_mb=1.0,
        **times,
    )


def make_run(n_epochs=5):
    return Run(make_model(), n_epochs, 3, N)
