"""The structure of a trained network: degrees, strengths, empty and active neurons.

The strength of a neuron is the sum of |weight| over its connections. Empty inputs and
outputs of a layer are those without any connection in it; the dense size that remains
once they are gone is that of table 4 of Parger et al., "Gradient-based Weight Density
Balancing for Robust Dynamic Sparse Training", ICML 2022. Active neurons lie on a path
from a feature to an output, which is stricter, see analysis/reach.py.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from truesparse.analysis.chosen import finite_model
from truesparse.analysis.reach import count_between, reach_of
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.plots.counts import (
    in_degrees,
    in_strengths,
    out_degrees,
    out_strengths,
)
from truesparse.sparse.connections import Connections


class Spread(NamedTuple):
    """Smallest, mean, standard deviation and largest of some numbers."""

    low: float
    mean: float
    deviation: float
    high: float

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Spread":
        """Return the spread of an array, 0 if it is empty."""
        if numbers.size == 0:
            return cls(0.0, 0.0, 0.0, 0.0)
        mean, deviation = numbers.mean(dtype=float), numbers.std(dtype=float)
        low, high = numbers.min(), numbers.max()
        return cls(float(low), float(mean), float(deviation), float(high))


class LayerStructure(NamedTuple):
    """The structure of one layer of connections."""

    layer: int
    n_in: int
    n_out: int
    nnz: int
    out_degree: Spread  # of the input neurons
    in_degree: Spread  # of the output neurons
    out_strength: Spread
    in_strength: Spread
    weight: Spread
    empty_inputs: int
    empty_outputs: int
    on_paths: int  # connections between active neurons

    @property
    def density(self) -> float:
        """Share of all cells that are connected."""
        return self.nnz / (self.n_in * self.n_out)

    @property
    def remaining_cells(self) -> int:
        """Cells of the dense layer that remains without empty inputs and outputs."""
        return (self.n_in - self.empty_inputs) * (self.n_out - self.empty_outputs)


class Structure(NamedTuple):
    """The structure of a whole network."""

    layers: list[LayerStructure]
    neurons: list[int]  # of every layer of neurons: features, hidden, outputs
    active: list[int]  # how many of these lie on a path from a feature to an output
    n_components: int  # of neurons that are connected at all, in whatever direction
    largest_component: int  # neurons in the largest of them
    isolated: int  # neurons without any connection

    @property
    def active_cells(self) -> int:
        """Cells of the dense network that remains with the active neurons alone."""
        return sum(a * b for a, b in itertools.pairwise(self.active))

    @property
    def chains(self) -> int:
        """Connections that lead nowhere or come from nowhere."""
        return sum(layer.nnz - layer.on_paths for layer in self.layers)


def structure(model: Any) -> Structure:
    """Measure the structure of a model, in O(connections + neurons).

    Parameters
    ----------
    model : SparseMLP, fitted estimator or path

    Raises
    ------
    DataError
        If a weight is not finite.
    UsageError
        If `model` is none of these.

    Examples
    --------
    >>> import scipy.sparse
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import structure
    >>> first = scipy.sparse.coo_array(([1.0], ([0], [1])), (2, 3))
    >>> second = scipy.sparse.coo_array(([1.0, 1.0], ([1, 2], [0, 1])), (3, 2))
    >>> result = structure(SparseMLP.from_sparse([first, second]))
    >>> result.active, result.chains, result.layers[0].remaining_cells
    ([1, 1, 1], 1, 1)
    """
    model = finite_model(model)
    active = reach_of(model).active
    layers = []
    for index, layer in enumerate(model.layers):
        connections = layer.connections
        on_paths = count_between(connections, active[index], active[index + 1])
        layers.append(_layer(index, connections, on_paths))
    sizes = _component_sizes(model)
    return Structure(
        layers,
        list(model.layer_sizes),
        [int(np.count_nonzero(flags)) for flags in active],
        int(np.count_nonzero(sizes > 1)),
        int(sizes.max()) if sizes.max() > 1 else 0,
        int(np.count_nonzero(sizes == 1)),
    )


def overlap(first: Any, second: Any) -> list[float]:
    """Return how far the topologies of two models agree, by layer.

    Parameters
    ----------
    first, second : SparseMLP, fitted estimator or path
        Models of the same layer sizes.

    Returns
    -------
    list of float
        Connections that both have over those that at least one has, in [0, 1]; 1 if
        neither has any.

    Raises
    ------
    DataError
        If a weight is not finite.
    UsageError
        If the layer sizes differ.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.analysis import overlap
    >>> model = SparseMLP([20, 30, 5])
    >>> overlap(model, model)
    [1.0, 1.0]
    """
    a, b = finite_model(first), finite_model(second)
    _require_same_sizes([a, b])
    shares = []
    for one, other in zip(a.layers, b.layers, strict=True):
        n_both = _union_size([one.connections, other.connections])
        total = one.connections.nnz + other.connections.nnz
        shares.append((total - n_both) / n_both if n_both else 1.0)
    return shares


def exploration(models: Sequence[Any]) -> list[float]:
    """Return the share of each layer's cells that any of the topologies has.

    For the topologies after every update of a run this is the in-time
    over-parameterisation rate (Liu et al., ICML 2021); a run with ``--explored``
    counts it while it trains.

    Parameters
    ----------
    models : sequence of SparseMLP, fitted estimators or paths
        Models of the same layer sizes.

    Raises
    ------
    DataError
        If a weight is not finite.
    UsageError
        If there is none, or the layer sizes differ.
    """
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise UsageError(f"models must be a sequence of models, got {models!r}")
    known = [finite_model(model) for model in models]
    if not known:
        raise UsageError("models must hold at least one model, got none")
    _require_same_sizes(known)
    shares = []
    for same_layer in zip(*(model.layers for model in known), strict=True):
        connections = [layer.connections for layer in same_layer]
        cells = connections[0].n_in * connections[0].n_out
        shares.append(_union_size(connections) / cells)
    return shares


def _layer(index: int, connections: Connections, on_paths: int) -> LayerStructure:
    outwards, inwards = out_degrees(connections), in_degrees(connections)
    return LayerStructure(
        index,
        connections.n_in,
        connections.n_out,
        connections.nnz,
        Spread.of(outwards),
        Spread.of(inwards),
        Spread.of(out_strengths(connections)),
        Spread.of(in_strengths(connections)),
        Spread.of(connections.values),
        int(np.count_nonzero(outwards == 0)),
        int(np.count_nonzero(inwards == 0)),
        on_paths,
    )


def _component_sizes(model: SparseMLP) -> np.ndarray:
    """Return the number of neurons in each connected component of the whole network."""
    from scipy.sparse.csgraph import connected_components

    # Neurons are numbered from the features on; the graph is one CSR matrix.
    n_neurons = sum(model.layer_sizes)
    starts, indices, first = [np.zeros(1, np.int64)], [], 0
    n_edges = 0
    for layer in model.layers:
        connections = layer.connections
        first += connections.n_in
        starts.append(connections.indptr[1:] + n_edges)
        n_edges += connections.nnz
        indices.append(connections.indices.astype(np.int64) + first)
    starts.append(np.full(model.layer_sizes[-1], n_edges))
    graph = scipy.sparse.csr_array(
        (
            np.ones(n_edges, np.int8),
            np.concatenate(indices),
            np.concatenate(starts),
        ),
        shape=(n_neurons, n_neurons),
    )
    _, labels = connected_components(graph, directed=False)
    return np.bincount(labels)


def _require_same_sizes(models: Sequence[SparseMLP]) -> None:
    sizes = {model.layer_sizes for model in models}
    if len(sizes) > 1:
        texts = "; ".join(" - ".join(map(str, each)) for each in sorted(sizes))
        raise UsageError(
            f"topologies can be compared in networks of one shape, got {texts}"
        )


def _union_size(parts: Sequence[Connections]) -> int:
    """Return the number of cells that any of some connections of one layer has."""
    known = np.empty(0, np.int64)
    for connections in parts:
        rows = connections.rows().astype(np.int64)
        known = np.union1d(known, rows * connections.n_out + connections.indices)
    return known.size
