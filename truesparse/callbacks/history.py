"""The records of a run as columns of tables."""

from dataclasses import asdict, fields
from typing import Any

import numpy as np

from truesparse.training.events import Callback
from truesparse.training.run import EpochRecord

_CHANGES = ("epoch", "step", "layer", "removed", "grown", "nnz", "regrown", "growth")


class History(Callback):
    """Collect the numbers of every epoch and topology update, as lists by name.

    This callback collects the records while a run trains; `truesparse.plots.History`
    reads records, these among others, to draw them.

    Attributes
    ----------
    epochs : dict of str to list
        One list for each field of EpochRecord; ``history["val_loss"]`` is one of them.
    updates : dict of str to list
        Epoch, step and the fields of LayerChange, with one entry for each layer of each
        update.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> from truesparse.callbacks import History
    >>> X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> history = History()
    >>> model = SparseMLP([8, 32, 2], density=0.25)
    >>> _ = Trainer(model, epochs=3, callbacks=[history]).fit(X, X[:, 0] > 0)
    >>> history["epoch"], history["nnz"]
    ([1, 2, 3], [80, 80, 80])
    >>> history.updates["epoch"], history.updates["grown"]
    ([1, 2], [21, 21])

    ``pandas.DataFrame(history.epochs)`` makes a table of either.
    """

    def __init__(self) -> None:
        self.epochs: dict[str, list[Any]] = {}
        self.updates: dict[str, list[Any]] = {}
        self._forget()

    def __getitem__(self, name: str) -> list:
        return self.epochs[name]

    def on_train_begin(self, run) -> None:
        """Start anew in a new run; in a resumed one, take over its epochs."""
        if run.is_new:
            self._forget()
        self.epochs = {name: [] for name in self.epochs}
        for record in run.history:
            self._append(record)

    def on_topology_update(self, run, changes) -> None:
        """Append the changes of each layer to `updates`."""
        for change in changes:
            place = {"epoch": run.epoch, "step": run.model.step}
            for name, value in (place | asdict(change)).items():
                self.updates[name].append(value)

    def on_epoch_end(self, run, record) -> None:
        """Append the record to `epochs`."""
        self._append(record)

    def state(self) -> dict[str, Any]:
        """Return the updates; the epochs are in the run's own history."""
        columns: dict[str, Any] = {
            name: np.array(values, np.int64)
            for name, values in self.updates.items()
            if name != "growth"
        }
        return {"updates": columns | {"growth": list(self.updates["growth"])}}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        columns = state["updates"]
        self.updates = {name: list(columns[name]) for name in _CHANGES}
        for name in _CHANGES[:-1]:
            self.updates[name] = columns[name].tolist()

    def _forget(self) -> None:
        self.epochs = {each.name: [] for each in fields(EpochRecord)}
        self.updates = {name: [] for name in _CHANGES}

    def _append(self, record) -> None:
        for name, value in asdict(record).items():
            self.epochs[name].append(value)
