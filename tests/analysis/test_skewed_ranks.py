"""Estimated ranks of layers whose singular values differ by orders of magnitude."""

import numpy as np
import pytest
import scipy.sparse

from truesparse import SparseMLP
from truesparse.analysis import layer_ranks

N, DEGREE, SEEDS = 2000, 10, range(4)


def bulk(draw, scale=1.0):
    """Return ten normal weights a neuron, anywhere."""
    rows, columns = draw.integers(0, N, (2, DEGREE * N))
    weights = scale * draw.standard_normal(rows.size)
    return scipy.sparse.coo_array((weights, (rows, columns)), (N, N)).tocsr()


def hubs(draw):
    """Return a layer whose connections and weights belong to few neurons."""
    shares = 1 / (1 + np.arange(N)) ** 1.2
    ends = draw.choice(N, (2, DEGREE * N), p=shares / shares.sum())
    # Each connection has its hub on one side.
    sides, anywhere = draw.integers(0, 2, DEGREE * N), draw.integers(0, N, DEGREE * N)
    ends[sides, np.arange(sides.size)] = anywhere
    weights = draw.standard_t(1.5, sides.size)
    return scipy.sparse.coo_array((weights, tuple(ends)), (N, N)).tocsr()


def dominant(draw):
    """Return a bulk, and five directions far above it."""
    weights = bulk(draw)
    for size in 300.0 / 2.0 ** np.arange(4):
        sides = []
        for _ in range(2):
            side = np.zeros(N)
            side[draw.choice(N, N // 20, replace=False)] = (N // 20) ** -0.5
            sides.append(side * draw.choice([-1, 1], N))
        weights = weights + scipy.sparse.csr_array(size * np.outer(*sides))
    return weights


def low_rank(draw):
    """Return a matrix of rank 60, and noise far below it."""
    left, right = (
        scipy.sparse.random_array(
            shape, density=0.02, rng=draw, data_sampler=draw.standard_normal
        )
        for shape in ((N, 60), (60, N))
    )
    return left @ right + bulk(draw, 0.02)


def rescaled(draw):
    """Return a bulk whose neurons differ by orders of magnitude in size."""
    scales = [scipy.sparse.diags_array(draw.lognormal(0, 1.5, N)) for _ in range(2)]
    return scales[0] @ bulk(draw) @ scales[1]


@pytest.mark.parametrize("make", [hubs, dominant, low_rank, rescaled])
def test_estimates_of_skewed_layers_are_not_biased(make):
    weights = scipy.sparse.csr_array(make(np.random.default_rng(5)))
    model = SparseMLP.from_sparse([weights], dtype="float64")
    [exact] = layer_ranks(model, method="exact")
    got = [layer_ranks(model, method="estimate", seed=seed)[0] for seed in SEEDS]
    values = np.array([each.effective for each in got])
    errors = np.array([each.effective_error for each in got])
    assert abs(values.mean() / exact.effective - 1) < 0.05
    assert (np.abs(values - exact.effective) <= 3 * errors).all()
    # An error that covers everything would say nothing.
    assert (errors < 0.05 * exact.effective).all()
    for each in got:
        assert abs(each.stable - exact.stable) <= 3 * each.stable_error + 1e-9


def test_bounds_of_few_steps_are_part_of_the_error(monkeypatch):
    # Where memory allows no more steps, as in layers of many neurons.
    monkeypatch.setattr("truesparse.analysis.effective_rank._MOST_STEPS", 48)
    weights = hubs(np.random.default_rng(5))
    model = SparseMLP.from_sparse([weights], dtype="float64")
    [exact] = layer_ranks(model, method="exact")
    for seed in SEEDS:
        [got] = layer_ranks(model, method="estimate", seed=seed)
        assert abs(got.effective - exact.effective) <= 3 * got.effective_error
