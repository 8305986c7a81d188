"""What a model must know of its training data to predict from raw rows.

    x' = (x - feature_mean) / feature_scale       features, as in datasets.scaling
    y  = y' * target_scale + target_mean          targets of a regression
    classes[c]                                    the label that output c stands for

In a model file the scales are float64 tensors, ``preprocessing.feature_mean`` and so
on, and all else is JSON in the metadata entry ``preprocessing``.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from truesparse.checks import check_whole, choose
from truesparse.datasets import Dataset, check_features
from truesparse.datasets.scaling import Scaler, apply_scaler
from truesparse.errors import DataError, UsageError
from truesparse.storage.tensors import read_tensor
from truesparse.tasks import TASKS

_SCALES = ("feature_mean", "feature_scale", "target_mean", "target_scale")
PREFIX = "preprocessing."


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """How raw features become inputs of a model, and its outputs labels or values.

    Attributes
    ----------
    task : {"classification", "multilabel", "regression"}
    classes : ndarray or None, shape (n_classes,)
        Labels in the order of the outputs: text, whole numbers, floats or bools. Of
        multilabel data the names of the columns, if they have any.
    feature_mean, feature_scale : ndarray or None, shape (n_features,), float64
        None where nothing is subtracted or divided.
    target_mean, target_scale : ndarray or None, shape (n_outputs,), float64
    feature_names : tuple of str or None
        Of the columns of the training data.
    first_index : int or None
        What their SVMlight file calls the first feature, 0 or 1.

    Examples
    --------
    >>> from truesparse import datasets
    >>> from truesparse.storage.preprocessing import Preprocessing
    >>> iris = datasets.load("iris")
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

    @classmethod
    def of(cls, data: Dataset) -> "Preprocessing":
        """Return what was done to a data set."""
        return cls(
            data.task,
            data.classes,
            **{name: getattr(data, name) for name in _SCALES},
            feature_names=data.feature_names,
            first_index=data.first_index,
        )

    def transform(self, X, dtype, name: str = "X"):
        """Scale raw rows as the training data were scaled.

        Parameters
        ----------
        X : array-like or sparse array, shape (n, n_features)
            Rows in the units of the source. They are not changed.
        dtype : {float32, float64}
        name : str
            What messages call the rows.

        Returns
        -------
        ndarray or csr_array, shape (n, n_features)

        Raises
        ------
        DataError
            If `X` is not finite, real and two-dimensional, or sparse where features
            are centred.
        """
        rows = check_features(X, None, name)
        if self.feature_mean is not None and not isinstance(rows, np.ndarray):
            raise DataError(
                f"{name} is sparse, but the model was trained on centred features, "
                "which have no zeros to leave out; give a dense table"
            )
        scaler = Scaler(self.feature_mean, self.feature_scale)
        return apply_scaler(rows, scaler, np.dtype(dtype), name, in_place=False)

    def unscale_targets(self, predictions: np.ndarray) -> np.ndarray:
        """Put predictions (n, n_outputs) of a regression into their own units."""
        if self.target_scale is None or self.target_mean is None:
            return predictions
        return predictions * self.target_scale + self.target_mean

    def check(self, n_features: int, n_outputs: int) -> None:
        """Raise UsageError unless all suits a model of this width."""
        choose(self.task, TASKS, "task")
        n_classes = None if self.classes is None else len(self.classes)
        wanted = {n_outputs, None}
        if self.task == "classification":
            # One logistic output tells two classes apart.
            wanted = {n_outputs, max(n_outputs, 2)}
        if n_classes not in wanted:
            raise UsageError(f"{n_classes} classes do not suit {n_outputs} outputs")
        if self.classes is not None:
            labels = self.classes
            if self.task != "classification":
                labels = np.sort(labels)
            if not (labels[:-1] < labels[1:]).all():
                raise UsageError("classes must ascend, each once")
        if self.feature_names is not None and len(self.feature_names) != n_features:
            raise UsageError(
                f"{len(self.feature_names)} feature names for {n_features} features"
            )
        for name in _SCALES:
            scale = getattr(self, name)
            width = n_features if name.startswith("feature") else n_outputs
            if scale is None:
                continue
            if scale.shape != (width,) or scale.dtype != np.float64:
                raise UsageError(
                    f"{name} must be ({width},) float64, got {scale.shape} "
                    f"{scale.dtype}"
                )
            if not np.isfinite(scale).all():
                raise UsageError(f"{name} holds NaN or infinity")
            if name.endswith("scale") and (scale <= 0).any():
                raise UsageError(f"{name} must be above 0")
        for kind in ("feature", "target"):
            mean, scale = (getattr(self, f"{kind}_{n}") for n in ("mean", "scale"))
            if mean is not None and scale is None:
                raise UsageError(f"{kind}_mean needs a {kind}_scale")
            if kind == "target" and mean is None and scale is not None:
                raise UsageError("target_scale needs a target_mean")
        if self.first_index not in (None, 0, 1):
            raise UsageError(f"first_index must be 0 or 1, got {self.first_index}")

    def to_tensors(self) -> tuple[dict[str, np.ndarray], str]:
        """Return the tensors and the JSON text for a model file."""
        scales = {name: getattr(self, name) for name in _SCALES}
        tensors = {
            PREFIX + name: scale for name, scale in scales.items() if scale is not None
        }
        text = {
            "task": self.task,
            "classes": None if self.classes is None else self.classes.tolist(),
            "feature_names": self.feature_names,
            "first_index": self.first_index,
        }
        return tensors, json.dumps(text, allow_nan=False)

    @classmethod
    def from_tensors(cls, file: Any, text: str) -> "Preprocessing":
        """Read what `to_tensors` made; ValueError or TypeError for what it is not.

        Parameters
        ----------
        file : open safetensors file
        text : str
        """
        fields = json.loads(text)
        scales = {
            name: read_tensor(file, PREFIX + name, "float64")
            for name in _SCALES
            if PREFIX + name in file.keys()  # noqa: SIM118 - it is no dict
        }
        names, first = fields["feature_names"], fields["first_index"]
        if names is not None:
            if not all(type(name) is str for name in names):
                raise ValueError("feature names must be text")
            names = tuple(names)
        if first is not None:
            first = check_whole("first_index", first, 0, 1)
        classes = _as_classes(fields["classes"])
        task = fields["task"]
        return cls(task, classes, **scales, feature_names=names, first_index=first)


def _as_classes(labels: list | None) -> np.ndarray | None:
    """Return labels of one kind as an array."""
    if labels is None:
        return None
    kinds = {type(label) for label in labels}
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        raise ValueError("classes must be all text, numbers or bools")
    classes = np.array(labels)
    if classes.dtype.kind == "f" and not np.isfinite(classes).all():
        raise ValueError("classes must be finite")
    if classes.ndim != 1 or classes.dtype.kind not in "biufU":
        raise ValueError("classes must be a list of text, numbers or bools")
    return classes
