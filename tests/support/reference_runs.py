"""Small runs of the reference's cases: states, batches and draws of updates."""

import numpy as np
import scipy.sparse
from support.sources import ROOT

from benchmarks.reference import cells
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.reference import cases
from truesparse.reference.protocol import Batch, TopologyDraws

GOLDEN_KIT = str(ROOT / "tests/data/reference_kit")
CASES = [case.describe() for case in cases.CASES]


def make_state(case):
    """Return the state of a net that has not been trained, in the case's dtype."""
    model = SparseMLP(
        case["layer_sizes"],
        density=0.3,
        init_topology=case["init_topology"],
        dtype="float64",
        seed=case["seed"],
    )
    state = {}
    for number, layer in enumerate(model.layers):
        c = layer.connections
        arrays = {"weights": c.values, "bias": layer.bias}
        for part in ("first", "second"):
            arrays |= {part: np.zeros(c.nnz), f"bias_{part}": np.zeros(c.n_out)}
        dtype = case.get("dtype", "float64")
        arrays = {part: array.astype(dtype) for part, array in arrays.items()}
        arrays |= {"indptr": c.indptr, "indices": c.indices}
        state |= {f"layer.{number}.{part}": each for part, each in arrays.items()}
    return state


def draw_batch(case, step, n=5):
    """Return random samples, sparse where the case has sparse inputs."""
    draw = np.random.default_rng([case["seed"], step])
    n_in, n_out = case["layer_sizes"][0], case["layer_sizes"][-1]
    x = draw.standard_normal((n, n_in)).astype(case.get("dtype", "float64"))
    targets = draw.integers(0, n_out, n).astype(np.int32)
    if case["loss"] == "logistic":
        targets = draw.integers(0, 2, (n, n_out)).astype(x.dtype)
    inputs = scipy.sparse.csr_array(x * (x > 0)) if case["sparse_input"] else x
    n_layers = len(case["layer_sizes"]) - 1
    keys = draw.integers(0, 2**32, n_layers, dtype=np.uint32)
    return Batch(inputs, targets, step, keys)


def draw_update(case, net, step):
    """Return an update of a net with random draws that fit what it will drop."""
    draw = np.random.default_rng([case["seed"], step, 1])
    layers, fraction = list(range(len(case["layer_sizes"]) - 1)), 0.3
    draws = {"threshold": np.array(0.1)}
    for number in layers:
        (n_in, n_out), nnz = net.shape(number), net.keys(number).size
        weights = net.weights(number)
        room, count = n_in * n_out - nnz, 0
        if case["topology"] == "set":
            count = int(cells.nearest_to_zero(weights, fraction).sum())
        elif case["topology"] == "dsr":
            count = int((np.abs(weights) < 0.1).sum())
        elif case["topology"] == "ggr":
            count = 1
        elif case["topology"] == "snip":
            count = min(4 * nnz, room)
            superset = draw.standard_normal(nnz + count)
            draws[f"layer.{number}.superset"] = superset.astype(case["dtype"])
        ranks = np.sort(draw.choice(room, count, replace=False))
        draws[f"layer.{number}.ranks"] = ranks
        draws[f"layer.{number}.budget"] = np.array(nnz)
    return TopologyDraws(step, fraction, layers, draws, draw_batch(case, 1000 + step))
