"""Preprocessing in a model file: what it needs to predict from raw rows.

The scales are float64 tensors, ``preprocessing.feature_mean`` and so on; everything
else is JSON in the metadata entry ``preprocessing``.
"""

import json
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.datasets import Preprocessing
from truesparse.datasets.dataset import SCALE_NAMES
from truesparse.datasets.encoding import TableEncoding
from truesparse.datasets.raw import TableLayout
from truesparse.errors import UsageError
from truesparse.storage.tensors import read_tensor

PREFIX = "preprocessing."


def to_tensors(preprocessing: Preprocessing) -> tuple[dict[str, np.ndarray], str]:
    """Return the tensors and the JSON text for a model file.

    Examples
    --------
    >>> from truesparse.datasets import Preprocessing
    >>> from truesparse.storage.preprocessing import to_tensors
    >>> to_tensors(Preprocessing("regression", first_index=1))[1][:54]
    '{"task": "regression", "classes": null, "feature_names'
    """
    scales = {name: getattr(preprocessing, name) for name in SCALE_NAMES}
    tensors = {
        PREFIX + name: scale for name, scale in scales.items() if scale is not None
    }
    classes, layout = preprocessing.classes, preprocessing.layout
    encoding = preprocessing.encoding
    if classes is not None:
        _require_storable(classes)
    text = {
        "task": preprocessing.task,
        "classes": None if classes is None else classes.tolist(),
        "feature_names": preprocessing.feature_names,
        "first_index": preprocessing.first_index,
        "target_name": preprocessing.target_name,
        "encoding": None if encoding is None else encoding.to_json(),
        "layout": None if layout is None else layout._asdict(),
    }
    return tensors, json.dumps(text, allow_nan=False)


def _require_storable(classes: np.ndarray) -> None:
    """Raise UsageError unless JSON keeps the classes: text, numbers or bools."""
    kinds = {type(each) for each in classes.tolist()}
    is_kept = classes.dtype.kind not in "mM" and kinds in (
        {str},
        {int},
        {float},
        {bool},
    )
    if not is_kept:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UsageError(
            f"a model file can store classes that are text, numbers or bools, all of "
            f"one type, got {classes.dtype} ({names}); train on text instead, for "
            "example y.astype(str), or pickle the estimator"
        )


def from_tensors(file: Any, text: str) -> Preprocessing:
    """Read what `to_tensors` made.

    Parameters
    ----------
    file : open safetensors file
    text : str
        JSON of the metadata entry.

    Raises
    ------
    ValueError, TypeError or KeyError
        If the file or the text is not what `to_tensors` makes.
    """
    fields = json.loads(text)
    scales = {
        name: read_tensor(file, PREFIX + name, "float64")
        for name in SCALE_NAMES
        if PREFIX + name in file.keys()  # noqa: SIM118 - it is no dict
    }
    names, first = fields["feature_names"], fields["first_index"]
    if names is not None:
        if not all(type(name) is str for name in names):
            raise ValueError("feature names must be text")
        names = tuple(names)
    if first is not None:
        first = check_whole("first_index", first, 0, 1)
    # Files of version 0.1.0 lack the last three.
    target, encoding = fields.get("target_name"), fields.get("encoding")
    layout = fields.get("layout")
    if not (target is None or type(target) is str):
        raise ValueError("target_name must be text")
    classes = _as_classes(fields["classes"])
    return Preprocessing(
        fields["task"],
        classes,
        feature_names=names,
        first_index=first,
        target_name=target,
        encoding=None if encoding is None else TableEncoding.from_json(encoding),
        layout=None if layout is None else _as_layout(layout),
        **scales,
    )


def _as_layout(fields: dict[str, Any]) -> TableLayout:
    left_out = fields["left_out"]
    numbers = [
        check_whole("a place in the layout", place, 0)
        for place in (fields["target"], *left_out)
    ]
    if len(set(numbers)) < len(numbers):
        raise ValueError("places in the layout must differ")
    return TableLayout(numbers[0], tuple(numbers[1:]))


def _as_classes(labels: list | None) -> np.ndarray | None:
    """Return labels of one kind as an array."""
    if labels is None:
        return None
    kinds = {type(label) for label in labels}
    if len(kinds) != 1 or not kinds <= {str, int, float, bool}:
        raise ValueError("classes must be all text, all numbers or all bools")
    classes = np.array(labels)
    if classes.dtype.kind == "f" and not np.isfinite(classes).all():
        raise ValueError("classes must be finite")
    if classes.ndim != 1 or classes.dtype.kind not in "biufU":
        raise ValueError("classes must be a list of text, numbers or bools")
    return classes
