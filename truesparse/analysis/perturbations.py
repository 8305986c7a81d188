"""Perturbations of weights: each ranks them once, then writes any fraction quickly.

A perturbation takes the weights w (N,) that it ranks together and a generator, and
returns a function that writes the perturbed weights for a fraction x into an array:

    weight_order    the round(x N) largest |w| become 0
    reverse_order   the round(x N) smallest |w| become 0
    random          round(x N) weights become 0, and stay so for larger x
    shuffled        w in ascending order is cut into bins of round(x N), the last one
                    perhaps smaller; each bin is permuted at random
    noise           w + x std(w) z, z standard normal and the same for all x

They are those of Sulyok et al., "Robustness in sparse artificial neural networks
trained with adaptive topology", arXiv 2602.21961, 2026; the definitions of bins and of
the scale of the noise are ours. A weight of 0 has the effect of a removed connection,
so the structure is never built again. At x = 0 nothing changes.
"""

from collections.abc import Callable

import numpy as np

# Writes the weights for a fraction into an array.
Write = Callable[[float, np.ndarray], None]
Perturbation = Callable[[np.ndarray, np.random.Generator], Write]


def weight_order(values: np.ndarray, draw: np.random.Generator) -> Write:
    """Remove the strongest connections first; equal ones in their stored order."""
    return _removal(values, np.argsort(-np.abs(values), kind="stable"))


def reverse_order(values: np.ndarray, draw: np.random.Generator) -> Write:
    """Remove the weakest connections first; equal ones in their stored order."""
    return _removal(values, np.argsort(np.abs(values), kind="stable"))


def random(values: np.ndarray, draw: np.random.Generator) -> Write:
    """Remove connections in random order."""
    return _removal(values, draw.permutation(values.size))


def shuffled(values: np.ndarray, draw: np.random.Generator) -> Write:
    """Permute weights among connections of similar weight."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]

    def write(fraction: float, out: np.ndarray) -> None:
        size = max(count(fraction, values.size), 1)
        n_whole = values.size // size * size
        bins = draw.permuted(ranked[:n_whole].reshape(-1, size), axis=1)
        out[order[:n_whole]] = bins.ravel()
        out[order[n_whole:]] = draw.permutation(ranked[n_whole:])

    return write


def noise(values: np.ndarray, draw: np.random.Generator) -> Write:
    """Add normal noise, scaled by the standard deviation of the weights."""
    deviation = values.std(dtype=np.float64)
    step = (deviation * draw.standard_normal(values.size)).astype(values.dtype)

    def write(fraction: float, out: np.ndarray) -> None:
        np.multiply(step, values.dtype.type(fraction), out=out)
        out += values

    return write


def count(fraction: float, n: int) -> int:
    """Return how many of n connections a fraction is, to the nearest number."""
    return round(fraction * n)


def _removal(values: np.ndarray, order: np.ndarray) -> Write:
    """Return what removes connections in an order."""

    def write(fraction: float, out: np.ndarray) -> None:
        out[:] = values
        out[order[: count(fraction, values.size)]] = 0.0

    return write


PERTURBATIONS: dict[str, Perturbation] = {
    "weight_order": weight_order,
    "reverse_order": reverse_order,
    "random": random,
    "shuffled": shuffled,
    "noise": noise,
}
# The same for every seed.
FIXED = ("weight_order", "reverse_order")
# These compare weights of one layer with each other, unless the caller says otherwise:
# the scale of weights differs from layer to layer.
BY_LAYER = ("shuffled", "noise")
