"""Train a network and print its estimated size and how much memory it really took.

Run by commands/test_estimate.py in a process of its own:
``run_estimate.py BATCH OPTIMIZER EPSILON dense|sparse N_IN ... N_OUT``.
"""

import json
import sys

import numpy as np
import scipy.sparse
from libraries import library_bytes

from truesparse.commands.estimate import DataSize, NetPlan, TrainingPlan, estimate_run
from truesparse.common import memory
from truesparse.network.inputs import batch_room
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.training.trainer import Trainer


def train(sizes, epsilon, batch, optimizer, kind):
    """Train and validate, with a topology update between two epochs.

    Returns the bytes of the data and, for sparse ones, the most non-zeros of a batch.
    """
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch + 1, sizes[0]), dtype=np.float32)
    y = draw.integers(0, sizes[-1], batch + 1)
    n_bytes, room = 2 * (x.nbytes + y.nbytes), None
    if kind == "sparse":
        x[draw.random(x.shape) < 0.9] = 0
        x = scipy.sparse.csr_array(x)
        n_bytes = 2 * (x.data.nbytes + x.indices.nbytes + x.indptr.nbytes + y.nbytes)
        room = batch_room(x, batch)
    settings = {"epochs": 2, "batch_size": batch, "lr": 1e-4, "optimizer": optimizer}
    trainer = Trainer(SparseMLP(sizes, epsilon=epsilon), **settings)
    trainer.fit(x, y, X_val=x.copy(), y_val=y)
    return n_bytes, room


if __name__ == "__main__":
    batch, optimizer, epsilon = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    kind, sizes = sys.argv[4], [int(size) for size in sys.argv[5:]]
    memory.return_freed_arrays()  # as the commands do
    # Libraries and compilation are an item of their own.
    train([8] * len(sizes), 1, batch, optimizer, kind)
    libraries = library_bytes()
    before = memory.current_rss()
    data_bytes, room = train(sizes, epsilon, batch, optimizer, kind)
    estimate = estimate_run(
        NetPlan(tuple(sizes), epsilon=epsilon),
        TrainingPlan(Optimizer(optimizer), batch),
        DataSize(data_bytes, room),
    )
    result = {
        "before": before,
        "rise": memory.peak_rss() - before,
        "estimate": estimate.total - estimate.runtime,
        "runtime": estimate.runtime,
        "libraries": libraries,
    }
    print(json.dumps(result))
