"""From the arrays of a reader to a data set: check, split, scale, encode."""

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from truesparse.checks import check_whole, choose, float_type
from truesparse.datasets.classes import encode_labels
from truesparse.datasets.dataset import Dataset
from truesparse.datasets.features import Features, check_features
from truesparse.datasets.raw import RawData
from truesparse.datasets.room import require_room_for_scales
from truesparse.datasets.scaling import SCALES, Scaler, apply_scaler, fit_scaler
from truesparse.datasets.split import split_rows
from truesparse.datasets.targets import check_targets, describe_targets
from truesparse.errors import DataError, UsageError
from truesparse.tasks import TASKS


class Options(NamedTuple):
    """How raw data become a Dataset; see `truesparse.datasets.load`."""

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
        If one is out of range; before any file is read.
    """
    try:
        in_range = 0 < test_fraction < 1
    except TypeError:
        in_range = False
    if not in_range:
        raise UsageError(
            f"test_fraction must be a fraction between 0 and 1, got {test_fraction!r}"
        )
    seed = check_whole("seed", seed, 0, 2**32 - 1)
    choose(scale, SCALES, "scale")
    choose(task, ("auto", *TASKS), "task")
    if memory is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    target = np.dtype(float_type(dtype))
    return Options(test_fraction, seed, scale, scale_target, task, target, memory)


def prepare_dataset(raw: RawData, name: str, options: Options) -> Dataset:
    """Check, split, scale and encode what a reader returned.

    Features keep their stored type (uint8, say) until scaling writes the result, so at
    most the source and one array of the result exist at a time.

    Parameters
    ----------
    raw : RawData
        Emptied, so that the source is freed while the result is made; its arrays may
        be overwritten.
    name : str
        Name of the data set.
    options : Options
        Result of `check_options`.

    Raises
    ------
    DataError
        If the data are invalid, too few, or the test part does not fit the training
        part.
    MemoryLimitError
        If the features are so many that their scales do not fit in memory.
    """
    y_name = "y" if raw.X_test is None else "y_train"
    X_train, y_train, X_test, y_test, task = _check_and_split(raw, options)
    notes: tuple[str, ...] = ()
    if raw.target_choice:
        both = np.concatenate([y_train, y_test])
        notes = (f"target: {raw.target_choice}; {describe_targets(both, task)}",)

    scaler = fit_scaler(X_train, options.scale)
    X_train = apply_scaler(X_train, scaler, options.dtype, "X_train", in_place=True)
    X_test = apply_scaler(X_test, scaler, options.dtype, "X_test", in_place=True)

    classes, target_scaler = raw.classes, Scaler(None, None)
    if task == "classification":
        y_train, classes = encode_labels(y_train, name=y_name)
        if len(classes) < 2:
            raise DataError(
                f"{y_name} holds one class only, {classes.tolist()[0]!r}; give rows of "
                "at least two classes"
            )
        y_test, _ = encode_labels(y_test, classes, "y_test")
    else:
        if task == "regression" and options.scale_target:
            target_scaler = fit_scaler(y_train, "standard", y_name)
        y_train, y_test = (
            apply_scaler(y, target_scaler, options.dtype, y_name, in_place=True)
            for y in (y_train, y_test)
        )
    return Dataset(
        task,
        classes,
        *scaler,
        *target_scaler,
        raw.feature_names,
        raw.first_index,
        raw.target_name,
        name=name,
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        notes=notes,
        warnings=tuple(raw.warnings),
    )


def _check_and_split(
    raw: RawData, options: Options
) -> tuple[Features, np.ndarray, Features, np.ndarray, str]:
    """Return features and targets of both parts, and the task."""
    wanted = options.task if options.task != "auto" else raw.task
    has_test = raw.X_test is not None
    X_name, y_name = ("X_train", "y_train") if has_test else ("X", "y")
    X_train, raw.X_train = check_features(raw.X_train, None, X_name), None
    n_rows, n_features = X_train.shape
    require_room_for_scales(n_features, options.memory, X_name)
    y_train, task = check_targets(raw.y_train, n_rows, wanted, y_name)
    if not has_test:
        labels = y_train if task == "classification" else None
        train, test = split_rows(n_rows, labels, options.test_fraction, options.seed)
        return X_train[train], y_train[train], X_train[test], y_train[test], task
    X_test = check_features(raw.X_test, None, "X_test", n_features=n_features)
    raw.X_test = None
    y_test, _ = check_targets(raw.y_test, X_test.shape[0], task, "y_test")
    if y_train.shape[1:] != y_test.shape[1:]:
        raise DataError(
            f"y_test has {y_test.shape[1]} columns, but y_train has "
            f"{y_train.shape[1]}; give both the same columns"
        )
    return X_train, y_train, X_test, y_test, task
