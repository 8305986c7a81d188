"""A training step allocates nothing; a large network takes memory for what it holds."""

import itertools
import tracemalloc

import numpy as np
import pytest
from support.network import as_csr, make_data
from support.processes import run_script

from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer

BATCH, N = 3, 40
# Python's own small objects: rules, keys, tuples, array headers. The smallest array of
# the size of the large network, a bias, takes 400,000 bytes.
A_FEW_OBJECTS = 16_000
LARGE = 50_000


def peak_of_steps(n_hidden, is_sparse=False, method="sgd", stored=None, **settings):
    """Return the most bytes that any of some steps had allocated at once."""
    sizes, method = (30, n_hidden, n_hidden, 5), Optimizer(method)
    x, targets = make_data(N, sizes)
    dtype = "float64" if stored is None else "float32"
    x = x.astype(dtype)
    data = as_csr(x) if is_sparse else x
    how = {"dropout": 0.2, "dtype": dtype, "activation_dtype": stored}
    model = SparseMLP(sizes, epsilon=4, **how)
    model.allocate_moments(method)
    model.prepare(BATCH, data)
    order = np.arange(N)
    weights = np.ones(N)

    def step(k):
        batch = order[BATCH * k : BATCH * (k + 1)]
        parts = data, targets, batch, method, 0.01
        model.train_batch(*parts, sample_weight=weights, **settings)

    for k in range(3):
        step(k)
    peaks = []
    tracemalloc.start()
    try:
        for k in range(3, 13):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            step(k)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return max(peaks)


@pytest.mark.compiled
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_sparse": True},
        {"method": "adam"},
        {"clip_norm": 1e-3},
        {"stored": "bfloat16"},
        {"stored": "bfloat16", "is_sparse": True},
    ],
    ids=str,
)
def test_a_step_allocates_nothing_of_the_size_of_the_network(settings):
    assert peak_of_steps(50, **settings) < A_FEW_OBJECTS
    assert peak_of_steps(LARGE, **settings) < A_FEW_OBJECTS


# With momentum a weight holds 12 bytes of index, value and velocity; drawing needs the
# key, row and column of each cell of one layer beside them. A neuron holds pointers,
# its bias and moment, two samples, and the partial sums of up to 8 tasks.
BYTES_A_WEIGHT, BYTES_A_NEURON = 40, 150


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("epsilon", "sizes"),
    [
        (1, (200_000, 200_000)),  # 160 GB as a dense matrix; may take 76 MB
        (1, (64, 500_000, 500_000, 10)),  # a million hidden neurons, 1 TB; 230 MB
    ],
    ids=["200000x200000", "million"],
)
def test_a_large_network_takes_a_step(epsilon, sizes):
    words = [str(word) for word in (epsilon, *sizes)]
    result = run_script("run_large_step.py", *words, threads=2)
    nnz = sum(a + b for a, b in itertools.pairwise(sizes)) * epsilon
    assert result["nnz"] == nnz
    bound = BYTES_A_WEIGHT * nnz + BYTES_A_NEURON * sum(sizes)
    assert result["rise"] < bound
