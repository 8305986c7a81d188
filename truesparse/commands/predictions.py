"""Predictions for unscaled rows, block by block: labels, probabilities, score, files.

A block is the rows of some batches. Rows are scaled one block at a time, sparse rows
stay sparse, and CSV is written block by block.
"""

import contextlib
import csv
import pathlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from truesparse.checks import choose
from truesparse.datasets import Preprocessing, check_targets, encode_labels
from truesparse.datasets.features import Features
from truesparse.datasets.parquet_table import require_parquet, save_parquet
from truesparse.errors import DataError, ModelFileError, UsageError
from truesparse.losses import r2
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage.replacing import replacing
from truesparse.tasks import TASKS

ENDINGS = (".csv", ".npz", ".npy", ".parquet")

_BATCHES = 32  # a block: enough that allocating its buffers costs nothing
_BLOCK_VALUES = 1 << 24  # inputs or outputs of a block at most, but at least one batch
_TEXT_VALUES = 1 << 18  # numbers held as text at a time, about 100 bytes each
# Fewer rows than a batch of up to this size are repeated to fill it: kernels of its
# width are compiled already where the model was trained, and give the same bits.
_FILLED_BATCH = 256


class Block(NamedTuple):
    """Predictions for some rows.

    `codes` are class numbers (n,), 0/1 columns (n, n_labels) or values (n, n_targets)
    in the units of the targets; `probabilities` are (n, n_classes or n_labels), or None
    for a regression.
    """

    rows: slice
    codes: np.ndarray
    probabilities: np.ndarray | None


class Predictor:
    """A model with the preprocessing of its training data.

    Parameters
    ----------
    model : SparseMLP
    preprocessing : Preprocessing or None
        Without it rows are not scaled, and classes are numbers.

    Raises
    ------
    ModelFileError
        If the model does not have one output a class.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.commands.predictions import Predictor
    >>> rows = np.ones((2, 4), np.float32)
    >>> predictor = Predictor(SparseMLP([4, 8, 3], seed=1), None)
    >>> [block.probabilities.shape for block in predictor.blocks(rows, 16)]
    [(2, 3)]
    >>> predictor.header()
    ['prediction', 'probability_0', 'probability_1', 'probability_2']
    """

    def __init__(self, model: SparseMLP, preprocessing: Preprocessing | None):
        n_outputs = model.layer_sizes[-1]
        if preprocessing is None:
            task = model.loss.task.name
            classes = np.arange(n_outputs) if task == "classification" else None
            preprocessing = Preprocessing(task, classes)
        self.model, self.preprocessing = model, preprocessing
        self.task = preprocessing.task
        labels = preprocessing.classes
        self.classes = np.arange(n_outputs) if labels is None else labels
        is_binary = model.loss.name == "logistic" and n_outputs == 1
        if len(self.classes) != n_outputs and not is_binary:
            raise ModelFileError(
                f"the model has {n_outputs} outputs but {len(self.classes)} classes"
            )

    def blocks(self, X: Features, batch_size: int) -> Iterator[Block]:
        """Yield predictions for unscaled rows, block by block in their order.

        Parameters
        ----------
        X : (n, n_features) array or csr_array
        batch_size : int
            Rows that are predicted at once.
        """
        n_rows, n_features = X.shape
        size = batch_size * _BATCHES
        width = self.model.layer_sizes[-1]
        if isinstance(X, np.ndarray):
            width = max(width, n_features)
        size = min(size, max(batch_size, _BLOCK_VALUES // width))
        # The last block takes the rows left over, so that it fills a batch too.
        starts = [size * i for i in range(max(n_rows // size, 1))]
        for start, stop in zip(starts, [*starts[1:], n_rows], strict=True):
            rows = slice(start, stop)
            yield Block(rows, *self._predict(X[rows], batch_size))

    def _predict(self, X: Features, batch_size: int):
        n_rows = X.shape[0]
        if n_rows < batch_size <= _FILLED_BATCH:
            X = X[np.resize(np.arange(n_rows), batch_size)]
        scaled = self.preprocessing.transform(X, self.model.dtype)
        outputs = self.model.decision_function(scaled, batch_size)[:n_rows]
        results = self.model.loss.activate(outputs)
        if self.task == "regression":
            return self.preprocessing.unscale_targets(results), None
        if self.task == "multilabel":
            return (outputs > 0).astype(np.uint8), results
        if results.shape[1] == 1 and len(self.classes) == 2:
            # One logistic output stands for the second of two classes.
            both = np.hstack([1 - results, results])
            return (outputs[:, 0] > 0).astype(np.int64), both
        return outputs.argmax(axis=1), results

    def labels(self, codes: np.ndarray) -> np.ndarray:
        """Return the labels of classes; return other predictions unchanged."""
        if self.task == "classification":
            return self.classes[codes]
        is_single = self.task == "regression" and codes.shape[1] == 1
        return codes[:, 0] if is_single else codes

    def header(self, labels_only: bool = False) -> list[str]:
        """Return the column names of a table of predictions."""
        names = [str(label) for label in self.classes.tolist()]
        chances = [] if labels_only else [f"probability_{name}" for name in names]
        if self.task == "classification":
            return ["prediction", *chances]
        if self.task == "multilabel":
            return [f"prediction_{name}" for name in names] + chances
        single = len(names) == 1
        return ["prediction"] if single else [f"prediction_{name}" for name in names]


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
        self._targets, self._right = targets, 0
        self._squares = np.zeros(targets.shape[1:])

    def add(self, block: Block) -> None:
        """Count the correct predictions of a block, or sum its squared errors."""
        wanted = self._targets[block.rows]
        if self._is_regression:
            self._squares += ((wanted - block.codes) ** 2).sum(axis=0)
        else:
            self._right += int((wanted == block.codes).sum())

    @property
    def value(self) -> float:
        """The score of all blocks that were added."""
        if self._is_regression:
            return r2(self._squares, self._targets)
        return self._right / self._targets.size


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
    DataError
        If it needs a library that is not installed.
    """
    path = pathlib.Path(out).expanduser()
    choose(path.suffix.lower(), ENDINGS, "ending", " of --out")
    if path.is_dir() or not path.parent.is_dir():
        reason = "it is a folder"
        if not path.is_dir():
            reason = f"there is no folder {path.parent}"
        raise UsageError(f"cannot write predictions to {out}: {reason}")
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
    """Write a header, and a row for each prediction."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(predictor.header(labels_only))
    for block in blocks:
        labels = predictor.labels(block.codes)
        columns = [labels.reshape(len(labels), -1)]
        if block.probabilities is not None and not labels_only:
            columns.append(block.probabilities)
        step = max(1, _TEXT_VALUES // sum(part.shape[1] for part in columns))
        for start in range(0, len(labels), step):
            # astype(str) writes each number with the digits that its dtype needs.
            text = [part[start : start + step].astype(str) for part in columns]
            writer.writerows(np.hstack(text).tolist())


def write_file(
    path: pathlib.Path,
    predictor: Predictor,
    blocks: Iterator[Block],
    labels_only: bool = False,
) -> None:
    """Write predictions in the format of the path's ending, replacing any old file.

    .csv and .parquet have the columns of `Predictor.header`; .npz holds `prediction`
    and, except for a regression, `probability` and `classes`; .npy is one array: the
    probabilities, or with `labels_only` and for a regression the predictions.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            if partial.suffix == ".csv":
                with partial.open("w", encoding="utf-8", newline="") as file:
                    write_csv(file, predictor, blocks, labels_only)
            else:
                _write_arrays(partial, predictor, blocks, labels_only)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write predictions to {path}: {reason}") from None


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
