"""The learning rate as it was, step by step."""

from typing import Any

import numpy as np

from truesparse.checks import check_whole
from truesparse.training.events import Callback


class LearningRateMonitor(Callback):
    """Notes the learning rate every so many steps.

    Parameters
    ----------
    every : int
        Steps; the first is noted too.

    Attributes
    ----------
    steps : list of int
    rates : list of float
        Steps that the model had taken, and the rate of the last of them.

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
        """Forget an earlier run."""
        if run.is_new:
            self.steps, self.rates = [], []

    def on_batch_end(self, run) -> None:
        """Note the rate, if it is time."""
        if (run.model.step - run.start - 1) % self.every == 0:
            self.steps.append(run.model.step)
            self.rates.append(run.lr)

    def state(self) -> dict[str, Any]:
        """Return what was noted."""
        steps, rates = np.array(self.steps, np.int64), np.array(self.rates, float)
        return {"steps": steps, "rates": rates}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.steps, self.rates = state["steps"].tolist(), state["rates"].tolist()
