"""Dense float64 twins of the analyses: loops over the cells of small matrices."""

import numpy as np


def forward(weights, biases, activation, x):
    """Return the outputs (n, n_out) of a dense network for samples (n, n_in)."""
    for index, (matrix, bias) in enumerate(zip(weights, biases, strict=True)):
        x = x @ matrix + bias
        if index < len(weights) - 1:
            x = activation(x)
    return x


def relu(z):
    return np.maximum(z, 0.0)


def dense_weights(model):
    """Return the weights of every layer as dense float64 arrays."""
    return [
        layer.connections.to_scipy().toarray().astype(np.float64)
        for layer in model.layers
    ]


def removed(weights, fraction, strongest_first):
    """Return flat weights without the given fraction, largest or smallest first."""
    weights = [float(w) for w in weights]
    sign = -1 if strongest_first else 1
    order = sorted(range(len(weights)), key=lambda i: (sign * abs(weights[i]), i))
    for i in order[: round(fraction * len(weights))]:
        weights[i] = 0.0
    return weights


def area(fractions, values):
    """Return the area under a curve by the trapezoidal rule."""
    total = 0.0
    for i in range(1, len(values)):
        width = fractions[i] - fractions[i - 1]
        total += width * (values[i] + values[i - 1]) / 2
    return total


def effective_rank(matrix):
    """Return exp of the entropy of the singular values of a dense matrix."""
    sizes = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    shares = sizes[sizes > 0] / sizes.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def stable_rank(matrix):
    """Return the squared Frobenius norm over the squared spectral norm."""
    matrix = matrix.astype(np.float64)
    return float((matrix**2).sum() / np.linalg.norm(matrix, 2) ** 2)


def active_neurons(masks):
    """Return flags of neurons on a path, by products of dense masks."""
    n_layers = len(masks) + 1
    flags = []
    for layer in range(n_layers):
        before = np.ones((1, masks[0].shape[0]))
        for mask in masks[:layer]:
            before = np.minimum(before @ mask, 1)
        after = np.ones((masks[-1].shape[1], 1))
        for mask in reversed(masks[layer:]):
            after = np.minimum(mask @ after, 1)
        flags.append((before.ravel() > 0) & (after.ravel() > 0))
    return flags


def components(masks):
    """Return the sizes of the connected components of a whole network, sorted."""
    sizes = [masks[0].shape[0]] + [mask.shape[1] for mask in masks]
    starts = np.cumsum([0, *sizes])
    label = np.arange(starts[-1])
    for index, mask in enumerate(masks):
        for row, column in np.argwhere(mask):
            a, b = label[starts[index] + row], label[starts[index + 1] + column]
            label[label == a] = b
    return sorted(np.unique(label, return_counts=True)[1].tolist())


def bipartite_adjacency(mask):
    n_in, n_out = mask.shape
    matrix = np.zeros((n_in + n_out, n_in + n_out), int)
    matrix[:n_in, n_in:] = mask
    return matrix + matrix.T


def clustering(mask):
    """Return the share of closed paths of 3 connections, by a loop over all."""
    closed = paths = 0
    for row, column in np.argwhere(mask):
        for other_row in np.flatnonzero(mask[:, column]):
            for other_column in np.flatnonzero(mask[row]):
                if other_row != row and other_column != column:
                    paths += 1
                    closed += mask[other_row, other_column]
    return closed / paths if paths else np.nan


def path_length(mask):
    """Return the mean distance over connected pairs, by powers of a dense matrix."""
    step = bipartite_adjacency(mask) > 0
    seen = np.eye(len(step), dtype=bool)
    front, total, pairs, level = seen, 0, 0, 0
    while front.any():
        level += 1
        front = (front @ step) & ~seen
        seen = seen | front
        total += level * front.sum()
        pairs += front.sum()
    return total / pairs


def modularity(mask, rows, columns):
    """Return Barber's modularity of given communities, by a loop over all cells."""
    nnz, quality = mask.sum(), 0.0
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if rows[i] == columns[j]:
                expected = mask[i].sum() * mask[:, j].sum() / nnz
                quality += (mask[i, j] - expected) / nnz
    return quality
