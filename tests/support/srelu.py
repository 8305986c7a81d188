"""Strategies for layers whose units are trained."""

import numpy as np

from truesparse.sparse.srelu import Srelu

SHAPE = np.array([[-0.5], [0.2], [0.7], [1.8]])


def units(n, dtype=np.float64, seed=0):
    """Return units whose parameters differ; some thresholds cross."""
    draw, srelu = np.random.default_rng(seed), Srelu(n, dtype)
    srelu.values[:] = SHAPE + draw.standard_normal((4, n))
    return srelu


def shapes(model):
    return [each.srelu.values for each in model.layers[:-1]]
