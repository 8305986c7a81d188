"""Keeping the last good model while a run goes on, at little cost.

Weights are not copied in memory: the model is written to a file after an epoch, as
often as takes at most a twentieth of the time.
"""

import os
import pathlib
import tempfile
import time

from truesparse import io
from truesparse.inputs import is_finite
from truesparse.model import SparseMLP

_SHARE_OF_TIME = 0.05


def has_finite_weights(model: SparseMLP) -> bool:
    """Whether all weights, biases and parameters of activations are finite."""
    return all(
        is_finite(array)
        for layer in model.layers
        for array in (layer.connections.values, *layer.neuron_parameters())
    )


class Snapshot:
    """The last good model, in a file.

    Parameters
    ----------
    model : SparseMLP
        Written at once.
    path : str or path, optional
        Where the file stays; by default it is temporary.
    """

    def __init__(self, model: SparseMLP, path=None):
        self._folder = None
        if path is None:
            self._folder = tempfile.TemporaryDirectory(prefix="truesparse-")
            path = os.path.join(self._folder.name, "model.safetensors")
        self.path = pathlib.Path(path)
        self._write(model)

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *error) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def take(self, model: SparseMLP) -> None:
        """Write the model, if it is finite and the last time was long enough ago."""
        waited = time.perf_counter() - self._written
        if waited * _SHARE_OF_TIME >= self._cost and has_finite_weights(model):
            self._write(model)

    def restore(self, model: SparseMLP) -> None:
        """Put the written weights back; optimiser state is not kept."""
        good = io.load(self.path)
        for layer, kept in zip(model.layers, good.layers, strict=True):
            layer.connections.adopt(kept.connections)
            pairs = zip(
                layer.neuron_parameters(), kept.neuron_parameters(), strict=True
            )
            for array, good_array in pairs:
                array[:] = good_array
        model.step = good.step

    def _write(self, model: SparseMLP) -> None:
        start = time.perf_counter()
        io.save(model, self.path)
        self._written = time.perf_counter()
        self._cost = self._written - start
