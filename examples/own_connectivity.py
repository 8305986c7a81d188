"""Your own connectivity: a network whose first layer follows a known pathway map.

Data: synthetic expression values of 2,000 genes in 80 overlapping pathways. The class
depends on the activity of two pathways. Gene i may feed pathway neuron j only if the
map says that gene i belongs to pathway j; `topology="static"` keeps it that way.

    python examples/own_connectivity.py
"""

import numpy as np
import scipy.sparse

from truesparse import SparseMLP, Trainer
from truesparse.activations import LayerActivation
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

N_GENES, N_PATHWAYS, GENES_EACH = 2_000, 80, 40
ACTIVE = 7, 42  # the pathways that decide the class

draw = np.random.default_rng(0)
genes = np.concatenate(
    [draw.choice(N_GENES, GENES_EACH, replace=False) for _ in range(N_PATHWAYS)]
)
pathways = np.repeat(np.arange(N_PATHWAYS), GENES_EACH)
# Row = input neuron, column = output neuron, values = initial weights (He: by fan-in).
bound = np.sqrt(6 / GENES_EACH)
weights = draw.uniform(-bound, bound, genes.size).astype(np.float32)
pathway_map = scipy.sparse.csr_array(
    (weights, (genes, pathways)), shape=(N_GENES, N_PATHWAYS)
)
is_member = pathway_map.astype(bool)

activity = draw.standard_normal((3_000, N_PATHWAYS))
X = draw.standard_normal((3_000, N_GENES)).astype(np.float32)
X += 0.7 * (activity @ is_member.toarray().T)
X /= X.std(axis=0)
y = (activity[:, ACTIVE[0]] + activity[:, ACTIVE[1]] > 0).astype(np.int32)
train, test = slice(0, 2_400), slice(2_400, None)


def fit(model: SparseMLP) -> float:
    """Train a model without changing its connections and return its test accuracy."""
    trainer = Trainer(model, topology="static", epochs=20, batch_size=32, lr=0.02)
    trainer.fit(X[train], y[train])
    return model.evaluate(X[test], y[test])[1]


# The first layer is yours; the layers above it are drawn as usual.
above = SparseMLP([N_PATHWAYS, 20, 2], density=0.5, seed=0)
first = SparseLayer(Connections.from_scipy(pathway_map), LayerActivation("relu"))
mapped = SparseMLP.from_layers([first, *above.layers], loss="softmax", seed=0)
print(f"connections of the first layer: {first.connections.nnz}")
print(f"pathway map: accuracy {fit(mapped):.3f}")

indices = mapped.to_scipy()[0].indices
assert (indices == is_member.indices).all(), "static connections never move"

# The same numbers of connections, drawn at random.
density = first.connections.density
random_first = SparseMLP([N_GENES, N_PATHWAYS, 2], density=density, seed=0).layers[0]
above = SparseMLP([N_PATHWAYS, 20, 2], density=0.5, seed=0)
random_net = SparseMLP.from_layers([random_first, *above.layers], seed=0)
print(f"random map: accuracy {fit(random_net):.3f}")

# How strongly a change of a pathway neuron reaches the output, by the weights alone.
strength = abs(mapped.to_scipy()[1]).sum(axis=1)
print("strongest pathways:", *np.argsort(strength)[:-4:-1])
