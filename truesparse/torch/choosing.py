"""Connections of a layer that others choose: given pairs, or the largest weights."""

from typing import Any

import numpy as np
import torch

from truesparse.drawing.cells import connection_count, from_keys
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections, check_sides
from truesparse.topology.parts.prune import drop_smallest

# Cells of a dense layer that are looked at together: 16 MB of float32.
_PART = 1 << 22


def connect(n_in: int, n_out: int, connectivity: Any, dtype: type) -> Connections:
    """Return connections of weight 0 at pairs of an output and an input neuron.

    Parameters
    ----------
    n_in, n_out : int
    connectivity : (2, nnz) tensor or array of int
        Output neurons above input neurons, each pair once, in any order.
    dtype : type
        float32 or float64.

    Raises
    ------
    UsageError
        If they are no such pairs.
    """
    check_sides(n_in, n_out)
    pairs = torch.as_tensor(connectivity).numpy()
    if pairs.ndim != 2 or pairs.shape[0] != 2 or pairs.dtype.kind not in "iu":
        raise UsageError(
            "connectivity must be integers of shape (2, nnz), output neurons above "
            f"input neurons, got {pairs.dtype} of shape {pairs.shape}"
        )
    if not pairs.shape[1]:
        raise UsageError("connectivity must have at least one connection, got none")
    for row, side, name in zip(pairs, (n_out, n_in), ("output", "input"), strict=True):
        if row.min() < 0 or row.max() >= side:
            raise UsageError(
                f"connectivity has {name} neurons {row.min()} to {row.max()}; accepted "
                f"are 0 to {side - 1}"
            )
    keys = pairs[1].astype(np.int64) * n_out + pairs[0]
    keys.sort()
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if repeated.size:
        neuron, output = divmod(int(keys[repeated[0]]), n_out)
        raise UsageError(
            f"connectivity connects output {output} with input {neuron} more than "
            "once; give each pair once"
        )
    return from_keys(n_in, n_out, keys, dtype)


def largest_weights(
    weight: np.ndarray, *, density: float | None = None, epsilon: float | None = None
) -> Connections:
    """Return the connections of largest magnitude of a dense layer, with their weights.

    Parameters
    ----------
    weight : (n_out, n_in) float array
        Looked at part by part: the rest of the memory is that of the connections.
    density, epsilon : float, optional
        See drawing.cells.connection_count.
    """
    n_out, n_in = weight.shape
    nnz = connection_count(n_in, n_out, epsilon=epsilon, density=density)
    best = np.empty(0, weight.dtype)
    keys = np.empty(0, np.int64)
    n_rows = max(1, _PART // n_in)
    inputs = np.arange(n_in, dtype=np.int64) * n_out
    for start in range(0, n_out, n_rows):
        part = weight[start : start + n_rows]
        outputs = np.arange(start, start + len(part))[:, None]
        best = np.concatenate([best, part.ravel()])
        keys = np.concatenate([keys, (inputs + outputs).ravel()])
        if best.size > nnz:
            is_best = ~drop_smallest(np.abs(best), best.size - nnz)
            best, keys = best[is_best], keys[is_best]
    order = np.argsort(keys)
    connections = from_keys(n_in, n_out, keys[order], weight.dtype.type)
    connections.values[:] = best[order]
    return connections
