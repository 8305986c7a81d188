"""Predictions of storage.predictor for people: the score, and files.

They come block by block, and CSV is written block by block.
"""

import contextlib
import csv
import pathlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from truesparse.common.checks import choose
from truesparse.common.tasks import TASKS
from truesparse.common.writing import check_file, replacing
from truesparse.datasets import check_targets, encode_labels
from truesparse.datasets.dialect import is_number
from truesparse.datasets.parquet_table import require_parquet, save_parquet
from truesparse.errors import DataError, UsageError
from truesparse.losses import r2
from truesparse.storage.predictor import Block, Predictor

ENDINGS = (".csv", ".npz", ".npy", ".parquet")

_TEXT_VALUES = 1 << 18  # numbers held as text at a time, about 100 bytes each
# What makes a spreadsheet take a cell for a formula, see "CSV Injection" of OWASP.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Score:
    """Accuracy or R2 of predictions that come block by block.

    Accuracy is the share of correct classes, or of correct answers over all labels; R2
    is the coefficient of determination, averaged over targets; see losses.Loss.score.

    Parameters
    ----------
    predictor : Predictor
    y : array
        Targets as the data source has them.
    classes : array, optional
        Label of each column of multilabel targets.

    Attributes
    ----------
    targets : (n,) int32 array of class numbers, or (n, n_outputs) array

    Raises
    ------
    DataError
        If the targets do not suit the model.
    """

    def __init__(self, predictor: Predictor, y, classes: np.ndarray | None = None):
        task, known = predictor.task, predictor.classes
        self.name = TASKS[task].score
        targets, _ = check_targets(y, len(y), task)
        if task == "classification":
            targets, _ = encode_labels(targets, known)
        else:
            if task == "multilabel" and classes is not None:
                targets = _align(targets, classes, known)
            n_outputs = predictor.model.layer_sizes[-1]
            if targets.shape[1] != n_outputs:
                raise DataError(
                    f"the targets have {targets.shape[1]} columns but the model has "
                    f"{n_outputs} outputs"
                )
        self._is_regression = task == "regression"
        self.targets, self._right = targets, 0
        self._squares = np.zeros(targets.shape[1:])

    def add(self, block: Block) -> None:
        """Count the correct predictions of a block, or sum its squared errors."""
        wanted = self.targets[block.rows]
        if self._is_regression:
            self._squares += ((wanted - block.codes) ** 2).sum(axis=0)
        else:
            self._right += int((wanted == block.codes).sum())

    @property
    def value(self) -> float:
        """The score of all blocks that were added."""
        if self._is_regression:
            return r2(self._squares, self.targets)
        return self._right / self.targets.size


def _align(targets: np.ndarray, classes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return 0/1 columns of some labels in the order of all known labels."""
    codes, _ = encode_labels(classes, known)
    aligned = np.zeros((len(targets), len(known)), targets.dtype)
    aligned[:, codes] = targets
    return aligned


def check_out(out: str, inputs: tuple[str | pathlib.Path, ...]) -> pathlib.Path:
    """Return the path of a file for predictions, if one can be written there.

    Raises
    ------
    UsageError
        If its ending is unknown, its folder is missing, or it is one of the inputs.
    StorageError
        If the system does not show its folder.
    DataError
        If it needs a library that is not installed.
    """
    path = pathlib.Path(out).expanduser()
    choose(path.suffix.lower(), ENDINGS, "ending", " of --out")
    check_file(path, "predictions")
    for given in inputs:
        with contextlib.suppress(OSError):
            if path.samefile(given):
                raise UsageError(
                    f"--out {out} would overwrite an input; choose another file"
                )
    if path.suffix.lower() == ".parquet":
        require_parquet(path)
    return path


def write_csv(
    stream: IO[str],
    predictor: Predictor,
    blocks: Iterator[Block],
    labels_only: bool = False,
) -> None:
    """Write a header, and a row for each prediction.

    Labels are text of whoever made the data: see `plain_cell`.
    """
    writer = csv.writer(_Lines(stream), lineterminator="\r\n")
    writer.writerow(predictor.header(labels_only))
    is_label = predictor.task == "classification"
    cells = np.array([plain_cell(label) for label in predictor.classes.astype(str)])
    for block in blocks:
        labels = cells[block.codes] if is_label else predictor.labels(block.codes)
        columns = [labels.reshape(len(labels), -1)]
        if block.probabilities is not None and not labels_only:
            columns.append(block.probabilities)
        step = max(1, _TEXT_VALUES // sum(part.shape[1] for part in columns))
        for start in range(0, len(labels), step):
            # astype(str) writes each number with the digits that its dtype needs.
            text = [part[start : start + step].astype(str) for part in columns]
            writer.writerows(np.hstack(text).tolist())


class _Lines:
    """A stream for lines that end with a line feed.

    A writer of Python quotes cells with a carriage return only if that ends its lines.
    """

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, line: str) -> int:
        return self._stream.write(line.removesuffix("\r\n") + "\n")


def plain_cell(text: str) -> str:
    """Return text that a spreadsheet does not run: formulas get an apostrophe.

    Numbers stay as they are.

    Examples
    --------
    >>> from truesparse.commands.predictions import plain_cell
    >>> [plain_cell(text) for text in ("=1+1", "-1", "rose", "-1+cmd")]
    ["'=1+1", '-1', 'rose', "'-1+cmd"]
    """
    is_formula = text.startswith(_FORMULA) and not is_number(text, ".")
    return f"'{text}" if is_formula else text


def write_file(
    path: pathlib.Path,
    predictor: Predictor,
    blocks: Iterator[Block],
    labels_only: bool = False,
) -> None:
    """Write predictions in the format of the path's ending, replacing any old file.

    .csv and .parquet have the columns of `Predictor.header`, and .csv has an apostrophe
    before labels that a spreadsheet would take for a formula; .npz holds `prediction`
    and, except for a regression, `probability` and `classes`; .npy is one array: the
    probabilities, or with `labels_only` and for a regression the predictions.

    Raises
    ------
    UsageError or StorageError
        If the file cannot be written, see common.writing.
    """
    with replacing(path, "predictions") as partial:
        if partial.suffix == ".csv":
            with partial.open("w", encoding="utf-8", newline="") as file:
                write_csv(file, predictor, blocks, labels_only)
        else:
            _write_arrays(partial, predictor, blocks, labels_only)


def _write_arrays(path, predictor: Predictor, blocks, labels_only: bool) -> None:
    codes, probabilities = [], []
    for block in blocks:
        codes.append(block.codes)
        if block.probabilities is not None and not labels_only:
            probabilities.append(block.probabilities)
    labels = predictor.labels(np.concatenate(codes))
    chances = np.concatenate(probabilities) if probabilities else None
    if path.suffix == ".npy":
        np.save(path, labels if chances is None else chances, allow_pickle=False)
    elif path.suffix == ".npz":
        arrays: dict[str, Any] = {"prediction": labels}
        if chances is not None:
            arrays |= {"probability": chances, "classes": predictor.classes}
        np.savez(path, **arrays)
    else:
        columns = [*labels.reshape(len(labels), -1).T]
        columns += [] if chances is None else [*chances.T]
        header = predictor.header(labels_only)
        save_parquet(path, dict(zip(header, columns, strict=True)))


def held_bytes(
    predictor: Predictor, n_rows: int, ending: str, labels_only: bool
) -> int:
    """Return the bytes of predictions in memory, in formats written as a whole."""
    if ending == ".csv":
        return 0
    width = len(predictor.header(labels_only))
    # Blocks and their concatenation.
    return 2 * 8 * n_rows * width
