"""Probabilities from what a network outputs before softmax or logistic."""

from abc import abstractmethod

import numpy as np

from truesparse.datasets import Preprocessing
from truesparse.losses import Loss
from truesparse.network.inputs import warn_of_scales


class Probabilities:
    """Mixin of models that have a loss and a `decision_function`."""

    loss: Loss
    # How the training data were scaled and labelled, if the model knows it.
    preprocessing: Preprocessing | None = None

    @abstractmethod
    def decision_function(
        self, data, batch_size: int = 128, *, scaled: bool = False
    ) -> np.ndarray:
        """Return the outputs before softmax or logistic, as an (n, n_out) array."""

    def predict_proba(
        self, data, batch_size: int = 128, *, scaled: bool = False
    ) -> np.ndarray:
        """Return probabilities, or predictions of a regression, as (n, n_out)."""
        warn_of_scales(self.preprocessing, scaled)
        z = self.decision_function(data, batch_size, scaled=True)
        return self.loss.activate(z)
