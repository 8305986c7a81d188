"""Sharing out a number of connections among layers."""

from collections.abc import Mapping

import numpy as np


def share_out(
    total: int, weights: Mapping[int, float], rooms: Mapping[int, int]
) -> dict[int, int]:
    """Split `total` in proportion to weights, exactly, without overfilling a layer.

    The largest remainders are rounded up, of equal ones the first. Connections that a
    full layer cannot take go to the others in the same proportion, or, where all layers
    with a weight are full, to the rest in proportion to their room.

    Parameters
    ----------
    total : int
        Number of connections; no more than the sum of the rooms are shared out.
    weights : dict of int to float
        Weight of each layer, not negative.
    rooms : dict of int to int
        Number of connections that each layer can take.

    Returns
    -------
    dict of int to int

    Examples
    --------
    >>> from truesparse.topology.parts.distribute import share_out
    >>> share_out(10, {0: 1.0, 1: 1.0, 2: 2.0}, {0: 100, 1: 100, 2: 4})
    {0: 3, 1: 3, 2: 4}
    """
    layers = list(weights)
    weight = np.array([weights[index] for index in layers], float)
    room = np.array([rooms[index] for index in layers], np.int64)
    counts = np.zeros(len(layers), np.int64)
    left = min(int(total), int(room.sum()))
    while left > 0:
        free = room - counts
        share = np.where(free > 0, weight, 0.0)
        if not share.sum() > 0.0:
            share = free.astype(float)
        exact = left * (share / share.sum())
        part = np.minimum(np.floor(exact).astype(np.int64), free)
        if part.sum() == 0:
            # Less than one each: the largest remainders take one.
            order = np.argsort(-exact, kind="stable")
            part[order[share[order] > 0][:left]] = 1
        counts += part
        left -= int(part.sum())
    return dict(zip(layers, counts.tolist(), strict=True))
