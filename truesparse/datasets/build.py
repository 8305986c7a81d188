"""From what a reader returns to a data set: check, split, encode, scale."""

import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from truesparse.checks import choose
from truesparse.datasets.dataset import Dataset
from truesparse.datasets.features import check_dtype, check_features
from truesparse.datasets.room import require_room_for_scales
from truesparse.datasets.scaling import SCALES, Scaler, apply_scaler, fit_scaler
from truesparse.datasets.split import split_rows
from truesparse.datasets.targets import check_targets, encode_labels
from truesparse.errors import DataError, UsageError
from truesparse.tasks import TASKS


@dataclass
class Parts:
    """Arrays as a source stores them, before any check.

    Without a test part `X_train` and `y_train` are all there is. `classes` names the
    columns of multilabel targets; `feature_names` are those of a table with a header,
    and `first_index` is what an SVMlight file calls the first feature. `build` takes
    the features out, so that the source is freed while the result is made. Targets are
    None only where a model's input was asked for.
    """

    X_train: Any
    y_train: Any
    X_test: Any = None
    y_test: Any = None
    task: str = "auto"
    classes: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None


def reason(error: BaseException) -> str:
    """Return the first line of a message, cut short, for errors of one line."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]


class Options(NamedTuple):
    """How Parts become a Dataset; see `truesparse.datasets.load`."""

    test_fraction: float
    seed: int
    scale: str
    scale_target: bool
    task: str
    dtype: np.dtype
    memory: int


def check_options(
    test_fraction: float,
    seed: int,
    scale: str,
    scale_target: bool,
    task: str,
    dtype: DTypeLike,
    memory: int | None = None,
) -> Options:
    """Return the options if all are in range.

    Raises
    ------
    UsageError
        If one is not; before any file is read.
    """
    try:
        in_range = 0 < test_fraction < 1
    except TypeError:
        in_range = False
    if not in_range:
        raise UsageError(
            f"test_fraction is {test_fraction!r}; give a fraction between 0 and 1"
        )
    # train_test_split takes 32-bit seeds.
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise UsageError(f"seed is {seed!r}; give a whole number from 0 to 2^32 - 1")
    choose(scale, SCALES, "scale")
    choose(task, ("auto", *TASKS), "task")
    seed = int(seed)
    if memory is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    target = check_dtype(dtype)
    return Options(test_fraction, seed, scale, scale_target, task, target, memory)


def build(parts: Parts, name: str, options: Options) -> Dataset:
    """Check, split, encode and scale what a reader returned.

    Features keep their stored type (uint8, say) until scaling writes the result, so at
    most the source and one array of the result exist at a time.

    Parameters
    ----------
    parts : Parts
        Emptied; its arrays may be overwritten.
    name : str
        Of the data set.
    options : Options
        From `check_options`.

    Raises
    ------
    DataError
        If the data are invalid, too few, or the test part does not fit the training
        part.
    MemoryLimitError
        If the features are so many that their scales do not fit in memory.
    """
    wanted = options.task if options.task != "auto" else parts.task
    has_test = parts.X_test is not None
    X_name, y_name = ("X_train", "y_train") if has_test else ("X", "y")
    X_train, parts.X_train = check_features(parts.X_train, None, X_name), None
    require_room_for_scales(X_train.shape[1], options.memory, X_name)
    y_train, task = check_targets(parts.y_train, X_train.shape[0], wanted, y_name)
    if has_test:
        width = X_train.shape[1]
        X_test = check_features(parts.X_test, None, "X_test", n_features=width)
        parts.X_test = None
        y_test, _ = check_targets(parts.y_test, X_test.shape[0], task, "y_test")
        if y_train.shape[1:] != y_test.shape[1:]:
            raise DataError(
                f"y_test has {y_test.shape[1]} columns; y_train {y_train.shape[1]}"
            )
    else:
        labels = y_train if task == "classification" else None
        n_rows = X_train.shape[0]
        train, test = split_rows(n_rows, labels, options.test_fraction, options.seed)
        X_test, y_test = X_train[test], y_train[test]
        X_train, y_train = X_train[train], y_train[train]

    scaler = fit_scaler(X_train, options.scale)
    X_train = apply_scaler(X_train, scaler, options.dtype, "X_train", in_place=True)
    X_test = apply_scaler(X_test, scaler, options.dtype, "X_test", in_place=True)

    classes, target_scaler = parts.classes, Scaler(None, None)
    if task == "classification":
        y_train, classes = encode_labels(y_train, name=y_name)
        if len(classes) < 2:
            raise DataError(f"{y_name} holds one class only, {classes.tolist()[0]!r}")
        y_test, _ = encode_labels(y_test, classes, "y_test")
    else:
        if task == "regression" and options.scale_target:
            target_scaler = fit_scaler(y_train, "standard", y_name)
        y_train, y_test = (
            apply_scaler(y, target_scaler, options.dtype, y_name, in_place=True)
            for y in (y_train, y_test)
        )
    return Dataset(
        name,
        *(X_train, y_train, X_test, y_test),
        task,
        classes,
        *scaler,
        *target_scaler,
        feature_names=parts.feature_names,
        first_index=parts.first_index,
    )
