"""The events of a run, to which callbacks listen."""

import warnings
from collections.abc import Sequence
from typing import Any

from truesparse.errors import UsageError


class Callback:
    """Base class of all callbacks, which does nothing on any event.

    For each event the trainer calls its callbacks in order, each with the Run. A
    subclass overrides the events that it needs. Checkpoints store what `state` returns;
    `restore` gets it back in a resumed run.

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
        """Run before training, which starts if `run.is_new` and else is resumed."""

    def on_batch_end(self, run) -> None:
        """Run after each optimiser step."""

    def on_topology_update(self, run, changes) -> None:
        """Run after each topology update; `changes` is a list of LayerChange."""

    def on_epoch_end(self, run, record) -> None:
        """Run after each epoch and its validation; `record` is its EpochRecord."""

    def on_train_end(self, run) -> None:
        """Run when training ends: the run is over, paused, or ended by an error."""

    def on_checkpoint(self, run, seconds: float) -> None:
        """Run after a checkpoint was written, which took `seconds`."""

    def on_warning(self, run, message: str) -> None:
        """Run when something went wrong that does not end the run.

        Where no callback overrides this, Python warns.
        """

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores: numbers, strings, lists, dicts, arrays."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier `state`, before on_train_begin of a resumed run."""


def warn(callbacks: Sequence[Callback], run, message: str) -> None:
    """Tell callbacks of a warning; Python warns if there is none that hears it."""
    for each in callbacks:
        each.on_warning(run, message)
    if all(type(each).on_warning is Callback.on_warning for each in callbacks):
        warnings.warn(message, UserWarning, stacklevel=2)


def as_callbacks(given: Any) -> list[Callback]:
    """Return callbacks as a list; one may be given as it is, and None for none.

    Raises
    ------
    UsageError
        If something among them is no Callback.
    """
    if isinstance(given, Callback):
        return [given]
    try:
        callbacks = [] if given is None else list(given)
    except TypeError:
        callbacks = [given]
    if not all(isinstance(each, Callback) for each in callbacks):
        raise UsageError(f"callbacks must be a list of Callback objects, got {given!r}")
    return callbacks
