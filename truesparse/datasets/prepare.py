"""From the arrays of a reader to a data set: check, split, scale, encode."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from truesparse.common.checks import check_whole, choose, float_type
from truesparse.common.memory import total
from truesparse.common.tasks import TASKS
from truesparse.datasets.classes import encode_labels
from truesparse.datasets.dataset import Dataset
from truesparse.datasets.encoding import TableEncoding, shorten
from truesparse.datasets.feature_columns import FILLS, FeatureColumns
from truesparse.datasets.features import Features, check_features, check_finite
from truesparse.datasets.raw import RawData
from truesparse.datasets.room import (
    require_room_for_encoding,
    require_room_for_scales,
)
from truesparse.datasets.scaling import (
    SCALES,
    Scaler,
    apply_scaler,
    fit_scaler,
    scale_parts,
)
from truesparse.datasets.short_arrays import Shrinking
from truesparse.datasets.split import split_rows
from truesparse.datasets.table_options import TableOptions
from truesparse.datasets.targets import (
    check_sparse_rows,
    check_targets,
    describe_targets,
    warn_of_classes,
)
from truesparse.errors import DataError, UsageError


class Options(NamedTuple):
    """How raw data become a Dataset; see `truesparse.datasets.load`."""

    test_fraction: float
    seed: int
    scale: str
    scale_target: bool
    task: str
    dtype: np.dtype
    memory: int
    table: TableOptions


def check_options(
    test_fraction: float,
    seed: int,
    scale: str,
    scale_target: bool,
    task: str,
    dtype: DTypeLike,
    memory: int | None = None,
    table: TableOptions | None = None,
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
    memory = total() if memory is None else check_whole("memory", memory, 0)
    target = np.dtype(float_type(dtype))
    table = TableOptions() if table is None else table
    return Options(
        test_fraction, seed, scale, scale_target, task, target, memory, table
    )


def prepare_dataset(raw: RawData, name: str, options: Options) -> Dataset:
    """Check, split, scale and encode what a reader returned.

    Features keep their stored type (uint8, say) until scaling takes the rows of each
    part from the source, block by block. Meanwhile a dense source is cut short, so that
    it and the result are never whole at the same time.

    Parameters
    ----------
    raw : RawData
        Emptied, so that the source is freed while the result is made; its arrays may
        be overwritten or cut short.
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
    y_name = _name_of_target(raw)
    train, test, y_train, y_test, task, encoding = _check_and_split(raw, options)
    notes: list[str] = []
    if raw.target_choice:
        both = np.concatenate([y_train, y_test])
        notes += _describe_target(raw, both, task, is_stated=options.task != "auto")
        notes += _describe_columns(raw, encoding, options.table.missing)
    scaler = fit_scaler(raw.X_train, options.scale, rows=train)
    X_train, X_test = _scale(raw, scaler, options.dtype, train, test)

    classes, target_scaler = raw.classes, Scaler(None, None)
    if task == "classification":
        y_train, y_test, classes = _encode_classes(y_train, y_test, y_name)
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
        feature_names=_feature_names(raw, encoding),
        first_index=raw.first_index,
        target_name=raw.target_name,
        encoding=encoding,
        layout=raw.layout,
        name=name,
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        notes=tuple(notes),
        warnings=tuple(raw.warnings),
    )


def _scale(
    raw: RawData,
    scaler: Scaler,
    dtype: np.dtype,
    train: np.ndarray | None,
    test: np.ndarray | None,
) -> tuple[Features, Features]:
    """Scale both parts, and take them from `raw`, so that their source is freed."""
    if train is not None and not sparse.issparse(raw.X_train):
        assert test is not None
        source = raw.X_train
        raw.X_train = raw.X_test = None
        if isinstance(source, np.ndarray):
            source = Shrinking(source)
        parts = {"X_train": train, "X_test": test}
        X_train, X_test = scale_parts(source, scaler, dtype, parts)
        return X_train, X_test
    X_train = apply_scaler(
        raw.X_train, scaler, dtype, "X_train", rows=train, in_place=True
    )
    raw.X_train = None
    X_test = apply_scaler(raw.X_test, scaler, dtype, "X_test", rows=test, in_place=True)
    raw.X_test = None
    return X_train, X_test


def _describe_target(
    raw: RawData, y: np.ndarray, task: str, *, is_stated: bool
) -> list[str]:
    """Return a note on the target of a table; doubts are added to its warnings."""
    if task == "classification":
        raw.warnings += warn_of_classes(y, is_stated=is_stated)
    what = describe_targets(y, task, is_stated=is_stated)
    return [f"target: {raw.target_choice}; {what}"]


