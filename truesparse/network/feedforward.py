"""Forward passes over all layers: one batch, or whole data batch by batch."""

from collections.abc import Sequence

import numpy as np

from truesparse.common import rng
from truesparse.kernels.arrays import Activation, Csr, Head, SparseBatch
from truesparse.network.buffers import Buffers, lend
from truesparse.network.inputs import batch_room, n_samples
from truesparse.sparse.layer import SparseLayer

# Predictions take no more samples at a time, whatever they are asked: rows of twice as
# many columns fetch twice as much for each connection from a cache that is further
# away. At 784-1000x3-10, 256 took 1.0 to 1.5 times and 1024 twice as long a sample
# (EPYC, 1 MB L2, one thread).
MOST_SAMPLES = 128


def with_dropout(
    layers: Sequence[SparseLayer], seed: int, step: int
) -> list[Activation]:
    """Return the activations of the layers for a training step."""
    activations = []
    for number, layer in enumerate(layers):
        how, key = layer.activation, 0
        if how.dropout:
            key = rng.key32(seed, rng.Purpose.DROPOUT, step, number)
        activations.append(how.for_training(key))
    return activations


def forward(
    layers: Sequence[SparseLayer],
    buffers: Buffers,
    x: np.ndarray | SparseBatch,
    activations: Sequence[Activation],
) -> None:
    """Send a batch through all layers, each with its activation, to `outputs`."""
    heads = zip(buffers.outputs, buffers.slopes, strict=True)
    for layer, activation, (out, slope) in zip(layers, activations, heads, strict=True):
        head = Head(layer.bias, out, slope)
        layer.forward(buffers.tile, x, head, activation, buffers.partial)
        x = out


def predict(
    layers: Sequence[SparseLayer],
    training_buffers: Buffers | None,
    source: np.ndarray | Csr,
    batch_size: int,
    activation_dtype: str | None = None,
) -> np.ndarray:
    """Return the outputs for all samples before softmax or logistic, as (n, n_out).

    The training buffers are used where they serve, see `buffers.lend`; others store
    activations in `activation_dtype`.
    """
    n = n_samples(source)
    out = np.empty((n, layers[-1].connections.n_out), layers[0].bias.dtype)
    if n == 0:
        return out
    room = batch_room(source, batch_size) if isinstance(source, Csr) else None
    activations = [layer.activation.for_inference() for layer in layers]
    order = np.arange(n)
    how = batch_size, n, room, activation_dtype
    with lend(training_buffers, layers, *how) as buffers:
        for start in range(0, n, batch_size):
            samples = order[start : start + batch_size]
            forward(layers, buffers, buffers.load_inputs(source, samples), activations)
            outputs = buffers.outputs[-1][:, : samples.size]
            out[start : start + samples.size] = outputs.T
    return out
