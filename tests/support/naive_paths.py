"""Dense twins of the scores of cells by paths of length three and of their sampler."""

import itertools

import numpy as np
from support import naive_patterns


def neighbours(mask):
    """Return the neighbours of ("in", u) and ("out", v) as sets."""
    near = {("in", u): set() for u in range(mask.shape[0])}
    near |= {("out", v): set() for v in range(mask.shape[1])}
    for u, v in np.argwhere(mask).tolist():
        near["in", u].add(("out", v))
        near["out", v].add(("in", u))
    return near


def score(near, u, v, rule):
    """Return the score of an absent cell, by listing its paths and their neighbours."""
    start, end = ("in", u), ("out", v)
    paths = [(a, b) for a in near[start] for b in near[end] if a in near[b]]
    community = set(itertools.chain(*paths))
    inside = {z: len(near[z] & community) for z in community}
    outside = {z: len(near[z] - community - {start, end}) for z in community}
    if rule == "ra_l3":
        return sum(1 / np.sqrt(len(near[a]) * len(near[b])) for a, b in paths)
    numerator = {z: 1 + inside[z] if rule.startswith("ch2") else 1 for z in community}
    share = {z: numerator[z] / (1 + outside[z]) for z in community}
    if rule.endswith("n"):
        return sum(share.values())
    return sum(np.sqrt(share[a] * share[b]) for a, b in paths)


def scores(mask, rule="ch3_l3p"):
    """Return the scores of all cells; connected ones have 0."""
    near, out = neighbours(mask), np.zeros(mask.shape)
    for u, v in np.argwhere(~mask).tolist():
        out[u, v] = score(near, u, v, rule)
    return out


def path_work(mask):
    """Return the number of walks of three connections."""
    degrees = np.outer(mask.sum(1), mask.sum(0))
    return int(degrees[mask].sum())


def highest(scores, count):
    """Return the keys of the highest scores above 0; of equal ones the lower keys."""
    order = np.argsort(-scores.ravel(), kind="stable")[:count]
    return np.sort(order[scores.flat[order] > 0])


def subset_probabilities(scores, count):
    """Return the probability of each set that drawing without replacement can give."""
    cells = np.flatnonzero(scores)
    subsets = naive_patterns.subset_probabilities(scores.flat[cells].tolist(), count)
    return {tuple(cells[list(s)].tolist()): p for s, p in subsets.items()}
