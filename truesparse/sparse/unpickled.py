"""The check of a network that comes from a pickle.

Kernels trust the indices that they are given, so that one changed byte could end the
process.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from truesparse.errors import ModelFileError, UsageError
from truesparse.sparse.connections import check_sides
from truesparse.sparse.layer import SparseLayer


def check_layers(layers: Sequence[SparseLayer]) -> None:
    """Check all arrays of layers, and how they fit each other.

    Raises
    ------
    ModelFileError
        If an array or index would lead a kernel outside of its memory.
    """
    try:
        if not layers:
            raise UsageError("it has no layers")
        for layer in layers:
            _check_layer(layer)
        for below, above in itertools.pairwise(layers):
            n_out, n_in = below.connections.n_out, above.connections.n_in
            if n_out != n_in:
                raise UsageError(f"{n_out} neurons precede {n_in} inputs")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFileError(f"the pickled network is damaged: {error}") from None


def _check_layer(layer: SparseLayer) -> None:
    connections = layer.connections
    check_sides(connections.n_in, connections.n_out)
    if connections.values.ndim != 1 or any(m.ndim != 1 for m in connections.moments):
        raise UsageError(f"weights have the shape {connections.values.shape}")
    dtypes = connections.indptr.dtype, connections.indices.dtype
    if dtypes != (np.int64, np.int32):
        raise UsageError(f"index arrays are {dtypes[0]} and {dtypes[1]}")
    connections.check()
    trained = [(layer.bias, layer.bias_moments)]
    if layer.srelu is not None:
        trained.append((layer.srelu.values, layer.srelu.moments))
    for values, moments in trained:
        sizes = {each.size for each in (values, *moments)} - {0}
        if values.dtype != connections.values.dtype or len(sizes) > 1:
            raise UsageError(f"parameters of neurons are {values.dtype} of {sizes}")
        if values.shape[-1:] != (connections.n_out,):
            raise UsageError(f"{connections.n_out} neurons have {values.shape}")
    if layer.srelu is not None and layer.srelu.values.shape[0] != 4:
        raise UsageError("units of srelu have four parameters")
    layer.forget_gradients()
    # How the work is split, too, may have changed.
    connections.split_rows()
    layer.refresh()
