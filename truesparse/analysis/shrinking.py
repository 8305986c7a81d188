"""A smaller network with the same predictions: without neurons that do nothing.

Neurons and features that lie on no path from a feature to an output go. A neuron that
no path from a feature leads to has one value c for all samples: its share w c of a
neuron that stays becomes part of the bias there. Outputs all stay. Nothing else
changes, so predictions differ by the rounding of the sums alone: by about 1e-6 of their
size in float32, and 1e-15 in float64. A network that stores its activations in bfloat16
rounds c, and so does this. A sum whose last bits change may then fall on the other side
of the middle between two numbers of 16 bits, once in ten thousand times or less, and
the output of that neuron differs by 0.8 % at most.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from truesparse.analysis.chosen import finite_model
from truesparse.analysis.reach import reach_of
from truesparse.datasets import Preprocessing
from truesparse.errors import UsageError
from truesparse.kernels.bfloat16 import widened
from truesparse.network import feedforward
from truesparse.network.buffers import Buffers
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer


class Shrunk(NamedTuple):
    """A smaller model, and where its neurons were.

    Attributes
    ----------
    model : SparseMLP
    neurons : list of (n,) int64 arrays
        For every layer of neurons, features first and outputs last, the numbers that
        its neurons have in the model it was made from, ascending.
    """

    model: SparseMLP
    neurons: list[np.ndarray]


def shrink(model: Any, *, features: bool = True) -> Shrunk:
    """Remove the neurons and features that have no part in any prediction.

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path
        Unchanged.
    features : bool
        Whether features without a path to an output go, too: the smaller model then
        takes ``X[:, neurons[0]]``. Otherwise it takes the same rows.

    Returns
    -------
    Shrunk
        The model without optimiser state. Its `preprocessing` is that of the features
        that are left.

    Raises
    ------
    DataError
        If a weight is not finite.
    UsageError
        If no path leads from a feature to an output, so that nothing would remain; or
        if features are to go whose columns of a table hold several of them.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import shrink
    >>> model = SparseMLP([8, 60, 3], density=0.1, seed=0, dtype="float64")
    >>> small, neurons = shrink(model)
    >>> small.layer_sizes[1] < 60
    True
    >>> X = np.random.default_rng(0).standard_normal((5, 8))
    >>> got = small.decision_function(X[:, neurons[0]])
    >>> np.allclose(got, model.decision_function(X))
    True
    """
    model = finite_model(model)
    reach = reach_of(model)
    stays = reach.active
    if not all(flags.any() for flags in stays):
        raise UsageError(
            "no path leads from a feature to an output: the model predicts the same "
            "for every sample, and nothing of it would remain"
        )
    stays[-1] = np.ones_like(stays[-1])
    if not features:
        stays[0] = np.ones_like(stays[0])
    constants = _constants(model, reach.from_features)
    layers = [
        _layer(layer, constants[index], stays[index], stays[index + 1])
        for index, layer in enumerate(model.layers)
    ]
    how = model.loss, model.seed, model.activation_dtype
    small = SparseMLP.from_layers(layers, *how)
    small.step = small.moments_since = model.step
    if model.preprocessing is not None:
        small.preprocessing = _of_features(model.preprocessing, stays[0])
    return Shrunk(small, [np.flatnonzero(flags) for flags in stays])


def _constants(model: SparseMLP, varies: list[np.ndarray]) -> list[np.ndarray]:
    """Return the constant values of the inputs of every layer, 0 where they vary."""
    # A single sample of zeros: what no feature reaches is the same for all samples.
    how = model.activation_dtype
    buffers = Buffers(model.layers, 1, training=False, activation_dtype=how)
    activations = [layer.activation.for_inference() for layer in model.layers]
    feedforward.forward(model.layers, buffers, buffers.x, activations)
    inputs = [buffers.x, *map(widened, buffers.outputs[:-1])]
    return [
        np.where(flags, 0.0, values[:, 0])
        for flags, values in zip(varies[:-1], inputs, strict=True)
    ]


def _layer(
    layer: SparseLayer,
    constants: np.ndarray,
    inputs: np.ndarray,
    outputs: np.ndarray,
) -> SparseLayer:
    """Return a layer between the neurons that stay, with constants in its biases."""
    matrix = layer.connections.to_scipy()
    # Of many constants only the sum is rounded to the type of the biases.
    bias = layer.bias + matrix.T.astype(np.float64) @ constants
    small = matrix[inputs][:, outputs]
    new = SparseLayer(Connections.from_scipy(small), layer.activation)
    new.bias[:] = bias[outputs]
    if layer.srelu is not None and new.srelu is not None:
        new.srelu.adopt(np.ascontiguousarray(layer.srelu.values[:, outputs]))
    return new


def _of_features(how: Preprocessing, stays: np.ndarray) -> Preprocessing:
    """Return the preprocessing of some of the features."""
    how = Preprocessing.of(how)
    if stays.all():
        return how
    if how.encoding is not None:
        raise UsageError(
            "the model takes a table whose columns of text and missing values become "
            "features, so that single features cannot go; give features=False"
        )
    names = how.feature_names
    if names is not None:
        names = tuple(np.array(names, object)[stays])

    def part(scale: np.ndarray | None) -> np.ndarray | None:
        return None if scale is None else scale[stays]

    return dataclasses.replace(
        how,
        feature_names=names,
        feature_mean=part(how.feature_mean),
        feature_scale=part(how.feature_scale),
        # Places in files that hold all features.
        first_index=None,
        layout=None,
    )