def _name_of_target(raw: RawData) -> str:
    """Return what messages call the targets: their column, where that has a name."""
    if raw.target_name is not None:
        return f"target {raw.target_name!r}"
    return "y" if raw.X_test is None else "y_train"


def _encode_classes(
    y_train: np.ndarray, y_test: np.ndarray, y_name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the class numbers of both parts, and the label of each class."""
    codes, classes = encode_labels(y_train, name=y_name)
    if len(classes) < 2:
        raise DataError(
            f"{y_name} holds one class only, {classes.tolist()[0]!r}; give rows of "
            "at least two classes"
        )
    return codes, encode_labels(y_test, classes, "y_test")[0], classes


def _describe_columns(
    raw: RawData, encoding: TableEncoding | None, missing: str
) -> list[str]:
    """Return in one line what became of columns, if they are not all numbers."""
    parts = []
    if encoding is not None and (categories := encoding.describe()):
        parts.append(f"categories: {categories}")
    if encoding is not None and missing in FILLS:
        parts.append(f"missing values: {missing} of the training part")
    if raw.left_out:
        parts.append(f"columns left out: {shorten(raw.left_out)}")
    return ["; ".join(parts)] if parts else []


def _feature_names(
    raw: RawData, encoding: TableEncoding | None
) -> tuple[str, ...] | None:
    """Return the names of the features, if there are any that tell them apart."""
    if encoding is None or raw.feature_names is None:
        return raw.feature_names
    names = tuple(encoding.feature_names)
    return names if len(set(names)) == len(names) else None


class _Parts(NamedTuple):
    """Rows of each part in its source, None for all of them, and their targets."""

    train: np.ndarray | None
    test: np.ndarray | None
    y_train: np.ndarray
    y_test: np.ndarray
    task: str
    encoding: TableEncoding | None = None


def _check_and_split(raw: RawData, options: Options) -> _Parts:
    """Check and encode all rows, and split them where the source does not.

    `raw` then holds the checked features of both parts, which are one array where the
    source has no test part.
    """
    wanted = options.task if options.task != "auto" else raw.task
    if isinstance(raw.X_train, FeatureColumns):
        return _split_and_encode(raw, wanted, options)
    has_test = raw.X_test is not None
    X_name, y_name = "X_train" if has_test else "X", _name_of_target(raw)
    check_sparse_rows(raw.X_train, raw.y_train, y_name)
    raw.X_train = check_features(raw.X_train, None, X_name)
    n_rows, n_features = raw.X_train.shape
    require_room_for_scales(n_features, options.memory, X_name)
    y_train, task = check_targets(raw.y_train, n_rows, wanted, y_name)
    if not has_test:
        train, test = _split(y_train, task, options)
        raw.X_test = raw.X_train
        return _Parts(train, test, y_train[train], y_train[test], task)
    check_sparse_rows(raw.X_test, raw.y_test, "y_test")
    raw.X_test = check_features(raw.X_test, None, "X_test", n_features=n_features)
    y_test, _ = check_targets(raw.y_test, raw.X_test.shape[0], task, "y_test")
    if y_train.shape[1:] != y_test.shape[1:]:
        raise DataError(
            f"y_test has {y_test.shape[1]} columns, but y_train has "
            f"{y_train.shape[1]}; give both the same columns"
        )
    return _Parts(None, None, y_train, y_test, task)


def _split_and_encode(raw: RawData, wanted: str, options: Options) -> _Parts:
    """Split the rows of a table, and learn the encoding from the training part."""
    columns: FeatureColumns = raw.X_train
    y, task = check_targets(raw.y_train, columns.n_rows, wanted, _name_of_target(raw))
    train, test = _split(y, task, options)
    encoding = columns.fit(train)
    if encoding.is_sparse:
        X = check_features(encoding.transform(columns.columns), None, "X")
    else:
        shape = columns.n_rows, encoding.n_features
        require_room_for_encoding(shape, options.dtype, options.memory)
        X = encoding.encode(columns.columns)
        check_finite(X, "X")
    raw.X_train = raw.X_test = X
    return _Parts(train, test, y[train], y[test], task, encoding)


def _split(y: np.ndarray, task: str, options: Options) -> tuple[np.ndarray, np.ndarray]:
    labels = y if task == "classification" else None
    return split_rows(len(y), labels, options.test_fraction, options.seed)
