"""Parameters of an estimator, and what a fit makes of them.

Names and meanings are those of scikit-learn's MLPClassifier where it has them.
"""

import copy
import math
import numbers
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils import check_random_state

from truesparse import topology
from truesparse.callbacks import BestModel, Callback, EarlyStopping, Progress
from truesparse.common.checks import (
    check_bools,
    check_finite,
    check_not_negative,
    check_positive,
    check_share_below_one,
    check_whole,
    choose,
    float_type,
)
from truesparse.drawing.patterns import pattern_of
from truesparse.errors import UsageError
from truesparse.estimators.architecture import Architecture, architecture_for
from truesparse.estimators.interrupt import StopOnInterrupt
from truesparse.estimators.samples import Samples, Source
from truesparse.kernels.arrays import Csr
from truesparse.losses import Loss
from truesparse.network.inputs import n_samples
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate
from truesparse.training.events import as_callbacks
from truesparse.training.trainer import Trainer

SOLVERS = ("adam", "adamw", "rmsprop", "sgd")
# scikit-learn's names and ours.
_SCHEDULES = {
    "constant": "constant",
    "invscaling": "inverse_scaling",
    "adaptive": "adaptive",
    "cosine": "cosine",
    "exponential": "exponential",
    "linear": "linear",
    "step": "step",
}
# Schedules that end at 0: a run is meant to take all its epochs.
_FALLING = ("cosine", "linear")
_LARGEST_AUTO_BATCH = 200
AUTO = "auto"
_SEEDS = 2**31 - 1
# Checked here, under the names that the estimator gives them.
_NUMBERS = {
    "alpha": check_not_negative,
    "tol": check_not_negative,
    "learning_rate_init": check_positive,
    "power_t": check_finite,
    "momentum": check_share_below_one,
    "beta_1": check_share_below_one,
    "beta_2": check_share_below_one,
    "dropout": check_share_below_one,
    "validation_fraction": check_share_below_one,
}


