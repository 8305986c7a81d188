"""What classifier and regressor share: fit, partial_fit, attributes, importances."""

import pathlib
import warnings
from abc import abstractmethod

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from truesparse.callbacks import (
    BestModel,
    Callback,
    EarlyStopping,
    Interrupted,
    Progress,
)
from truesparse.errors import UsageError
from truesparse.estimators.attributes import publish
from truesparse.estimators.interrupt import StopOnInterrupt
from truesparse.estimators.settings import (
    batch_size_for,
    check_callbacks,
    check_options,
    dtype_for,
    expects_convergence,
    make_learning_rate,
    make_model,
    make_optimizer,
    make_stopping,
    make_topology,
    make_writeable,
    split,
)
from truesparse.kernels import jit
from truesparse.kernels.arrays import Csr
from truesparse.losses import Loss
from truesparse.network.inputs import (
    as_source_data,
    as_weights,
    n_samples,
    take_samples,
)
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models
from truesparse.storage.preprocessing import Preprocessing
from truesparse.topology import TopologyAlgorithm
from truesparse.training.run import EpochRecord, Run
from truesparse.training.trainer import Trainer

# The first is what whole numbers become.
_FLOATS = (np.float64, np.float32)
Source = np.ndarray | Csr


class BaseSparseMLP(BaseEstimator):
    """Base of the estimators; see SparseMLPClassifier for the parameters."""

    _score_name = "score"

    @property
    @abstractmethod
    def _task(self) -> str:
        """What Preprocessing calls the kind of targets."""

    # Known from the targets: outputs of the network.
    _n_targets: int
    # What fitting leaves.
    model_: SparseMLP
    history_: list[EpochRecord]
    t_: int
    _run: Run | None
    _algorithm: TopologyAlgorithm
    _stopping: EarlyStopping | None

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        epsilon=None,
        density=None,
        init_topology="erdos_renyi",
        init_options=None,
        weight_init="he_uniform",
        topology="set",
        topology_options=None,
        dropout=0.0,
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
        clip_norm=None,
        dtype="auto",
        n_jobs=None,
        callbacks=None,
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
        self.clip_norm = clip_norm
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.callbacks = callbacks

    # What classifier and regressor add -----------------------------------------------

    @abstractmethod
    def _encode(self, y, reset: bool, classes=None) -> np.ndarray:
        """Return targets as the loss takes them; with `reset` learn what they are."""

    @abstractmethod
    def _make_loss(self) -> Loss:
        """Return the loss for the targets that were encoded."""

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """Return the classes that both parts of a split are to hold."""
        return None

    def _weigh(self, y, weights: np.ndarray | None) -> np.ndarray | None:
        """Return the weights of samples, with those of their classes."""
        return weights

    # Fitting -------------------------------------------------------------------------

    def _fit(self, *data, reset: bool, **how) -> None:
        """Train; of a new model that fails, nothing is left.

        See `_train` for the parameters.
        """
        before = self.__dict__.copy()
        try:
            self._train(*data, reset=reset, **how)
        except BaseException:
            if reset:
                # The network that was there goes with the classes that were there.
                self.__dict__ = before
            raise

    def _train(
        self, X, y, sample_weight, X_val, y_val, *, reset, epochs, classes=None
    ) -> None:
        """Train, then publish what was learnt.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val
            As `fit` takes them.
        reset : bool
            Whether to begin with a new model.
        epochs : int or None
            How many more of a run that may go on; None is for a whole one.
        classes : array, optional
            All there are, if these targets may lack some.
        """
        check_options(self)
        callbacks = check_callbacks(self)
        X, y = self._validate(X, y, reset)
        targets = self._encode(y, reset, classes)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        dtype = dtype_for(self, X) if reset else self.model_.dtype
        data = as_source_data(X, dtype, self.n_features_in_, "X")
        weights = as_weights(self._weigh(y, sample_weight), n_samples(data))
        validation = self._check_validation(X_val, y_val, dtype)
        if not reset:
            make_writeable(self)
        model = make_model(self, data, dtype) if reset else self.model_
        if validation is None and self.early_stopping:
            share, strata = self.validation_fraction, self._strata(targets)
            train, held_out = split(n_samples(data), share, model.seed, strata)
            validation = take_samples(data, held_out), targets[held_out]
            data, targets = take_samples(data, train), targets[train]
            weights = None if weights is None else weights[train]
        run = None if reset or epochs is None else self._run
        before = 0 if run is None else run.epoch
        # Calls of partial_fit count on, where the one before stopped.
        stopping = make_stopping(self) if run is None else self._stopping
        if stopping is not None:
            callbacks.append(stopping)
        if self.early_stopping and epochs is None:
            callbacks.append(BestModel("val_score"))
        callbacks.append(StopOnInterrupt())
        trainer = self._make_trainer(model, weights, n_samples(data), callbacks, run)
        X_val, y_val = validation or (None, None)
        is_whole = True
        with jit.threads(self.n_jobs):
            try:
                trainer.fit(
                    data,
                    targets,
                    X_val=X_val,
                    y_val=y_val,
                    sample_weight=weights,
                    keep_moments=True,
                    run=run,
                    until=None if epochs is None else before + epochs,
                )
            except Interrupted:
                is_whole = False
            except BaseException:
                if run is not None and (run.batch or not run.intact):
                    self._run = None  # the next samples are not those of this epoch
                raise
        run = trainer.run
        assert run is not None
        if not is_whole:
            if reset and not run.history:
                raise KeyboardInterrupt from None
            warnings.warn(
                f"training was interrupted after {run.epoch} epochs; the estimator "
                "keeps what it has learnt",
                stacklevel=4,
            )
        self.model_ = model
        # A whole run is over, and one that stopped within an epoch could only go on
        # with the samples of that.
        self._run = run if is_whole and epochs is not None else None
        if self._run is None:
            model.release()
        self._algorithm, self._stopping = trainer.topology, stopping
        self.stopped_ = run.stop
        publish(self, run.history[before:], n_samples(data), reset)
        if is_whole and epochs is None and not run.stop and expects_convergence(self):
            warnings.warn(
                f"{self.max_iter} epochs (max_iter) were not enough for the loss to "
                f"settle: it still falls by more than tol={self.tol:g} within "
                f"n_iter_no_change={self.n_iter_no_change} epochs",
                ConvergenceWarning,
                stacklevel=4,
            )
        if epochs is not None and run.lr == 0.0:
            warnings.warn(
                f"learning_rate={self.learning_rate!r} has come to 0: it is made for "
                f"max_iter={self.max_iter} calls of partial_fit, this was number "
                f"{run.epoch}",
                stacklevel=4,
            )

    def _make_trainer(
        self,
        model: SparseMLP,
        weights: np.ndarray | None,
        n: int,
        callbacks: list[Callback],
        run: Run | None,
    ) -> Trainer:
        size = batch_size_for(self, n)
        weight = float(n if weights is None else weights.sum())
        if self.verbose:
            callbacks = [*callbacks, Progress(score_name=self._score_name)]
        return Trainer(
            model,
            optimizer=make_optimizer(self, -(-n // size), weight),
            lr=make_learning_rate(self),
            topology=make_topology(self) if run is None else self._algorithm,
            epochs=self.max_iter,
            batch_size=size,
            shuffle=bool(self.shuffle),
            clip_norm=self.clip_norm,
            callbacks=callbacks,
            keep_last_good=False,
        )

    def _validate(self, X, y, reset: bool):
        return validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=_FLOATS,
            multi_output=True,
            y_numeric=is_regressor(self),
            reset=reset,
        )

    def _check_validation(
        self, X_val, y_val, dtype
    ) -> tuple[Source, np.ndarray] | None:
        if (X_val is None) != (y_val is None):
            raise UsageError("give X_val and y_val together")
        if X_val is None:
            return None
        X_val, y_val = self._validate(X_val, y_val, reset=False)
        data = as_source_data(X_val, dtype, self.n_features_in_, "X_val")
        return data, self._encode(y_val, reset=False)

    def save(self, path) -> pathlib.Path:
        """Write the network to a file, with classes and names of features.

        ``truesparse.load`` reads the network, ``python -m truesparse.predict`` predicts
        with it; parameters of the estimator are not kept: pickle keeps them.

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
        """Return the outputs before softmax or logistic, (n, n_outputs)."""
        check_is_fitted(self, "model_")
        X = validate_data(self, X, accept_sparse="csr", dtype=_FLOATS, reset=False)
        with jit.threads(self.n_jobs):
            return self.model_.decision_function(X)

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
        Learning 111, 2022). It goes by the scale of the features: standardise them.
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
