"""What an estimator's parameters stand for: optimiser, learning rate, topology, loss.

Names and meanings are those of scikit-learn's MLPClassifier where it has them.
"""

import copy
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from truesparse import topology
from truesparse.callbacks import Callback, EarlyStopping
from truesparse.checks import check_whole, choose, float_type
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Csr
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.schedules import LearningRate

SOLVERS = ("adam", "adamw", "rmsprop", "sgd")
# scikit-learn's name beside ours.
_SCHEDULES = {
    "constant": "constant",
    "invscaling": "inverse_scaling",
    "adaptive": "adaptive",
    "cosine": "cosine",
    "exponential": "exponential",
    "linear": "linear",
    "step": "step",
}
# Schedules that end at 0: a run of all its epochs is what they are made for.
_FALLING = ("cosine", "linear")
_LARGEST_AUTO_BATCH = 200
_SEEDS = 2**31 - 1


def hidden_sizes(estimator: Any) -> tuple[int, ...]:
    """Return the sizes of the hidden layers; one may be given as a number."""
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, numbers.Integral):
        sizes = (sizes,)
    try:
        sizes = tuple(sizes)
    except TypeError:
        raise UsageError(
            f"hidden_layer_sizes must be whole numbers, got {sizes!r}"
        ) from None
    return tuple(check_whole("hidden_layer_sizes", size, 1) for size in sizes)


def check_options(estimator: Any) -> None:
    """Raise UsageError for a parameter that nothing else checks."""
    for name in ("shuffle", "warm_start", "early_stopping", "nesterovs_momentum"):
        value = getattr(estimator, name)
        if not isinstance(value, bool | np.bool_):
            raise UsageError(f"{name} must be True or False, got {value!r}")
    check_whole("max_iter", estimator.max_iter, 1)
    patience = estimator.n_iter_no_change
    if patience != math.inf:
        check_whole("n_iter_no_change", patience, 1)
    for name, high in (("tol", math.inf), ("alpha", math.inf)):
        _check_range(name, getattr(estimator, name), 0.0, high)
    share = _check_range("validation_fraction", estimator.validation_fraction, 0.0, 1.0)
    if share == 0.0 and estimator.early_stopping:
        raise UsageError("validation_fraction must be above 0 to stop early, got 0")
    for name in ("init_options", "topology_options"):
        options = getattr(estimator, name)
        if options is not None and not isinstance(options, Mapping):
            raise UsageError(f"{name} must be a dict, got {options!r}")


def _check_range(name: str, value: Any, low: float, high: float) -> float:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not low <= value < high:
        raise UsageError(
            f"{name} must be from {low:g} up to but not {high:g}, got {value!r}"
        )
    return float(value)


def dtype_for(estimator: Any, X: Any) -> type:
    """Return the dtype of the network; "auto" is that of X."""
    return float_type(X.dtype if estimator.dtype == "auto" else estimator.dtype)


def batch_size_for(estimator: Any, n: int) -> int:
    """Return the samples of a batch: "auto" is the smaller of 200 and `n`."""
    size = estimator.batch_size
    if isinstance(size, str):
        choose(size, ("auto",), "batch_size")
        size = _LARGEST_AUTO_BATCH
    return min(check_whole("batch_size", size, 1), n)


def make_model(estimator: Any, data: np.ndarray | Csr, dtype: Any) -> SparseMLP:
    """Make the network for data and the targets that the estimator has encoded."""
    seed = check_random_state(estimator.random_state).randint(_SEEDS)
    sizes = estimator.n_features_in_, *hidden_sizes(estimator), estimator._n_targets
    return SparseMLP(
        sizes,
        epsilon=estimator.epsilon,
        density=estimator.density,
        activation=estimator.activation,
        loss=estimator._make_loss(),
        dropout=estimator.dropout,
        init_topology=estimator.init_topology,
        init_options=estimator.init_options,
        init_data=as_matrix(data) if estimator.init_topology == "csti" else None,
        weight_init=estimator.weight_init,
        dtype=np.dtype(dtype).name,
        seed=int(seed),
    )


def make_optimizer(estimator: Any, batches: int, weight: float) -> Optimizer:
    """Make the optimiser.

    Parameters
    ----------
    estimator : BaseSparseMLP
    batches : int
        Of an epoch.
    weight : float
        Sum of the sample weights. As in MLPClassifier, `alpha` is divided by what a
        batch weighs, here on average.
    """
    name = choose(estimator.solver, SOLVERS, "solver")
    if name == "sgd" and estimator.nesterovs_momentum and estimator.momentum > 0:
        name = "nesterov"
    return Optimizer(
        name,
        momentum=estimator.momentum,
        beta1=estimator.beta_1,
        beta2=estimator.beta_2,
        weight_decay=estimator.alpha * batches / weight,
    )


