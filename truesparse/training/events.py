"""The events of a run, to which callbacks listen."""

from typing import Any


class Callback:
    """Base of all callbacks: does nothing on every event.

    The trainer calls the callbacks one after the other, each with its Run. What one
    remembers goes into checkpoints if `state` returns it.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> from truesparse.callbacks import Callback
    >>> class StopAtZero(Callback):
    ...     def on_epoch_end(self, run, record):
    ...         run.stop = run.stop or record.train_loss < 1e-3
    >>> X = np.eye(4, dtype=np.float32)
    >>> model = SparseMLP([4, 16, 4], density=1.0)
    >>> trainer = Trainer(model, lr=0.2, epochs=500, callbacks=[StopAtZero()])
    >>> len(trainer.fit(X, np.arange(4))) < 500
    True
    """

    def on_train_begin(self, run) -> None:
        """Training starts, or goes on unless `run.is_new`."""

    def on_batch_end(self, run) -> None:
        """One optimiser step was taken."""

    def on_topology_update(self, run, changes) -> None:
        """The topology changed; `changes` is a list of LayerChange."""

    def on_epoch_end(self, run, record) -> None:
        """An epoch ended; `record` is its EpochRecord."""

    def on_train_end(self, run) -> None:
        """Training ended, by itself, by an error, or to go on later."""

    def on_checkpoint(self, run, seconds: float) -> None:
        """A checkpoint was written, which took some seconds."""

    def on_warning(self, run, message: str) -> None:
        """Something went wrong that does not end the run."""

    def state(self) -> dict[str, Any]:
        """Return what is remembered: numbers, texts, lists, dicts and arrays."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a `state` that was returned before, ahead of on_train_begin."""
