"""Condensed layers one after the other: predictions for single samples and batches."""

from collections.abc import Sequence

import numpy as np

from truesparse.kernels.arrays import Csr
from truesparse.kernels.batch import gather_dense
from truesparse.kernels.simd import make_tile
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.one_by_one import OneByOne

_TILE_BYTES = 64  # for four neurons at once, what the registers of AVX2 hold


class CondensedChain:
    """Layers that fit each other, and the outputs that are constant.

    Several threads may predict with one object.

    Parameters
    ----------
    layers : sequence of CondensedLayer
        At least one. A layer that several chains share is packed for the last of them.
    constants : (n_out,) array
        Outputs of the last layer's neurons, valid for those without connections.
    patience : int
        See OneByOne.
    """

    def __init__(
        self,
        layers: Sequence[CondensedLayer],
        constants: np.ndarray,
        patience: int = 0,
    ):
        self.layers, self.constants = layers, constants
        total = max(sum(layer.nnz for layer in layers), 1)
        for layer in layers:
            layer.cache_share = layer.nnz / total
        self._one_by_one = OneByOne(layers, patience)
        self._all_active = layers[-1].n_active == constants.size

    def predict(self, source: np.ndarray | Csr, n: int, batch_size: int) -> np.ndarray:
        """Return the outputs for all samples, (n, n_out), without softmax or logistic.

        Parameters
        ----------
        source : array or Csr
            Return value of network.inputs.as_source_data. Sparse data become dense a
            batch at a time.
        n : int
            Samples.
        batch_size : int
        """
        out = np.empty((n, self.constants.size), self.constants.dtype)
        buffers: dict[int, list[np.ndarray]] = {}
        for start in range(0, n, batch_size):
            stop = min(start + batch_size, n)
            batch = _dense(source, start, stop, self.layers[0].n_in)
            if self._one_by_one.takes(stop - start):
                self._few(batch, out[start:stop])
            else:
                self._many(batch, out[start:stop], buffers)
        return out

    def _few(self, batch: np.ndarray, out: np.ndarray) -> None:
        """Compute samples (n, n_features) into (n, n_out), each on its own."""
        if self._all_active:
            self._one_by_one.run(batch, out)
            return
        last = self.layers[-1]
        active = np.empty((len(out), last.n_active), out.dtype)
        self._one_by_one.run(batch, active)
        out[:] = self.constants
        out[:, last.neurons] = active

    def _many(self, batch: np.ndarray, out: np.ndarray, buffers: dict) -> None:
        """Compute samples (n, n_features) into (n, n_out), feature by feature."""
        n, tile = len(batch), _TILE_BYTES // out.itemsize
        columns = -(-n // tile) * tile
        if columns not in buffers:
            sizes = [
                batch.shape[1],
                *(layer.blocks.bias.size for layer in self.layers),
            ]
            buffers[columns] = [np.empty((size, columns), out.dtype) for size in sizes]
        x, *outputs = buffers[columns]
        gather_dense(batch, np.arange(n), x)
        for layer, buffer in zip(self.layers, outputs, strict=True):
            layer.run_batch(make_tile(tile), x, buffer)
            x = buffer
        last = self.layers[-1]
        if not self._all_active:
            out[:] = self.constants
        out[:, last.neurons] = x[: last.n_active, :n].T


def _dense(source: np.ndarray | Csr, start: int, stop: int, n_features: int):
    """Return some samples as a dense array."""
    if not isinstance(source, Csr):
        return source[start:stop]
    out = np.zeros((stop - start, n_features), source.values.dtype)
    first, last = source.indptr[start], source.indptr[stop]
    samples = np.repeat(
        np.arange(stop - start), np.diff(source.indptr[start : stop + 1])
    )
    out[samples, source.indices[first:last]] = source.values[first:last]
    return out