def make_learning_rate(estimator: Any) -> LearningRate:
    """Make the schedule of the learning rate."""
    name = choose(estimator.learning_rate, _SCHEDULES, "learning_rate")
    return LearningRate(
        estimator.learning_rate_init,
        _SCHEDULES[name],
        power=estimator.power_t,
        tolerance=estimator.tol,
    )


def expects_convergence(estimator: Any) -> bool:
    """Whether a run of all its epochs is one that was cut short."""
    stops = estimator.n_iter_no_change < math.inf
    return stops and estimator.learning_rate not in _FALLING


def make_topology(estimator: Any) -> topology.TopologyAlgorithm:
    """Make the algorithm, or copy the one that was given."""
    given, options = estimator.topology, estimator.topology_options or {}
    if isinstance(given, str):
        return topology.make(given, **options)
    if not isinstance(given, topology.TopologyAlgorithm):
        raise UsageError(
            f"topology must be a name or an object from topology.make, got {given!r}"
        )
    if options:
        raise UsageError(
            "topology_options belong to a name; give topology.make those of an object"
        )
    return copy.deepcopy(given)


def make_stopping(estimator: Any) -> EarlyStopping | None:
    """Make what ends a run that no longer gets better, if one is to end."""
    if estimator.n_iter_no_change == math.inf:
        return None
    monitor = "val_score" if estimator.early_stopping else "train_loss"
    return EarlyStopping(estimator.n_iter_no_change, estimator.tol, monitor)


def split(
    n: int, fraction: float, seed: int, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples to train on and which to hold out.

    Classes have their share of both parts, unless one has a single sample or a part
    is smaller than the number of classes, as with small calls of partial_fit.
    """
    if classes is not None:
        counts = np.unique(classes, return_counts=True)[1]
        held_out = math.ceil(fraction * n)
        if counts.min() < 2 or counts.size > min(held_out, n - held_out):
            classes = None
    train, held_out = train_test_split(
        np.arange(n), test_size=fraction, random_state=seed, stratify=classes
    )
    return np.sort(train), np.sort(held_out)


def weigh_classes(
    class_weight: Any, y: np.ndarray, classes: np.ndarray | None
) -> np.ndarray:
    """Return the weight of each sample's class.

    Parameters
    ----------
    class_weight : dict, "balanced" or list of dict
    y : array
    classes : array, optional
        All that a dict may name, also those that `y` lacks; None for labels.
    """
    if isinstance(class_weight, Mapping) and classes is not None:
        y = column_or_1d(y)
        weights = compute_class_weight(dict(class_weight), classes=classes, y=y)
        return weights[np.searchsorted(classes, y)]
    return compute_sample_weight(class_weight, y)


def make_writeable(estimator: Any) -> None:
    """Copy what training changes, if it was read from a file that must not change."""
    if estimator.model_.layers[0].bias.flags.writeable:
        return
    changes = ("model_", "_run", "_algorithm", "_stopping")
    # All at once: they refer to each other.
    copies = copy.deepcopy({name: vars(estimator)[name] for name in changes})
    vars(estimator).update(copies)


def as_matrix(data: np.ndarray | Csr) -> np.ndarray | scipy.sparse.csr_array:
    """Return data as the outer world takes them."""
    if not isinstance(data, Csr):
        return data
    return scipy.sparse.csr_array((data.values, data.indices, data.indptr))


def make_loss(given: Any, names: dict[str, str], task: str) -> Loss:
    """Make the loss.

    Parameters
    ----------
    given : str or Loss
    names : dict of str to str
        Those accepted for the task, beside those of truesparse.losses.
    task : str
        For the message.
    """
    if isinstance(given, Loss):
        if given.name not in names.values():
            raise UsageError(f"loss {given.name!r} does not suit {task} targets")
        return given
    return Loss(names[choose(given, names, f"loss for {task} targets")])


def check_callbacks(estimator: Any) -> list[Callback]:
    """Return the callbacks as a list."""
    given = estimator.callbacks
    given = [] if given is None else given
    if isinstance(given, Callback):
        given = [given]
    if not isinstance(given, list | tuple) or not all(
        isinstance(each, Callback) for each in given
    ):
        raise UsageError(f"callbacks must be a list of Callback objects, got {given!r}")
    return list(given)
