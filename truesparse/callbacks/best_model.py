"""The best model of a run, kept in a file."""

import os
from typing import Any

from truesparse.callbacks.monitor import Monitor
from truesparse.common.checks import check_bools
from truesparse.errors import ModelFileError, StorageError, UsageError
from truesparse.storage import models
from truesparse.training.events import Callback, warn
from truesparse.training.snapshot import SavedModel, has_finite_weights


class BestModel(Callback):
    """Put the model, at the end of a run, back into its state after the best epoch.

    This restores topology, weights, biases, parameters of activations and the step; in
    further training the optimiser state starts from zero. Nothing is restored when a
    run is interrupted, paused or diverges. The best model is kept in a file, not in
    memory.

    Parameters
    ----------
    monitor : {"val_loss", "val_score", "train_loss"}
        Number that decides which epoch is best, see EarlyStopping.
    path : str or path, optional
        File for the best model, needed if the run is to be resumed in another process.
        By default a temporary one, removed with this object.
    verify : bool
        Compare the file with its digest when the best model is put back, see
        truesparse.load.
    **options
        Options of truesparse.save for that file.

    Attributes
    ----------
    best : float or None
    epoch : int
        The best number and its epoch; None and 0 before the first epoch.
    restored : bool
        Whether the model is in the state of its best epoch now.

    Examples
    --------
    See EarlyStopping.
    """

    def __init__(
        self, monitor: str = "val_loss", path=None, *, verify: bool = True, **options
    ):
        check_bools(verify=verify)
        self._monitor, self._verify = Monitor(monitor), verify
        self._path, self._options = path, options
        self._saved: SavedModel | None = None
        self.restored = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy does not share a temporary file.
        return self.__dict__ | {"_saved": None}

    @property
    def best(self) -> float | None:
        """The best number so far."""
        return self._monitor.best

    @property
    def epoch(self) -> int:
        """The epoch of the best number."""
        return self._monitor.epoch

    def on_train_begin(self, run) -> None:
        """Start anew in a new run; in a resumed one, look for the best model so far."""
        self.restored = False
        if run.is_new:
            self._monitor.forget()
        if run.is_new or self._saved is None:
            self._saved = SavedModel(self._path, **self._options)
        if self.best is None:
            return
        try:
            os.stat(self._saved.path)
        except OSError as error:
            raise ModelFileError(
                f"the best model so far, of epoch {self.epoch}, is missing: "
                f"{self._saved.path}: {error.strerror}; put it back or start a new run"
            ) from None
        if models.load_step(self._saved.path) != self._monitor.step:
            message = (
                f"the best model of epoch {self.epoch} was replaced by a better one "
                "after the checkpoint was written; only the epochs to come now count"
            )
            self._monitor.forget()
            warn(run.trainer.callbacks, run, message)

    def on_epoch_end(self, run, record) -> None:
        """Save the model if it is the best so far."""
        before = self._monitor.state()
        if has_finite_weights(run.model) and self._monitor.improves(record):
            assert self._saved is not None, "on_train_begin comes first"
            try:
                self._saved.write(run.model)
            except (StorageError, UsageError) as error:
                # The best model is the best of those that are saved. If only the
                # flush has failed, this one is.
                if not self._is_saved(run.model.step):
                    self._monitor.restore(before)
                warn(run.trainer.callbacks, run, str(error))

    def on_train_end(self, run) -> None:
        """Restore the best model if the run is over."""
        if run.is_over and run.intact and self.best is not None:
            assert self._saved is not None
            if run.model.step != self._monitor.step:
                self._saved.restore(run.model, self._monitor.step, self._verify)
                # The run's state no longer belongs to this model.
                run.intact = False
            self.restored = True

    def _is_saved(self, step: int) -> bool:
        """Whether the file holds the model of a step."""
        assert self._saved is not None
        try:
            return models.load_step(self._saved.path) == step
        except ModelFileError:
            return False

    def state(self) -> dict[str, Any]:
        """Return which epoch is the best; the model is in its file."""
        return self._monitor.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self._monitor.restore(state)
