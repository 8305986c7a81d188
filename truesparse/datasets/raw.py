"""What a reader returns: the arrays of a source, before they are checked or split."""

import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

# What NumPy and zipfile raise where a file of arrays is damaged or made to do harm:
# headers are parsed as Python, members are inflated, sizes are believed.
DAMAGED = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, SyntaxError, TypeError, ValueError),
    *(struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


class TableLayout(NamedTuple):
    """Places of columns in the table of the training data, from 0.

    All columns but `target` and those in `left_out` are features.
    """

    target: int
    left_out: tuple[int, ...] = ()


@dataclass
class RawData:
    """Arrays as a source stores them, before any check.

    Attributes
    ----------
    X_train, y_train : array-like, sparse array or FeatureColumns
        All rows where the source has no test part; features of a table with text or
        gaps are columns that are still to be encoded. `y_train` is None only where
        rows for a trained model were asked for.
    X_test, y_test : array-like or sparse array, or None
        The test part, where the source has one.
    task : {"auto", "classification", "multilabel", "regression"}
        The kind of targets, ``"auto"`` where the source does not say.
    classes : ndarray or None, shape (n_labels,)
        Names of the columns of multilabel targets.
    feature_names : tuple of str or None
        Names of the columns, where the header of a table tells them apart.
    first_index : int or None
        Number of the first feature in an SVMlight file, 0 or 1.
    target_name : str or None
        Name of the target's column, where the header of a table has one.
    layout : TableLayout or None
        Places of the target and of the columns left out in a table.
    target_choice : str
        Which column of a table is the target and why; empty for other sources.
    left_out : list of str
        What messages call the columns of a table that are left out.
    warnings : list of str
        What a reader doubts.
    """

    X_train: Any
    y_train: Any
    X_test: Any = None
    y_test: Any = None
    task: str = "auto"
    classes: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None
    target_name: str | None = None
    layout: TableLayout | None = None
    target_choice: str = ""
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type, in 300 characters."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:300]
