"""Train several small networks and print digests of everything training left.

Run by test_determinism.py in processes of its own: ``run_training.py THREADS ...``.
"""

import hashlib
import json
import sys

import numpy as np
from scipy import sparse

from truesparse import topology
from truesparse.drawing.cells import sample_absent
from truesparse.kernels.jit import set_threads
from truesparse.network.inputs import as_source_data
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.optimizers import Optimizer
from truesparse.topology import UpdateSchedule
from truesparse.training.trainer import Trainer

SIZES = (60, 2000, 1500, 10)
# Scattered and gathered; one tile and several; sparse input; trained activations.
CASES = (
    (2, False),
    (128, False),
    (200, False),
    (128, True),
    (128, False, "srelu"),
    (2, False, "relu", "bfloat16"),
    (128, False, "gelu", "bfloat16"),
    (128, True, "srelu", "bfloat16"),
)
METHODS = (
    ("set", {}),
    ("rigl", {"candidates": "exact"}),
    ("rigl", {"candidates": "sampled"}),
    ("snfs", {}),
    ("cht", {}),
    ("chts", {}),
    ("chts", {"removal": "relative"}),
)


def rewire(model, draw):
    """Replace a third of each layer's connections."""
    for layer in model.layers:
        connections = layer.connections
        dropped = draw.random(connections.nnz) < 0.3
        keys = sample_absent(connections, dropped, int(dropped.sum()), draw)
        connections.rewire(
            dropped, keys, draw.standard_normal(keys.size, np.float32) / 10
        )


def digest(batch_size, is_sparse, activation="relu", stored=None):
    """Train with topology changes and return a hash of weights, state and losses."""
    method = Optimizer("sgd", 0.9, weight_decay=1e-3)
    draw = np.random.default_rng(batch_size)
    n = 2 * batch_size + 1
    x = draw.standard_normal((n, SIZES[0])).astype(np.float32)
    x *= draw.random(x.shape) < 0.3
    data = as_source_data(sparse.csr_array(x) if is_sparse else x, "f4", SIZES[0])
    targets = draw.integers(0, SIZES[-1], n).astype(np.int32)
    how = {"activation": activation, "activation_dtype": stored}
    model = SparseMLP(SIZES, epsilon=4, dropout=0.2, seed=7, **how)
    model.allocate_moments(method)
    model.prepare(batch_size, data)
    losses = []
    for _ in range(2):
        for start in range(0, n, batch_size):
            batch = np.arange(start, min(start + batch_size, n))
            losses.append(model.train_batch(data, targets, batch, method, 0.05))
        rewire(model, draw)
    assert losses[-1] != losses[0]
    sha = hashlib.sha256(np.array(losses).tobytes())
    add_model(sha, model)
    sha.update(model.decision_function(data, batch_size).tobytes())
    return sha.hexdigest()


def add_model(sha, model):
    for layer in model.layers:
        parameters = layer.neuron_parameters()
        for array in (*layer.connections.csr, *layer.connections.moments, *parameters):
            sha.update(array.tobytes())


def digest_of_trainer(dtype):
    """Do the same by way of Trainer: SET, Adam and clipping."""
    draw = np.random.default_rng(1)
    x, y = draw.standard_normal((100, 30)), draw.integers(0, 3, 100)
    model = SparseMLP((30, 500, 400, 3), epsilon=5, dropout=0.1, dtype=dtype, seed=3)
    settings = {"optimizer": "adam", "lr": 1e-3, "epochs": 3, "batch_size": 32}
    history = Trainer(model, clip_norm=0.5, **settings).fit(
        x, y, validation_fraction=0.2
    )
    scores = [(r.train_loss, r.val_loss, r.val_score) for r in history]
    sha = hashlib.sha256(np.array(scores).tobytes())
    add_model(sha, model)
    return sha.hexdigest()


def digest_of_topology(name, **options):
    """Do the same with a method whose updates are of several tasks."""
    draw = np.random.default_rng(2)
    x, y = draw.standard_normal((90, 300)), draw.integers(0, 3, 90)
    model = SparseMLP((300, 3000, 900, 3), epsilon=8, seed=4)
    algorithm = topology.make(name, schedule=UpdateSchedule(2, "step"), **options)
    before = model.layers[1].connections.indices.copy()
    Trainer(model, topology=algorithm, lr=0.01, epochs=2, batch_size=30).fit(x, y)
    assert not np.array_equal(model.layers[1].connections.indices, before)
    sha = hashlib.sha256()
    add_model(sha, model)
    return sha.hexdigest()


if __name__ == "__main__":
    results = {}
    for threads in sys.argv[1:]:
        assert set_threads(int(threads)) == int(threads)
        results[threads] = [digest(*case) for case in CASES]
        results[threads] += [digest_of_trainer(d) for d in ("float32", "float64")]
        results[threads] += [digest_of_topology(name, **o) for name, o in METHODS]
    print(json.dumps(results))
