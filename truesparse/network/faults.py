"""Where numbers stopped being finite: gradients, weights or outputs of which layer."""

from collections.abc import Sequence

import numpy as np

from truesparse.kernels.bfloat16 import widened
from truesparse.network.inputs import is_finite
from truesparse.sparse.layer import SparseLayer

_BECAME = "became NaN or infinite"


def describe(
    layers: Sequence[SparseLayer], step: int, outputs: Sequence[np.ndarray] = ()
) -> str:
    """Return the sentence that says where a net went wrong, or an empty text.

    Parameters
    ----------
    layers : sequence of SparseLayer
    step : int
        Steps so far.
    outputs : sequence of (n_out, columns) arrays, optional
        Outputs of the layers for the batch whose loss is not finite, as stored.
    """
    n = len(layers)
    # Errors travel backward from a layer to those before it.
    for number, layer in reversed(list(enumerate(layers, 1))):
        parts = (layer.connections.values, *layer.neuron_parameters())
        first = all(is_finite(moments.first) for moments in layer.all_moments())
        second = all(is_finite(moments.second) for moments in layer.all_moments())
        what = ""
        if not all(map(is_finite, parts)):
            what = "weights" if first else "gradients"
        elif not (first and second):
            # A square of a gradient, for one, is too large: its weight would stay.
            what = "optimiser state"
        if what:
            return f"{what} of layer {number} of {n} {_BECAME} in step {step}"
    for number, output in enumerate(outputs, 1):
        if not is_finite(widened(output)):
            return f"outputs of layer {number} of {n} {_BECAME} in step {step + 1}"
    return ""
