"""The training loop: batches, learning rate, topology updates, validation, events.

The trainer prints nothing. It reports to callbacks and returns a history.
"""

import contextlib
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from truesparse import rng
from truesparse.checks import check_numbers, check_positive, check_whole
from truesparse.errors import DataError, DivergedError, UsageError
from truesparse.kernels.arrays import Csr
from truesparse.memory import current_rss
from truesparse.network.inputs import (
    as_source_data,
    as_weights,
    n_samples,
    take_samples,
)
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.topology import Batches, TopologyAlgorithm, UpdateContext
from truesparse.topology import make as make_topology
from truesparse.training.events import Callback
from truesparse.training.run import Clock, EpochRecord, Run
from truesparse.training.snapshot import Snapshot, has_finite_weights


class Trainer:
    """Trains a SparseMLP.

    Parameters
    ----------
    model : SparseMLP
    optimizer : Optimizer or str
    lr : LearningRate or float
    topology : TopologyAlgorithm or str
        "set", "static", or an algorithm with options from ``topology.make``.
    epochs : int
    batch_size : int
        The last batch of an epoch may be smaller.
    shuffle : bool
        Draw a new order of the samples every epoch.
    clip_norm : float, optional
        Scale gradients down to this global L2 norm.
    callbacks : iterable of Callback
    snapshot_path : str or path, optional
        File for the last good model; by default a temporary one.
    snapshot_options : dict, optional
        Options of truesparse.save for that file.
    keep_last_good : bool
        Whether to keep the last good model while training. Without it a model that
        diverges is left as it is.

    Raises
    ------
    UsageError
        For a value that is not accepted.

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
        topology: TopologyAlgorithm | str = "set",
        epochs: int = 100,
        batch_size: int = 128,
        shuffle: bool = True,
        clip_norm: float | None = None,
        callbacks: Iterable[Callback] = (),
        snapshot_path=None,
        snapshot_options: dict[str, Any] | None = None,
        keep_last_good: bool = True,
    ):
        self.model = model
        if isinstance(optimizer, str):
            optimizer = Optimizer(optimizer)
        if not isinstance(optimizer, Optimizer):
            raise UsageError(
                f"optimizer must be a name or an Optimizer, got {optimizer!r}"
            )
        self.optimizer = optimizer
        self.lr = lr if isinstance(lr, LearningRate) else LearningRate(lr)
        self.topology = make_topology(topology)
        self.epochs = check_whole("epochs", epochs, 1)
        self.batch_size = check_whole("batch_size", batch_size, 1)
        check_positive(clip_norm=clip_norm)
        self.shuffle, self.clip_norm = shuffle, clip_norm
        self.callbacks = list(callbacks)
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
        keep_moments: bool = False,
        run: Run | None = None,
        until: int | None = None,
    ) -> list[EpochRecord]:
        """Train on data and return one record an epoch.

        Parameters
        ----------
        X : (n, n_features) array or scipy.sparse matrix
            Sparse data stay sparse.
        y : array
            Class labels (n,) for softmax, else (n,) or (n, n_out) targets.
        X_val, y_val : optional
            Validation data, evaluated after every epoch.
        validation_fraction : float
            Share of the data set aside for validation if none is given.
        sample_weight : (n,) array, optional
        keep_moments : bool
            Start with the optimiser state that the model has, not with zeros.
        run : Run, optional
            Go on with an earlier run, whose optimiser state and topology algorithm
            the model and the trainer still have, or have again. New data are for its
            next epochs. By default a new run; `Trainer.run` holds the last one.
        until : int, optional
            Epochs after which to pause the run; by default all of them.

        Raises
        ------
        DataError
            For data of a wrong shape, empty or not finite.
        DivergedError
            If the loss becomes NaN or infinite. The model then is the last good one.
        """
        model = self.model
        data, targets = self._check(X, y, "X")
        weights = as_weights(sample_weight, n_samples(data))
        train = np.arange(n_samples(data))
        check_numbers(validation_fraction=validation_fraction)
        if not 0.0 <= validation_fraction < 1.0:
            raise UsageError(
                "validation_fraction must be from 0 up to but not 1, got "
                f"{validation_fraction}"
            )
        if (X_val is None) != (y_val is None):
            raise UsageError("give X_val and y_val together")
        if not has_finite_weights(model):
            raise UsageError("the model's weights hold NaN or infinity already")
        validation = None
        if X_val is not None:
            validation = self._check(X_val, y_val, "X_val")
            if isinstance(data, Csr) != isinstance(validation[0], Csr):
                raise DataError("X and X_val must both be dense or both sparse")
        elif validation_fraction > 0.0:
            train, held_out = self._split(train.size, validation_fraction)
            if weights is not None and not weights[train].any():
                raise DataError(
                    "sample_weight is 0 for all samples outside of the validation part"
                )
            validation = take_samples(data, held_out), targets[held_out]
        is_new = run is None
        run = self._new_run(train.size) if run is None else self._rejoin(run, train)
        # Those of a run that goes on stay as well: they are part of where it is.
        model.allocate_moments(self.optimizer, keep=keep_moments or not is_new)
        last = run.n_epochs if until is None else check_whole("until", until, 0)
        held_out_data = None if validation is None else validation[0]
        model.prepare(min(self.batch_size, train.size), data, held_out_data)
        batches = Batches(model, data, targets, train, self.batch_size, weights)
        if is_new:
            self.topology.begin(model, batches)
        self.run = run
        run.trainer, run.error = self, ""
        with self._snapshot() as snapshot:
            before, steps = run.epoch, model.step - run.batch
            try:
                self._emit("on_train_begin", run)
                if is_new:
                    self._warn_if_idle(run)
                while run.epoch < last and not run.stop:
                    self._epoch(run, batches, validation)
                    if not has_finite_weights(model):
                        what = f"weights became NaN or infinite in epoch {run.epoch}"
                        raise _diverged(what, run.lr)
                    if snapshot is not None:
                        snapshot.take(model)
            except DivergedError as error:
                run.intact, run.error = False, str(error)
                if snapshot is None:
                    raise
                snapshot.restore(model)
                done = before + (model.step - steps) // run.n_batches
                which = f"that after epoch {done}" if done else "the untrained one"
                raise DivergedError(f"{error}; the model is {which}") from None
            finally:
                # All are told, also if one of them raises: some hold files or handlers.
                with contextlib.ExitStack() as told:
                    told.callback(setattr, run, "trainer", None)
                    told.callback(model.release, keep_buffers=True)
                    for callback in reversed(self.callbacks):
                        told.callback(callback.on_train_end, run)
        return run.history

    def _new_run(self, n: int) -> Run:
        n_batches = -(-n // self.batch_size)
        return Run(self.model, self.epochs, n_batches, n, self.model.step)

    def _rejoin(self, run: Run, train: np.ndarray) -> Run:
        """Return the run, ready to go on with the given samples."""
        if run.model is not self.model:
            raise UsageError("the run that should go on is that of another model")
        if run.batch and run.n_samples != train.size:
            raise DataError(
                f"the run stopped within an epoch of {run.n_samples} samples, got "
                f"{train.size}; go on with the same data"
            )
        run.n_samples, run.n_batches = train.size, -(-train.size // self.batch_size)
        run.stop = False
        return run

    def _snapshot(self) -> contextlib.AbstractContextManager[Snapshot | None]:
        if not self.keep_last_good:
            return contextlib.nullcontext()
        return Snapshot(self.model, self.snapshot_path, **self.snapshot_options)

    def _epoch(self, run: Run, batches: Batches, validation) -> None:
        model, clock = self.model, Clock()
        train, weights = batches.samples, batches.sample_weight
        started = time.perf_counter()
        run.intact = False
        if run.batch == 0:
            if run.epoch > 0:
                # Only now: the model that a run returns is the one that was evaluated,
                # also where a callback stopped the run.
                self._update_topology(run, "epoch", batches, clock)
            run.first_step, run.loss_sum, run.weight_sum = model.step, 0.0, 0.0
        order = train
        if self.shuffle:
            draw = rng.stream(model.seed, rng.Purpose.SHUFFLE, step=run.first_step)
            order = draw.permutation(train)
        reductions = 0
        if self.lr.name == "adaptive":
            losses = [record.train_loss for record in run.history]
            reductions = self.lr.count_reductions(losses)
        while run.batch < run.n_batches:
            run.intact = False
            samples = order[run.batch * self.batch_size :][: self.batch_size]
            done = run.epoch + run.batch / run.n_batches
            run.lr = self.lr.at(done, run.n_epochs, reductions)
            clock.restart()
            run.loss = model.train_batch(
                batches.data,
                batches.targets,
                samples,
                self.optimizer,
                run.lr,
                sample_weight=weights,
                clip_norm=self.clip_norm,
                clock=clock,
            )
            if not math.isfinite(run.loss):
                place = f"epoch {run.epoch + 1}, step {model.step + 1}"
                raise _diverged(f"the loss became {run.loss} in {place}", run.lr)
            weight = samples.size if weights is None else weights[samples].sum()
            run.loss_sum += run.loss * float(weight)
            run.weight_sum += float(weight)
            run.batch += 1
            self._update_topology(run, "step", batches, clock)
            run.intact = True
            self._emit("on_batch_end", run)
        run.intact = False
        run.batch = 0
        run.epoch += 1
        if run.epoch == run.n_epochs:
            self._update_topology(run, "epoch", batches, clock)
        train_seconds = time.perf_counter() - started
        val_loss, val_score = None, None
        if validation is not None:
            inputs, wanted = validation
            # As many columns as training has: its buffers then serve again.
            batch_size = min(self.batch_size, train.size)
            val_loss, val_score = model.evaluate(inputs, wanted, batch_size)
        phases = clock.seconds
        record = EpochRecord(
            epoch=run.epoch,
            step=model.step,
            train_loss=run.loss_sum / run.weight_sum,
            val_loss=val_loss,
            val_score=val_score,
            lr=run.lr,
            nnz=model.nnz,
            seconds=train_seconds,
            data_s=phases.get("data", 0.0),
            forward_s=phases.get("forward", 0.0),
            backward_s=phases.get("backward", 0.0),
            topology_s=phases.get("topology", 0.0),
            samples_per_s=train.size / train_seconds,
            rss_mb=current_rss() / 1e6,
        )
        run.history.append(record)
        run.intact = True
        self._emit("on_epoch_end", run, record)

    def _warn_if_idle(self, run: Run) -> None:
        if self.topology.is_idle(run.n_steps, run.n_epochs):
            first = self.topology.schedule
            self._emit(
                "on_warning",
                run,
                f"topology {self.topology.name!r} is first updated after {first.unit} "
                f"{first.start}, too late for {run.n_steps} steps in {run.n_epochs} "
                "epochs: connections stay as they are; update earlier or train longer",
            )

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
        clock.restart()
        changes = self.topology.advance(unit, self.model, context, batches)
        if changes is not None:
            clock("topology")
        if changes:
            self._emit("on_topology_update", run, changes)

    def _emit(self, event: str, *arguments) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)

    def _check(self, X, y, name: str):
        model = self.model
        data = as_source_data(X, model.dtype, model.layer_sizes[0], name)
        if n_samples(data) == 0:
            raise DataError(f"{name} holds no samples")
        targets = model.loss.prepare_targets(y, model.layer_sizes[-1], model.dtype)
        if len(targets) != n_samples(data):
            raise DataError(
                f"{name} has {n_samples(data)} samples but there are {len(targets)} "
                "targets"
            )
        return data, targets

    def _split(self, n: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        order = rng.stream(self.model.seed, rng.Purpose.SPLIT).permutation(n)
        n_validation = max(1, round(fraction * n))
        if n_validation >= n:
            raise DataError(f"{n} samples are too few for a validation split")
        return np.sort(order[n_validation:]), np.sort(order[:n_validation])


def _diverged(what: str, lr: float) -> DivergedError:
    return DivergedError(
        f"{what}, at learning rate {lr:g}; lower the learning rate or clip gradients"
    )
