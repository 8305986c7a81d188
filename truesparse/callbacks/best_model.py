"""Keeping the best model of a run, in a file."""

from typing import Any

from truesparse.callbacks.monitor import Monitor
from truesparse.errors import ModelFileError
from truesparse.storage import models
from truesparse.training.events import Callback
from truesparse.training.snapshot import KeptModel, has_finite_weights


class BestModel(Callback):
    """Give the model back, at the end of a run, what it was after its best epoch.

    These are topology, weights, biases and parameters of activations, and the number of
    its steps; the optimiser starts from zero if it is trained on. Nothing is put back
    when a run is interrupted, pauses or diverges.

    Parameters
    ----------
    monitor : {"val_loss", "val_score", "train_loss"}
        Which number says what is best; see EarlyStopping.
    path : str or path, optional
        File for the best model; it stays, so that a run can go on from a checkpoint in
        another process. By default one that goes with this object. Weights are not
        copied in memory.
    **options
        Of truesparse.save: what else the file keeps.

    Attributes
    ----------
    best : float or None
    epoch : int
        The best number and its epoch; None and 0 before the first.
    restored : bool
        Whether the model is that of the best epoch now.

    Examples
    --------
    See EarlyStopping.
    """

    def __init__(self, monitor: str = "val_loss", path=None, **options):
        self._monitor = Monitor(monitor)
        self._path, self._options = path, options
        self._kept: KeptModel | None = None
        self.restored = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy has no share in a temporary file.
        return self.__dict__ | {"_kept": None}

    @property
    def best(self) -> float | None:
        """The best number so far."""
        return self._monitor.best

    @property
    def epoch(self) -> int:
        """The epoch that it is of."""
        return self._monitor.epoch

    def on_train_begin(self, run) -> None:
        """Forget an earlier run."""
        self.restored = False
        if run.is_new:
            self._monitor.forget()
        if run.is_new or self._kept is None:
            self._kept = KeptModel(self._path, **self._options)
        if self.best is None:
            return
        if not self._kept.path.exists():
            raise ModelFileError(
                f"the best model so far, of epoch {self.epoch}, is not in "
                f"{self._kept.path}; start anew"
            )
        if models.load_step(self._kept.path) != self._monitor.step:
            message = (
                f"a better model than that of epoch {self.epoch} was kept after the "
                "checkpoint; the best is looked for among the epochs to come"
            )
            self._monitor.forget()
            for each in run.trainer.callbacks:
                each.on_warning(run, message)

    def on_epoch_end(self, run, record) -> None:
        """Write the model, if it is the best so far."""
        if has_finite_weights(run.model) and self._monitor.improves(record):
            assert self._kept is not None, "on_train_begin comes first"
            self._kept.write(run.model)

    def on_train_end(self, run) -> None:
        """Put the best model back, if the run is over."""
        if run.is_over and run.intact and self.best is not None:
            assert self._kept is not None
            if run.model.step != self._monitor.step:
                self._kept.restore(run.model, self._monitor.step)
                # What the run has noted is no longer about this model.
                run.intact = False
            self.restored = True

    def state(self) -> dict[str, Any]:
        """Return which epoch was the best; the model is in its file."""
        return self._monitor.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._monitor.restore(state)
