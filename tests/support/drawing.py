"""Displays drawn on figures that pyplot does not know, and models of given patterns."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from support.strategies import layer, make_connections

from truesparse.network.sparse_mlp import SparseMLP


def model_of(*dense):
    """Return a model whose layers are connected where the masks say."""
    layers = [layer(make_connections(mask), "relu") for mask in dense[:-1]]
    return SparseMLP.from_layers([*layers, layer(make_connections(dense[-1]))])


def random_masks(*sizes, density=0.3, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.random(pair) < density for pair in itertools.pairwise(sizes)]


def drawn(display):
    """Plot on a figure that pyplot does not know, so that none is left open."""
    figure = Figure(figsize=display.figsize, layout="constrained")
    display.plot(ax=figure.subplots(*display.shape, squeeze=False))
    figure.canvas.draw()
    assert display.figure_ is figure
    return display


def steps_of(stairs):
    data = stairs.get_data()
    return np.asarray(data.values), np.asarray(data.edges)
