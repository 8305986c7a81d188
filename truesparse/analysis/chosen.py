"""What an analysis looks at: a model of finite weights, and layers of it."""

from typing import Any

import numpy as np

from truesparse.errors import DataError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import as_model, chosen_layers


def finite_model(source: Any) -> SparseMLP:
    """Return the model that a source holds, if all its weights are finite.

    Parameters
    ----------
    source : SparseMLP, fitted estimator, or path of a model file or run folder

    Raises
    ------
    DataError
        If a weight, a bias or a parameter of SReLU is NaN or infinite.
    ModelFileError, UsageError
        See `as_model`.
    """
    model = as_model(source)
    for index, layer in enumerate(model.layers):
        parts = {"weights": layer.connections.values, "biases": layer.bias}
        if layer.srelu is not None:
            parts["parameters of SReLU"] = layer.srelu.values
        for name, values in parts.items():
            n_bad = values.size - np.count_nonzero(np.isfinite(values))
            if n_bad:
                raise DataError(
                    f"{n_bad} of the {values.size} {name} of layer {index}, counted "
                    "from 0, are NaN or infinite: training has diverged; give a model "
                    "from before that, or one trained with a smaller learning rate"
                )
    return model


def connected_layers(model: SparseMLP, layers: Any = None) -> list[int]:
    """Return the numbers of the chosen layers in rising order.

    Parameters
    ----------
    model : SparseMLP
    layers : int or list of int, optional
        Numbers from 0; by default all layers but the last one, the read-out, unless
        there is no other.

    Raises
    ------
    UsageError
        If there is no such layer, or one has no connections.
    """
    if layers is None and len(model.layers) > 1:
        layers = range(len(model.layers) - 1)
    chosen = sorted(set(chosen_layers(model, layers)))
    for index in chosen:
        if model.layers[index].connections.nnz == 0:
            raise UsageError(
                f"layer {index}, counted from 0, has no connections; leave it out of "
                "layers"
            )
    return chosen
