"""What exports of whole nets start from: layers by output neuron, without dropout.

A neuron i of a layer is computed as::

    a_i = f(bias_i + sum_k weights_k x[inputs_k])    for indptr_i <= k < indptr_(i + 1)
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.losses import Loss


class Part(NamedTuple):
    """One layer.

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
        """Number of neurons."""
        return self.bias.size


class Net(NamedTuple):
    """A whole model.

    Parameters
    ----------
    model : SparseMLP or CondensedMLP
    n_features, n_out, nnz : int
    dtype : numpy.dtype
    loss : Loss
    classes : (n_classes,) array or None
        What the classes are called, if an estimator was given that knows.
    """

    model: Any
    n_features: int
    n_out: int
    nnz: int
    dtype: np.dtype
    loss: Loss
    classes: np.ndarray | None

    def parts(self) -> Iterator[Part]:
        """Yield the layers, first to last; arrays are made one layer at a time."""
        if not _is_condensed(self.model):
            yield from map(_part_of_layer, self.model.layers)
            return
        *hidden, last = self.model.layers
        yield from map(_part_of_condensed, hidden)
        yield _with_constants(_part_of_condensed(last), last.neurons, self.model)


def unwrap(model: Any) -> Any:
    """Return the model of a fitted estimator, and a model as it is.

    Raises
    ------
    UsageError
        For anything else.
    """
    found = getattr(model, "model_", model)
    if hasattr(found, "layers") and hasattr(found, "loss"):
        return found
    hint = ""
    if hasattr(found, "fit"):
        hint = "; fit it first, and of a pipeline or search give the estimator in it"
    raise UsageError(
        "expected a SparseMLP, CondensedMLP or fitted estimator, got "
        f"{type(model).__name__}{hint}"
    )


def take_apart(model: Any) -> Net:
    """Return what is to be exported of a model or fitted estimator."""
    found = unwrap(model)
    classes = getattr(model, "classes_", None)
    if _is_condensed(found):
        sizes = found.n_features, found.constants.size
    else:
        sizes = found.layer_sizes[0], found.layer_sizes[-1]
    if classes is not None:
        classes = np.asarray(classes)
    return Net(found, *sizes, found.nnz, found.dtype, found.loss, classes)


def _is_condensed(model: Any) -> bool:
    return hasattr(model, "constants")


def _part_of_layer(layer: Any) -> Part:
    csc = layer.connections.to_scipy().tocsc()
    return Part(
        layer.connections.n_in,
        csc.indptr,
        csc.indices,
        csc.data,
        layer.bias,
        layer.activation,
        None if layer.srelu is None else layer.srelu.values,
    )


def _part_of_condensed(layer: Any) -> Part:
    srelu = None if layer.srelu is None else layer.srelu.values
    own = layer.bias, layer.activation, srelu
    if hasattr(layer, "connections"):
        csc = layer.connections.to_scipy().tocsc()
        return Part(layer.n_in, csc.indptr, csc.indices, csc.data, *own)
    inputs, weights = layer.inputs, layer.weights
    # Short rows are filled up with their last input and weight 0.
    kept = np.ones(inputs.shape, bool)
    kept[:, 1:] = inputs[:, 1:] > inputs[:, :-1]
    indptr = _indptr(kept.sum(axis=1))
    return Part(layer.n_in, indptr, inputs[kept], weights[kept], *own)


def _with_constants(part: Part, neurons: np.ndarray, model: Any) -> Part:
    """Return the last layer with the outputs that are constant in their places."""
    bias = model.constants.copy()
    bias[neurons] = part.bias
    counts = np.zeros(bias.size, np.int64)
    counts[neurons] = np.diff(part.indptr)
    return part._replace(bias=bias, indptr=_indptr(counts))


def _indptr(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
