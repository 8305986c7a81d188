"""A model that predicts like another one, with weights that may be changed.

It shares the structure, the biases and what is built from them; only the weights named
by the caller are its own. Nothing is built again when these change.
"""

from collections.abc import Mapping

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer


def twin_of(model: SparseMLP, values: Mapping[int, np.ndarray]) -> SparseMLP:
    """Return a model with other weights in some layers, and without dropout.

    Parameters
    ----------
    model : SparseMLP
        Unchanged; it must not be trained while the twin is in use.
    values : mapping of int to (nnz,) array of the model's dtype
        Weights by number of the layer; they are shared with the caller, who may change
        them. All other layers share the model's weights.
    """
    layers = [
        _twin_layer(layer, values.get(index, layer.connections.values))
        for index, layer in enumerate(model.layers)
    ]
    how = model.loss, model.seed, model.activation_dtype
    return SparseMLP.from_layers(layers, *how)


def _twin_layer(layer: SparseLayer, values: np.ndarray) -> SparseLayer:
    known = layer.connections
    arrays = known.n_in, known.n_out, known.indptr, known.indices, values
    activation = LayerActivation(layer.activation.name, layer.activation.parameter)
    twin = SparseLayer(Connections.unchecked(*arrays), activation)
    twin.bias[:] = layer.bias
    if layer.srelu is not None and twin.srelu is not None:
        twin.srelu.adopt(layer.srelu.values)
    return twin
