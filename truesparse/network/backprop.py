"""Backward passes over all layers: fused with the optimiser step, or gradients first.

Each pass goes from the last layer to the first. In a layer it replaces the input, which
is the output of the layer below, by the delta of the layer below.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from truesparse.kernels.arrays import Source, SparseBatch
from truesparse.kernels.bfloat16 import widened
from truesparse.kernels.update import STORE, Rule, sum_of_squares
from truesparse.network.buffers import Buffers
from truesparse.optimizers import Optimizer
from truesparse.sparse.balance import TASK_SIZE
from truesparse.sparse.layer import SparseLayer, data_source

# Called before a layer's backward pass with (layer, its input x, its delta), both
# feature-major: all that the gradients of absent connections depend on. They have the
# dtype of the weights, so that any arithmetic with them is right: activations that are
# stored in bfloat16 are widened.
Observer = Callable[[int, np.ndarray | SparseBatch, np.ndarray], None]
# Called after it with (layer, gradient of its weights); the array is reused.
Collector = Callable[[int, np.ndarray], None]


def step(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    optimizer: Optimizer,
    lr: float,
    state_age: int,
    clip_norm: float | None,
) -> None:
    """Take an optimiser step in every layer.

    Parameters
    ----------
    layers, buffers, x
        As the forward pass and the loss left them.
    optimizer : Optimizer
    lr : float
    state_age : int
        Steps since the optimiser's state was zero.
    clip_norm : float or None
        Largest global L2 norm of the gradient; a longer one is scaled down.
    """
    if optimizer.fan_in_limit is None:
        rules = [optimizer.rule(lr, state_age)] * len(layers)
    else:
        rules = [optimizer.rule(lr, state_age, k.connections.fan_in) for k in layers]
    bias_rule = optimizer.bias_rule(lr, state_age)
    if clip_norm is None:
        step_fused(layers, buffers, x, rules, bias_rule)
        return
    if not buffers.gradients:
        buffers.gradients = [np.zeros_like(each.connections.values) for each in layers]
    step_clipped(layers, buffers, x, rules, bias_rule, buffers.gradients, clip_norm)


def step_fused(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    rules: Sequence[Rule],
    bias_rule: Rule,
) -> None:
    """Take an optimiser step in every layer without storing a gradient.

    The pass of each layer takes that of the biases below, too. Only trained activations
    need another one.
    """
    layers[-1].update_outputs(bias_rule, buffers.outputs[-1])
    for index, _, source, below, delta in _downwards(layers, buffers, x, bias_rule):
        layer, rule = layers[index], rules[index]
        layer.backward(buffers.tile, source, delta, rule, below, buffers.scratch)
        if layer.srelu is not None:
            layer.update_neurons(bias_rule)


def store_gradients(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    gradients: Sequence[np.ndarray],
) -> None:
    """Write the gradients of weights to `gradients`, all others to the layers."""
    layers[-1].update_outputs(STORE, buffers.outputs[-1])
    for index, _, source, below, delta in _downwards(layers, buffers, x, STORE):
        room = buffers.scratch, gradients[index]
        layers[index].backward(buffers.tile, source, delta, STORE, below, *room)


def step_clipped(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    rules: Sequence[Rule],
    bias_rule: Rule,
    gradients: Sequence[np.ndarray],
    limit: float,
) -> None:
    """Store the gradients, clip them to a global L2 norm, and take a step."""
    store_gradients(layers, buffers, x, gradients)
    clip(layers, gradients, limit)
    for layer, rule, gradient in zip(layers, rules, gradients, strict=True):
        layer.update_weights(rule, gradient)
        layer.update_neurons(bias_rule)


def observe(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    observer: Observer | None,
    collector: Collector | None,
) -> None:
    """Call `observer` with inputs and deltas, `collector` with gradients.

    With a collector, those of biases are written to all layers.
    """
    layers[-1].update_outputs(STORE, buffers.outputs[-1])
    size = max(layer.connections.nnz for layer in layers)
    room = np.empty(size, layers[0].bias.dtype)
    for index, inputs, source, below, delta in _downwards(layers, buffers, x, STORE):
        if observer is not None:
            given = inputs if isinstance(inputs, SparseBatch) else widened(inputs)
            observer(index, given, widened(delta))
        if index == 0 and collector is None:
            return
        gradient = room[: layers[index].connections.nnz]
        rest = buffers.scratch, gradient
        layers[index].backward(buffers.tile, source, delta, STORE, below, *rest)
        if collector is not None:
            collector(index, gradient)


def clip(
    layers: Sequence[SparseLayer], gradients: Sequence[np.ndarray], limit: float
) -> None:
    """Scale all gradients down to a global L2 norm if theirs is larger."""
    arrays = [
        *gradients,
        *(g.reshape(-1) for k in layers for g in k.neuron_gradients()),
    ]
    square = 0.0
    for array in arrays:
        partial = np.empty(-(-array.size // TASK_SIZE))
        sum_of_squares(array, TASK_SIZE, partial)
        square += float(partial.sum())
    norm = math.sqrt(square)
    if norm > limit:
        for array in arrays:
            array *= array.dtype.type(limit / norm)


def _downwards(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    bias_rule: Rule,
) -> Iterator[
    tuple[int, np.ndarray | SparseBatch, Source | SparseBatch, Rule, np.ndarray]
]:
    """Yield each layer's number, input, source with the rule of its biases, and delta.

    The output of a layer becomes its delta in the backward pass of the layer above, so
    the caller makes the pass of each layer before it takes the next.
    """
    for index in range(len(layers) - 1, -1, -1):
        inputs: np.ndarray | SparseBatch
        source: Source | SparseBatch
        if index > 0:
            inputs, slope = buffers.outputs[index - 1], buffers.slopes[index - 1]
            given = inputs, slope, bias_rule, buffers.bias_gradients[index - 1]
            source, below = layers[index - 1].as_source(*given)
        else:
            inputs = x
            dtype = layers[0].bias.dtype
            source = x if isinstance(x, SparseBatch) else data_source(x, dtype)
            below = bias_rule  # of no biases
        layers[index].complete_delta(buffers.deltas[index], buffers.slopes[index])
        yield index, inputs, source, below, buffers.deltas[index]
