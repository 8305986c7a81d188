"""One loaded data set: the two parts, ready for training, and how they were scaled.

Features are rows of samples, either a C-contiguous array or a CSR array; targets are
class numbers, 0/1 label columns, or columns of real values, by task:

    classification   y (n,) int32 in 0..n_classes-1; classes[y] gives the labels back
    multilabel       y (n, n_labels) of dtype, 0 or 1
    regression       y (n, n_targets) of dtype
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from truesparse.datasets.features import Features, check_features
from truesparse.datasets.scaling import Scaler, apply_scaler


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test part of one data set, checked, encoded and scaled.

    Attributes
    ----------
    name : str
        The name or file it was loaded from.
    X_train, X_test : ndarray or csr_array, shape (n_train | n_test, n_features)
        Features of dtype float32 or float64; CSR with sorted, unique int32 indices.
    y_train, y_test : ndarray
        Class numbers (n,) int32, or (n, n_outputs) of the dtype of the features.
    task : str
        ``"classification"``, ``"multilabel"`` or ``"regression"``.
    classes : ndarray or None, shape (n_classes,)
        The original labels in the order of the class numbers; for multilabel data
        the name of each column where the source has one.
    feature_mean, feature_scale : ndarray or None, shape (n_features,), float64
        Scaling of the training part: ``(x - feature_mean) / feature_scale``; None
        where nothing was subtracted or divided.
    target_mean, target_scale : ndarray or None, shape (n_targets,), float64
        The same for regression targets, if they were scaled.
    feature_names : tuple of str or None
        Of the columns of a table, if its header tells them apart.
    first_index : int or None
        What an SVMlight file calls the first feature, 0 or 1.

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
    task: str
    classes: np.ndarray | None = None
    feature_mean: np.ndarray | None = None
    feature_scale: np.ndarray | None = None
    target_mean: np.ndarray | None = None
    target_scale: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None
    first_index: int | None = None

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

    def transform(self, X: object) -> Features:
        """Scale new rows as the training part was scaled.

        Parameters
        ----------
        X : array-like or sparse array, shape (n, n_features)
            Rows in the units of the source. They are not changed.

        Returns
        -------
        ndarray or csr_array, shape (n, n_features)
            Of the dtype of the training part.

        Raises
        ------
        DataError
            If `X` is not finite, real and two-dimensional with n_features columns.

        Examples
        --------
        >>> from truesparse.datasets import load
        >>> wine = load("wine", scale="unit")
        >>> new = wine.transform([[840.0] * 13])
        >>> new.shape, bool((new == new[0, 0]).all())
        ((1, 13), True)
        """
        rows = check_features(X, None, n_features=self.n_features)
        scaler = Scaler(self.feature_mean, self.feature_scale)
        return apply_scaler(rows, scaler, self.X_train.dtype, "X", in_place=False)

    def unscale_targets(self, predictions: np.ndarray) -> np.ndarray:
        """Put predictions of scaled regression targets back into their own units.

        Parameters
        ----------
        predictions : ndarray, shape (n, n_targets)
            Predictions in the units of ``y_train``.

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

    def __repr__(self) -> str:
        n_train, n_test = self.X_train.shape[0], self.X_test.shape[0]
        kind = " (CSR)" if self.is_sparse else ""
        return (
            f"Dataset({self.name!r}, {self.task}, {n_train} + {n_test} rows x "
            f"{self.n_features} features{kind}, {self.n_outputs} outputs)"
        )
