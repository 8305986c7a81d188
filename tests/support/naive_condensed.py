"""Dense float64 twins of the condensed layout, each in the fewest lines."""

import numpy as np
from support import naive


def condensed(mask, dense):
    """Return weights and inputs of every active neuron, and which those are."""
    neurons = [i for i in range(mask.shape[1]) if mask[:, i].any()]
    inputs = [list(np.flatnonzero(mask[:, i])) for i in neurons]
    weights = [
        [dense[c, i] for c in row] for i, row in zip(neurons, inputs, strict=True)
    ]
    return weights, inputs, neurons


def forward(weights, inputs, bias, name, x):
    """Return f(bias + sum_j weights[i, j] x[inputs[i, j]]) of one sample."""
    z = [
        b + sum(float(w) * float(x[c]) for w, c in zip(row, cells, strict=True))
        for row, cells, b in zip(weights, inputs, naive.wide(bias), strict=True)
    ]
    return naive.activation(name, np.array(z))


def scale(weights, inputs, bias, x):
    """Return the sum of the absolute terms of each neuron."""
    absolute = [np.abs(row) for row in weights]
    return forward(absolute, inputs, np.abs(bias), "identity", np.abs(x))


def alive(masks):
    """Return, layer by layer, which neurons depend on the data."""
    active = [np.ones(len(masks[0]), bool)]
    for mask in masks:
        active.append((mask & active[-1][:, None]).any(0))
    return active[1:]


def windows(weights, inputs, n_in, width):
    """Return the steps of some neurons: (start, [(neuron, input, weight), ...])."""
    waiting = [
        [(c, w) for c, w in zip(row, values, strict=True) if w]
        for row, values in zip(inputs, weights, strict=True)
    ]
    steps = []
    while any(waiting):
        start = min(n_in - width, *(row[0][0] for row in waiting if row))
        takes = [
            n for n, row in enumerate(waiting) if row and row[0][0] < start + width
        ]
        steps.append((start, [(n, *waiting[n].pop(0)) for n in takes]))
    return steps
