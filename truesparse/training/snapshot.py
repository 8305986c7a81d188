"""Keeping the last good model while a run goes on, at little cost.

Weights are not copied in memory: the model is written to a file after an epoch, as
often as takes at most a twentieth of the time.
"""

import os
import pathlib
import shutil
import tempfile
import time
import weakref

from truesparse.errors import ModelFileError
from truesparse.network.inputs import is_finite
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models

_SHARE_OF_TIME = 0.05


def has_finite_weights(model: SparseMLP) -> bool:
    """Whether all weights, biases and parameters of activations are finite."""
    return all(
        is_finite(array)
        for layer in model.layers
        for array in (layer.connections.values, *layer.neuron_parameters())
    )


class KeptModel:
    """A model as it was at some time, in a file.

    Parameters
    ----------
    path : str or path, optional
        Where the file stays; by default it is temporary.
    **options
        Of truesparse.save: what else the file keeps.
    """

    def __init__(self, path=None, **options):
        self._cleanup, self._options = None, options
        if path is None:
            folder = tempfile.mkdtemp(prefix="truesparse-")
            # Also when nothing refers to it any more, or the process ends.
            self._cleanup = weakref.finalize(self, shutil.rmtree, folder, True)
            path = os.path.join(folder, "model.safetensors")
        self.path = pathlib.Path(path)

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file, if it is temporary."""
        if self._cleanup is not None:
            self._cleanup()

    def write(self, model: SparseMLP) -> None:
        """Replace what was kept."""
        models.save(model, self.path, **self._options)

    def restore(self, model: SparseMLP, step: int | None = None) -> None:
        """Put the written weights back; optimiser state is not kept.

        Raises
        ------
        ModelFileError
            If the file cannot be read, or is not of the `step` that is asked for.
        """
        good = models.load(self.path)
        if step is not None and good.step != step:
            raise ModelFileError(
                f"{self.path} holds the model of step {good.step}, not of {step}"
            )
        for layer, kept in zip(model.layers, good.layers, strict=True):
            layer.connections.adopt(kept.connections)
            pairs = zip(
                layer.neuron_parameters(), kept.neuron_parameters(), strict=True
            )
            for array, good_array in pairs:
                array[:] = good_array
        model.step = good.step


class Snapshot(KeptModel):
    """The last good model, in a file.

    Parameters
    ----------
    model : SparseMLP
        Written at once.
    path, **options
        See KeptModel.
    """

    def __init__(self, model: SparseMLP, path=None, **options):
        super().__init__(path, **options)
        self.write(model)

    def take(self, model: SparseMLP) -> None:
        """Write the model, if it is finite and the last time was long enough ago."""
        waited = time.perf_counter() - self._written
        if waited * _SHARE_OF_TIME >= self._cost and has_finite_weights(model):
            self.write(model)

    def write(self, model: SparseMLP) -> None:
        """Replace what was kept, and note how long it took."""
        start = time.perf_counter()
        super().write(model)
        self._written = time.perf_counter()
        self._cost = self._written - start
