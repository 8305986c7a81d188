"""Early stopping by any number, and the best model of a run."""

import copy
import pathlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
from support.training import (
    BATCH,
    arrays_of,
    assert_same_arrays,
    make_model,
    make_problem,
    make_run,
    make_trainer,
    record,
)

from truesparse.callbacks import BestModel, Callback, EarlyStopping
from truesparse.callbacks.monitor import MONITORS, Monitor
from truesparse.errors import DivergedError, ModelFileError, UsageError
from truesparse.storage import models

X, Y = make_problem()
VALIDATION = {"X_val": X[:BATCH], "y_val": Y[:BATCH]}


def scored(epoch, score):
    return record(epoch, 1.0, 1.0).__class__(
        **vars(record(epoch, 1.0, 1.0)) | {"val_score": score}
    )


# The number that is followed ---------------------------------------------------------


def test_more_of_a_score_is_better():
    stops, run = EarlyStopping(patience=2, monitor="val_score"), make_run()
    for epoch, score in enumerate([0.5, 0.6, 0.6, 0.59], 1):
        stops.on_epoch_end(run, scored(epoch, score))
        assert run.stop == (epoch == 4)


def test_the_training_loss_may_be_followed_with_validation_data():
    monitor = Monitor("train_loss")
    assert monitor.improves(record(1, 2.0, 1.0))
    assert monitor.improves(record(2, 1.5, 9.0))
    assert not monitor.improves(record(3, 1.6, 0.1))
    assert (monitor.best, monitor.epoch, monitor.step) == (1.5, 2, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_the_best(value):
    monitor = Monitor("val_loss")
    assert not monitor.improves(record(1, 1.0, value))
    assert monitor.best is None
    assert monitor.improves(record(2, 1.0, 5.0))
    assert not monitor.improves(record(3, 1.0, value))


def test_epochs_before_which_nothing_stops():
    stops, run = EarlyStopping(patience=1, min_epochs=4), make_run()
    for epoch in range(1, 5):
        stops.on_epoch_end(run, record(epoch, 1.0))
        assert run.stop == (epoch == 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"monitor": "loss"}, "unknown monitor 'loss'.* Did you mean 'val_loss'"),
        ({"tolerance": -1}, "tolerance must be at least 0 and finite, got -1"),
        ({"tolerance": "x"}, "tolerance must be a number"),
        ({"min_epochs": -1}, "min_epochs must be a whole number"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError, match=message):
        EarlyStopping(**options)


def test_a_score_needs_validation_data():
    trainer = make_trainer(callbacks=[BestModel("val_score")])
    with pytest.raises(UsageError, match="'val_score' needs validation data"):
        trainer.fit(X, Y)


def test_patience_lasts_over_a_pause():
    losses = iter([3.0, 4.0, 4.0, 4.0])

    class Losses(Callback):
        def on_epoch_end(self, run, record):
            stops.on_epoch_end(run, scored(record.epoch, next(losses)))

    stops = EarlyStopping(patience=3, monitor="val_score", tolerance=2.0)
    trainer = make_trainer(epochs=9, callbacks=[Losses()])
    stops.on_train_begin(make_run())
    trainer.fit(X, Y, until=2)
    stops.on_train_begin(trainer.run)
    history = trainer.fit(X, Y, run=trainer.run)
    assert len(history) == 4


# The best model ----------------------------------------------------------------------


