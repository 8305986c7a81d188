"""Stopping a run that no longer improves."""

from typing import Any

from truesparse.callbacks.monitor import Monitor
from truesparse.common.checks import check_at_least_one, check_whole
from truesparse.training.events import Callback


class EarlyStopping(Callback):
    """Stop a run when a number has not improved for some epochs.

    Parameters
    ----------
    patience : int
        Epochs to wait for an improvement.
    tolerance : float
        Improvements of at most this do not count.
    monitor : {"val_loss", "val_score", "train_loss"}
        The number; without validation data "val_loss" is the training loss.
    min_epochs : int
        Number of epochs before which a run is never stopped.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> from truesparse.callbacks import BestModel, EarlyStopping
    >>> X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> callbacks = [EarlyStopping(patience=3), BestModel()]
    >>> model = SparseMLP([8, 32, 2], epsilon=8)
    >>> trainer = Trainer(model, lr=0.1, epochs=100, callbacks=callbacks)
    >>> history = trainer.fit(X, X[:, 0] > 0, validation_fraction=0.25)
    >>> history[-1].epoch < 100
    True
    >>> losses = [record.val_loss for record in history]
    >>> callbacks[1].best == min(losses) == losses[callbacks[1].epoch - 1]
    True
    """

    def __init__(
        self,
        patience: int = 10,
        tolerance: float = 1e-4,
        monitor: str = "val_loss",
        min_epochs: int = 0,
    ):
        check_at_least_one(patience=patience)
        self.patience = patience
        self.min_epochs = check_whole("min_epochs", min_epochs, 0)
        self._monitor = Monitor(monitor, tolerance)
        self._waited = 0

    def on_train_begin(self, run) -> None:
        """Start anew in a new run."""
        if run.is_new:
            self._monitor.forget()
            self._waited = 0

    def on_epoch_end(self, run, record) -> None:
        """Count the epochs without an improvement; stop the run after `patience`."""
        self._waited = 0 if self._monitor.improves(record) else self._waited + 1
        is_over = self._waited >= self.patience and record.epoch >= self.min_epochs
        run.stop = run.stop or is_over

    def state(self) -> dict[str, Any]:
        """Return the best number and for how many epochs it has been the best."""
        return {**self._monitor.state(), "waited": self._waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self._monitor.restore(state)
        self._waited = int(state["waited"])
