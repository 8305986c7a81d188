"""Models with scales, raw rows for them, and a twin that predicts from a CSR export."""

import json
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy import sparse
from support.network import make_model
from support.strategies import SEEDS

from truesparse import SparseMLP
from truesparse.datasets import Preprocessing

TASKS = ("classification", "binary", "multilabel", "regression", "scaled regression")


class Problem(NamedTuple):
    """A model, how its training data were scaled, and rows as their source has them."""

    model: SparseMLP
    how: Preprocessing
    rows: np.ndarray | sparse.csr_array


@st.composite
def problems(draw, tasks=TASKS, dtypes=("float32", "float64")):
    """Draw a problem; dense rows may have a mean far above their deviation."""
    dtype, task = draw(st.sampled_from(dtypes)), draw(st.sampled_from(tasks))
    n_out = 1 if task == "binary" else draw(st.integers(2, 4))
    generator = np.random.default_rng(draw(SEEDS))
    loss = {"classification": "softmax", "binary": "logistic", "multilabel": "logistic"}
    sizes = draw(st.integers(1, 6)), draw(st.integers(1, 8)), n_out
    model = make_model(
        sizes,
        draw(st.sampled_from([0.3, 1.0])),
        loss.get(task, "squared"),
        activation="relu",
        dtype=dtype,
        seed=draw(st.integers(0, 99)),
    )
    kind = draw(st.sampled_from(["none", "sparse", "divided", "standardised"]))
    shape = 6, sizes[0]
    mean = scale = None
    rows = generator.standard_normal(shape)
    if kind != "none":
        scale = 10.0 ** generator.uniform(-3, 3, sizes[0])
        rows = rows * scale
    if kind == "standardised":
        mean = 10.0 ** draw(st.integers(0, 6)) * scale * generator.standard_normal()
        rows = rows + mean
    rows = rows.astype(dtype)
    if kind == "sparse":
        rows = sparse.csr_array(rows * (generator.uniform(size=shape) < 0.5))
    return Problem(model, _preprocessing(task, n_out, mean, scale, generator), rows)


def _preprocessing(task, n_out, mean, scale, generator):
    names = tuple("ab" if task == "binary" else "abcd"[:n_out])
    if not task.endswith("regression"):
        name = "multilabel" if task == "multilabel" else "classification"
        return Preprocessing(name, np.array(names), mean, scale)
    if task == "regression":
        return Preprocessing(task, None, mean, scale)
    spread = 10.0 ** generator.uniform(-2, 4, n_out)
    return Preprocessing("regression", None, mean, scale, -3 * spread, spread)


def as_dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


def predict_from_csr(path, rows):
    """Return what follows the last layer, for raw rows; with NumPy alone, for relu."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["description"]))
    x = as_dense(rows) - arrays.get("feature_mean", 0.0)
    x = x / arrays.get("feature_scale", 1.0)
    names = []
    for n, layer in enumerate(about["layers"]):
        weights = np.zeros(arrays[f"layers.{n}.shape"])
        starts = arrays[f"layers.{n}.indptr"]
        inputs = np.repeat(np.arange(len(weights)), np.diff(starts))
        weights[inputs, arrays[f"layers.{n}.indices"]] = arrays[f"layers.{n}.data"]
        z = x @ weights + arrays[f"layers.{n}.bias"]
        x = np.maximum(z, 0.0)
        names.append(layer["activation"])
    assert names == [*["relu"] * n, "identity"]
    if about["loss"]["name"] == "softmax":
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    if about["loss"]["name"] == "logistic":
        return 1.0 / (1.0 + np.exp(-z))
    return z * arrays.get("target_scale", 1.0) + arrays.get("target_mean", 0.0)
