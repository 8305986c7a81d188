"""A condensed copy of a model's layers, for predictions on a few samples.

SparseMLP makes it unasked. A copy that has gone stale would be wrong in silence, and
weights can change in ways that no one reports: by a user who writes to the arrays of a
layer, or to a SciPy matrix that shares them. Every prediction therefore compares
fingerprints of all weights, biases and parameters with those at the time of the copy,
which reads 4 bytes a connection in order: a tenth of the time of a prediction while the
net fits the cache, up to 40 % beyond. Of patterns it suffices to compare which arrays
they are, for no one may write to these, see sparse/connections.py.

Of sparse samples, the first layer reads few connections, and these where they are.

A copy takes 8 bytes a connection, and with the windows of AVX-512, which are made after
a hundred samples, up to 26. Training drops it. Nets that store activations in bfloat16
have none: the copy would not round as they do. All others have one: every activation,
srelu and float64 included, and every loss, which is applied to the outputs.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from truesparse.kernels.arrays import Csr
from truesparse.kernels.fingerprint import KEYS, are_unchanged, fingerprint
from truesparse.kernels.sparse_sample import one_sparse_sample
from truesparse.network.inputs import n_samples
from truesparse.sparse.condensed_chain import CondensedChain
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense
from truesparse.sparse.layer import SparseLayer

# Up to so many samples a batch, a copy answers 1.2 to 4 times as fast as the kernels of
# training (784-1000x3-10, 140,000 connections: 31 instead of 132 us for one, 82 for 169
# for four, 151 for 186 for eight; EPYC with AVX-512, one thread, beside other programs,
# 2026-11).
_MOST_SAMPLES = 8
# A copy of more would take over 100 MB.
_MOST_CONNECTIONS = 4_000_000
# Making windows takes as long as they save in a thousand samples.
_PATIENCE = 100


class FewSamples:
    """Predictions on a few samples, with copies that are made when they are needed.

    Several threads may predict with one object.
    """

    def __init__(self) -> None:
        # By the first layer that is copied: 0, or 1 for sparse samples.
        self._copies: dict[int, _Copy] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the copies, which are soon made again."""
        return {"_copies": {}}

    def predict(
        self, layers: Sequence[SparseLayer], source: np.ndarray | Csr, batch_size: int
    ) -> np.ndarray | None:
        """Return the outputs before softmax or logistic, (n, n_out).

        Return None if batches are too large to be worth a copy, or the net is. This
        depends on sizes alone: the same samples give the same bits, whatever was called
        before.
        """
        if batch_size > _MOST_SAMPLES:
            return None
        first = int(isinstance(source, Csr))
        rest = layers[first:]
        copied = self._copies.get(first)
        if copied is None or not copied.is_current(rest):
            self._copies.pop(first, None)  # freed before another is made
            if sum(layer.connections.nnz for layer in rest) > _MOST_CONNECTIONS:
                return None
            if rest:
                self._copies[first] = copied = _Copy(rest)
        if isinstance(source, Csr):
            source = _apply_first(layers[0], source)
        if not copied:
            return source
        return copied.chain.predict(source, len(source), batch_size)

    def forget(self) -> None:
        """Free the copies, of weights that are about to change."""
        self._copies.clear()


def _apply_first(layer: SparseLayer, source: Csr) -> np.ndarray:
    """Return the outputs (n, n_out) of the first layer for sparse samples."""
    n, how = n_samples(source), layer.activation.for_inference()[:2]
    out = np.empty((n, layer.bias.size, 1), layer.bias.dtype)
    for i in range(n):
        part = slice(source.indptr[i], source.indptr[i + 1])
        sample = source.indices[part], source.values[part]
        one_sparse_sample(*sample, layer.connections.csr, layer.bias, out[i], *how)
        if layer.srelu is not None:
            layer.srelu.predict(out[i])
    return out[:, :, 0]


class _Copy:
    """Layers as they were when this was made.

    Parameters
    ----------
    layers : sequence of SparseLayer

    Attributes
    ----------
    chain : CondensedChain
    """

    def __init__(self, layers: Sequence[SparseLayer]):
        # Looked at before they are copied, so that a change meanwhile shows.
        self._parts = _parts(layers)
        self._fingerprints = _fingerprints(layers)
        condensed = [_condense(layer) for layer in layers]
        self.chain = CondensedChain(condensed, condensed[-1].bias, _PATIENCE)

    def is_current(self, layers: Sequence[SparseLayer]) -> bool:
        """Whether nothing about the layers has changed since."""
        parts = _parts(layers)
        return (
            self._fingerprints is not None
            and len(parts) == len(self._parts)
            and all(map(operator.is_, parts, self._parts))
            # The addresses are those of arrays among these parts, which therefore live.
            and are_unchanged(KEYS, self._fingerprints)
        )


def _condense(layer: SparseLayer) -> CondensedLayer:
    units = None if layer.srelu is None else layer.srelu.values
    parts = layer.connections, layer.bias, layer.activation, units
    # Whole, so that neurons without connections change the order of no sum.
    return condense(*parts, whole=True)


def _parts(layers: Sequence[SparseLayer]) -> list[object]:
    """Return what the layers consist of; a new pattern has new arrays."""
    parts: list[object] = []
    for layer in layers:
        c, srelu = layer.connections, layer.srelu
        units = None if srelu is None else srelu.values
        parts += (c.indptr, c.indices, c.values, layer.bias, units, layer.activation)
    return parts


def _fingerprints(layers: Sequence[SparseLayer]) -> np.ndarray | None:
    """Return the table of all that training changes, for `are_unchanged`.

    Return None if an array has gaps: then no copy is ever current.
    """
    rows = []
    for layer in layers:
        for array in (layer.connections.values, *layer.neuron_parameters()):
            if not array.flags.c_contiguous:
                return None
            words = array.reshape(-1).view(np.uint32)
            # Of one type for Numba, also if some are mapped from a file.
            words.flags.writeable = False
            rows.append((words.ctypes.data, words.size, fingerprint(KEYS, words)))
    return np.array(rows, np.uint64)
