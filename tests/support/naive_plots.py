"""Dense twins of what the displays count: loops over the cells of a matrix."""

import itertools
import math

import numpy as np


def binned_pattern(mask, n_rows, n_columns):
    """Count the connections whose row and column fall in each part."""
    counts = np.zeros((n_rows, n_columns), int)
    for row, column in np.argwhere(mask):
        n_in, n_out = mask.shape
        counts[row * n_rows // n_in, column * n_columns // n_out] += 1
    return counts


def degrees(mask):
    """Return the out-degrees of the rows and the in-degrees of the columns."""
    return mask.sum(axis=1), mask.sum(axis=0)


def dead_neurons(masks):
    """Return, of every hidden layer, those without input, without output, both."""
    numbers = []
    for before, after in itertools.pairwise(masks):
        no_input, no_output = ~before.any(axis=0), ~after.any(axis=1)
        both = no_input & no_output
        numbers.append(tuple(int(x.sum()) for x in (no_input, no_output, both)))
    return numbers


def binomial(k, n, p):
    """Return the probability of k among n."""
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)
