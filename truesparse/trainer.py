"""The training loop: batches, learning rate, topology updates, validation, events.

The trainer prints nothing. It reports to callbacks and returns a history.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from truesparse import rng
from truesparse.callbacks import Callback
from truesparse.errors import (
    DataError,
    DivergedError,
    UsageError,
    check_numbers,
    check_whole,
)
from truesparse.inputs import as_source_data, as_weights, n_samples, take_samples
from truesparse.kernels.arrays import Csr
from truesparse.memory import current_rss
from truesparse.model import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.snapshot import Snapshot, has_finite_weights
from truesparse.topology import Batches, TopologyAlgorithm, UpdateContext
from truesparse.topology import make as make_topology


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did. Times are in seconds, memory in units of 10^6 bytes."""

    epoch: int
    step: int
    train_loss: float
    val_loss: float | None
    val_score: float | None
    lr: float
    nnz: int
    seconds: float
    data_s: float
    forward_s: float
    backward_s: float
    topology_s: float
    samples_per_s: float
    rss_mb: float


class Clock:
    """Adds up the seconds spent in each phase."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def restart(self) -> None:
        """Leave what went by since the last phase out of account."""
        self._last = time.perf_counter()

    def __call__(self, phase: str) -> None:
        """Book the time since the last call to `phase`."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now


@dataclass
class Run:
    """The state of a run that callbacks see; setting `stop` ends it after the epoch."""

    model: SparseMLP
    n_epochs: int
    n_batches: int
    n_samples: int
    first_step: int = 0
    epoch: int = 0
    batch: int = 0
    loss: float = math.nan
    lr: float = math.nan
    stop: bool = False
    history: list[EpochRecord] = field(default_factory=list)


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
        check_numbers(clip_norm=clip_norm)
        if clip_norm is not None and not 0.0 < clip_norm < math.inf:
            raise UsageError(f"clip_norm must be above 0 and finite, got {clip_norm}")
        self.shuffle, self.clip_norm = shuffle, clip_norm
        self.callbacks = list(callbacks)
        self.snapshot_path = snapshot_path

    def fit(
        self,
        X,
        y,
        *,
        X_val=None,
        y_val=None,
        validation_fraction: float = 0.0,
        sample_weight=None,
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
        n_batches = -(-train.size // self.batch_size)
        run = Run(model, self.epochs, n_batches, train.size, model.step)
        model.allocate_moments(self.optimizer)
        held_out_data = None if validation is None else validation[0]
        model.prepare(min(self.batch_size, train.size), data, held_out_data)
        batches = Batches(model, data, targets, train, self.batch_size, weights)
        self.topology.begin(model, batches)
        with Snapshot(model, self.snapshot_path) as snapshot:
            try:
                self._emit("on_train_begin", run)
                while run.epoch < self.epochs and not run.stop:
                    self._epoch(run, batches, validation)
                    if not has_finite_weights(model):
                        what = f"weights became NaN or infinite in epoch {run.epoch}"
                        raise _diverged(what, run.lr)
                    snapshot.take(model)
            except DivergedError as error:
                snapshot.restore(model)
                done = (model.step - run.first_step) // n_batches
                which = f"that after epoch {done}" if done else "the untrained one"
                raise DivergedError(f"{error}; the model is {which}") from None
            finally:
                self._emit("on_train_end", run)
        return run.history

    def _epoch(self, run: Run, batches: Batches, validation) -> None:
        model, clock = self.model, Clock()
        train, weights = batches.samples, batches.sample_weight
        started = time.perf_counter()
        if run.epoch > 0:
            # Only now: the model that a run returns is the one that was evaluated,
            # also where a callback stopped the run.
            self._update_topology(run, "epoch", batches, clock)
        order = train
        if self.shuffle:
            draw = rng.stream(model.seed, rng.Purpose.SHUFFLE, step=model.step)
            order = draw.permutation(train)
        losses = [record.train_loss for record in run.history]
        reductions = self.lr.count_reductions(losses)
        loss_sum = weight_sum = 0.0
        for batch in range(run.n_batches):
            run.batch = batch
            samples = order[run.batch * self.batch_size :][: self.batch_size]
            done = run.epoch + run.batch / run.n_batches
            run.lr = self.lr.at(done, self.epochs, reductions)
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
            loss_sum += run.loss * weight
            weight_sum += weight
            self._update_topology(run, "step", batches, clock)
            self._emit("on_batch_end", run)
        run.epoch += 1
        if run.epoch == self.epochs:
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
            train_loss=loss_sum / weight_sum,
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
        self._emit("on_epoch_end", run, record)

    def _update_topology(self, run: Run, unit: str, batches, clock: Clock) -> None:
        context = UpdateContext(
            seed=self.model.seed,
            step=self.model.step,
            epoch=run.epoch,
            n_steps=run.first_step + self.epochs * run.n_batches,
            n_epochs=self.epochs,
            lr=run.lr,
            score=run.history[-1].val_score if run.history else None,
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
