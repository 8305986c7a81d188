"""Resumed runs: in parts, within an epoch, on new samples, without a snapshot."""

import numpy as np
import pytest
from support.training import (
    assert_same_arrays,
    make_model,
    make_problem,
    make_trainer,
)

from truesparse.callbacks import Callback
from truesparse.errors import DataError, DivergedError, UsageError
from truesparse.schedules import LearningRate
from truesparse.topology import UpdateSchedule, make

X, Y = make_problem()


def test_a_run_in_parts_is_the_run_in_one():
    options = {"optimizer": "adam", "lr": LearningRate(0.1, "cosine")}
    often = UpdateSchedule(2, "step")
    topologies = [make("rigl", schedule=often), make("rigl", schedule=often)]
    whole, parts = make_model(), make_model()
    trainer = make_trainer(whole, epochs=4, topology=topologies[0], **options)
    history = trainer.fit(X, Y)
    trainer = make_trainer(parts, epochs=4, topology=topologies[1], **options)
    trainer.fit(X, Y, until=1)
    assert trainer.run is not None
    assert [record.epoch for record in trainer.run.history] == [1]
    trainer.fit(X, Y, run=trainer.run, until=3)
    again = trainer.fit(X, Y, run=trainer.run)
    assert_same_arrays(whole, parts)
    assert [record.train_loss for record in again] == [r.train_loss for r in history]


def test_what_is_no_run_cannot_be_resumed():
    with pytest.raises(UsageError, match=r"run must be a Run, .* got 3"):
        make_trainer().fit(X, Y, run=3)


class StopAfter(Callback):
    """Leaves a run within an epoch, as a signal does."""

    def __init__(self, step):
        self.step = step

    def on_batch_end(self, run):
        if run.model.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [2, 5, 6])
def test_a_run_is_resumed_within_an_epoch(step):
    whole, parts = make_model(), make_model()
    history = make_trainer(whole, epochs=3).fit(X, Y)
    trainer = make_trainer(parts, epochs=3, callbacks=[StopAfter(step)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y)
    trainer.callbacks = []
    again = trainer.fit(X, Y, run=trainer.run)
    assert_same_arrays(whole, parts)
    assert [record.train_loss for record in again] == [r.train_loss for r in history]


def test_a_resumed_run_needs_its_model_and_its_samples():
    trainer = make_trainer(epochs=3, callbacks=[StopAfter(2)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y)
    with pytest.raises(DataError, match=f"epoch of {len(X)} samples, got {len(X) - 1}"):
        trainer.fit(X[1:], Y[1:], run=trainer.run)
    with pytest.raises(UsageError, match="another model"):
        make_trainer().fit(X, Y, run=trainer.run)


def test_all_callbacks_hear_of_the_end_though_one_raises():
    ended = []

    class Named(Callback):
        def __init__(self, name, fails=False):
            self.name, self.fails = name, fails

        def on_train_end(self, run):
            ended.append(self.name)
            if self.fails:
                raise OSError(self.name)

    callbacks = [Named("a"), Named("b", fails=True), Named("c")]
    trainer = make_trainer(callbacks=callbacks)
    with pytest.raises(OSError, match="b"):
        trainer.fit(X, Y)
    assert ended == ["a", "b", "c"]
    assert trainer.run.trainer is None


def test_new_samples_may_come_between_epochs():
    trainer = make_trainer(epochs=5)
    trainer.fit(X, Y, until=1)
    trainer.fit(X[:7], Y[:7], run=trainer.run, until=2)
    history = trainer.fit(X, Y, run=trainer.run, until=3)
    steps = [record.step for record in history]
    per_epoch = -(-len(X) // trainer.batch_size)
    assert np.diff([0, *steps]).tolist() == [
        per_epoch,
        -(-7 // trainer.batch_size),
        per_epoch,
    ]


def test_optimiser_state_may_be_kept_for_another_run():
    model, other = make_model(), make_model()
    for each, keep in ((model, True), (other, False)):
        make_trainer(each, epochs=1, topology="static").fit(X, Y)
        first = each.layers[0].connections.moments.first
        trainer = make_trainer(each, epochs=1, topology="static")
        trainer.fit(X, Y, keep_moments=keep)
        assert (each.layers[0].connections.moments.first is first) == keep
    assert any(
        (a.connections.values != b.connections.values).any()
        for a, b in zip(model.layers, other.layers, strict=True)
    )


def test_without_a_snapshot_no_file_is_written(monkeypatch):
    monkeypatch.setattr("truesparse.storage.models.save", None)
    make_trainer(keep_last_good=False).fit(X, Y)
    model = make_model()
    with np.errstate(all="ignore"), pytest.raises(DivergedError) as caught:
        make_trainer(model, lr=1e30, keep_last_good=False).fit(X, Y)
    assert "the model is" not in str(caught.value)
