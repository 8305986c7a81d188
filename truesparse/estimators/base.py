"""What classifier and regressor share: fit, partial_fit, attributes, importances."""

import contextlib
import copy
import pathlib
import warnings
from abc import abstractmethod

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError
from truesparse.estimators.attributes import publish_history, publish_model
from truesparse.estimators.fitting import Unfinished, run_trainer, warnings_of
from truesparse.estimators.reading import read_rows, read_samples
from truesparse.estimators.samples import Samples
from truesparse.estimators.settings import AUTO, Settings
from truesparse.estimators.several import mean_history, train_several
from truesparse.estimators.undo import undoing_divergence
from truesparse.kernels import jit
from truesparse.losses import Loss, require_finite
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models
from truesparse.training.run import EpochRecord, Run


class BaseSparseMLP(BaseEstimator):
    """Base of the estimators; see SparseMLPClassifier for the parameters."""

    @property
    @abstractmethod
    def _task(self) -> str:
        """Name of the task in truesparse.common.tasks.TASKS."""

    # Set by `_encode`.
    _n_outputs: int
    # Set by a fit.
    model_: SparseMLP
    history_: list[EpochRecord]
    t_: int
    _unfinished: Unfinished | None = None

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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.epsilon = epsilon
        self.density = density
        self.init_topology = init_topology
        self.init_options = init_options
        self.weight_init = weight_init
        self.topology = topology
        self.topology_options = topology_options
        self.dropout = dropout
        self.loss = loss
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.n_iter_no_change = n_iter_no_change
        self.powerprop = powerprop
        self.clip_norm = clip_norm
        self.dtype = dtype
        self.activation_dtype = activation_dtype
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.n_estimators = n_estimators

    # What classifier and regressor add -----------------------------------------------

    @abstractmethod
    def _encode(self, y, reset: bool, classes=None, name: str = "y") -> np.ndarray:
        """Return targets as the loss takes them; with `reset`, learn their kind.

        Messages call the targets `name`.
        """

    @abstractmethod
    def _make_loss(self) -> Loss:
        """Return the loss for the targets that were encoded."""

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Return the classes of which training and validation data get their share."""
        return None

    def _weigh(self, y, weights: np.ndarray | None) -> np.ndarray | None:
        """Return the sample weights times those of the classes."""
        return weights

    # Fitting -------------------------------------------------------------------------

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train a new network, or with `warm_start` the existing one.

        Parameters
        ----------
        X : (n, n_features) array-like or sparse matrix
            A sparse matrix stays sparse.
        y : (n,) or (n, n_outputs) array-like
            Classes, or columns of 0 and 1 for multilabel targets; numbers for a
            regressor.
        sample_weight : (n,) array-like, optional
            Samples held out for early stopping have theirs in its score, too.
        X_val, y_val : optional
            Validation data, evaluated after every epoch.
        sample_weight_val : (n_val,) array-like, optional
            Weights of the validation data in their loss and score.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            UsageError for a parameter, DataError for data that are not accepted.
        DivergedError
            If the loss becomes NaN or infinite. The estimator then keeps the network
            that it had before.
        KeyboardInterrupt
            After Ctrl-C. The estimator keeps what it has learned by the end of the
            step; a second Ctrl-C ends at once, as a failure does.
        """
        reset = not (self.warm_start and hasattr(self, "model_"))
        data = X, y, sample_weight, X_val, y_val, sample_weight_val
        self._fit(*data, reset=reset, is_partial=False)
        return self

    def _fit(self, *data, reset: bool, **how) -> None:
        """Train; a new network that fails leaves the estimator as it was.

        See `_train` for the parameters.
        """
        before = self.__dict__.copy()
        try:
            run, is_whole = self._train(*data, reset=reset, **how)
        except BaseException:
            if reset:
                # The old network belongs to the old classes.
                self.__dict__ = before
            elif self._unfinished and not self._unfinished.can_resume:
                self._unfinished = None
            raise
        if not is_whole:
            raise KeyboardInterrupt(
                f"training was interrupted after {run.epoch} epochs; the estimator "
                "keeps what it has learned"
            )

    def _train(
        self, *data, reset: bool, is_partial: bool, classes=None
    ) -> tuple[Run, bool]:
        """Train, then publish what was learned; see `run_trainer` for what it returns.

        Parameters
        ----------
        *data
            X, y, sample_weight, X_val, y_val and sample_weight_val, as `fit` takes
            them.
        reset : bool
            Whether to begin with a new network.
        is_partial : bool
            Whether to do one epoch of a run that later calls resume, not a whole run.
        classes : array, optional
            All classes, if these targets may lack some.
        """
        settings = self._settings()
        samples = read_samples(self, settings, data, reset, classes)
        if is_partial and settings.n_estimators not in (AUTO, 1):
            raise UsageError(
                "partial_fit trains one network, but n_estimators is "
                f"{settings.n_estimators}; leave it out, or use fit"
            )
        # A part of the data does not show the shape of all.
        is_known = not is_partial and self._task != "regression"
        shape = (samples.n, self.n_features_in_) if is_known else None
        settings.choose_net(shape)
        if reset:
            sizes = self.n_features_in_, self._n_outputs
            if settings.n_estimators > 1:
                return self._train_several(settings, samples, sizes)
            [seed] = settings.draw_seeds()
            loss = self._make_loss()
            model = settings.make_model(samples.X, *sizes, loss, seed)
        else:
            self._make_writeable()
            model = self.model_
        if settings.early_stopping and samples.X_val is None:
            strata = self._strata(samples.y)
            share = settings.validation_fraction
            samples = samples.hold_out(share, model.seed, strata)
        if is_partial and self._unfinished:
            earlier, algorithm, stopping = self._unfinished
        else:
            earlier, algorithm, stopping = None, None, settings.make_stopping()
        trainer = settings.make_trainer(model, samples, algorithm, stopping, is_partial)
        n_before = 0 if earlier is None else earlier.epoch
        until = n_before + 1 if is_partial else None
        # A new network that diverges is not published.
        undoing = contextlib.nullcontext() if reset else undoing_divergence(model)
        with undoing:
            run, is_whole = run_trainer(trainer, samples, settings, until, earlier)
        if reset and not is_whole and not run.history:
            raise KeyboardInterrupt  # before anything was learned
        if is_partial and is_whole:
            self._unfinished = Unfinished(run, trainer.topology, stopping)
        else:
            # Within an epoch, a run could only resume with the same samples.
            self._unfinished = None
            model.release()
        self.stopped_ = run.stop
        publish_model(self, model)
        publish_history(self, run.history[n_before:], samples.n, reset)
        if is_whole:
            for message, category in warnings_of(run, settings, is_partial):
                warnings.warn(message, category, stacklevel=4)
        return run, is_whole

    def _train_several(
        self, settings: Settings, samples: Samples, sizes: tuple[int, int]
    ) -> tuple[Run, bool]:
        """Train new networks, then publish their average."""

        def make_model(seed: int) -> SparseMLP:
            return settings.make_model(samples.X, *sizes, self._make_loss(), seed)

        strata = self._strata(samples.y)
        model, runs, is_whole = train_several(settings, samples, make_model, strata)
        self._unfinished = None
        self.stopped_ = all(run.stop for run in runs)
        publish_model(self, model)
        history = mean_history([run.history for run in runs])
        publish_history(self, history, samples.n, reset=True)
        if is_whole:
            slowest = next((run for run in runs if not run.stop), runs[0])
            for message, category in warnings_of(slowest, settings, is_partial=False):
                warnings.warn(message, category, stacklevel=5)
        return runs[-1], is_whole

    def _settings(self) -> Settings:
        """Return the values of the parameters, those of subclasses left out."""
        names = BaseSparseMLP._get_param_names()
        return Settings(**{name: getattr(self, name) for name in names})

    def _make_writeable(self) -> None:
        """Copy what training changes, if it is mapped from a file."""
        if not self.model_.layers[0].bias.flags.writeable:
            # Together, for the run refers to the model.
            both = self.model_, self._unfinished
            self.model_, self._unfinished = copy.deepcopy(both)

    def save(self, path) -> pathlib.Path:
        """Write the network to a file, with the names of classes and features.

        ``truesparse.load`` reads the network and ``python -m truesparse.predict``
        predicts with it. The file does not hold the parameters of the estimator; a
        pickle does.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        check_is_fitted(self, "model_")
        names = getattr(self, "feature_names_in_", None)
        about = Preprocessing(
            self._task,
            classes=getattr(self, "classes_", None),
            feature_names=None if names is None else tuple(map(str, names)),
        )
        return models.save(self.model_, path, preprocessing=about)

    # Predicting ----------------------------------------------------------------------

    def _outputs(self, X) -> np.ndarray:
        """Return the outputs before softmax or logistic, (n, n_outputs), all finite."""
        check_is_fitted(self, "model_")
        X = read_rows(self, X)
        with jit.threads(self.n_jobs):
            z = self.model_.decision_function(X)
        require_finite(z)
        return z

    @property
    def coefs_(self) -> list[scipy.sparse.csr_array]:
        """Weights of the layers, (n_in, n_out) each, shared with `model_`."""
        check_is_fitted(self, "model_")
        return [layer.connections.to_scipy() for layer in self.model_.layers]

    @property
    def feature_importances_(self) -> np.ndarray:
        """Strength of the features, (n_features_in_,) float64 that add up to 1.

        The strength of an input neuron is the sum of the absolute weights of its
        connections (Atashgahi et al., "Quick and robust feature selection: the
        strength of energy-efficient sparse training for autoencoders", Machine
        Learning 111, 2022). It depends on the scale of the features; standardise them.
        """
        check_is_fitted(self, "model_")
        first = self.model_.layers[0].connections
        magnitudes = np.abs(first.values).astype(np.float64)
        strengths = np.bincount(first.rows(), magnitudes, first.n_in)
        total = strengths.sum()
        return strengths / total if total > 0 else strengths

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