class Settings(types.SimpleNamespace):
    """The parameters of an estimator, under their names and checked.

    A fit works with these values and with its samples; it never asks the estimator.
    Parameters of one object (the topology, the optimiser, ...) are checked when that
    object is made.

    Raises
    ------
    UsageError
        For a parameter that nothing else checks.
    """

    callbacks: list[Callback]
    # Set by `choose_net`.
    update_every: int

    def __init__(self, **parameters: Any):
        super().__init__(**parameters)
        for name in ("shuffle", "warm_start", "early_stopping", "nesterovs_momentum"):
            check_bools(**{name: parameters[name]})
        for name, check in _NUMBERS.items():
            if not (name == "dropout" and self.dropout == AUTO):
                check(**{name: parameters[name]})
        if self.n_estimators != AUTO:
            check_whole("n_estimators", self.n_estimators, 1)
        if self.clip_norm is not None:
            check_positive(clip_norm=self.clip_norm)
        check_whole("max_iter", self.max_iter, 1)
        if self.n_iter_no_change != math.inf:
            check_whole("n_iter_no_change", self.n_iter_no_change, 1)
        if self.early_stopping and self.validation_fraction == 0.0:
            raise UsageError(
                "validation_fraction must be above 0 for early_stopping to hold out "
                "validation data, got 0"
            )
        options = self.topology_options
        if options is not None and not isinstance(options, Mapping):
            raise UsageError(f"topology_options must be a dict, got {options!r}")
        self.callbacks = as_callbacks(parameters["callbacks"])

    def choose_net(self, shape: tuple[int, int] | None) -> None:
        """Set what is left to the data to what suits this shape, see architecture.py.

        Parameters
        ----------
        shape : (n_samples, n_features) or None
            None where the data do not choose. They do not either where the caller gives
            layer sizes.
        """
        chosen = Architecture()
        if shape is not None and _is_auto(self.hidden_layer_sizes):
            chosen = architecture_for(*shape)
        for name, value in chosen._asdict().items():
            # `update_every` is no parameter.
            if _is_auto(getattr(self, name, AUTO)):
                setattr(self, name, value)

    def draw_seeds(self) -> list[int]:
        """Return a seed for each network."""
        random = check_random_state(self.random_state)
        return [int(random.randint(_SEEDS)) for _ in range(self.n_estimators)]

    def float_type_for(self, X: Any) -> type:
        """Return the dtype of a new network; "auto" is the dtype of X."""
        return float_type(X.dtype if self.dtype == "auto" else self.dtype)

    def batch_size_for(self, n: int) -> int:
        """Return the samples of a batch: "auto" is the smaller of 200 and `n`."""
        size = self.batch_size
        if isinstance(size, str):
            choose(size, ("auto",), "batch_size")
            size = _LARGEST_AUTO_BATCH
        return min(check_whole("batch_size", size, 1), n)

    def make_model(
        self, X: Source, n_features: int, n_outputs: int, loss: Loss, seed: int
    ) -> SparseMLP:
        """Make a network of the dtype of `X`."""
        matrix = _as_matrix(X, n_features)
        return SparseMLP(
            (n_features, *_as_sizes(self.hidden_layer_sizes), n_outputs),
            epsilon=self.epsilon,
            density=self.density,
            activation=self.activation,
            loss=loss,
            dropout=self.dropout,
            init_topology=self.init_topology,
            init_options=self.init_options,
            init_data=matrix if pattern_of(self.init_topology).needs_data else None,
            weight_init=self.weight_init,
            dtype=matrix.dtype.name,
            activation_dtype=self.activation_dtype,
            seed=seed,
        )

    def make_trainer(
        self,
        model: SparseMLP,
        samples: Samples,
        algorithm: topology.TopologyAlgorithm | None,
        stopping: EarlyStopping | None,
        is_partial: bool,
    ) -> Trainer:
        """Make the trainer.

        Parameters
        ----------
        model : SparseMLP
        samples : Samples
        algorithm : TopologyAlgorithm or None
            The one of the run to resume; None makes a new one.
        stopping : EarlyStopping or None
        is_partial : bool
            Whether the run does one epoch only and so cannot return to its best model.
        """
        batch_size = self.batch_size_for(samples.n)
        n_batches = -(-samples.n // batch_size)
        callbacks = list(self.callbacks)
        if stopping is not None:
            callbacks.append(stopping)
        if self.early_stopping and not is_partial:
            callbacks.append(BestModel("val_score"))
        callbacks.append(StopOnInterrupt())
        if self.verbose:
            callbacks.append(Progress(score_name=model.loss.task.score))
        return Trainer(
            model,
            optimizer=self.make_optimizer(n_batches, samples.total_weight),
            lr=self.make_learning_rate(),
            topology=self.make_topology() if algorithm is None else algorithm,
            epochs=self.max_iter,
            batch_size=batch_size,
            shuffle=bool(self.shuffle),
            clip_norm=self.clip_norm,
            callbacks=callbacks,
            keep_last_good=False,
        )

    def make_optimizer(self, n_batches: int, total_weight: float) -> Optimizer:
        """Make the optimiser.

        As in MLPClassifier, `alpha` is divided by the weight of a batch; here, by the
        mean of an epoch.
        """
        name = choose(self.solver, SOLVERS, "solver")
        if name == "sgd" and self.nesterovs_momentum and self.momentum > 0:
            name = "nesterov"
        return Optimizer(
            name,
            momentum=self.momentum,
            beta1=self.beta_1,
            beta2=self.beta_2,
            weight_decay=self.alpha * n_batches / total_weight,
            powerprop=self.powerprop,
        )

    def make_learning_rate(self) -> LearningRate:
        """Make the schedule of the learning rate."""
        name = choose(self.learning_rate, _SCHEDULES, "learning_rate")
        return LearningRate(
            self.learning_rate_init,
            _SCHEDULES[name],
            power=self.power_t,
            tolerance=self.tol,
        )

    def make_topology(self) -> topology.TopologyAlgorithm:
        """Make the algorithm, or copy the one that was given."""
        given, options = self.topology, self.topology_options or {}
        if isinstance(given, str | type):
            if given == "set":
                schedule = topology.UpdateSchedule(every=self.update_every)
                options = {"schedule": schedule, **options}
            return topology.make(given, **options)
        if not isinstance(given, topology.TopologyAlgorithm):
            raise UsageError(
                f"topology must be a name or an object from topology.make, got "
                f"{given!r}"
            )
        if options:
            raise UsageError(
                "topology_options belong to a topology given by name; give the options "
                "of an object to topology.make"
            )
        return copy.deepcopy(given)

    def make_stopping(self) -> EarlyStopping | None:
        """Make the callback that ends a run once it stops improving, if wanted."""
        if self.n_iter_no_change == math.inf:
            return None
        monitor = "val_score" if self.early_stopping else "train_loss"
        return EarlyStopping(self.n_iter_no_change, self.tol, monitor)

    @property
    def expects_convergence(self) -> bool:
        """Whether a run that takes all its epochs was too short."""
        stops = self.n_iter_no_change < math.inf
        return stops and self.learning_rate not in _FALLING


def make_loss(given: Any, names: Mapping[str, str], targets: str) -> Loss:
    """Make the loss.

    Parameters
    ----------
    given : str or Loss
    names : mapping of str to str
        The accepted names, with those of truesparse.losses.
    targets : str
        Kind of targets, for the message.
    """
    if isinstance(given, Loss):
        if given.name not in names.values():
            accepted = ", ".join(dict.fromkeys(names.values()))
            raise UsageError(
                f"loss {given.name!r} does not suit {targets} targets; use one of "
                f"{accepted}"
            )
        return given
    return Loss(names[choose(given, names, f"loss for {targets} targets")])


def _is_auto(value: Any) -> bool:
    """Whether a value is "auto"; an array of sizes is not."""
    return isinstance(value, str) and value == AUTO


def _as_sizes(sizes: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers; one may be given as a number."""
    if isinstance(sizes, numbers.Integral):
        sizes = (sizes,)
    try:
        if isinstance(sizes, str):  # whose characters are no sizes
            raise TypeError
        sizes = tuple(sizes)
    except TypeError:
        raise UsageError(
            "hidden_layer_sizes must be whole numbers, one for each hidden layer, got "
            f"{sizes!r}"
        ) from None
    return tuple(check_whole("hidden_layer_sizes", size, 1) for size in sizes)


def _as_matrix(X: Source, n_features: int) -> np.ndarray | scipy.sparse.csr_array:
    """Return data of the trainer as a matrix again, sharing their memory."""
    if not isinstance(X, Csr):
        return X
    shape = n_samples(X), n_features
    return scipy.sparse.csr_array((X.values, X.indices, X.indptr), shape=shape)
