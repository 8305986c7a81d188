"""Checks of targets, and the numbering of class labels.

Targets come as labels, as 0/1 label columns or as real values; which of them decides
the task, and each task has one shape and one type below this boundary.
"""

from typing import Any

import numpy as np
from scipy import sparse

from truesparse.checks import choose
from truesparse.errors import DataError
from truesparse.tasks import TASKS

# Whole-number targets are labels up to 20 distinct values, or while each value occurs
# 5 times on average; beyond that (ages, prices, counts) they are a quantity.
MAX_RARE_CLASSES = 20
MIN_CLASS_ROWS = 5


def check_targets(
    y: object, n_samples: int, task: str = "auto", name: str = "y"
) -> tuple[np.ndarray, str]:
    """Return targets in the shape of their task, and the task.

    Parameters
    ----------
    y : array-like or sparse array, shape (n_samples,) or (n_samples, n_outputs)
        Labels (numbers, text or bool), 0/1 label columns, or real values.
    n_samples : int
        Rows that the features have.
    task : {"auto", "classification", "multilabel", "regression"}
        Under ``"auto"`` text is classes; several columns of only 0 and 1 are labels,
        other columns targets; one column of whole numbers is classes unless it has
        more than 20 distinct values that occur fewer than 5 times on average.
    name : str
        What messages call the array.

    Returns
    -------
    y : ndarray
        Classification: (n_samples,) labels, whole floats as int64. Multilabel:
        (n_samples, n_labels) uint8. Regression: (n_samples, n_targets) float64.
    task : str
        The task, found or confirmed.

    Raises
    ------
    DataError
        If lengths differ, values are missing or not finite, or do not fit the task.
    UsageError
        If `task` is unknown.

    Examples
    --------
    >>> from truesparse.datasets import check_targets
    >>> check_targets(["cat", "dog", "cat"], 3)[1]
    'classification'
    >>> check_targets([0.5, 1.5, 2.5], 3)
    (array([[0.5],
           [1.5],
           [2.5]]), 'regression')
    """
    choose(task, ("auto", *TASKS), "task")
    array = _target_array(y, name)
    if array.shape[0] != n_samples:
        raise DataError(f"{name} has {array.shape[0]} rows; the features {n_samples}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array).reshape(n_samples, -1).all(axis=1)
        raise DataError(
            f"{name} has NaN or infinite values in {bad.sum()} rows, the first in row "
            f"{bad.argmax()} (rows count from 0); drop those rows"
        )
    found = _infer_task(array) if task == "auto" else task
    shaped = {
        "classification": _class_labels,
        "multilabel": _label_columns,
        "regression": _real_columns,
    }[found](array, name)
    return shaped, found


def _target_array(y: Any, name: str) -> np.ndarray:
    try:
        array = y.toarray() if sparse.issparse(y) else np.asarray(y)
    except ValueError as error:
        raise DataError(f"{name} has rows of different lengths") from error
    if array.dtype.kind == "O":
        array = _plain_objects(array, name)
    if array.dtype.kind in "ST":
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise DataError(f"{name} holds {array.dtype} values; give numbers or text")
    if array.ndim == 2 and array.shape[1] == 1:
        # Text and labels in one column; a column of real values is put back later.
        array = array[:, 0]
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}; give (n_samples,) or "
            "(n_samples, n_outputs) with at least one value"
        )
    return array


def _plain_objects(array: np.ndarray, name: str) -> np.ndarray:
    """Turn an object array into text or numbers; missing values are refused."""
    values = array.ravel()
    missing = [v is None or (isinstance(v, float) and v != v) for v in values]
    if any(missing):
        raise DataError(f"{name} lacks {sum(missing)} values; drop those rows")
    is_text = [isinstance(v, str) for v in values]
    if all(is_text):
        return array.astype(str)
    if any(is_text):
        raise DataError(f"{name} mixes text and numbers; give one or the other")
    try:
        return np.array(array.tolist())
    except ValueError as error:
        raise DataError(f"{name} has rows of different lengths") from error


def _is_whole(array: np.ndarray) -> bool:
    return array.dtype.kind in "biu" or bool(np.all(array == np.floor(array)))


def _infer_task(array: np.ndarray) -> str:
    if array.dtype.kind == "U":
        return "classification"
    if array.ndim == 2:
        return "multilabel" if np.isin(array, (0, 1)).all() else "regression"
    if not _is_whole(array):
        return "regression"
    n_distinct = len(np.unique(array))
    rare = n_distinct > MAX_RARE_CLASSES and len(array) < MIN_CLASS_ROWS * n_distinct
    return "regression" if rare else "classification"


def _class_labels(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim != 1:
        raise DataError(
            f"{name} has shape {array.shape}; class labels are one column; use "
            "task 'multilabel' for 0/1 columns or 'regression' for real values"
        )
    if array.dtype.kind != "f":
        return array
    if not _is_whole(array):
        raise DataError(
            f"{name} has real values such as {array[array != np.floor(array)][0]}; "
            "class labels are whole numbers or text; use task 'regression'"
        )
    # Whole floats above 2^53 are not all integers, so they stay what they are.
    return array.astype(np.int64) if np.abs(array).max() < 2**53 else array


def _label_columns(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "U" or not np.isin(array, (0, 1)).all():
        raise DataError(f"{name} must hold only 0 and 1, one column for each label")
    return array.reshape(len(array), -1).astype(np.uint8, order="C")


def _real_columns(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "U":
        raise DataError(
            f"{name} holds text such as {array.flat[0].item()!r}; give numbers"
        )
    return array.reshape(len(array), -1).astype(np.float64, order="C")


def encode_labels(
    labels: np.ndarray, classes: np.ndarray | None = None, name: str = "y"
) -> tuple[np.ndarray, np.ndarray]:
    """Encode the labels of a classification as numbers.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        Labels as `check_targets` returns them.
    classes : ndarray, shape (n_classes,), optional
        The sorted labels of the training part; found in `labels` if left out.
    name : str
        What messages call the array.

    Returns
    -------
    codes : ndarray, shape (n,), int32
        ``classes[codes]`` equals `labels`.
    classes : ndarray, shape (n_classes,)
        Sorted distinct labels.

    Raises
    ------
    DataError
        If a label is not one of `classes`; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets import encode_labels
    >>> codes, classes = encode_labels(np.array(["b", "a", "b"]))
    >>> codes.tolist(), classes.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    if classes is None:
        classes, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int32), classes
    if (classes.dtype.kind == "U") == (labels.dtype.kind == "U"):
        codes = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
        unseen = classes[codes] != labels
    else:
        codes, unseen = np.zeros(len(labels), dtype=np.intp), np.ones(len(labels), bool)
    if unseen.any():
        names = np.unique(labels[unseen]).tolist()
        shown = ", ".join(repr(n) for n in names[:5]) + (", ..." if names[5:] else "")
        raise DataError(
            f"{name} has labels that the training part lacks, in {unseen.sum()} rows: "
            f"{shown}; add such rows to the training part or remove them here"
        )
    return codes.astype(np.int32), classes
