"""All layers of a network, drawn from one seed or made of given matrices."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from truesparse.activations import LayerActivation, layer_activation
from truesparse.common import memory, rng
from truesparse.common.checks import choose
from truesparse.common.work import work
from truesparse.drawing.budget import DISTRIBUTIONS, allocate, check_layer_sizes
from truesparse.drawing.cells import draw_weights, erdos_renyi
from truesparse.drawing.patterns import INIT_TOPOLOGIES, PATTERNS, pattern_of
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections, canonical_csr
from truesparse.sparse.layer import SparseLayer

_SMALL = 1 << 24  # bytes that every machine has


def count_connections(
    layer_sizes: Sequence[int],
    init_topology: str = "erdos_renyi",
    *,
    epsilon: float | None = None,
    density: float | None = None,
    distribution: str | None = None,
) -> list[int]:
    """Return how many connections each layer gets.

    Parameters
    ----------
    layer_sizes : sequence of int
    init_topology : str
        One of ``INIT_TOPOLOGIES``. "uniform" takes a density; "erk" splits the budget
        of all layers, from epsilon or density, by the rule of RigL; all others give
        each layer its epsilon or density, unless there is a distribution.
    epsilon, density : float, optional
        See cells.connection_count. Exactly one of the two is given.
    distribution : str, optional
        One of budget.DISTRIBUTIONS, for a pattern; "layerwise" if not given.

    Examples
    --------
    >>> from truesparse.drawing.draw_layers import count_connections
    >>> count_connections([784, 300, 100, 10], "erk", density=0.05)
    [9051, 3340, 919]
    """
    choose(init_topology, INIT_TOPOLOGIES, "initial topology")
    if init_topology in DISTRIBUTIONS:
        distribution = init_topology
    distribution = distribution or "layerwise"
    return allocate(layer_sizes, distribution, epsilon=epsilon, density=density)


class Hidden(NamedTuple):
    """What the hidden layers do with their sums, see activations.layer_activation."""

    activation: str
    parameter: float | None
    dropout: float

    def of(self, layer: int, n_layers: int) -> LayerActivation:
        """Return the activation of a layer, counted from 0; the last one is linear."""
        if layer == n_layers - 1:
            return LayerActivation("identity")
        return layer_activation(self.activation, layer, self.parameter, self.dropout)


def draw_layers(
    layer_sizes: Sequence[int],
    init_topology: str,
    weight_init: str,
    *,
    epsilon: float | None,
    density: float | None,
    hidden: Hidden,
    dtype: type,
    seed: int,
    data: Any = None,
    options: dict[str, Any] | None = None,
) -> Iterator[SparseLayer]:
    """Yield each layer, with its initial weights; the last one is linear.

    Parameters
    ----------
    layer_sizes : sequence of int
    init_topology : str
        One of ``INIT_TOPOLOGIES``. A pattern that needs data is drawn in the first
        layer, whose inputs are features; the other layers are then uniform.
    weight_init : str
        One of cells.INITIALIZERS.
    epsilon, density : float, optional
    hidden : Hidden
    dtype : type
    seed : int
    data : (n_samples, n_features) array or scipy.sparse matrix, optional
        Training data, for a pattern that needs data and for no other.
    options : dict, optional
        Options of the pattern, and ``distribution`` as in `count_connections`.
    """
    sizes = check_layer_sizes(layer_sizes)
    pattern = pattern_of(init_topology)
    options = _check_options(init_topology, options)
    counts = count_connections(
        sizes,
        init_topology,
        epsilon=epsilon,
        density=density,
        distribution=options.pop("distribution", None),
    )
    if pattern.needs_data:
        if data is None:
            raise UsageError(
                f"initial topology {init_topology!r} is drawn from the training data; "
                "give them as init_data"
            )
        options["X"] = data
    elif data is not None:
        others = ", ".join(repr(name) for name in PATTERNS if PATTERNS[name].needs_data)
        raise UsageError(
            f"initial topology {init_topology!r} does not look at data; leave out "
            f"init_data, or take {others}"
        )
    _require_room(sizes, counts, np.dtype(dtype).itemsize)
    with work("drawing connections", sum(counts)) as advance:
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            activation = hidden.of(index, len(sizes) - 1)
            draw = rng.stream(seed, rng.Purpose.TOPOLOGY_INIT, layer=index)
            shape = n_in, n_out, counts[index], draw, dtype
            if pattern.needs_data and index > 0:
                connections = erdos_renyi(*shape)
            else:
                connections = pattern.draw(*shape, **options)
            draw = rng.stream(seed, rng.Purpose.WEIGHT_INIT, layer=index)
            connections.values[:] = draw_weights(
                weight_init, connections, counts[index], draw
            )
            advance(counts[index])
            yield _make_layer(connections, activation, seed, index)


def _require_room(sizes: Sequence[int], counts: Sequence[int], itemsize: int) -> None:
    """Raise MemoryLimitError if layers of so many connections do not fit in memory."""
    # Indices and weights of all, and an int64 key for each of the layer being drawn.
    needed = (4 + itemsize) * sum(counts) + 8 * max(counts) + 8 * sum(sizes)
    if needed > _SMALL:
        memory.require(needed, "use fewer neurons or connections")


def given_layers(
    weights: Sequence[Any],
    biases: Sequence[Any] | None,
    *,
    hidden: Hidden,
    dtype: type,
    seed: int,
) -> Iterator[SparseLayer]:
    """Yield the layers of given weights and biases; the last one is linear.

    Parameters
    ----------
    weights : sequence of (n_in, n_out) scipy.sparse matrices
    biases : sequence of (n_out,) arrays, optional
    hidden, dtype, seed
        See `draw_layers`.
    """
    if scipy.sparse.issparse(weights) or not isinstance(weights, Sequence):
        raise UsageError(
            "weights must be a list of scipy.sparse matrices, one for each layer, got "
            f"{type(weights).__name__}"
        )
    if biases is not None and not hasattr(biases, "__len__"):
        raise UsageError(f"biases must be a list of arrays, got {biases!r}")
    if biases is not None and len(biases) != len(weights):
        raise UsageError(
            f"biases must be as many as weights, {len(weights)}, got {len(biases)}"
        )
    for index, matrix in enumerate(weights):
        activation = hidden.of(index, len(weights))
        connections = _as_connections(matrix, dtype, f"weights[{index}]")
        layer = _make_layer(connections, activation, seed, index)
        if biases is not None:
            name = f"biases[{index}]"
            layer.bias[:] = _as_finite(biases[index], dtype, name, layer.bias.shape)
        yield layer


def _make_layer(
    connections: Connections, activation: LayerActivation, seed: int, index: int
) -> SparseLayer:
    """Make a layer, and draw what the neurons of its activation learn, if they do."""
    layer = SparseLayer(connections, activation)
    if layer.srelu is not None:
        layer.srelu.draw(rng.stream(seed, rng.Purpose.ACTIVATION_INIT, layer=index))
    return layer


def _as_connections(matrix: Any, dtype: type, name: str) -> Connections:
    """Return copies of a matrix's entries as connections."""
    if not scipy.sparse.issparse(matrix):
        raise UsageError(
            f"{name} must be a scipy.sparse matrix, got {type(matrix).__name__}; of an "
            "array W, scipy.sparse.csr_array(W) makes one"
        )
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise UsageError(
            f"{name} must be a matrix (n_in, n_out) of real numbers, got "
            f"{matrix.dtype} of shape {matrix.shape}"
        )
    try:
        csr = canonical_csr(matrix)
    except ValueError as error:
        raise UsageError(f"{name} is not a valid sparse matrix: {error}") from None
    values = _as_finite(csr.data, dtype, name, csr.data.shape)
    indices = csr.indices.astype(np.int32)
    n_in, n_out = csr.shape
    return Connections(n_in, n_out, csr.indptr.astype(np.int64), indices, values)


