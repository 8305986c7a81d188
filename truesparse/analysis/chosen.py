"""The layers that an analysis looks at: by default all but the read-out."""

from typing import Any

from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import chosen_layers


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
