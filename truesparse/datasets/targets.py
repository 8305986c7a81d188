"""Checks of targets at the boundary where a user's data come in.

Targets come as labels, as 0/1 label columns or as real values. This decides the task,
and each task has one shape and one type below this boundary; classes.py then numbers
the labels of a classification.
"""

from typing import Any

import numpy as np
from scipy.sparse import issparse

from truesparse.common.checks import choose
from truesparse.common.tasks import TASKS
from truesparse.datasets.dialect import is_number
from truesparse.datasets.features import as_dense
from truesparse.datasets.notations import is_amount
from truesparse.datasets.table_options import say
from truesparse.errors import DataError

# Whole-number targets are labels up to 20 distinct values, or while each value occurs
# 5 times on average; beyond that (ages, prices, counts) they are a quantity.
MAX_RARE_CLASSES = 20
MIN_CLASS_ROWS = 5
_SHOWN = 5  # classes that a description names


def check_targets(
    y: object, n_samples: int, task: str = "auto", name: str = "y"
) -> tuple[np.ndarray, str]:
    """Return targets in the shape of their task, and the task.

    Parameters
    ----------
    y : array-like or sparse array, shape (n_samples,) or (n_samples, n_outputs)
        Labels (numbers, text or bool), 0/1 label columns, or real values.
    n_samples : int
        Number of rows of the features.
    task : {"auto", "classification", "multilabel", "regression"}
        ``"auto"`` takes text for classes, several columns of only 0 and 1 for labels,
        and other columns for real targets; one column of whole numbers is classes,
        unless it has more than 20 distinct values that occur fewer than 5 times on
        average.
    name : str
        Name of the array in messages.

    Returns
    -------
    y : ndarray
        Classification: (n_samples,) labels, whole floats as int64. Multilabel:
        (n_samples, n_labels) uint8. Regression: (n_samples, n_targets) float64.
    task : str
        The task, inferred or confirmed.

    Raises
    ------
    DataError
        If there is not one target for each row, or values are missing, not finite or
        do not fit the task, or text stands among numbers whose task is to be inferred.
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
    check_one_target_a_row(array.shape[0], n_samples, name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array).reshape(n_samples, -1).all(axis=1)
        raise DataError(
            f"{name} has NaN or infinite values in {bad.sum()} rows, the first in row "
            f"{bad.argmax()} (rows count from 0); drop those rows"
        )
    if task == "auto":
        _refuse_text_among_numbers(array, name)
        task = _infer_task(array)
    shaped = {
        "classification": _class_labels,
        "multilabel": _label_columns,
        "regression": _real_columns,
    }[task](array, name)
    return shaped, task


def check_one_target_a_row(n_targets: int, n_rows: int, name: str) -> None:
    """Raise DataError unless there are as many targets as rows of features."""
    if n_targets != n_rows:
        raise DataError(
            f"{name} has {n_targets} rows, but there are {n_rows} rows of features; "
            "give one target for each"
        )


def check_sparse_rows(X: Any, y: Any, name: str) -> None:
    """Compare the rows of sparse features with those of targets, if there are any.

    A few bytes of a file may declare any number of rows, and each of them takes memory
    in CSR: so this comes before `check_features`.

    Raises
    ------
    DataError
        If there is not one target for each row.
    """
    if issparse(X) and np.ndim(y):
        check_one_target_a_row(np.shape(y)[0], X.shape[0], name)


def describe_targets(y: np.ndarray, task: str, *, is_stated: bool = False) -> str:
    """Return the task of targets, why it is this one, and their classes or range.

    Parameters
    ----------
    y : ndarray
        Targets as `check_targets` returns them.
    task : str
    is_stated : bool
        Whether the caller chose the task.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.targets import describe_targets
    >>> describe_targets(np.array(["cat", "dog", "cat"]), "classification")
    'classification of text: cat, dog'
    """
    if task == "multilabel":
        return f"multilabel, {y.shape[1]} columns of 0 and 1"
    task += ", as you say," * is_stated
    if task.startswith("regression"):
        kind = "whole numbers" if _is_whole(y) else "real numbers"
        kind += ", most of them rare," * (_is_whole(y) and not is_stated)
        return f"{task} of {kind} from {y.min():g} to {y.max():g}"
    classes = np.unique(y).tolist()
    shown = ", ".join(str(label) for label in classes[:_SHOWN])
    more = f", ... ({len(classes)} classes)" if len(classes) > _SHOWN else ""
    kind = {"U": "text", "b": "truth values"}.get(y.dtype.kind, "whole numbers")
    return f"{task} of {kind}: {shown}{more}"


def warn_of_classes(y: np.ndarray, *, is_stated: bool = False) -> list[str]:
    """Return warnings of class labels that look like a quantity or like names.

    Parameters
    ----------
    y : ndarray, shape (n_samples,)
        Labels as `check_targets` returns them.
    is_stated : bool
        Whether the caller chose the task.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.datasets.targets import warn_of_classes
    >>> warn_of_classes(np.arange(26).repeat(9))
    []
    >>> [warning] = warn_of_classes(np.arange(43, 69).repeat(9))
    >>> warning[:52]
    'each of 26 whole numbers from 43 to 68 is a class of'
    """
    classes, counts = np.unique(y, return_counts=True)
    n_classes = len(classes)
    warnings = []
    if y.dtype.kind in "iu" and n_classes > MAX_RARE_CLASSES and not is_stated:
        low, high = int(classes[0]), int(classes[-1])
        # Class numbers run from 0 or 1 without gaps.
        if low not in (0, 1) or high - low >= n_classes:
            warnings.append(
                f"each of {n_classes} whole numbers from {low} to {high} is a class of "
                f"its own; if the target is a quantity, say {say('task', 'regression')}"
            )
    n_single = int((counts == 1).sum())
    if 2 * n_single > n_classes:
        warnings.append(
            f"{n_single} of {n_classes} classes have one row only, which says nothing "
            "about new rows; if another column is the target, say which with target "
            "(--target)"
        )
    return warnings


def _target_array(y: Any, name: str) -> np.ndarray:
    array = as_dense(y, name)
    if array.dtype.kind == "O":
        array = _plain_objects(array, name)
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} holds bytes that are no UTF-8 text ({error.reason}); give text"
            ) from error
    if array.dtype.kind == "T":
        array = array.astype(str)
    if array.dtype.kind not in "biufU":
        raise DataError(f"{name} holds {array.dtype} values; give numbers or text")
    if array.ndim == 2 and array.shape[1] == 1:
        # Text and labels in one column; a column of real values is put back later.
        array = array[:, 0]
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}; give shape (n_samples,) or "
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
    return as_dense(array.tolist(), name)


def _refuse_text_among_numbers(array: np.ndarray, name: str) -> None:
    """Refuse what would make a class of each value of a quantity."""
    if array.dtype.kind != "U":
        return
    values = np.unique(array)
    unread = [value for value in values.tolist() if not is_number(value, ".")]
    if not unread:
        return
    texts = [value for value in unread if not is_number(value)]
    n_numbers = len(values) - len(texts)
    shown = unread[0]
    if all(map(is_amount, unread)):
        what = "text such as {} in row {}, a number in a notation that is not read"
        advice = "write it with digits and a decimal point alone"
    elif texts and n_numbers > max(MAX_RARE_CLASSES, len(texts)):
        shown = texts[0]
        what = f"{n_numbers} different numbers and text such as {{}} in row {{}}"
        advice = "leave out or mend such rows"
    else:
        return
    row = int((array.reshape(len(array), -1) == shown).any(axis=1).argmax())
    raise DataError(
        f"{name} holds {what.format(repr(shown), row)} (rows count from 0); "
        f"{advice}, or say {say('task', 'classification')} if all are labels"
    )


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
            f"{name} has shape {array.shape}, but class labels are one column; say "
            f"{say('task', 'multilabel')} for 0/1 columns or regression for real values"
        )
    if array.dtype.kind != "f":
        return array
    if not _is_whole(array):
        raise DataError(
            f"{name} has real values such as {array[array != np.floor(array)][0]}, but "
            f"class labels are whole numbers or text; say {say('task', 'regression')}"
        )
    # Not every integer above 2^53 is a float, so larger values stay floats.
    return array.astype(np.int64) if np.abs(array).max() < 2**53 else array


def _label_columns(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "U" or not np.isin(array, (0, 1)).all():
        others = [value for value in np.unique(array).tolist() if value not in (0, 1)]
        raise DataError(
            f"{name} must hold only 0 and 1, one column for each label, got "
            f"{others[0]!r}; encode the labels, or choose another task"
        )
    return array.reshape(len(array), -1).astype(np.uint8, order="C")


def _real_columns(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind == "U":
        text = next((cell for cell in array.flat if not is_number(cell)), array.flat[0])
        raise DataError(
            f"{name} holds text such as {str(text)!r}; give numbers, or say "
            f"{say('task', 'classification')}"
        )
    return array.reshape(len(array), -1).astype(np.float64, order="C")
