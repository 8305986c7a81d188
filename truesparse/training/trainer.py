"""The training loop: batches, learning rate, topology updates, validation, events.

The trainer prints nothing. It reports to callbacks and returns a history.
"""

import contextlib
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from truesparse.common import rng
from truesparse.common.checks import check_bools, check_positive, check_whole
from truesparse.errors import DataError, DivergedError, StorageError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer, as_optimizer
from truesparse.schedules import LearningRate
from truesparse.topology import Batches, TopologyAlgorithm, UpdateContext
from truesparse.topology import make as make_topology
from truesparse.training import notices
from truesparse.training.events import Callback, as_callbacks, warn
from truesparse.training.fit_data import Validation, prepare_data
from truesparse.training.run import Clock, EpochRecord, Run
from truesparse.training.snapshot import (
    Snapshot,
    has_finite_state,
    has_finite_weights,
    keep_last_good,
)
from truesparse.training.zeros import check_zeros


class Trainer:
    """Training of a SparseMLP.

    Parameters
    ----------
    model : SparseMLP
    optimizer : Optimizer or str
    lr : LearningRate or float
    topology : TopologyAlgorithm, class or str
        A name, your own algorithm, or one with options from ``topology.make``.
    epochs : int
    batch_size : int
        The last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order of the samples every epoch.
    clip_norm : float, optional
        Largest global L2 norm of the gradient; a longer one is scaled down.
    activation_dtype : {"float32", "bfloat16"}, optional
        Changes that of the model, see SparseMLP.
    callbacks : iterable of Callback, or one of them
    snapshot_path : str or path, optional
        File for the last good model; by default a temporary one.
    snapshot_options : dict, optional
        Options of truesparse.save for that file.
    keep_last_good : bool
        Whether to keep the last good model during training. If not, a model that
        diverges is left as it is.

    Raises
    ------
    UsageError
        If a value is not accepted.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> X = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    >>> y = (X[:, 0] > 0).astype(np.int32)
    >>> model = SparseMLP([8, 32, 2], epsilon=4)
    >>> history = Trainer(model, epochs=20, batch_size=16, lr=0.1).fit(X, y)
    >>> history[-1].train_loss < 0.5 * history[0].train_loss
    True
    """

    def __init__(
        self,
        model: SparseMLP,
        *,
        optimizer: Optimizer | str = "sgd",
        lr: LearningRate | float = 0.01,
        topology: TopologyAlgorithm | type[TopologyAlgorithm] | str = "set",
        epochs: int = 100,
        batch_size: int = 128,
        shuffle: bool = True,
        clip_norm: float | None = None,
        activation_dtype: str | None = None,
        callbacks: Iterable[Callback] | Callback | None = (),
        snapshot_path=None,
        snapshot_options: dict[str, Any] | None = None,
        keep_last_good: bool = True,
    ):
        if not isinstance(model, SparseMLP):
            raise UsageError(f"model must be a SparseMLP, got {model!r}")
        self.model = model
        self.optimizer = as_optimizer(optimizer)
        self.lr = lr if isinstance(lr, LearningRate) else LearningRate(lr)
        self.topology = make_topology(topology)
        self.epochs = check_whole("epochs", epochs, 1)
        self.batch_size = check_whole("batch_size", batch_size, 1)
        if clip_norm is not None:
            check_positive(clip_norm=clip_norm)
        check_bools(shuffle=shuffle, keep_last_good=keep_last_good)
        if activation_dtype is not None:
            model.activation_dtype = activation_dtype
        self.shuffle, self.clip_norm = shuffle, clip_norm
        self.callbacks = as_callbacks(callbacks)
        self.run: Run | None = None
        self.snapshot_path, self.keep_last_good = snapshot_path, keep_last_good
        self.snapshot_options = dict(snapshot_options or {})

    def fit(
        self,
        X,
        y,
        *,
        X_val=None,
        y_val=None,
        validation_fraction: float = 0.0,
        sample_weight=None,
        sample_weight_val=None,
        keep_moments: bool = False,
        run: Run | None = None,
        until: int | None = None,
    ) -> list[EpochRecord]:
        """Train on data and return one record for each epoch.

        A new run forgets the `preprocessing` of a loaded model, for these data may be
        scaled otherwise: give theirs to `truesparse.save` and to exports.

        Parameters
        ----------
        X : (n, n_features) array or scipy.sparse matrix
            Sparse data are never made dense.
        y : array
            Class labels (n,) for softmax, else (n,) or (n, n_out) targets.
        X_val, y_val : optional
            Validation data, evaluated after every epoch.
        validation_fraction : float
            Share of the data set aside for validation, if `X_val` is not given.
        sample_weight : (n,) array, optional
            Weights of the samples, of those set aside for validation too.
        sample_weight_val : (n_val,) array, optional
            Weights of the samples of `X_val`, in the validation loss and score.
        keep_moments : bool
            Start with the model's present optimiser state instead of zeros.
        run : Run, optional
            An earlier run to resume, by default a new one. Model and trainer must have
            its optimiser state and topology algorithm; the data may be new between
            two epochs. `Trainer.run` holds the last run.
        until : int, optional
            Number of epochs done at which to pause the run; by default all.

        Raises
        ------
        DataError
            If data have a wrong shape, are empty or not finite.
        DivergedError
            If the loss or weights become NaN or infinite. The model is then the last
            good one.
        ModelFileError
            If that one, or the best of BestModel, cannot be read; the model stays.
        """
        model = self.model
        if not has_finite_weights(model):
            raise UsageError(
                "the model's weights hold NaN or infinity; start from a new model"
            )
        if self.optimizer.powerprop > 1.0:
            check_zeros(model, self.topology)
        data = prepare_data(
            model,
            X,
            y,
            X_val,
            y_val,
            validation_fraction,
            sample_weight,
            sample_weight_val,
        )
        n = data.samples.size
        is_new = run is None
        run = self._new_run(n) if run is None else self._rejoin(run, n)
        # A resumed run keeps its moments as well: they are part of its state.
        model.allocate_moments(self.optimizer, keep=keep_moments or not is_new)
        last = run.n_epochs if until is None else check_whole("until", until, 0)
        held_out = None if data.validation is None else data.validation[0]
        model.prepare(min(self.batch_size, n), data.X, held_out)
        batches = Batches(
            model, data.X, data.targets, data.samples, self.batch_size, data.weights
        )
        if is_new:
            model.preprocessing = None
            self.topology.begin(model, batches)
        self.run = run
        self._train(run, batches, data.validation, last, is_new)
        return run.history

    def _new_run(self, n: int) -> Run:
        n_batches = -(-n // self.batch_size)
        return Run(self.model, self.epochs, n_batches, n, self.model.step)

    def _rejoin(self, run: Run, n: int) -> Run:
        """Return the run, ready to be resumed on `n` samples."""
        if not isinstance(run, Run):
            raise UsageError(f"run must be a Run, as in Trainer.run, got {run!r}")
        if run.model is not self.model:
            raise UsageError(
                "the run belongs to another model; give the trainer that of the run"
            )
        if run.batch and run.n_samples != n:
            raise DataError(
                f"the run stopped within an epoch of {run.n_samples} samples, got {n}; "
                "resume it with the same data"
            )
        run.n_samples, run.n_batches = n, -(-n // self.batch_size)
        run.stop = False
        return run

    def _train(
        self,
        run: Run,
        batches: Batches,
        validation: Validation | None,
        last: int,
        is_new: bool,
    ) -> None:
        """Train until `last` epochs are done, or fall back on the last good model."""
        model = self.model
        run.trainer, run.error = self, ""
        safety: contextlib.AbstractContextManager[Snapshot | None]
        safety, trouble = contextlib.nullcontext(), ""
        if self.keep_last_good:
            path, options = self.snapshot_path, self.snapshot_options or {}
            safety, trouble = keep_last_good(model, path, **options)
        with safety as snapshot:
            first_epoch, first_step = run.epoch, model.step - run.batch
            try:
                self._emit("on_train_begin", run)
                self._warn(run, trouble)
                if is_new:
                    self._warn(run, notices.of_idle_topology(self.topology, run))
                while run.epoch < last and not run.stop:
                    self._epoch(run, batches, validation)
                    self._check_state(run)
                    self._warn(run, notices.of_validation(run.history))
                    if snapshot is not None:
                        self._take(snapshot, run)
            except DivergedError as error:
                run.intact, run.error = False, str(error)
                if snapshot is None:
                    raise
                snapshot.put_back(model, error)
                done = first_epoch + (model.step - first_step) // run.n_batches
                which = f"the one after epoch {done}" if done else "the untrained one"
                raise DivergedError(f"{error}; the model is {which}") from None
            finally:
                self._end(run)

    def _take(self, snapshot: Snapshot, run: Run) -> None:
        """Save the model, if it is time; a fault of the disk does not end the run."""
        try:
            snapshot.take(self.model)
        except (StorageError, UsageError) as error:
            warn(self.callbacks, run, str(error))

    def _end(self, run: Run) -> None:
        """Call `on_train_end` of all callbacks, then drop the data."""
        # Of all of them, even if one raises: some hold files or handlers. The last one
        # on the stack comes first.
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, run, "trainer", None)
            stack.callback(self.model.release, keep_buffers=True)
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_end, run)

    def _epoch(self, run: Run, batches: Batches, validation: Validation | None) -> None:
        """Take the steps of an epoch, or its remaining ones, and record it."""
        started, clock = time.perf_counter(), Clock()
        run.intact = False
        if run.batch == 0:
            if run.epoch > 0:
                # Only now: the model that a run returns is the one that was evaluated,
                # even if a callback stopped the run.
                self._update_topology(run, "epoch", batches, clock)
            run.begin_epoch()
        order = self._order(run, batches)
        reductions = self._count_reductions(run)
        while run.batch < run.n_batches:
            samples = order[run.batch * self.batch_size :][: self.batch_size]
            self._step(run, batches, samples, reductions, clock)
        run.intact = False
        run.batch = 0
        run.epoch += 1
        if run.epoch == run.n_epochs:
            self._update_topology(run, "epoch", batches, clock)
        seconds = time.perf_counter() - started
        scores = None
        if validation is not None:
            # With the columns of training, whose buffers then serve again.
            size = min(self.batch_size, run.n_samples)
            held_out, targets, weights = validation
            scores = self.model.evaluate(held_out, targets, size, weights)
        record = run.record_epoch(seconds, clock.seconds, scores)
        run.intact = True
        self._emit("on_epoch_end", run, record)

    def _order(self, run: Run, batches: Batches) -> np.ndarray:
        """Return the samples in the order of the present epoch."""
        if not self.shuffle:
            return batches.samples
        draw = rng.stream(self.model.seed, rng.Purpose.SHUFFLE, step=run.first_step)
        return draw.permutation(batches.samples)

    def _count_reductions(self, run: Run) -> int:
        """Return how often an adaptive learning rate has been reduced so far."""
        if self.lr.name != "adaptive":
            return 0
        return self.lr.count_reductions([record.train_loss for record in run.history])

    def _step(
        self,
        run: Run,
        batches: Batches,
        samples: np.ndarray,
        reductions: int,
        clock: Clock,
    ) -> None:
        """Take one step on the given samples, then update the topology if it is due."""
        run.intact = False
        done = run.epoch + run.batch / run.n_batches
        run.lr = self.lr.at(done, run.n_epochs, reductions)
        clock.restart()
        run.loss = self.model.train_batch(
            batches.data,
            batches.targets,
            samples,
            self.optimizer,
            run.lr,
            sample_weight=batches.sample_weight,
            clip_norm=self.clip_norm,
            clock=clock,
        )
        if not math.isfinite(run.loss):
            place = f"epoch {run.epoch + 1}, step {self.model.step + 1}"
            raise self._diverged(f"the loss became {run.loss} in {place}", run.lr)
        weights = batches.sample_weight
        run.end_batch(samples.size if weights is None else weights[samples].sum())
        self._update_topology(run, "step", batches, clock)
        run.intact = True
        self._emit("on_batch_end", run)

    def _update_topology(self, run: Run, unit: str, batches, clock: Clock) -> None:
        context = UpdateContext(
            seed=self.model.seed,
            step=self.model.step,
            epoch=run.epoch,
            n_steps=run.n_steps,
            n_epochs=run.n_epochs,
            lr=run.lr,
            score=run.history[-1].val_score if run.history else None,
            start=run.start,
        )
        if self.topology.due(unit, context):
            # The update could remove the very connections that say so.
            self._check_state(run)
        clock.restart()
        changes = self.topology.advance(unit, self.model, context, batches)
        if changes is not None:
            clock("topology")
        if changes:
            self._emit("on_topology_update", run, changes)

    def _warn(self, run: Run, text: str) -> None:
        if text:
            warn(self.callbacks, run, text)

    def _emit(self, event: str, *arguments) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)

    def _check_state(self, run: Run) -> None:
        """Raise DivergedError if weights or optimiser state are not finite."""
        if not has_finite_state(self.model):
            raise self._diverged("training ran into NaN or infinity", run.lr)

    def _diverged(self, what: str, lr: float) -> DivergedError:
        """Return the error that says what happened, and where it began."""
        place = self.model.describe_fault()
        return DivergedError(
            f"{what}{f' ({place})' if place else ''}, at learning rate {lr:g}; lower "
            "the learning rate or clip gradients"
        )
