"""The effective rank of a large matrix, from products with its Gram matrix G alone.

With Z = sum s = tr G^(1/2) and L = sum s ln s = tr G^(1/2) ln(G) / 2, over the singular
values s, the effective rank is exp(ln Z - L / Z). Both traces are sums of two parts:

    largest s   Lanczos's method finds some dozens of them with their vectors U. A few
                large ones make up much of the traces where weights are skewed, and
                all of the noise of random probes.
    the rest    stochastic Lanczos quadrature (Ubaru, Chen and Saad, SIAM J. Matrix
                Anal. Appl., 2017) on what is orthogonal to U: the mean over random
                signs z of z' P f(G) P z, P = 1 - U U'. The trace of G is known there,
                too, and its ratio to the mean of z' P G P z cancels more of the noise.

Quadrature of few steps is biased, because the square root is not smooth at 0, where
skewed weights have most of their singular values. Gauss's rule gives too much, Gauss's
and Radau's with a node at 0 too little: that holds for Z, and in practice for the rank.
The value is the mean of both, and steps are added until they agree.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special

from truesparse.analysis.lanczos import Product, Tridiagonal, quadrature, tridiagonalise

# The error that few steps, and few probes, may leave, as a share of the effective rank.
_STEP_TOLERANCE, _PROBE_TOLERANCE = 0.005, 0.01
# The first probes decide how many there are: to stop at the first small error would
# make errors too small. Vectors of more than _LARGE numbers vary little.
_FIRST_PROBES, _FIRST_OF_LARGE, _LARGE = 16, 4, 50_000
_MOST_PROBES = 40
_FEWEST_STEPS, _MOST_STEPS, _LEADING_STEPS = 48, 384, 128
# Of all vectors of a process: 75 of 500,000 numbers.
_MOST_BYTES = 300_000_000
# Entries of all vectors that the probes are made orthogonal to, beyond the first
# probes: about 10 s of one core (EPYC, 2026-11-29).
_MOST_WORK = 6e9
# A residual of a singular vector, as a share of its squared singular value. What it
# changes is of second order.
_CONVERGED = 1e-3
# Share of the normal distribution that is below twice its deviation.
_COVERED = 0.97725


class Leading(NamedTuple):
    """The largest eigenvalues of G that were found, with their vectors."""

    values: np.ndarray  # (m,) float64, descending
    vectors: np.ndarray  # (m, n) float64, orthonormal rows
    start: np.ndarray  # (n,) float64, the best approximation of the first vector


def leading(gram: Product, n: int, draw: np.random.Generator) -> Leading:
    """Find some of the largest eigenvalues of G, at most a quarter of them.

    Parameters
    ----------
    gram : callable
        Returns G v for a vector v (n,).
    n : int
    draw : numpy.random.Generator
    """
    n_steps = max(1, min(_LEADING_STEPS, _most_vectors(n) // 2))
    process = tridiagonalise(gram, draw.standard_normal(n), n_steps)
    values, vectors = process.converged(_CONVERGED)
    few = slice(0, n // 4)
    best = process.ritz()[1][:, -1] @ process.basis
    return Leading(values[few], vectors[few].copy(), best)


def estimate(
    gram: Product, largest: Leading, trace: float, draw: np.random.Generator
) -> tuple[float, float]:
    """Return the effective rank and its standard error.

    The error has two parts: that of few probes, by the jackknife, and that of few
    steps, a quarter of the distance between the bounds. The value is in the middle of
    them, and the truth in practice not in the outer quarters.

    Parameters
    ----------
    gram : callable
        Returns G v.
    largest : Leading
    trace : float
        The trace of G.
    draw : numpy.random.Generator
    """
    n = largest.vectors.shape[1]
    sizes = np.sqrt(largest.values)
    known = np.array([sizes.sum(), scipy.special.xlogy(sizes, sizes).sum()])
    left = trace - float(largest.values.sum())
    if left <= n * 2.0**-52 * trace:
        return _rank(*known), 0.0

    def bounds(traces: np.ndarray) -> np.ndarray:
        """Return the rank by Gauss's rule and by Radau's, given those of one probe."""
        scaled = traces[1:].reshape(2, 2) * (left / traces[0])
        return np.array([_rank(*(known + each)) for each in scaled])

    def probe(n_steps: int) -> np.ndarray:
        process = tridiagonalise(gram, start, n_steps, largest.vectors)
        return _traces(process, float(start @ start))

    n_steps, most_steps = _FEWEST_STEPS, _most_vectors(n) - len(largest.values)
    probes: list[np.ndarray] = []
    n_first = _FIRST_PROBES if n <= _LARGE else _FIRST_OF_LARGE
    n_probes = n_first
    while len(probes) < n_probes:
        signs = draw.integers(0, 2, n) * 2.0 - 1.0
        start = signs - (largest.vectors @ signs) @ largest.vectors
        traces = probe(n_steps)
        # The first probe decides how many steps all take.
        while not probes and n_steps < most_steps:
            high, low = bounds(traces)
            if high - low <= 4 * _STEP_TOLERANCE * high:
                break
            n_steps = min(2 * n_steps, most_steps)
            traces = probe(n_steps)
        probes.append(traces)
        if len(probes) == n_first:
            share = _jackknife(np.array(probes), bounds) / bounds(traces).mean()
            wanted = n_first * (share / _PROBE_TOLERANCE) ** 2
            work = n_steps * (n_steps / 2 + len(largest.values)) * n
            most = min(_MOST_PROBES, _MOST_WORK / work)
            n_probes = max(n_first, math.ceil(min(wanted, most)))
    high, low = bounds(np.mean(probes, axis=0))
    error = _jackknife(np.array(probes), bounds)
    return float(high + low) / 2, math.hypot(error, float(high - low) / 4)


def _most_vectors(n: int) -> int:
    """Return how many vectors a process may have, with those apart from it."""
    return min(n, max(_FEWEST_STEPS, _MOST_BYTES // (8 * n)), _MOST_STEPS)


def _traces(process: Tridiagonal, length: float) -> np.ndarray:
    """Return one probe's tr G, and Z and L by Gauss's rule and by Radau's, (5,).

    Parameters
    ----------
    process : Tridiagonal
    length : float
        The squared length of its start.
    """
    traces = [float(process.diagonal[0])]
    for rule in (process, process.with_zero()):
        traces += [quadrature(rule, _size), quadrature(rule, _size_log_size)]
    return length * np.array(traces)


def _size(square: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(square, 0.0))


def _size_log_size(square: np.ndarray) -> np.ndarray:
    return scipy.special.xlogy(_size(square), _size(square))


def _rank(sum_of_sizes: float, sum_of_logs: float) -> float:
    return math.exp(math.log(sum_of_sizes) - sum_of_logs / sum_of_sizes)


def _jackknife(probes: np.ndarray, bounds: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the standard error of the mean of the bounds, infinite for one probe.

    It is widened for few probes, so that twice the error covers as much of Student's
    distribution as it does of the normal one.
    """
    n = len(probes)
    if n == 1:
        return math.inf
    without = (probes.sum(axis=0) - probes) / (n - 1)
    others = np.array([bounds(each).mean() for each in without])
    normal = scipy.special.ndtri(_COVERED)
    student = scipy.special.stdtrit(n - 1, _COVERED)
    return math.sqrt((n - 1) * others.var()) * float(student / normal)
