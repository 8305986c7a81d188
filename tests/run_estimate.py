"""Train a network and print its estimated size and how much memory it really took.

Run by test_memory.py in a process of its own:
``run_estimate.py BATCH OPTIMIZER EPSILON N_IN ... N_OUT``.
"""

import json
import sys

import numpy as np

from truesparse import memory
from truesparse.model import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.trainer import Trainer


def train(sizes, epsilon, batch, optimizer):
    """Train with a topology update between two epochs; return the bytes of data."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch + 1, sizes[0]), dtype=np.float32)
    y = draw.integers(0, sizes[-1], batch + 1)
    settings = {"epochs": 2, "batch_size": batch, "lr": 1e-4, "optimizer": optimizer}
    Trainer(SparseMLP(sizes, epsilon=epsilon), **settings).fit(x, y)
    return x.nbytes + y.nbytes


if __name__ == "__main__":
    batch, optimizer, epsilon = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    sizes = [int(size) for size in sys.argv[4:]]
    # Libraries and compilation are an item of their own.
    train([8] * len(sizes), 1, batch, optimizer)
    before = memory.current_rss()
    data_bytes = train(sizes, epsilon, batch, optimizer)
    estimate = memory.estimate_run(
        tuple(sizes),
        epsilon=epsilon,
        batch_size=batch,
        optimizer=Optimizer(optimizer),
        data_bytes=data_bytes,
    )
    result = {
        "before": before,
        "rise": memory.peak_rss() - before,
        "estimate": estimate.total - estimate.runtime,
        "runtime": estimate.runtime,
    }
    print(json.dumps(result))
