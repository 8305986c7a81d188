"""One network that outputs the mean of several: they stand side by side in it.

    first layer     [W1 W2 ...]         every net reads all inputs
    hidden layers   diag(W1, W2, ...)   no connection leads from one net to another
    last layer      [W1; W2; ...] / k   outputs are the mean of k nets' outputs

So an average of sparse nets is a sparse net, with as many connections as they have
together, and all that is done with one network can be done with it.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer


def average(models: Sequence[SparseMLP]) -> SparseMLP:
    """Return one network whose outputs, before softmax or logistic, are the mean.

    Parameters
    ----------
    models : sequence of SparseMLP
        Networks of one depth, with the same activations, inputs, outputs, loss, dtype
        and activation_dtype. Their optimiser state is left behind.

    Returns
    -------
    SparseMLP
        A network of its own, whose hidden layers hold the neurons of all.

    Raises
    ------
    UsageError
        If there is no network, or they differ in what they must share.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.network.averaging import average
    >>> nets = [SparseMLP([4, 6, 3], seed=seed, dtype="float64") for seed in (1, 2)]
    >>> both = average(nets)
    >>> both.layer_sizes
    (4, 12, 3)
    >>> X = np.eye(4)
    >>> outputs = [net.decision_function(X) for net in nets]
    >>> np.allclose(both.decision_function(X), np.mean(outputs, axis=0))
    True
    """
    kinds = {_shared_by_all(model) for model in models}
    if len(kinds) != 1:
        what = "of one kind" if kinds else "at least one"
        raise UsageError(
            f"an average needs networks {what}: as many layers, the same activations, "
            "inputs, outputs, loss, dtype and activation_dtype"
        )
    stacks = list(zip(*(model.layers for model in models), strict=True))
    layers = [
        _join(stack, is_first=place == 0, is_last=place == len(stacks) - 1)
        for place, stack in enumerate(stacks)
    ]
    first = models[0]
    return SparseMLP.from_layers(layers, first.loss, first.seed, first.activation_dtype)


def _shared_by_all(model: SparseMLP) -> tuple:
    """Return what the networks of an average have in common."""
    activations = tuple(layer.activation for layer in model.layers)
    ends = model.layer_sizes[0], model.layer_sizes[-1]
    loss = tuple(sorted(model.loss.to_json().items()))
    return activations, ends, loss, model.dtype, model.activation_dtype


def _join(
    layers: Sequence[SparseLayer], *, is_first: bool, is_last: bool
) -> SparseLayer:
    matrices = [layer.connections.to_scipy() for layer in layers]
    biases = np.stack([layer.bias for layer in layers]) if is_last else None
    if is_last:
        # In float64, so that the mean of equal weights is that weight.
        matrices = [matrix.astype(np.float64) / len(layers) for matrix in matrices]
    if is_first and is_last:
        matrix = sum(matrices[1:], start=matrices[0])
    elif is_first:
        matrix = scipy.sparse.hstack(matrices, format="csr")
    elif is_last:
        matrix = scipy.sparse.vstack(matrices, format="csr")
    else:
        matrix = scipy.sparse.block_diag(matrices, format="csr")
    dtype = layers[0].bias.dtype
    joined = SparseLayer(
        Connections.from_scipy(matrix.astype(dtype)), layers[0].activation
    )
    if biases is not None:
        joined.bias[:] = biases.mean(axis=0, dtype=np.float64)
    else:
        joined.bias[:] = np.concatenate([layer.bias for layer in layers])
    if joined.srelu is not None:
        units = [layer.srelu.values for layer in layers if layer.srelu is not None]
        joined.srelu.values[:] = np.concatenate(units, axis=1)
    return joined
