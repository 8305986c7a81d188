"""Writing checkpoints during a run, at little cost."""

import errno
import math
import os
import time
from typing import Any

from truesparse.common.checks import as_path, check_share, check_whole
from truesparse.common.writing import write_error
from truesparse.errors import StorageError, UsageError
from truesparse.storage.run_folder import previous_path
from truesparse.training import checkpoints
from truesparse.training.events import Callback, warn
from truesparse.training.snapshot import has_finite_state

# Speed of a slow disk, assumed until the first checkpoint has been written.
_BYTES_PER_SECOND = 2e8
# Time between checkpoints if they cost nothing. A shorter run writes only its last one;
# six million weights, 88 MB, took 0.2 to 0.7 s of these 30 (2 cores, 2026-11).
_LEAST_SECONDS = 30.0


class Checkpoint(Callback):
    """Write checkpoints, from which a run is resumed as if it had not stopped.

    A resumed run gives the same bits. By default checkpoints take a small share of the
    time; they are also written within long epochs, but at most once in half a minute.
    The last one is always written: when the run ends or pauses, or after the step at
    which it is interrupted. A run that diverges leaves the previous checkpoint. If a
    file cannot be written, the run continues, with a warning each time.

    Two checkpoints are kept: the one before is in ``NAME.previous.safetensors``, and
    checkpoint.read turns to it if the last one is damaged.

    Put this callback after those whose states it has to store. See checkpoint.read for
    how to resume a run.

    Parameters
    ----------
    path : str or path
        Usually ``checkpoint.safetensors``.
    every : int, optional
        Epochs between two checkpoints, however long they take; none within epochs.
    share_of_time : float
        Largest share of the time spent on checkpoints, if `every` is not given.
    config : str, optional
        Configuration of the training, stored in the metadata; see truesparse.save.
    about : dict, optional
        Anything else to store, in types that JSON has.
    **options
        Other options of truesparse.save.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer, checkpoint
    >>> from truesparse.callbacks import Checkpoint
    >>> X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> y = X[:, 0] > 0
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "checkpoint.safetensors")
    ...     trainer = Trainer(SparseMLP([8, 32, 2]), callbacks=[Checkpoint(path)])
    ...     _ = trainer.fit(X, y, until=2)
    ...     saved = checkpoint.read(path)
    >>> trainer = Trainer(saved.model, epochs=5)
    >>> history = trainer.fit(X, y, run=saved.resume(trainer))
    >>> [record.epoch for record in history]
    [1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        path,
        every: int | None = None,
        share_of_time: float = 0.05,
        *,
        config: str | None = None,
        about: dict[str, Any] | None = None,
        **options,
    ):
        self.path = as_path(path, "checkpoint")
        self.every = None if every is None else check_whole("every", every, 1)
        check_share(share_of_time=share_of_time)
        self.share_of_time = share_of_time
        self._options = {"config": config, "about": about, **options}
        self._last: tuple[int, int] | None = None
        self._written_at = self._cost = math.inf

    def on_train_begin(self, run) -> None:
        """Check that the folder of the file exists, and start the clock."""
        try:
            if os.path.isdir(self.path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            os.stat(os.path.join(self.path.parent, ""))  # fails for a file, too
        except OSError as error:
            raise write_error("checkpoint", self.path, error) from None
        self._last = None
        self._written_at = time.perf_counter()
        self._cost = checkpoints.size(run.model) / _BYTES_PER_SECOND

    def on_batch_end(self, run) -> None:
        """Write a checkpoint if it is time."""
        # Not after the last batch: `on_epoch_end` also stores the validation.
        is_last = run.batch == run.n_batches
        if self.every is None and not is_last and self._is_time():
            self._write(run)

    def on_epoch_end(self, run, record) -> None:
        """Write a checkpoint if it is time or the run is over."""
        is_due = self._is_time() if self.every is None else run.epoch % self.every == 0
        if run.is_over or is_due:
            self._write(run)

    def on_train_end(self, run) -> None:
        """Write a checkpoint if the run can be resumed from its present state."""
        if run.intact and not run.is_new and self._last != (run.epoch, run.batch):
            self._write(run)

    def _is_time(self) -> bool:
        waited = time.perf_counter() - self._written_at
        return waited >= _LEAST_SECONDS and waited * self.share_of_time >= self._cost

    def _write(self, run) -> None:
        if not has_finite_state(run.model):
            return  # the run is diverging, the last checkpoint is worth more
        start, problem = time.perf_counter(), None
        try:
            previous = previous_path(self.path)
            checkpoints.write(run, self.path, previous=previous, **self._options)
        except (StorageError, UsageError) as error:
            problem = str(error)
        self._written_at = time.perf_counter()
        self._cost = self._written_at - start
        self._last = run.epoch, run.batch
        if problem is not None:
            warn(run.trainer.callbacks, run, problem)
            return
        for each in run.trainer.callbacks:
            each.on_checkpoint(run, self._cost)
