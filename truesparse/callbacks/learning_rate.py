"""The learning rate of a run, step by step."""

from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.training.events import Callback


class LearningRateMonitor(Callback):
    """Record the learning rate every so many steps.

    Parameters
    ----------
    every : int
        Steps between two records; the first step is always recorded.

    Attributes
    ----------
    steps : list of int
        Steps that the model had taken at each record.
    rates : list of float
        Learning rate of the last of these steps.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP, Trainer
    >>> from truesparse.callbacks import LearningRateMonitor
    >>> from truesparse.schedules import LearningRate
    >>> X = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    >>> rates, lr = LearningRateMonitor(every=2), LearningRate(1.0, "linear")
    >>> options = {"epochs": 2, "batch_size": 16, "callbacks": [rates]}
    >>> _ = Trainer(SparseMLP([8, 32, 2]), lr=lr, **options).fit(X, X[:, 0] > 0)
    >>> list(zip(rates.steps, rates.rates))
    [(1, 1.0), (3, 0.75), (5, 0.5), (7, 0.25)]
    """

    def __init__(self, every: int = 1):
        self.every = check_whole("every", every, 1)
        self.steps: list[int] = []
        self.rates: list[float] = []

    def on_train_begin(self, run) -> None:
        """Start anew in a new run."""
        if run.is_new:
            self.steps, self.rates = [], []

    def on_batch_end(self, run) -> None:
        """Record the rate if it is time."""
        if (run.model.step - run.start - 1) % self.every == 0:
            self.steps.append(run.model.step)
            self.rates.append(run.lr)

    def state(self) -> dict[str, Any]:
        """Return the records so far."""
        steps, rates = np.array(self.steps, np.int64), np.array(self.rates, float)
        return {"steps": steps, "rates": rates}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore an earlier state."""
        self.steps, self.rates = state["steps"].tolist(), state["rates"].tolist()
