"""What exports of whole nets start from: layers by output neuron, without dropout.

The output of neuron i of a layer is::

    a_i = f(bias_i + sum_k weights_k x[inputs_k])    for indptr_i <= k < indptr_(i + 1)

Before the first layer come the scales of the features, after the last those of the
targets; see datasets.Preprocessing.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError
from truesparse.losses import Loss


class LayerByOutput(NamedTuple):
    """A layer whose connections are sorted by output neuron.

    Parameters
    ----------
    n_in : int
    indptr : (n_out + 1,) integer array
    inputs : (nnz,) int32 array
        Input neurons, strictly ascending within a neuron.
    weights : (nnz,) float array
    bias : (n_out,) float array
    activation : LayerActivation
    srelu : (4, n_out) float array or None
        Its rows are t_left, a_left, t_right and a_right.
    """

    n_in: int
    indptr: np.ndarray
    inputs: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    activation: LayerActivation
    srelu: np.ndarray | None

    @property
    def n_out(self) -> int:
        """Number of output neurons."""
        return self.bias.size


class Net(NamedTuple):
    """A whole model, what rows it takes and what its outputs stand for.

    Parameters
    ----------
    model : SparseMLP or CondensedMLP
    n_features, n_out, nnz : int
    dtype : numpy.dtype
    loss : Loss
    preprocessing : Preprocessing
        Scales and names; of an estimator its classes and the names of its features.
    rows : {"raw", "encoded", "as trained"}
        What the export takes: rows as the data source has them; rows whose categories
        are encoded already; rows as those that the model was trained on, where nothing
        is known about them.
    """

    model: Any
    n_features: int
    n_out: int
    nnz: int
    dtype: np.dtype
    loss: Loss
    preprocessing: Preprocessing
    rows: str

    @property
    def classes(self) -> np.ndarray | None:
        """Labels of the classes, if they are known."""
        return self.preprocessing.classes

    def describe(self) -> dict[str, Any]:
        """Return what a user of the export must know, in types that JSON has."""
        about = self.preprocessing
        names = about.feature_names
        return {
            "task": about.task,
            "classes": None if about.classes is None else about.classes.tolist(),
            "feature_names": None if names is None else list(names),
            "target_name": about.target_name,
            "rows": self.rows,
        }

    def layers(self) -> Iterator[LayerByOutput]:
        """Yield the layers, first to last; arrays are made one layer at a time."""
        if not is_condensed(self.model):
            yield from map(_from_connections, self.model.layers)
            return
        *hidden, last = self.model.layers
        yield from map(_from_condensed, hidden)
        yield _with_constants(_from_condensed(last), last.neurons, self.model.constants)


def model_of(model: Any) -> Any:
    """Return the model of a fitted estimator, and a model as it is.

    Raises
    ------
    UsageError
        For anything else.
    """
    inner = getattr(model, "model_", model)
    if hasattr(inner, "layers") and hasattr(inner, "loss"):
        return inner
    hint = ""
    if hasattr(inner, "fit"):
        hint = "; fit it first, and of a pipeline or search give the estimator in it"
    raise UsageError(
        "expected a SparseMLP, CondensedMLP or fitted estimator, got "
        f"{type(model).__name__}{hint}"
    )


def net_of(model: Any, preprocessing: Preprocessing | None = None) -> Net:
    """Return the net of a model or fitted estimator, with its scales and names.

    Parameters
    ----------
    model : SparseMLP, CondensedMLP or fitted estimator
    preprocessing : Preprocessing, optional
        By default that of the model.

    Raises
    ------
    UsageError
        If that is no model, or the preprocessing is not one or does not suit it.
    """
    inner = model_of(model)
    sizes = inner.layer_sizes[0], inner.layer_sizes[-1]
    if preprocessing is None:
        preprocessing = getattr(inner, "preprocessing", None)
    if preprocessing is None:
        about, rows = _about_estimator(model, inner, sizes[1]), "as trained"
    elif isinstance(preprocessing, Preprocessing):
        preprocessing.check(*sizes)
        tasks = preprocessing.task, inner.loss.task.name
        if tasks.count("regression") == 1:
            raise UsageError(
                f"a preprocessing for {tasks[0]} does not suit a model whose loss, "
                f"{inner.loss.name}, is for {tasks[1]}; give that of its training data"
            )
        # Tables with columns of text have an encoding, which no export holds.
        is_encoded = getattr(preprocessing, "encoding", None) is not None
        about, rows = preprocessing, "encoded" if is_encoded else "raw"
    else:
        raise UsageError(
            "preprocessing must be a Preprocessing or a Dataset, got "
            f"{type(preprocessing).__name__}"
        )
    return Net(inner, *sizes, inner.nnz, inner.dtype, inner.loss, about, rows)


def _about_estimator(estimator: Any, model: Any, n_out: int) -> Preprocessing:
    """Return what a fitted estimator knows of its data; of a model only the task."""
    classes = getattr(estimator, "classes_", None)
    names = getattr(estimator, "feature_names_in_", None)
    # One logistic output tells two classes apart.
    is_binary = classes is not None and n_out == 1 and len(classes) == 2
    return Preprocessing(
        "classification" if is_binary else model.loss.task.name,
        None if classes is None else np.asarray(classes),
        feature_names=None if names is None else tuple(map(str, names)),
    )


def is_condensed(model: Any) -> bool:
    """Whether a model is a CondensedMLP, by what only that has."""
    return hasattr(model, "constants")


def _from_connections(layer: Any) -> LayerByOutput:
    """Return a SparseLayer."""
    connections = layer.connections
    csc = connections.to_scipy().tocsc()
    return _layer(layer, connections.n_in, csc.indptr, csc.indices, csc.data)


def _from_condensed(layer: Any) -> LayerByOutput:
    """Return a layer of a condensed model."""
    return _layer(layer, layer.n_in, *layer.by_output())


def _layer(
    layer: Any, n_in: int, indptr: np.ndarray, inputs: np.ndarray, weights: np.ndarray
) -> LayerByOutput:
    """Return given connections with the biases and the activation of a layer."""
    connections = n_in, indptr, inputs, weights
    srelu = None if layer.srelu is None else layer.srelu.values
    return LayerByOutput(*connections, layer.bias, layer.activation, srelu)


def _with_constants(
    last: LayerByOutput, neurons: np.ndarray, constants: np.ndarray
) -> LayerByOutput:
    """Return the last layer with its constant outputs, too, as biases alone.

    Parameters
    ----------
    last : LayerByOutput
    neurons : (last.n_out,) array
        Which outputs of the model these are.
    constants : (n_out,) array
    """
    bias = constants.copy()
    bias[neurons] = last.bias
    counts = np.zeros(bias.size, np.int64)
    counts[neurons] = np.diff(last.indptr)
    return last._replace(bias=bias, indptr=_indptr(counts))


def _indptr(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
