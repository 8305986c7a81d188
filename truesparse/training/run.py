"""A run of training: where it is, what each epoch did, where the seconds went."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from truesparse.network.sparse_mlp import SparseMLP


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


@dataclass
class Run:
    """The state of a run, which callbacks see and from which it can go on.

    Attributes
    ----------
    model : SparseMLP
    n_epochs, n_batches, n_samples : int
        Epochs in all; batches and samples of an epoch.
    start : int
        The model's step when the run began.
    epoch, batch : int
        Epochs done, and batches done of the next one.
    first_step : int
        The model's step when the present epoch began; the order of its samples
        follows from it.
    loss_sum, weight_sum : float
        Of the batches done of the present epoch.
    loss, lr : float
        Of the last batch.
    stop : bool
        Setting it ends the run after the epoch.
    history : list of EpochRecord
    trainer : Trainer or None
        While it trains; of its topology algorithm and its callbacks a checkpoint keeps
        the state.
    intact : bool
        Whether the run could go on from where it is: not within a step, nor with
        another model than that of the last one.
    error : str
        Why it diverged, if it did.
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
        """Whether nothing of it has been done yet."""
        return self.epoch == 0 and self.batch == 0

    @property
    def is_over(self) -> bool:
        """Whether it has done all its epochs or was told to stop."""
        return self.epoch >= self.n_epochs or (self.stop and self.batch == 0)

    @property
    def n_steps(self) -> int:
        """The model's step when the run will be over."""
        left = (self.n_epochs - self.epoch) * self.n_batches - self.batch
        return self.model.step + max(left, 0)


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
