"""Build a large network, take a step, and print how the peak of memory rose.

Run by commands/test_memory_of_step.py in a process of its own:
``run_large_step.py EPSILON N_IN ... N_OUT``.
"""

import json
import sys

import numpy as np

from truesparse.common.memory import peak_rss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer

BATCH = 2


def take_step(sizes, epsilon):
    """Return the number of weights after one step of momentum."""
    method = Optimizer("sgd", 0.9)
    model = SparseMLP(sizes, epsilon=epsilon, seed=1)
    x = np.ones((BATCH, sizes[0]), np.float32)
    model.allocate_moments(method)
    model.prepare(BATCH)
    targets = np.zeros(BATCH, np.int32)
    loss = model.train_batch(x, targets, np.arange(BATCH), method, 0.01)
    assert np.isfinite(loss)
    assert model.step == 1
    return model.nnz


if __name__ == "__main__":
    epsilon, sizes = float(sys.argv[1]), [int(size) for size in sys.argv[2:]]
    # Compilation takes memory too, which is not what is measured.
    take_step([20] * len(sizes), 1)
    before = peak_rss()
    nnz = take_step(sizes, epsilon)
    print(json.dumps({"rise": peak_rss() - before, "nnz": nnz}))
