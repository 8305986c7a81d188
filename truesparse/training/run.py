"""A run of training: its state, the record of each epoch, the seconds of each phase."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from truesparse.common.memory import current_rss
from truesparse.network.sparse_mlp import SparseMLP


@dataclass(frozen=True)
class EpochRecord:
    """Numbers of one epoch; times are in seconds, memory in units of 10^6 bytes."""

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


@dataclass
class Run:
    """The state of a run, which callbacks see and from which it can be resumed.

    Attributes
    ----------
    model : SparseMLP
    n_epochs, n_batches, n_samples : int
        Epochs of the whole run; batches and samples of an epoch.
    start : int
        The model's step when the run began.
    epoch, batch : int
        Epochs done, and batches done of the next epoch.
    first_step : int
        The model's step when the present epoch began; it determines the order of the
        epoch's samples.
    loss_sum, weight_sum : float
        Sums over the samples of the batches done in the present epoch: of the weighted
        losses, and of the weights.
    loss, lr : float
        Loss and learning rate of the last batch.
    stop : bool
        Set it to end the run after the present epoch.
    history : list of EpochRecord
    trainer : Trainer or None
        The trainer during training; checkpoints contain the state of its topology
        algorithm and of its callbacks.
    intact : bool
        Whether the run can be resumed from its present state. False within a step, and
        where the model is no longer that of the last step.
    error : str
        Why the run diverged, if it did.
    """

    model: SparseMLP
    n_epochs: int
    n_batches: int
    n_samples: int
    start: int = 0
    epoch: int = 0
    batch: int = 0
    first_step: int = 0
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    loss: float = math.nan
    lr: float = math.nan
    stop: bool = False
    history: list[EpochRecord] = field(default_factory=list)
    trainer: Any = field(default=None, repr=False, compare=False)
    intact: bool = True
    error: str = ""

    @property
    def is_new(self) -> bool:
        """Whether no step has been done yet."""
        return self.epoch == 0 and self.batch == 0

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done or a callback has stopped the run."""
        return self.epoch >= self.n_epochs or (self.stop and self.batch == 0)

    @property
    def n_steps(self) -> int:
        """The model's step at the end of the run."""
        remaining = (self.n_epochs - self.epoch) * self.n_batches - self.batch
        return self.model.step + max(remaining, 0)

    def begin_epoch(self) -> None:
        """Note where an epoch begins, and start its sums at zero."""
        self.first_step, self.loss_sum, self.weight_sum = self.model.step, 0.0, 0.0

    def end_batch(self, weight: float) -> None:
        """Count a batch, with the sum of the weights of its samples."""
        self.loss_sum += self.loss * float(weight)
        self.weight_sum += float(weight)
        self.batch += 1

    def record_epoch(
        self,
        seconds: float,
        phases: dict[str, float],
        scores: tuple[float, float] | None,
    ) -> EpochRecord:
        """Append the record of the epoch that has just been done, and return it.

        Parameters
        ----------
        seconds : float
            Duration of training, without validation.
        phases : dict
            Seconds of each phase, see Clock.
        scores : (float, float) or None
            Loss and score on validation data.
        """
        val_loss, val_score = scores or (None, None)
        record = EpochRecord(
            epoch=self.epoch,
            step=self.model.step,
            train_loss=self.loss_sum / self.weight_sum,
            val_loss=val_loss,
            val_score=val_score,
            lr=self.lr,
            nnz=self.model.nnz,
            seconds=seconds,
            data_s=phases.get("data", 0.0),
            forward_s=phases.get("forward", 0.0),
            backward_s=phases.get("backward", 0.0),
            topology_s=phases.get("topology", 0.0),
            samples_per_s=self.n_samples / seconds,
            rss_mb=current_rss() / 1e6,
        )
        self.history.append(record)
        return record


class Clock:
    """A stopwatch that adds up the seconds spent in each phase."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def restart(self) -> None:
        """Leave the time since the last phase out of account."""
        self._last = time.perf_counter()

    def __call__(self, phase: str) -> None:
        """Add the time since the last call to `phase`."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now
