"""Brute-force twins of the allocation of a budget and of the initial topologies.

Layers are boolean masks (n_in, n_out). Random patterns are compared through what they
must always fulfil, and through exact probabilities of tiny cases, for which the tests
of frequencies are here too.
"""

import itertools

import numpy as np
import scipy.stats

# A correct generator fails a test at this level once in 10,000 seeds; seeds are fixed.
LEVEL = 1e-4


def erk_densities(shapes, total, power=1.0):
    """Return min(1, scale * raw) for the scale that uses up `total`, by bisection."""
    cells = np.array([np.prod(shape) for shape in shapes], float)
    raw = (np.array([sum(shape) for shape in shapes]) / cells) ** power
    low, high = 0.0, 2 / raw.min()
    for _ in range(200):
        scale = (low + high) / 2
        too_many = (np.minimum(1, scale * raw) * cells).sum() > total
        low, high = (low, scale) if too_many else (scale, high)
    return np.minimum(1, low * raw)


def ring_lattice(n_small, n_large, counts):
    """Return the (n_large, n_small) mask of counts[i] neighbours around each centre."""
    mask = np.zeros((n_large, n_small), bool)
    for i, count in enumerate(counts):
        first = int(np.floor(i * n_small / n_large - count / 2))
        for k in range(count):
            mask[i, (first + k) % n_small] = True
    return mask


def ring_distances(n_small, n_large):
    """Return the distance of each target from each neuron's centre."""
    centres = np.array([int(i * n_large / n_small) for i in range(n_small)])
    shift = np.abs(np.arange(n_large) - centres[:, None])
    return np.minimum(shift, n_large - shift)


def subset_probabilities(weights, count):
    """Return the probability of each subset, drawn one by one by weight."""
    result = {}
    for order in itertools.permutations(range(len(weights)), count):
        left, probability = sum(weights), 1.0
        for item in order:
            probability *= weights[item] / left
            left -= weights[item]
        subset = tuple(sorted(order))
        result[subset] = result.get(subset, 0.0) + probability
    return result


def attach_by_degree(draws, clique, sources):
    """Grow a graph: every source is connected to an earlier end, drawn from a list."""
    edges, draws = list(clique), iter(draws)
    for node in dict.fromkeys(sources):
        ends = [end for edge in edges for end in edge]
        targets = []
        while len(targets) < list(sources).count(node):
            u = next(draws)
            target = ends[int(u * len(ends))] if ends else int(u * node)
            if target not in targets:
                targets.append(target)
        edges += [(node, target) for target in targets]
    return edges


def draw_places(draws, counts, weights):
    """Draw distinct places: the last whose tail is not below exp(-draw) of it all."""
    places, draws = [], iter(draws)
    for count in counts:
        chosen = []
        while len(chosen) < count:
            first = min(set(range(len(weights))) - set(chosen))
            tails = [sum(weights[q:]) for q in range(len(weights))]
            level = np.exp(-next(draws)) * tails[first]
            place = max(q for q in range(first, len(weights)) if tails[q] >= level)
            chosen += [place] if place not in chosen else []
        places += chosen
    return places


def correlations(X, n_out):
    """Return |C|, 0 for constant features and on the diagonal, tiled to n_out."""
    with np.errstate(invalid="ignore", divide="ignore"):
        c = np.atleast_2d(np.corrcoef(X, rowvar=False))
    c = np.where(np.isnan(c) | np.eye(len(c), dtype=bool), 0, np.abs(c))
    return c[:, np.arange(n_out) % len(c)]


def is_uniform(counts):
    return scipy.stats.chisquare(np.ravel(counts)).pvalue > LEVEL


def agree(drawn, probabilities):
    """Whether outcomes are drawn with these probabilities, by a chi-square test."""
    table = np.array(
        [(drawn.count(k), len(drawn) * p) for k, p in probabilities.items()]
    )
    assert table[:, 0].sum() == len(drawn)
    # Below five expected the test is wrong: rare outcomes count as one.
    table = table[np.argsort(table[:, 1])]
    n_rare = np.searchsorted(table[:, 1].cumsum(), 5) + 1
    counts, expected = np.vstack([table[:n_rare].sum(0), table[n_rare:]]).T
    return scipy.stats.chisquare(counts, expected).pvalue > LEVEL