class Keep(Callback):
    """Keeps a copy of the model after each epoch, in the state of the evaluation."""

    def __init__(self):
        self.models = []

    def on_epoch_end(self, run, record):
        self.models.append(copy.deepcopy(run.model))


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize(("activation", "lr"), [("relu", 0.6), ("srelu", 0.2)])
def test_the_best_model_comes_back(monitor, activation, lr):
    # A learning rate at which the loss goes up and down.
    best, keep = BestModel(monitor), Keep()
    model = make_model(activation=activation)
    trainer = make_trainer(model, lr=lr, epochs=9, callbacks=[best, keep])
    history = trainer.fit(X, Y, **VALIDATION)
    values = [getattr(each, monitor) for each in history]
    wanted = int(np.argmax(values) if MONITORS[monitor] else np.argmin(values))
    assert (best.epoch, best.best, best.restored) == (wanted + 1, values[wanted], True)
    want = keep.models[wanted]
    for ours, theirs in zip(model.layers, want.layers, strict=True):
        for a, b in zip(ours.connections.csr, theirs.connections.csr, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(
            ours.neuron_parameters(), theirs.neuron_parameters(), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    assert model.step == history[wanted].step
    record = history[wanted]
    # At the batch size of the validation, which decides the last bits.
    got = model.evaluate(*VALIDATION.values(), BATCH)
    assert got == (record.val_loss, record.val_score)
    # It can be trained on.
    make_trainer(model, epochs=1).fit(X, Y)


def test_the_last_epoch_may_be_the_best():
    best, plain = BestModel("train_loss"), make_model()
    trainer = make_trainer(callbacks=[best], epochs=3)
    history = trainer.fit(X, Y)
    make_trainer(plain, epochs=3).fit(X, Y)
    assert best.epoch == len(history) == 3
    # Then optimiser state stays too.
    assert_same_arrays(trainer.model, plain)
    assert trainer.run.intact


def test_a_paused_run_is_resumed_where_it_is(tmp_path):
    options = {"lr": 0.6, "epochs": 6}
    whole, parts = (BestModel("train_loss", tmp_path / name) for name in "ab")
    one = make_trainer(callbacks=[whole], **options)
    one.fit(X, Y)
    two = make_trainer(callbacks=[parts], **options)
    for until in (1, 2, 4, None):
        two.fit(X, Y, run=two.run, until=until)
        assert parts.restored == (until is None)
    assert whole.epoch == parts.epoch < 6
    assert_same_arrays(one.model, two.model)
    assert models.load(tmp_path / "b").step == two.model.step


def test_a_run_that_diverges_leaves_the_last_good_model():
    class Spoil(Callback):
        def on_batch_end(self, run):
            if run.epoch == 2:
                run.model.layers[0].connections.values[:] = np.nan

    best = BestModel("train_loss")
    with np.errstate(all="ignore"), pytest.raises(DivergedError):
        make_trainer(callbacks=[best, Spoil()], epochs=9).fit(X, Y)
    assert not best.restored


def test_a_temporary_file_goes_with_its_owner():
    best = BestModel("train_loss")
    make_trainer(callbacks=[best]).fit(X, Y)
    path = best._saved.path
    assert path.exists()
    # A copy or a pickle has none.
    assert pickle.loads(pickle.dumps(best)).epoch == copy.deepcopy(best).epoch == 3
    assert path.exists()
    del best
    assert not path.parent.exists()


def test_a_best_model_that_is_lost(tmp_path):
    best = BestModel("train_loss", tmp_path / "best")
    trainer = make_trainer(callbacks=[best])
    trainer.fit(X, Y, until=2)
    (tmp_path / "best").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelFileError, match="model so far, of epoch 2, is missing"):
        trainer.fit(X, Y, run=trainer.run)


def test_a_best_model_from_after_the_checkpoint_is_told_and_looked_for_anew(tmp_path):
    path = tmp_path / "best"
    best, warnings = BestModel("val_score", path), []

    class Fall(Callback):
        def on_epoch_end(self, run, record):
            best.on_epoch_end(run, replace(record, val_score=-record.epoch))

        def on_warning(self, run, message):
            warnings.append(message)

    trainer = make_trainer(callbacks=[Fall()], epochs=4)
    best.on_train_begin(make_run())
    trainer.fit(X, Y, until=2)
    assert best.epoch == 1
    later = make_model()
    later.step = 99
    models.save(later, path)
    trainer.run.trainer = trainer
    best.on_train_begin(trainer.run)
    trainer.fit(X, Y, run=trainer.run)
    assert warnings == [
        "the best model of epoch 1 was replaced by a better one after the checkpoint "
        "was written; only the epochs to come now count"
    ]
    best.on_train_end(trainer.run)
    assert best.restored
    assert best.epoch == 3


def test_a_best_model_of_another_step_is_not_taken(tmp_path):
    path = pathlib.Path(tmp_path / "best")
    best = BestModel("val_score", path)

    class Fall(Callback):
        def on_epoch_end(self, run, record):
            best.on_epoch_end(run, scored(record.epoch, -record.epoch))

    trainer = make_trainer(callbacks=[Fall()], epochs=4)
    best.on_train_begin(make_run())
    trainer.fit(X, Y)
    other = make_model()
    other.step = 99
    models.save(other, path)
    before = arrays_of(trainer.model)
    with pytest.raises(ModelFileError, match="holds the model of step 99, not of"):
        best.on_train_end(trainer.run)
    for ours, theirs in zip(arrays_of(trainer.model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("verify", [True, False])
def test_a_best_model_that_has_changed(verify, tmp_path):
    best = BestModel("train_loss", tmp_path / "best", verify=verify)
    trainer = make_trainer(callbacks=[best], lr=0.1)
    trainer.fit(X, Y, until=1)
    path = tmp_path / "best"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1  # the lowest bit of a number
    trainer.callbacks.insert(0, Spoil(path, bytes(content)))
    if verify:
        with pytest.raises(ModelFileError, match="has changed since it was written"):
            trainer.fit(X, Y, run=trainer.run)
    else:
        trainer.fit(X, Y, run=trainer.run)
        assert best.restored
    with pytest.raises(UsageError, match="verify must be"):
        BestModel(verify="no")


class Spoil(Callback):
    """Makes each later epoch worse, and damages a file at the end of a run."""

    def __init__(self, path, content):
        self.path, self.content = path, content

    def on_epoch_end(self, run, record):
        object.__setattr__(record, "train_loss", 10.0)

    def on_train_end(self, run):
        self.path.write_bytes(self.content)
