"""The last good model of a run, kept in a file at little cost.

Weights are not copied in memory: the model is written to a file after an epoch, but
only as often as this takes at most a twentieth of the time.
"""

import contextlib
import os
import time
import weakref
from collections.abc import Iterable

import numpy as np

from truesparse.common import temporary
from truesparse.common.checks import as_path
from truesparse.errors import (
    DivergedError,
    ModelFileError,
    StorageError,
    UsageError,
)
from truesparse.network.inputs import is_finite
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.storage import models

_SHARE_OF_TIME = 0.05


def has_finite_weights(model: SparseMLP) -> bool:
    """Whether all weights, biases and parameters of activations are finite."""
    return all(
        is_finite(array)
        for layer in model.layers
        for array in (layer.connections.values, *layer.neuron_parameters())
    )


def has_finite_state(model: SparseMLP) -> bool:
    """Whether weights and optimiser state are finite."""
    return has_finite_weights(model) and all(
        is_finite(array)
        for layer in model.layers
        for moments in layer.all_moments()
        for array in moments
    )


def put_back(
    model: SparseMLP,
    parts: Iterable[tuple[Connections, Iterable[np.ndarray]]],
    step: int,
) -> None:
    """Give the layers of a model earlier connections and parameters of neurons.

    The optimiser state of the connections is dropped, so that a run begins with a new
    one for all.
    """
    for layer, (connections, parameters) in zip(model.layers, parts, strict=True):
        layer.connections.adopt(connections)
        for array, saved in zip(layer.neuron_parameters(), parameters, strict=True):
            array[:] = saved
    model.step = step


class SavedModel:
    """An earlier state of a model, saved in a file.

    Parameters
    ----------
    path : str or path, optional
        File that remains; by default a temporary one.
    **options
        Options of truesparse.save.
    """

    def __init__(self, path=None, **options):
        self._cleanup, self._options = None, options
        if path is None:
            folder, let_go = temporary.make_folder()
            # Runs when nothing refers to this object any more, or the process ends.
            self._cleanup = weakref.finalize(self, let_go)
            path = os.path.join(folder, "model.safetensors")
        self.path = as_path(path, "model")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file, if it is temporary."""
        if self._cleanup is not None:
            self._cleanup()

    def write(self, model: SparseMLP) -> None:
        """Save the present state of the model."""
        models.save(model, self.path, **self._options)

    def restore(
        self, model: SparseMLP, step: int | None = None, verify: bool = True
    ) -> None:
        """Put the saved weights back; the optimiser state is not saved.

        Parameters
        ----------
        model : SparseMLP
        step : int, optional
            Step of the model that the file is to hold.
        verify : bool
            Compare the file with its digest.

        Raises
        ------
        ModelFileError
            If the file cannot be read, or holds the model of another `step`.
        """
        saved = models.load(self.path, verify=verify)
        if step is not None and saved.step != step:
            raise ModelFileError(
                f"{self.path} holds the model of step {saved.step}, not of step "
                f"{step}; another run has replaced it"
            )
        put_back(
            model,
            [(each.connections, each.neuron_parameters()) for each in saved.layers],
            saved.step,
        )


def keep_last_good(
    model: SparseMLP, path=None, **options
) -> tuple[contextlib.AbstractContextManager["Snapshot | None"], str]:
    """Save a model; return what keeps its last good state, and why if nothing can.

    Parameters
    ----------
    model, path, **options
        See Snapshot. Without room for a temporary file the run has to do without.

    Raises
    ------
    StorageError
        If the system cannot write the file that was asked for.
    """
    try:
        return Snapshot(model, path, **options), ""
    except (StorageError, UsageError) as error:
        if path is not None:
            raise
        how = "should the run diverge, no earlier model is put back"
        return contextlib.nullcontext(), f"{error}; {how}"


class Snapshot(SavedModel):
    """The last good state of a model, saved in a file.

    Parameters
    ----------
    model : SparseMLP
        The model, which is saved at once.
    path, **options
        See SavedModel.
    """

    def __init__(self, model: SparseMLP, path=None, **options):
        super().__init__(path, **options)
        self.write(model)

    def put_back(self, model: SparseMLP, error: DivergedError) -> None:
        """Restore the model after an error.

        Raises
        ------
        ModelFileError
            If the file cannot be read; the message begins with that of the error.
        """
        try:
            self.restore(model)
        except ModelFileError as other:
            raise ModelFileError(
                f"{error}; the last good model is lost: {other}"
            ) from None

    def take(self, model: SparseMLP) -> None:
        """Save the model if it is finite and the last time was long enough ago."""
        waited = time.perf_counter() - self._written
        if waited * _SHARE_OF_TIME >= self._cost and has_finite_weights(model):
            self.write(model)

    def write(self, model: SparseMLP) -> None:
        """Save the present state of the model, and note how long it took."""
        start = time.perf_counter()
        super().write(model)
        self._written = time.perf_counter()
        self._cost = self._written - start
