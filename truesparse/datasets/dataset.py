"""One loaded data set: two parts, ready for training, and what was done to raw rows.

    x' = (x - feature_mean) / feature_scale       features, see scaling.py
    y' = (y - target_mean) / target_scale         targets of a regression
    classes[c]                                    the label that class number c encodes

Features are rows of samples, either a C-contiguous array or a CSR array; targets are
class numbers, 0/1 label columns, or columns of real values, by task:

    classification   y (n,) int32 in 0..n_classes-1; classes[y] gives the labels back
    multilabel       y (n, n_labels) of dtype, 0 or 1
    regression       y (n, n_targets) of dtype
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import DTypeLike
from scipy import sparse

from truesparse.common.checks import choose
from truesparse.common.tasks import TASKS
from truesparse.datasets.encoding import TableEncoding
from truesparse.datasets.features import Features, check_features
from truesparse.datasets.raw import TableLayout
from truesparse.datasets.scaling import Scaler, apply_scaler
from truesparse.errors import DataError, UsageError

SCALE_NAMES = ("feature_mean", "feature_scale", "target_mean", "target_scale")


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """How raw features become inputs of a model, and its outputs labels or values.

    A model file keeps it, so that the model can predict from raw rows; a `Dataset`
    carries it beside its rows.

    Attributes
    ----------
    task : {"classification", "multilabel", "regression"}
        The kind of targets.
    classes : ndarray or None, shape (n_classes,)
        The original labels in the order of the class numbers, which is that of a
        model's outputs: text, whole numbers, floats or bools. For multilabel data the
        names of the columns, where the source has names.
    feature_mean, feature_scale : ndarray or None, shape (n_features,), float64
        Scaling of the training part: ``(x - feature_mean) / feature_scale``; None
        where nothing was subtracted or divided.
    target_mean, target_scale : ndarray or None, shape (n_targets,), float64
        The same for regression targets, if they were scaled.
    feature_names : tuple of str or None
        Names of the columns of a table, if its header tells them apart.
    first_index : int or None
        Number of the first feature in an SVMlight file, 0 or 1.
    target_name : str or None
        Name of the target's column in a table with a header.
    encoding : TableEncoding or None
        How columns of text and missing values became features; None where features
        are the columns themselves.
    layout : TableLayout or None
        Places of the target and of the columns left out in a table.

    Examples
    --------
    >>> from truesparse.datasets import Preprocessing, load
    >>> iris = load("iris")
    >>> how = Preprocessing.of(iris)
    >>> how.task, how.classes.tolist()
    ('classification', [0, 1, 2])
    >>> how.transform([[5.8, 3.1, 3.8, 1.2]], iris.X_train.dtype).round(0) + 0.0
    array([[0., 0., 0., 0.]], dtype=float32)
    """

    task: str
    classes: np.ndarray | None = None
    feature_mean: np.ndarray | None = None
    feature_scale: np.ndarray | None = None
    target_mean: np.ndarray | None = None
    target_scale: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None
    target_name: str | None = None
    encoding: TableEncoding | None = None
    layout: TableLayout | None = None

    @staticmethod
    def of(data: "Preprocessing") -> "Preprocessing":
        """Return the preprocessing of a data set, without its rows."""
        names = (field.name for field in fields(Preprocessing))
        return Preprocessing(*(getattr(data, name) for name in names))

    def transform(self, X: object, dtype: DTypeLike, name: str = "X") -> Features:
        """Scale raw rows as the training part was scaled.

        Parameters
        ----------
        X : array-like or sparse array, shape (n, n_features)
            Rows in the units of the source, with categories encoded as `encoding` says;
            `load_rows` encodes those of a table. They are not changed.
        dtype : {float32, float64}
            Type of the result.
        name : str
            Name of the rows in messages.

        Returns
        -------
        ndarray or csr_array, shape (n, n_features)

        Raises
        ------
        DataError
            If `X` is not finite, real and two-dimensional, has another width than in
            training where that is known, or is sparse although features are centred.
        """
        rows = check_features(X, None, name)
        self._check_width(rows.shape[1], name)
        if self.feature_mean is not None and not isinstance(rows, np.ndarray):
            raise DataError(
                f"{name} is sparse, but the model was trained on centred features, "
                "which have no zeros to leave out; give a dense table"
            )
        scaler = Scaler(self.feature_mean, self.feature_scale)
        return apply_scaler(rows, scaler, np.dtype(dtype), name, in_place=False)

    @property
    def _width(self) -> int | None:
        """Number of features, where that is known; a model without scales knows."""
        if self.encoding is not None:
            return self.encoding.n_features
        known = (self.feature_scale, self.feature_names)
        return next((len(each) for each in known if each is not None), None)

    def _check_width(self, width: int, name: str) -> None:
        if self._width in (None, width):
            return
        hint = ""
        if self.encoding is not None:
            hint = (
                f": the {len(self.encoding.columns)} columns of the table with their "
                "categories encoded, as load_rows returns them"
            )
        raise DataError(f"{name} has {width} columns; give {self._width}{hint}")

    def unscale_targets(self, predictions: np.ndarray) -> np.ndarray:
        """Put predictions of scaled regression targets back into their original units.

        Parameters
        ----------
        predictions : ndarray, shape (n, n_targets)
            Predictions in the units that the model was trained on.

        Returns
        -------
        ndarray, shape (n, n_targets)
            The same array if the targets were not scaled.

        Examples
        --------
        >>> import numpy as np
        >>> from truesparse.datasets import load
        >>> scaled = load("diabetes", scale_target=True, dtype=np.float64)
        >>> plain = load("diabetes", dtype=np.float64)
        >>> np.allclose(scaled.unscale_targets(scaled.y_test), plain.y_test)
        True
        """
        if self.target_scale is None or self.target_mean is None:
            return predictions
        return predictions * self.target_scale + self.target_mean

    def check(self, n_features: int, n_outputs: int) -> None:
        """Raise UsageError unless all fields suit a model of this width."""
        choose(self.task, TASKS, "task")
        n_classes = None if self.classes is None else len(self.classes)
        accepted = {n_outputs, None}
        if self.task == "classification":
            # One logistic output tells two classes apart.
            accepted = {n_outputs, max(n_outputs, 2)}
        if n_classes not in accepted:
            raise UsageError(
                f"{n_classes or 'no'} classes do not suit a model of {n_outputs} "
                "outputs; give one class for each output"
            )
        if self.classes is not None:
            labels = self.classes
            if self.task != "classification":
                labels = np.sort(labels)
            if not (labels[:-1] < labels[1:]).all():
                raise UsageError("classes must be sorted and differ from each other")
        if self.feature_names is not None and len(self.feature_names) != n_features:
            raise UsageError(
                f"feature_names has {len(self.feature_names)} names, but the model "
                f"takes {n_features} features; give one name for each"
            )
        if self.encoding is not None and self.encoding.n_features != n_features:
            raise UsageError(
                f"encoding makes {self.encoding.n_features} features, but the model "
                f"takes {n_features}; give the encoding of its training data"
            )
        if self.layout is not None:
            encoding, layout = self.encoding, self.layout
            n_columns = n_features if encoding is None else len(encoding.columns)
            last = n_columns + len(layout.left_out)
            if max(layout.target, *layout.left_out, 0) > last:
                raise UsageError(
                    f"layout has places above {last}, the last one of {last + 1} "
                    "columns; give that of the training data"
                )
        for name in SCALE_NAMES:
            is_feature = name.startswith("feature")
            self._check_scale(name, n_features if is_feature else n_outputs)
        if self.feature_mean is not None and self.feature_scale is None:
            raise UsageError("feature_mean needs a feature_scale; give both")
        if (self.target_mean is None) != (self.target_scale is None):
            raise UsageError("target_mean and target_scale belong together; give both")
        if self.first_index not in (None, 0, 1):
            raise UsageError(f"first_index must be 0 or 1, got {self.first_index}")

    def _check_scale(self, name: str, width: int) -> None:
        scale = getattr(self, name)
        if scale is None:
            return
        if scale.shape != (width,) or scale.dtype != np.float64:
            raise UsageError(
                f"{name} must be float64 of shape ({width},), got {scale.dtype} of "
                f"shape {scale.shape}"
            )
        if not np.isfinite(scale).all():
            raise UsageError(f"{name} must be finite, but holds NaN or infinity")
        if name.endswith("scale") and (scale <= 0).any():
            raise UsageError(f"{name} must be above 0, got {scale.min()}")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dataset(Preprocessing):
    """Training and test part of one data set, checked, encoded and scaled.

    The attributes of `Preprocessing` say what was done to the raw rows: task, classes,
    feature_mean, feature_scale, target_mean, target_scale, feature_names, first_index,
    target_name, encoding, layout.

    Attributes
    ----------
    name : str
        The name or file it was loaded from.
    X_train, X_test : ndarray or csr_array, shape (n_train | n_test, n_features)
        Features of dtype float32 or float64; CSR with sorted, unique int32 indices.
    y_train, y_test : ndarray
        Class numbers (n,) int32, or (n, n_outputs) of the dtype of the features.
    notes : tuple of str
        How a table was understood: its target, why it is that, and the task.
    warnings : tuple of str
        Doubts about that.

    Examples
    --------
    >>> from truesparse.datasets import load
    >>> iris = load("iris")
    >>> iris
    Dataset('iris', classification, 120 + 30 rows x 4 features, 3 outputs)
    >>> iris.y_train.dtype.name, iris.classes.tolist()
    ('int32', [0, 1, 2])
    """

    name: str
    X_train: Features
    y_train: np.ndarray
    X_test: Features
    y_test: np.ndarray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def n_features(self) -> int:
        """Number of columns of the features."""
        return int(self.X_train.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of classes, labels or targets: the width of an output layer."""
        if self.task == "classification":
            assert self.classes is not None
            return len(self.classes)
        return int(self.y_train.shape[1])

    @property
    def is_sparse(self) -> bool:
        """Whether the features are CSR arrays."""
        return isinstance(self.X_train, sparse.csr_array)

    def transform(
        self, X: object, dtype: DTypeLike | None = None, name: str = "X"
    ) -> Features:
        """Scale new rows as the training part was scaled.

        Parameters
        ----------
        X : array-like or sparse array, shape (n, n_features)
            Rows in the units of the source, with categories encoded as `encoding` says;
            `load_rows` encodes those of a table. They are not changed.
        dtype : {float32, float64}, optional
            Type of the result; that of the training part if left out.
        name : str
            Name of the rows in messages.

        Returns
        -------
        ndarray or csr_array, shape (n, n_features)

        Raises
        ------
        DataError
            If `X` is not finite, real and two-dimensional with n_features columns, or
            is sparse although features are centred.

        Examples
        --------
        >>> from truesparse.datasets import load
        >>> wine = load("wine", scale="unit")
        >>> new = wine.transform([[840.0] * 13])
        >>> new.shape, bool((new == new[0, 0]).all())
        ((1, 13), True)
        """
        return super().transform(
            X, self.X_train.dtype if dtype is None else dtype, name
        )

    @property
    def _width(self) -> int | None:
        return self.n_features

    def __repr__(self) -> str:
        n_train, n_test = self.X_train.shape[0], self.X_test.shape[0]
        kind = " (CSR)" if self.is_sparse else ""
        return (
            f"Dataset({self.name!r}, {self.task}, {n_train} + {n_test} rows x "
            f"{self.n_features} features{kind}, {self.n_outputs} outputs)"
        )
