"""Divergence in every setting: the run stops, says where, and keeps the last good net.

One number is poisoned after a step, as a fault of the arithmetic would do.
"""

import errno
import itertools
import os
import tempfile

import numpy as np
import pytest
from scipy import sparse

from truesparse import SparseMLP, Trainer, load
from truesparse.callbacks import Checkpoint
from truesparse.errors import DivergedError, StorageError
from truesparse.estimators import SparseMLPClassifier
from truesparse.optimizers import OPTIMIZERS
from truesparse.topology import ALGORITHMS, UpdateSchedule
from truesparse.topology import make as make_topology
from truesparse.training.events import Callback
from truesparse.training.snapshot import has_finite_weights

X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = np.arange(12) % 3
EVOLVING = [name for name in ALGORITHMS if "schedule" in ALGORITHMS[name].options()]
AFTER = 5  # the second step of the second epoch, of three


@pytest.fixture(autouse=True)
def _each_epoch_is_kept(monkeypatch):
    """Keep the model of each epoch, however short it is."""
    monkeypatch.setattr("truesparse.training.snapshot._SHARE_OF_TIME", 1e9)


class Poison(Callback):
    """Make a weight infinite or NaN after a step."""

    def __init__(self, value, step=AFTER):
        self.value, self.step = value, step

    def on_batch_end(self, run):
        if run.model.step == self.step:
            run.model.layers[1].connections.values[0] = self.value


def diverge(x=X, poison=None, dtype="float32", **options):
    """Return the model and the message of a run that diverges."""
    model = SparseMLP([5, 8, 7, 3], density=0.6, seed=1, dtype=dtype)
    defaults = {"batch_size": 4, "epochs": 4, "lr": 0.01, "topology": "static"}
    callbacks = [Poison(np.nan) if poison is None else poison]
    trainer = Trainer(model, **defaults | {"callbacks": callbacks} | options)
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        trainer.fit(x, Y, X_val=X, y_val=Y)
    return model, str(caught.value)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_optimizer(optimizer, dtype):
    for x, value in itertools.product((X, sparse.csr_array(X)), (np.nan, np.inf)):
        model, text = diverge(x, Poison(value), dtype, optimizer=optimizer)
        assert f"of layer 2 of 3 became NaN or infinite in step {AFTER}" in text
        assert text.endswith("the model is the one after epoch 1")
        assert has_finite_weights(model)
        assert model.step == 3


@pytest.mark.parametrize("name", EVOLVING)
@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_each_topology(name, unit):
    """The update that comes next neither fails otherwise nor removes the trace."""
    every = {"step": AFTER + 1, "epoch": 1}[unit]
    # After the step before an update.
    poison = Poison(np.nan, {"step": AFTER, "epoch": 6}[unit])
    topology = make_topology(name, schedule=UpdateSchedule(every, unit))
    model, text = diverge(poison=poison, topology=topology)
    assert "of layer 2 of 3 became NaN or infinite in step" in text
    assert has_finite_weights(model)


class PoisonFirst(Poison):
    """Poison within a step, before its topology update."""

    def on_train_begin(self, run):
        train_batch = run.model.train_batch

        def poisoned(*arguments, **options):
            loss = train_batch(*arguments, **options)
            self.on_batch_end(run)
            return loss

        run.model.train_batch = poisoned

    def on_train_end(self, run):
        del run.model.train_batch


@pytest.mark.parametrize("name", EVOLVING)
def test_within_the_step_of_an_update(name):
    topology = make_topology(name, schedule=UpdateSchedule(AFTER, "step"))
    for value in (np.nan, np.inf):
        model, text = diverge(poison=PoisonFirst(value), topology=topology)
        assert "weights of layer 2 of 3 became NaN or infinite" in text
        assert has_finite_weights(model)
        assert model.step == 3


@pytest.mark.parametrize("final", ["none", "prune_only"])
def test_in_the_last_step_of_all(final):
    topology = make_topology("set", final=final)
    model, text = diverge(poison=PoisonFirst(np.nan, 12), topology=topology)
    assert "weights of layer 2 of 3 became NaN or infinite in step 12" in text
    assert text.endswith("the model is the one after epoch 3")
    assert model.step == 9


def test_the_checkpoint_before_stays(tmp_path):
    path = tmp_path / "c.safetensors"
    callbacks = [Poison(np.nan), Checkpoint(path, every=1)]
    diverge(callbacks=callbacks, snapshot_path=tmp_path / "m.safetensors")
    assert load(path).step == load(tmp_path / "m.safetensors").step == 3


def test_optimiser_state_that_overflows():
    """A finite gradient whose square float32 does not hold freezes its weight."""

    class Overflow(Callback):
        def on_batch_end(self, run):
            if run.model.step == AFTER:
                run.model.layers[1].connections.moments.second[0] = np.inf

    model, text = diverge(poison=Overflow(), optimizer="adam")
    assert "optimiser state of layer 2 of 3 became NaN or infinite in step 6" in text
    assert has_finite_weights(model)


def test_estimators_keep_the_last_good_model():
    net = SparseMLPClassifier((8,), solver="sgd", learning_rate_init=1e30, max_iter=3)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergedError, match=r"of layer \d of 2"),
    ):
        net.fit(X, Y)


class Heard(Callback):
    """Collects warnings."""

    def __init__(self):
        self.texts = []

    def on_warning(self, run, message):
        self.texts.append(message)


@pytest.mark.compiled  # without the JIT, NumPy warns of what overflows
@pytest.mark.parametrize("call", ["mkdtemp", "write"])
def test_a_run_goes_on_where_nothing_temporary_can_be_written(call, monkeypatch):
    """The safety copy is no reason not to train."""

    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fit(lr, heard):
        model = SparseMLP([5, 8, 3], density=0.5, seed=1)
        settings = {"epochs": 2, "batch_size": 4, "lr": lr, "callbacks": [heard]}
        Trainer(model, **settings).fit(X, Y)
        return [layer.connections.values.copy() for layer in model.layers]

    want = fit(0.1, plain := Heard())
    assert plain.texts == []
    if call == "mkdtemp":
        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    else:
        monkeypatch.setattr(os, "fsync", refuse)
    got = fit(0.1, heard := Heard())
    for one, other in zip(want, got, strict=True):
        np.testing.assert_array_equal(one, other)
    (text,) = heard.texts
    assert "No space left on device" in text
    assert text.endswith("should the run diverge, no earlier model is put back")
    with pytest.raises(DivergedError, match="the loss became"):
        fit(1e20, heard)
    # A file that was asked for is another thing.
    monkeypatch.setattr(os, "fsync", refuse)
    asked = Trainer(SparseMLP([5, 8, 3], density=0.5), epochs=1, snapshot_path="m")
    with pytest.raises(StorageError, match="cannot write model 'm': No space left"):
        asked.fit(X, Y)


@pytest.mark.compiled
def test_a_validation_loss_that_is_no_number_is_warned_of_once():
    heard = Heard()
    held_out = X.copy()
    held_out[0] = 3e38
    settings = {"epochs": 3, "batch_size": 4, "callbacks": [heard]}
    trainer = Trainer(SparseMLP([5, 8, 3], density=0.9, seed=1), **settings)
    history = trainer.fit(X, Y, X_val=held_out, y_val=Y)
    assert all(np.isfinite(record.train_loss) for record in history)
    assert not any(np.isfinite(record.val_loss) for record in history)
    (text,) = heard.texts
    assert text.startswith("the validation loss after epoch 1 is ")
