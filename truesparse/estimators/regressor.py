"""SparseMLPRegressor: one or several real targets."""

import numpy as np
import scipy.sparse
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d

from truesparse.errors import DataError
from truesparse.estimators.base import BaseSparseMLP
from truesparse.estimators.settings import make_loss
from truesparse.losses import Loss


class SparseMLPRegressor(RegressorMixin, BaseSparseMLP):
    """A truly sparse multilayer perceptron for real targets.

    Its parameters are those of scikit-learn's MLPRegressor where it has them. Targets
    are not scaled; they are learned slowly if their standard deviation is far from 1,
    see sklearn.compose.TransformedTargetRegressor.

    Parameters
    ----------
    hidden_layer_sizes, activation, epsilon, density, and all others but `loss`
        See SparseMLPClassifier; there is no `class_weight`. "auto" is a layer of 100,
        relu, no dropout and one network, whatever the data.
    loss : {"auto", "squared_error", "huber", "poisson"} or Loss
        "auto" is "squared_error": half the squared error, summed over the targets.
        "poisson" is half the Poisson deviance, for counts and other targets of at least
        0; the network then learns the logarithm of their mean.

    Attributes
    ----------
    model_, coefs_, intercepts_, history_, loss_curve_, feature_importances_, ...
        See SparseMLPClassifier; there is no `classes_`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from truesparse import SparseMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X, y = scale(X), scale(y)
    >>> net = SparseMLPRegressor((100, 100), epsilon=5, random_state=0, max_iter=20)
    >>> net = net.set_params(learning_rate="cosine", alpha=1.0)
    >>> net.fit(X[:350], y[:350]).score(X[350:], y[350:]) > 0.4
    True
    """

    @property
    def _task(self) -> str:
        return "regression"

    def partial_fit(
        self,
        X,
        y,
        sample_weight=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train for one epoch on the given samples.

        See SparseMLPClassifier.partial_fit.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            See `fit`.

        Returns
        -------
        self
        """
        reset = not hasattr(self, "model_")
        data = X, y, sample_weight, X_val, y_val, sample_weight_val
        self._fit(*data, reset=reset, is_partial=True)
        return self

    def predict(self, X) -> np.ndarray:
        """Return the predicted targets.

        Parameters
        ----------
        X : (n, n_features) array-like or sparse matrix

        Returns
        -------
        (n,) or (n, n_outputs) array of `dtype`
        """
        z = self._outputs(X)
        predicted = self.model_.loss.activate(z)
        return predicted[:, 0] if self._is_flat else predicted

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _encode(self, y, reset: bool, classes=None, name: str = "y") -> np.ndarray:
        if scipy.sparse.issparse(y):
            y = y.toarray()  # small: a column for each output of the network
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=name == "y")
        n_targets = 1 if y.ndim == 1 else y.shape[1]
        if reset:
            self._is_flat, self._n_outputs = y.ndim == 1, n_targets
        elif n_targets != self._n_outputs:
            raise DataError(
                f"{name} has {n_targets} targets, but the first fit saw "
                f"{self._n_outputs}; give as many"
            )
        return y.reshape(len(y), -1)

    def _make_loss(self) -> Loss:
        return make_loss(self.loss, _LOSSES, "real")


_LOSSES = {
    "auto": "squared",
    "squared_error": "squared",
    "huber": "huber",
    "poisson": "poisson",
}
