"""All layers of a network, drawn from one seed."""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from truesparse import rng
from truesparse.activations import LayerActivation, layer_activation
from truesparse.checks import check_whole, choose
from truesparse.drawing.budget import DISTRIBUTIONS, allocate
from truesparse.drawing.cells import draw_weights, erdos_renyi
from truesparse.drawing.patterns import PATTERNS
from truesparse.errors import UsageError
from truesparse.sparse.layer import SparseLayer

# The names of patterns, and ways to split a budget over layers of uniform cells.
INIT_TOPOLOGIES = (*PATTERNS, "erk", "uniform")


def check_layer_sizes(layer_sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes as whole numbers, or say what is wrong with them."""
    sizes = tuple(layer_sizes)
    if len(sizes) < 2:
        raise UsageError(f"a network needs features and outputs, got {list(sizes)}")
    return tuple(check_whole("layer size", size, 1) for size in sizes)


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
        of all layers, given as either, by the rule of RigL; with all others every layer
        has its epsilon or its density, if no distribution is given.
    epsilon, density : float, optional
        See init.connection_count; one of the two is given.
    distribution : str, optional
        For patterns, see allocation.DISTRIBUTIONS.

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


def draw_layers(
    layer_sizes: Sequence[int],
    init_topology: str,
    weight_init: str,
    *,
    epsilon: float | None,
    density: float | None,
    activation: str,
    activation_parameter: float | None,
    dropout: float,
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
        One of ``INIT_TOPOLOGIES``; "csti" is that of the first layer, where inputs are
        features, and the others are uniform.
    weight_init : str
        See init.INITIALIZERS.
    epsilon, density : float, optional
    activation, activation_parameter, dropout
        Of the hidden layers, see activations.layer_activation.
    dtype : type
    seed : int
    data : (n_samples, n_features) array or scipy.sparse matrix, optional
        Training data, for "csti" and for no other.
    options : dict, optional
        Of the pattern, and ``distribution`` as count_connections takes it.
    """
    options = dict(options or {})
    _check_options(init_topology, options)
    counts = count_connections(
        layer_sizes,
        init_topology,
        epsilon=epsilon,
        density=density,
        distribution=options.pop("distribution", None),
    )
    if init_topology == "csti":
        if data is None:
            raise UsageError(
                "initial topology 'csti' goes by correlations of the training data; "
                "give them as init_data"
            )
        options["X"] = data
    elif data is not None:
        raise UsageError(
            f"initial topology {init_topology!r} does not look at data; leave out "
            "init_data, or take 'csti'"
        )
    last = len(layer_sizes) - 2
    for index, (n_in, n_out) in enumerate(itertools.pairwise(layer_sizes)):
        chosen = LayerActivation("identity")
        if index < last:
            chosen = layer_activation(activation, index, activation_parameter, dropout)
        draw = rng.stream(seed, rng.Purpose.TOPOLOGY_INIT, layer=index)
        shape = n_in, n_out, counts[index], draw, dtype
        if init_topology not in PATTERNS or (init_topology == "csti" and index > 0):
            links = erdos_renyi(*shape)
        else:
            links = PATTERNS[init_topology](*shape, **options)
        draw = rng.stream(seed, rng.Purpose.WEIGHT_INIT, layer=index)
        links.values[:] = draw_weights(weight_init, links, counts[index], draw)
        layer = SparseLayer(links, chosen)
        if layer.srelu is not None:
            layer.srelu.draw(rng.stream(seed, rng.Purpose.ACTIVATION_INIT, layer=index))
        yield layer


def _check_options(init_topology: str, options: dict[str, Any]) -> None:
    accepted = []
    if init_topology in PATTERNS:
        parameters = inspect.signature(PATTERNS[init_topology]).parameters.values()
        own = [each.name for each in parameters if each.kind == each.KEYWORD_ONLY]
        accepted = ["distribution", *(name for name in own if name != "X")]
    for option in options:
        if not accepted:
            raise UsageError(
                f"initial topology {init_topology!r} takes no options, got {option!r}"
            )
        choose(option, accepted, f"option of initial topology {init_topology!r}")


def check_layers(layers: Sequence[SparseLayer]) -> None:
    """Raise UsageError unless layers make a model: one fits the next, one dtype."""
    if not layers:
        raise UsageError("a model needs at least one layer")
    for left, right in itertools.pairwise(layers):
        if left.connections.n_out != right.connections.n_in:
            raise UsageError(
                f"a layer with {left.connections.n_out} outputs cannot feed one "
                f"with {right.connections.n_in} inputs"
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
