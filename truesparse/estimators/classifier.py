"""SparseMLPClassifier: classes and multilabel targets."""

import numpy as np
import scipy.sparse
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from truesparse.errors import DataError, UsageError
from truesparse.estimators.base import BaseSparseMLP
from truesparse.estimators.samples import weigh_classes
from truesparse.estimators.settings import make_loss
from truesparse.losses import Loss
from truesparse.network.inputs import as_weights


class SparseMLPClassifier(ClassifierMixin, BaseSparseMLP):
    """A truly sparse multilayer perceptron that classifies.

    Its parameters are those of scikit-learn's MLPClassifier where it has them. Layers
    are stored as index arrays, and X may be sparse; neither is ever made dense.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int or int or "auto"
        "auto" is 100; with more features than samples, it chooses 100 or 1000, and with
        it whatever of `activation`, `dropout` and `n_estimators` is "auto": see
        estimators/architecture.py.
    activation : str
        Activation of the hidden layers, see truesparse.activations; "auto" is "relu",
        or "tanh" with up to 500 samples of more features.
    epsilon : float, optional
        A layer has ``epsilon * (n_in + n_out)`` connections; small layers are full. 20
        if neither this nor `density` is given. (MLPClassifier's `epsilon` is Adam's,
        which is 1e-8 here.)
    density : float, optional
        Share of the cells of each layer that are connected, in (0, 1].
    init_topology, init_options, weight_init, activation_dtype
        See SparseMLP.
    topology : str or TopologyAlgorithm
        How connections evolve, see truesparse.topology.ALGORITHMS; with "static" they
        do not. With "auto" sizes and up to 500 samples of more features "set" has an
        update after every tenth epoch; the option "schedule" sets another pace.
    topology_options : dict, optional
        Options of a topology given by name, for example ``{"zeta": 0.2}``.
    dropout : float or "auto"
        Share of the hidden outputs dropped during training; "auto" is 0, or 0.5 with
        more than 500 samples of more features.
    loss : {"auto", "softmax", "logistic"} or Loss
        "auto" is "softmax" for classes and "logistic" for multilabel targets;
        "logistic" with two classes takes one output.
    class_weight : dict, "balanced" or list of dict, optional
        Weights of the classes, which multiply those of the samples; "balanced" gives
        all classes the same total weight, in each call of `partial_fit`. A list for
        multilabel targets. Scores on validation data leave them out.
    solver : {"adam", "adamw", "rmsprop", "sgd"}
    alpha : float
        L2 penalty, divided by the samples of a batch.
    batch_size : int or "auto"
        "auto" is the smaller of 200 and the number of samples.
    learning_rate : str
        "constant", "invscaling", "adaptive", "cosine", "linear", "step" or
        "exponential", for every solver; they count epochs, see truesparse.schedules.
    learning_rate_init : float
    power_t : float
        Exponent of "invscaling".
    max_iter : int
        Largest number of epochs.
    shuffle : bool
    random_state : int, RandomState or None
    tol : float
        Smallest change of a loss or score that counts as an improvement.
    verbose : bool
        Show progress on stderr.
    warm_start : bool
        Whether `fit` starts from the weights, connections and optimiser state of the
        existing network, for `max_iter` more epochs. What the network is made of (layer
        sizes, density, activation, dropout, loss, dtype) does not change.
    momentum, nesterovs_momentum
        Momentum of "sgd", and whether it is Nesterov's.
    early_stopping : bool
        Whether to stop when the score on validation data no longer improves, and then
        return to the best weights. Otherwise training stops when its loss no longer
        improves, and the last weights stay.
    validation_fraction : float
        Share of the samples held out for early stopping if no `X_val` is given; the
        same share of each class if all have two samples or more.
    beta_1, beta_2 : float
        Decay rates of the Adam solvers' moments; `beta_2` is also that of "rmsprop".
    n_iter_no_change : int or inf
        Epochs without improvement after which training stops.
    powerprop : float
        Power of Powerpropagation, see Optimizer; 1 is without it.
    clip_norm : float, optional
        Scale gradients down to this global L2 norm.
    dtype : {"auto", "float32", "float64"}
        "auto" is that of X, float64 for whole numbers; float32 takes half the time.
    n_jobs : int, optional
        Number of threads; None and -1 take all that Numba may use. Results do not
        depend on it.
    callbacks : list of Callback, optional
        See truesparse.callbacks. They hear of the training of each network.
    n_estimators : int or "auto"
        Networks that are trained from seeds of their own and averaged: `model_` is one
        network in which they stand side by side, and outputs the mean of their outputs
        before softmax or logistic. Later fits with `warm_start` train it as one.
        Learning curves are means. "auto" is 1, or 10 with up to 500 samples of more
        features.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Classes, ascending; for multilabel targets the numbers of the labels.
    coefs_ : list of (n_in, n_out) csr_array
        Weights of the layers, shared with `model_`.
    intercepts_ : list of (n_out,) array
    model_ : SparseMLP
    history_ : list of EpochRecord
    feature_importances_ : (n_features_in_,) array
    loss_curve_, validation_loss_curve_, validation_scores_ : list of float
        One value for each epoch; the latter two are None without validation data.
    loss_, best_loss_, best_validation_score_ : float
    n_iter_, n_layers_, n_outputs_, t_ : int
        Numbers of epochs, layers (with that of the features), outputs and samples seen.
    stopped_ : bool
        Whether training stopped because nothing improved any more.
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : (n_features_in_,) array
        If X had names.

    Notes
    -----
    Differences from MLPClassifier, besides `epsilon`:

    * There is no solver "lbfgs".
    * Every solver follows `learning_rate`. "invscaling" counts epochs, not samples.
      "adaptive" divides the rate by 5 whenever two epochs in a row did not lower the
      training loss by `tol`; as with any other schedule, training stops after
      `n_iter_no_change`.
    * Losses do not include the penalty of `alpha`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from truesparse import SparseMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = SparseMLPClassifier((30, 20), density=0.5, max_iter=100, random_state=0)
    >>> net = net.set_params(learning_rate="cosine", learning_rate_init=0.03)
    >>> net.fit(X, y).score(X, y) > 0.95
    True
    >>> net.coefs_[1].nnz
    300
    """

    @property
    def _task(self) -> str:
        return "multilabel" if self._is_multilabel else "classification"

    def __init__(
        self,
        hidden_layer_sizes="auto",
        activation="auto",
        *,
        epsilon=None,
        density=None,
        init_topology="erdos_renyi",
        init_options=None,
        weight_init="he_uniform",
        topology="set",
        topology_options=None,
        dropout="auto",
        loss="auto",
        class_weight=None,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        n_iter_no_change=10,
        powerprop=1.0,
        clip_norm=None,
        dtype="auto",
        activation_dtype=None,
        n_jobs=None,
        callbacks=None,
        n_estimators="auto",
    ):
        # Not *args: scikit-learn reads the parameters from this signature.
        shared = {**locals()}
        for name in ("self", "class_weight", "__class__"):
            del shared[name]
        super().__init__(**shared)
        self.class_weight = class_weight

    def partial_fit(
        self,
        X,
        y,
        classes=None,
        sample_weight=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train for one epoch on the given samples.

        The first call, or the first after a `fit`, begins a run of `max_iter` calls,
        the length of the schedules of learning rate and topology. At its end,
        connections stop changing, and "cosine" and "linear" have reached 0.

        Validation data are evaluated in every call; with `early_stopping` and without
        `X_val`, they are held out of X. `stopped_` becomes True when nothing has
        improved in `n_iter_no_change` calls. The weights are always those of the last
        call; ``callbacks=[BestModel("val_score", path)]`` writes the best to a file.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            See `fit`.
        classes : (n_classes,) array-like, optional
            All classes, needed in the first call. Multilabel targets need none.

        Returns
        -------
        self
        """
        reset = not hasattr(self, "model_")
        if reset:
            if classes is None and not type_of_target(y).startswith("multilabel"):
                raise UsageError(
                    "classes must be passed on the first call to partial_fit, for "
                    "later samples may have classes that these lack"
                )
        elif not (classes is None or self._is_multilabel) and not np.array_equal(
            np.unique(classes), self.classes_
        ):
            raise UsageError(
                f"classes={classes!r} is not the same as on the first call to "
                f"partial_fit, which was {self.classes_!r}; leave it out"
            )
        known = np.unique(classes) if reset and classes is not None else None
        data = X, y, sample_weight, X_val, y_val, sample_weight_val
        self._fit(*data, reset=reset, is_partial=True, classes=known)
        return self

    def predict(self, X) -> np.ndarray:
        """Return the class of each sample, or 0 or 1 for each of several labels.

        Parameters
        ----------
        X : (n, n_features) array-like or sparse matrix

        Returns
        -------
        (n,) or (n, n_outputs) array
        """
        z = self._outputs(X)
        if self._is_multilabel:
            return (z > 0).astype(np.int64)
        if z.shape[1] == 1:
            # One class alone, or two classes that share an output.
            chosen = (z[:, 0] > 0) & (len(self.classes_) == 2)
            return self.classes_[chosen.astype(np.intp)]
        return self.classes_[z.argmax(axis=1)]

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class, or of each label.

        Parameters
        ----------
        X : (n, n_features) array-like or sparse matrix

        Returns
        -------
        (n, n_classes) or (n, n_outputs) array
        """
        z = self._outputs(X)
        p = self.model_.loss.activate(z)
        if p.shape[1] == 1 and not self._is_multilabel and len(self.classes_) == 2:
            p = np.hstack([1.0 - p, p])
        return p

    def predict_log_proba(self, X) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def decision_function(self, X) -> np.ndarray:
        """Return the outputs before softmax or logistic.

        Parameters
        ----------
        X : (n, n_features) array-like or sparse matrix

        Returns
        -------
        (n,) or (n, n_outputs) array
            For two classes, one number: positive for the second.
        """
        z = self._outputs(X)
        if self._is_multilabel or z.shape[1] > 2:
            return z
        return z[:, 1] - z[:, 0] if z.shape[1] == 2 else z[:, 0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _encode(self, y, reset: bool, classes=None, name: str = "y") -> np.ndarray:
        if scipy.sparse.issparse(y):
            y = y.toarray()  # small: a column for each output of the network
        kind = type_of_target(y, input_name=name)
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise DataError(f"{name} holds no classes: {error}") from None
        if kind == "multiclass-multioutput":
            raise DataError(
                f"{name} has several columns of classes; give one column, or 0 and 1 "
                "for multilabel targets"
            )
        is_multilabel = kind == "multilabel-indicator"
        if reset:
            self._is_multilabel = is_multilabel
        elif is_multilabel != self._is_multilabel:
            kinds = {True: "labels (columns of 0 and 1)", False: "classes"}
            raise DataError(
                f"{name} holds {kinds[is_multilabel]}, but the first fit saw "
                f"{kinds[self._is_multilabel]}; give the same kind"
            )
        if is_multilabel:
            return self._encode_labels(y, reset, name)
        y = column_or_1d(y, warn=name == "y")
        if reset:
            self.classes_ = np.unique(y) if classes is None else classes
            is_single = make_loss(self.loss, _LOSSES, "class").name == "logistic"
            if is_single and len(self.classes_) != 2:
                raise UsageError(
                    f"loss 'logistic' takes two classes, got {len(self.classes_)}; use "
                    "loss 'softmax'"
                )
            self._n_outputs = 1 if is_single else len(self.classes_)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = self.classes_[codes] != y
        if unknown.any():
            raise DataError(
                f"{name} contains classes {np.unique(y[unknown])} not seen in the "
                f"first fit; known classes are {self.classes_}"
            )
        if self._n_outputs == 1 and len(self.classes_) == 2:
            return codes.astype(np.float64).reshape(-1, 1)
        return codes.astype(np.int32)

    def _encode_labels(self, y, reset: bool, name: str) -> np.ndarray:
        if reset:
            self._n_outputs = y.shape[1]
            self.classes_ = np.arange(y.shape[1])
        elif y.shape[1] != self._n_outputs:
            raise DataError(
                f"{name} has {y.shape[1]} labels, but the first fit saw "
                f"{self._n_outputs}; give as many"
            )
        return y

    def _make_loss(self) -> Loss:
        if self._is_multilabel:
            return make_loss(self.loss, _LABEL_LOSSES, "multilabel")
        return make_loss(self.loss, _LOSSES, "class")

    def _weigh(self, y, weights: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return weights
        classes = None if self._is_multilabel else self.classes_
        by_class = weigh_classes(self.class_weight, y, classes, weights)
        if weights is None:
            return as_weights(by_class, len(by_class), "class_weight")
        name = "class_weight times sample_weight"
        return as_weights(by_class * weights, len(weights), name)

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        return None if self._is_multilabel else targets.ravel()


_LOSSES = {"auto": "softmax", "softmax": "softmax", "logistic": "logistic"}
_LABEL_LOSSES = {"auto": "logistic", "logistic": "logistic"}