def _as_finite(given: Any, dtype: type, name: str, shape: tuple) -> np.ndarray:
    """Return a copy of numbers as `dtype`."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" or array.shape != shape:
        raise UsageError(
            f"{name} must be real numbers of shape {shape}, got {array.dtype} of shape "
            f"{array.shape}"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        array = array.astype(dtype)
    if not np.isfinite(array).all():
        raise UsageError(f"{name} holds NaN, or numbers infinite in {np.dtype(dtype)}")
    return array


def _check_options(
    init_topology: str, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a copy of the options, if the initial topology takes them."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise UsageError(f"init_options must be a dict, got {options!r}")
    accepted: list[str] = []
    if init_topology in PATTERNS:
        accepted = ["distribution", *PATTERNS[init_topology].options]
    for option in options:
        if not accepted:
            raise UsageError(
                f"initial topology {init_topology!r} takes no options, got {option!r}"
            )
        choose(option, accepted, "option", f" of initial topology {init_topology!r}")
    return dict(options)


def check_layers(layers: Sequence[SparseLayer]) -> None:
    """Raise UsageError unless layers make a model: they fit and have one dtype."""
    if not layers:
        raise UsageError("a model needs at least one layer")
    for left, right in itertools.pairwise(layers):
        if left.connections.n_out != right.connections.n_in:
            raise UsageError(
                f"a layer with {left.connections.n_out} outputs cannot feed one "
                f"with {right.connections.n_in} inputs; the numbers must be equal"
            )
    last = layers[-1].activation
    if last.name != "identity" or last.dropout:
        raise UsageError(
            "the last layer must have activation 'identity' and no dropout: its "
            f"loss applies softmax or logistic; got {last}"
        )
    dtypes = {str(layer.bias.dtype) for layer in layers}
    if len(dtypes) > 1:
        raise UsageError(f"all layers must have one dtype, got {sorted(dtypes)}")
