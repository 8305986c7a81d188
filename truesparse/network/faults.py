"""Where numbers stopped being finite: gradients, weights or outputs of which layer.

What is left after a step, or several, tells it:

* An error that is not finite reaches the bias of its neuron, and all layers before.
* An output that is not finite reaches the weights from its neuron, in the next layer.
* A gradient that overflows leaves infinity in the optimiser state. A weight that was
  not finite itself leaves NaN there, as its decay of 0 * infinity is NaN.
"""

from collections.abc import Sequence

import numpy as np

from truesparse.kernels.bfloat16 import widened
from truesparse.network.inputs import is_finite
from truesparse.sparse.layer import SparseLayer

_BECAME = "became NaN or infinite"


def describe(
    layers: Sequence[SparseLayer],
    step: int,
    outputs: Sequence[np.ndarray] = (),
    loss: str = "",
) -> str:
    """Return the sentence that says where a net went wrong, or an empty text.

    Parameters
    ----------
    layers : sequence of SparseLayer
    step : int
        Steps so far.
    outputs : sequence of (n_out, columns) arrays, optional
        Outputs of the layers for the batch whose loss is not finite, as stored.
    loss : str
        Name of that loss.
    """
    n = len(layers)
    # Errors travel backward from a layer to those before it.
    for number, layer in reversed(list(enumerate(layers, 1))):
        what = _fault_of(layer)
        if what and not (number > 1 and _came_forward(layers[number - 2], layer)):
            name, _, when = what.partition(", ")
            return (
                f"{name} of layer {number} of {n} {_BECAME} {when or 'in'} step {step}"
            )
    for number, output in enumerate(outputs, 1):
        if not is_finite(widened(output)):
            return f"outputs of layer {number} of {n} {_BECAME} in step {step + 1}"
    if len(outputs):
        place = f"layer {n} of {n}, whose outputs are finite,"
        return f"{loss} loss of {place} {_BECAME} in step {step + 1}"
    return ""


def _fault_of(layer: SparseLayer) -> str:
    """Return what of a layer is not finite, with ", by" if it may be so for longer."""
    connections = layer.connections
    moments = layer.all_moments()
    first = all(is_finite(each.first) for each in moments)
    if not (is_finite(connections.values) and _are_finite(layer.neuron_parameters())):
        if first:
            return "weights"
        state = connections.moments.first
        is_lone = _has_finite_errors(layer) and not np.isinf(state).any()
        return "weights, by" if is_lone else "gradients"
    # A square of a gradient, for one, is too large: its weight would stay.
    is_kept = first and all(is_finite(each.second) for each in moments)
    return "" if is_kept else "optimiser state"


def _are_finite(arrays: Sequence[np.ndarray]) -> bool:
    return all(map(is_finite, arrays))


def _has_finite_errors(layer: SparseLayer) -> bool:
    """Whether the errors of the neurons of a layer were finite in all steps so far."""
    state = [array for moments in layer.all_moments()[1:] for array in moments]
    return _are_finite([*layer.neuron_parameters(), *state])


def _came_forward(before: SparseLayer, layer: SparseLayer) -> bool:
    """Whether what is not finite in a layer came with outputs of the layer before."""
    csr = layer.connections.csr
    bad = np.flatnonzero(~np.isfinite(csr.values))
    sources = np.searchsorted(csr.indptr, bad, side="right") - 1
    spoilt = before.connections.csr
    neurons = spoilt.indices[~np.isfinite(spoilt.values)]
    return (
        bad.size > 0
        and _has_finite_errors(layer)
        and _has_finite_errors(before)
        and bool(np.isin(sources, neurons).all())
    )
