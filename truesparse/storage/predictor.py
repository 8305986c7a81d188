"""Predictions for raw rows, block by block: labels, probabilities, values.

A block is the rows of some batches. Rows are scaled one block at a time, and sparse
rows stay sparse.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.datasets import Preprocessing, check_features
from truesparse.datasets.features import Features
from truesparse.datasets.model_columns import require_names
from truesparse.datasets.typed_columns import from_pandas
from truesparse.errors import ModelFileError, UsageError
from truesparse.storage import models

_BATCHES = 32  # a block: enough that allocating its buffers costs nothing
_BLOCK_VALUES = 1 << 24  # inputs or outputs of a block at most, but at least one batch
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
    """A model that predicts from raw rows, as its data source has them.

    Parameters
    ----------
    model : SparseMLP or CondensedMLP
    preprocessing : Preprocessing, optional
        By default that of the model. Where there is none, rows are not scaled, and
        classes are numbers.

    Attributes
    ----------
    task : {"classification", "multilabel", "regression"}
    classes : (n_out,) or (2,) array
        Labels of the outputs; one logistic output stands for the second of two.

    Raises
    ------
    ModelFileError
        If the model does not have one output a class.

    Examples
    --------
    >>> from truesparse import Predictor, SparseMLP, datasets
    >>> iris = datasets.load("iris")
    >>> predictor = Predictor(SparseMLP([4, 8, 3], seed=1), iris)
    >>> predictor.predict_proba([[5.1, 3.5, 1.4, 0.2]]).shape
    (1, 3)
    >>> predictor.header()
    ['prediction', 'probability_0', 'probability_1', 'probability_2']
    """

    def __init__(self, model: Any, preprocessing: Preprocessing | None = None):
        if preprocessing is None:
            preprocessing = model.preprocessing
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
                f"the model has {n_outputs} outputs but {len(self.classes)} classes; "
                "give the preprocessing of its training data"
            )

    def predict(self, X: Any, batch_size: int = 128) -> np.ndarray:
        """Predict labels, columns of 0 and 1, or values in the units of the targets.

        Parameters
        ----------
        X : (n, n_features) array-like, table or sparse array
            Raw rows. Of a pandas DataFrame the columns are taken by the names that the
            training data had, in any order, and encoded as in training; in other forms
            categories must be encoded, as `datasets.load_rows` returns them.
        batch_size : int
            Rows that are predicted at once.

        Returns
        -------
        (n,) array for classes or one value; (n, n_out) for several labels or values

        Raises
        ------
        DataError
            If the rows do not suit the model.
        """
        blocks = self._all_blocks(X, batch_size)
        return self.labels(np.concatenate([block.codes for block in blocks]))

    def predict_proba(self, X: Any, batch_size: int = 128) -> np.ndarray:
        """Return the probabilities of classes or labels, (n, n_classes).

        See `predict` for the parameters.

        Raises
        ------
        DataError
            If the rows do not suit the model.
        UsageError
            For a regression, which has none.
        """
        if self.task == "regression":
            raise UsageError("a regression has no probabilities; use predict")
        blocks = self._all_blocks(X, batch_size)
        chances = [block.probabilities for block in blocks]
        return np.concatenate([each for each in chances if each is not None])

    def _all_blocks(self, X: Any, batch_size: int) -> Iterator[Block]:
        """Check raw rows, and predict from them."""
        check_whole("batch_size", batch_size, 1)
        if hasattr(X, "columns"):
            X = self._take_columns(X)
        # `Preprocessing.transform` says what an encoding has to do with the width.
        is_encoded = self.preprocessing.encoding is not None
        n_features = None if is_encoded else self.model.layer_sizes[0]
        rows = check_features(X, None, "X", n_features=n_features)
        return self.blocks(rows, batch_size)

    def _take_columns(self, table: Any) -> Any:
        """Return the columns of a DataFrame that the model takes, encoded."""
        encoding = self.preprocessing.encoding
        names = self.preprocessing.feature_names
        if names is not None and set(names) <= set(table.columns):
            encoding = None  # it holds the features themselves
        if encoding is not None:
            names = encoding.column_names
        if names is None:
            return table
        require_names(
            names, Counter(name for name in table.columns if isinstance(name, str)), "X"
        )
        table = table[list(names)]
        if encoding is None:
            return table
        return encoding.transform([from_pandas(table[name]) for name in names])

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
            yield Block(rows, *self._predict(X[rows], batch_size, start))

    def _predict(self, X: Features, batch_size: int, start: int):
        n_rows = X.shape[0]
        if n_rows < batch_size <= _FILLED_BATCH:
            X = X[np.resize(np.arange(n_rows), batch_size)]
        scaled = self.preprocessing.transform(X, self.model.dtype)
        outputs = self.model.decision_function(scaled, batch_size, scaled=True)
        outputs = outputs[:n_rows]
        results = self.model.loss.activate(outputs, start)
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


def load_predictor(path, *, verify: bool = True) -> Predictor:
    """Read what predicts from raw rows: a model with its scales and labels.

    There is a warning if the file does not have them: rows are then taken as they are.

    Parameters
    ----------
    path : str or path
        A model file or the folder of a run, as `truesparse.load` takes it.
    verify : bool
        Compare the file with its digest first, see truesparse.load.

    Raises
    ------
    ModelFileError
        If there is no model, it is not valid, or it has changed since it was written.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse import SparseMLP, datasets, load_predictor, save
    >>> iris = datasets.load("iris")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "m")
    ...     path = save(SparseMLP([4, 8, 3], seed=1), path, preprocessing=iris)
    ...     predictor = load_predictor(path)
    >>> predictor.predict([[5.1, 3.5, 1.4, 0.2]]).shape
    (1,)
    """
    model = models.load(path, verify=verify)
    if model.preprocessing is None:
        warnings.warn(
            f"{path} does not say how features were scaled: rows are taken as they "
            "are; give the preprocessing to save, or Predictor(model, preprocessing)",
            UserWarning,
            stacklevel=2,
        )
    return Predictor(model)
