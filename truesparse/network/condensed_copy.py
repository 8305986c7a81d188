"""A condensed copy of a model's layers, for predictions on a few samples.

SparseMLP makes it unasked. A copy that has gone stale would be wrong in silence, and
weights can change in ways that no one reports: by a user who writes to the arrays of a
layer, or to a SciPy matrix that shares them. Every prediction therefore compares
fingerprints of all weights, biases and parameters with those at the time of the copy,
which reads 4 bytes a connection in order, a small part of what the prediction takes.
Of patterns it suffices to compare the version and which arrays they are, for no one may
write to these, see sparse/connections.py.

Of sparse samples, the first layer reads few connections, and these where they are.

A copy takes 8 bytes a connection, and with the windows of AVX-512, which are made after
a hundred samples, up to 26. Training drops it. Nets that store activations in bfloat16
have none: the copy would not round as they do.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from truesparse.kernels.arrays import Csr
from truesparse.kernels.fingerprint import KEYS, fingerprint
from truesparse.kernels.sparse_sample import one_sparse_sample
from truesparse.network.inputs import n_samples
from truesparse.sparse.condensed_chain import CondensedChain
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense
from truesparse.sparse.layer import SparseLayer

# Up to so many samples a batch, a copy answers two to six times as fast as the kernels
# of training (784-1000x3-10, 140,000 connections: 24 instead of 152 us for one, 93 for
# 202 for four, 144 for 271 for eight; EPYC 9005 with AVX-512, one thread, 2026-11).
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

    def can_predict(
        self, layers: Sequence[SparseLayer], source: np.ndarray | Csr, batch_size: int
    ) -> bool:
        """Whether batches are small enough to be worth a copy, and the net, too.

        This depends on sizes alone: the same samples give the same bits, whatever was
        called before.
        """
        if batch_size > _MOST_SAMPLES:
            return False
        copied = layers[_first(source) :]
        return sum(layer.connections.nnz for layer in copied) <= _MOST_CONNECTIONS

    def predict(
        self, layers: Sequence[SparseLayer], source: np.ndarray | Csr, batch_size: int
    ) -> np.ndarray:
        """Return the outputs before softmax or logistic, (n, n_out)."""
        first = _first(source)
        if isinstance(source, Csr):
            source = _apply_first(layers[0], source)
        rest = layers[first:]
        if not rest:
            return source
        copied = self._copies.get(first)
        if copied is None or not copied.is_current(rest):
            self._copies.pop(first, None)  # freed before another is made
            self._copies[first] = copied = _Copy(rest)
        return copied.chain.predict(source, n_samples(source), batch_size)

    def forget(self) -> None:
        """Free the copies, of weights that are about to change."""
        self._copies.clear()


def _first(source: np.ndarray | Csr) -> int:
    """Return the first layer that is copied."""
    return int(isinstance(source, Csr))


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
        self._watched = [_Watched.begin(layer) for layer in layers]
        condensed = [_condense(layer) for layer in layers]
        self.chain = CondensedChain(condensed, condensed[-1].bias)

    def is_current(self, layers: Sequence[SparseLayer]) -> bool:
        """Whether nothing about the layers has changed since."""
        if len(layers) != len(self._watched):
            return False
        pairs = zip(self._watched, layers, strict=True)
        return all(watched.is_same(layer) for watched, layer in pairs)


def _condense(layer: SparseLayer) -> CondensedLayer:
    units = None if layer.srelu is None else layer.srelu.values
    parts = layer.connections, layer.bias, layer.activation, units
    # Whole, so that neurons without connections change the order of no sum.
    condensed = condense(*parts, whole=True)
    condensed.patience = _PATIENCE
    return condensed


class _Watched(NamedTuple):
    """The arrays of a layer, and what they held."""

    version: int
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    bias: np.ndarray
    units: np.ndarray | None
    activation: object
    words: tuple[np.ndarray, ...]  # all that training changes, as uint32
    fingerprint: int

    @classmethod
    def begin(cls, layer: SparseLayer) -> "_Watched":
        c, srelu = layer.connections, layer.srelu
        units = None if srelu is None else srelu.values
        trained = [c.values, layer.bias] + ([] if units is None else [units])
        words = tuple(array.reshape(-1).view(np.uint32) for array in trained)
        for array in words:
            # Of one type for Numba, also if some are mapped from a file.
            array.flags.writeable = False
        return cls(
            c.version,
            c.indptr,
            c.indices,
            c.values,
            layer.bias,
            units,
            layer.activation,
            words,
            fingerprint(KEYS, *words),
        )

    def is_same(self, layer: SparseLayer) -> bool:
        c, srelu = layer.connections, layer.srelu
        return (
            c.version == self.version
            and c.indptr is self.indptr
            and c.indices is self.indices
            and c.values is self.values
            and layer.bias is self.bias
            and (None if srelu is None else srelu.values) is self.units
            and layer.activation is self.activation
            and fingerprint(KEYS, *self.words) == self.fingerprint
        )
