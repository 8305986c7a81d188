"""Rows for a trained model: features as they are stored, with targets or without."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from truesparse.common.checks import choose
from truesparse.datasets.features import Features, as_dense, check_features
from truesparse.datasets.model_columns import Expected
from truesparse.datasets.raw import RawData
from truesparse.datasets.split import split_rows
from truesparse.datasets.targets import (
    check_one_target_a_row,
    check_sparse_rows,
    check_targets,
)
from truesparse.errors import DataError

PARTS = ("train", "test", "all")


class Rows(NamedTuple):
    """Rows of one source, not scaled; `y` is as the source has it, or None.

    `classes` names the columns of multilabel targets where the source does, and
    `warnings` are doubts about the targets.
    """

    X: Features
    y: np.ndarray | None
    classes: np.ndarray | None = None
    warnings: tuple[str, ...] = ()


def take_rows(
    raw: RawData,
    part: str | None,
    expected: Expected,
    *,
    task: str,
    test_fraction: float,
    seed: int,
    is_named: bool,
) -> Rows:
    """Return one part of the rows that a reader returned.

    Parameters
    ----------
    raw : RawData
        Emptied.
    part : {"train", "test", "all"} or None
        None is the test part of a set with a name or a test part, else all rows.
    expected : Expected
        Features that the model takes.
    task : str
        Decides how rows are split, as in training.
    test_fraction, seed
        Share and seed of the split, where the source has no test part.
    is_named : bool
        Whether the source is a set that is known by its name.

    Raises
    ------
    DataError
        If features are invalid or not as many as expected, or there is no such part.
    """
    has_test = raw.X_test is not None
    if part is None:
        part = "test" if is_named or has_test else "all"
    choose(part, PARTS, "part")
    chosen = [(raw.X_train, raw.y_train)]
    if has_test:
        held_out = (raw.X_test, raw.y_test)
        chosen = {"train": chosen, "test": [held_out], "all": [*chosen, held_out]}[part]
    raw.X_train = raw.X_test = None
    n_features = expected.n_features
    for X, targets in chosen:
        check_sparse_rows(X, targets, "y")
    blocks = [check_features(X, None, n_features=n_features) for X, _ in chosen]
    X = blocks[0]
    if len(blocks) > 1:
        is_sparse = sparse.issparse(X)
        X = sparse.vstack(blocks, format="csr") if is_sparse else np.concatenate(blocks)
    y = None
    if all(targets is not None for _, targets in chosen):
        columns = [as_dense(targets, "y") for _, targets in chosen]
        y = np.concatenate(columns) if len(columns) > 1 else columns[0]
        check_one_target_a_row(len(y), X.shape[0], "y")
    if not has_test and part != "all":
        if y is None:
            raise DataError(
                "rows without targets cannot be split as in training; ask for all of "
                "them (part='all', or --part all)"
            )
        labels, _ = check_targets(y, X.shape[0], task)
        is_classes = task == "classification"
        both = split_rows(
            X.shape[0], labels if is_classes else None, test_fraction, seed
        )
        rows = both[PARTS.index(part)]
        X, y = X[rows], y[rows]
    return Rows(X, y, raw.classes, tuple(raw.warnings))
