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
