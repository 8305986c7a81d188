"""Checkpoint files: a model and the state of its run, which is resumed bit by bit.

A checkpoint is a model file that `truesparse.load` reads like any other. It also holds
the optimiser state, ``layers.N.moments.PART.first`` and ``second`` for weights, bias
and activation; the arrays in the states of the topology algorithm and the callbacks,
``states.N``; the records of its epochs, ``history``; and everything else, as JSON, in
the metadata entry ``checkpoint``.
"""

import contextlib
import functools
import importlib.metadata
import json
import math
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

import truesparse
from truesparse.common.checks import check_whole
from truesparse.errors import ModelFileError, UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.storage import models
from truesparse.storage.run_folder import previous_path
from truesparse.storage.tensors import NOT_VALID, open_tensors, read_tensor
from truesparse.topology.parts.state import check_state
from truesparse.training import epoch_records, stored_states
from truesparse.training.run import EpochRecord, Run

FORMAT = 2
_FIRST_FORMAT = 1  # has the records in the metadata
_HISTORY = "history"
_PLACE = ("n_batches", "n_samples", "start", "epoch", "batch", "first_step")
_PARTS = ("weights", "bias", "activation")  # of SparseLayer.all_moments
_NUMBERS = ("loss_sum", "weight_sum", "loss", "lr")


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions on which the last bits of results depend."""
    libraries = {name: importlib.metadata.version(name) for name in ("numpy", "numba")}
    return {"truesparse": truesparse.__version__, **libraries}


def size(model: SparseMLP) -> int:
    """Return the approximate bytes of a checkpoint, without states of callbacks."""
    arrays = (
        array
        for layer in model.layers
        for array in (*layer.connections.csr, *layer.connections.moments)
    )
    return sum(array.nbytes for array in arrays)


def write(run: Run, path, *, about: dict[str, Any] | None = None, **options) -> None:
    """Write a checkpoint of a run between two steps; an existing file is replaced.

    Parameters
    ----------
    run : Run
        The run of a Trainer.
    path : str or path
    about : dict, optional
        Anything else to store, in types that JSON has.
    **options
        Options of truesparse.save.

    Raises
    ------
    UsageError
        If the file cannot be written, or a state cannot be stored in it.
    """
    if "previous" in options and not _is_checkpoint(path):
        # As one of a later format, of which this version can read the one before.
        del options["previous"]
    states: dict[str, np.ndarray] = {}
    trainer = run.trainer
    callbacks = [(type(each).__name__, each.state()) for each in trainer.callbacks]
    description = {
        "format": FORMAT,
        "versions": versions(),
        "run": {
            **{
                name: getattr(run, name)
                for name in (*_PLACE, "n_epochs", "stop", *_NUMBERS)
            },
        },
        "batch_size": trainer.batch_size,
        "shuffle": bool(trainer.shuffle),
        "moments": list(trainer.optimizer.needs),
        "moments_since": run.model.moments_since,
        "topology": trainer.topology.name,
        "topology_state": stored_states.pack(trainer.topology.state(), states),
        "callbacks": [
            [name, stored_states.pack(state, states)]
            for name, state in callbacks
            if state
        ],
        "about": about,
    }
    tensors = {_HISTORY: epoch_records.pack(run.history)}
    models.save(
        run.model,
        path,
        more_tensors=tensors | _moments(run.model) | states,
        more_metadata={"checkpoint": json.dumps(description)},
        **options,
    )


@dataclass
class Saved:
    """A run as read from a checkpoint.

    Attributes
    ----------
    model : SparseMLP
        The model with its optimiser state.
    run : Run
        The run, to be resumed with `resume`.
    config : str or None
        Configuration of the training, if it was given.
    about : dict
        Whatever else was given.
    versions : dict of str to str
        Versions of the packages that wrote the file.
    topology : str
        Name of the topology algorithm.
    topology_state : dict
    callbacks : list of (str, dict)
        Names of classes, and states.
    moments : tuple of bool
        Whether the optimiser has first and second moments.
    batch_size : int
    shuffle : bool
    activation_dtype, path : str
    """

    model: SparseMLP
    run: Run
    config: str | None
    about: dict[str, Any]
    versions: dict[str, str]
    topology: str
    topology_state: dict[str, Any]
    callbacks: list[tuple[str, dict[str, Any]]]
    moments: tuple[bool, bool]
    batch_size: int
    shuffle: bool
    activation_dtype: str
    path: str

    def resume(self, trainer) -> Run:
        """Put a trainer into the state of the run, and return the run for its `fit`.

        The trainer needs this model and the options of the run. More `epochs` lengthen
        the run; a learning rate that depends on their number then differs from here on.
        Callbacks get their states by the names of their classes, those of the same
        class in order.

        Raises
        ------
        UsageError
            If the trainer does not fit the run.
        ModelFileError
            If a state of the topology algorithm or of a callback is not valid.
        """
        self._check(trainer)
        self.run.n_epochs = trainer.epochs
        trainer.topology.begin(self.model)
        try:
            check_state(self.topology_state, self.model)
            trainer.topology.restore(self.topology_state)
            remaining = list(self.callbacks)
            for callback in trainer.callbacks:
                name = type(callback).__name__
                saved = next((each for each in remaining if each[0] == name), None)
                if saved is not None:
                    remaining.remove(saved)
                    callback.restore(saved[1])
        except (UsageError, ModelFileError):
            raise
        except NOT_VALID as error:
            raise ModelFileError(
                f"checkpoint {self.path} is not valid: {error}"
            ) from None
        return self.run

    def _check(self, trainer) -> None:
        """Raise UsageError unless the trainer can resume the run."""
        run = self.run
        if trainer.model is not self.model:
            raise UsageError(
                f"the trainer needs the model of the checkpoint {self.path}: make it "
                "with the `model` that checkpoint.read returned"
            )
        options: list[tuple[str, Any, Any]] = [
            ("topology", self.topology, trainer.topology.name),
            ("state of the optimizer", self.moments, trainer.optimizer.needs),
            ("activation_dtype", self.activation_dtype, self.model.activation_dtype),
        ]
        if run.batch:
            options += [
                ("batch_size", self.batch_size, trainer.batch_size),
                ("shuffle", self.shuffle, trainer.shuffle),
            ]
        for name, before, now in options:
            if before != now:
                raise UsageError(
                    f"the run in {self.path} has {name} {before!r}, the trainer "
                    f"{now!r}; resume it with the options that it had"
                )
        begun = run.epoch + (run.batch > 0)
        if trainer.epochs < begun:
            raise UsageError(
                f"the run in {self.path} is in epoch {begun}, beyond "
                f"epochs={trainer.epochs}; give at least {begun} epochs"
            )


def read(path, *, verify: bool = True) -> Saved:
    """Read a checkpoint and check it, except for states, which `Saved.resume` checks.

    If it is missing or damaged, the previous one is read, with a warning.

    Parameters
    ----------
    path : str or path
    verify : bool
        Compare the file with its digest first, see truesparse.load.

    Raises
    ------
    ModelFileError
        If it is missing, damaged or no checkpoint, and there is no previous one.

    Examples
    --------
    See callbacks.Checkpoint.
    """
    try:
        return _read(path, verify)
    except ModelFileError as error:
        previous = previous_path(path)
        if not os.path.exists(previous):
            raise
        try:
            saved = _read(previous, verify)
        except ModelFileError as second:
            raise ModelFileError(f"{error}; nor is the one before: {second}") from None
        warnings.warn(
            f"{error}; {previous.name}, of step {saved.model.step:,}, is taken instead",
            UserWarning,
            stacklevel=2,
        )
        return saved


def _is_checkpoint(path) -> bool:
    """Whether a file is a checkpoint that this version reads, from its header."""
    with contextlib.suppress(ModelFileError), open_tensors(path) as file:
        description = json.loads(file.metadata()["checkpoint"])
        _check_format(description, path)
        return True
    return False


def _check_format(description: dict[str, Any], path) -> None:
    if description["format"] != _FIRST_FORMAT:
        models.check_format(description, path, FORMAT)


def _read(path, verify: bool) -> Saved:
    model = models.load(path, verify=verify)
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
        if "checkpoint" not in metadata:
            raise ModelFileError(
                f"{path} is a model, not a checkpoint of a run; give a file that the "
                "callback Checkpoint or the command line wrote"
            )
        description = json.loads(metadata["checkpoint"])
        _check_format(description, path)
        first, second = (bool(each) for each in description["moments"])
        _read_moments(file, model, first, second)
        model.moments_since = check_whole(
            "moments_since", description["moments_since"], 0
        )
        if model.moments_since > model.step:
            raise ValueError(
                f"moments_since is {model.moments_since}, after step {model.step}"
            )
        callbacks = [
            (str(name), stored_states.unpack(state, file))
            for name, state in description["callbacks"]
        ]
        return Saved(
            model=model,
            run=_make_run(model, description["run"], _read_history(file, description)),
            config=metadata.get("config"),
            about=dict(description["about"] or {}),
            versions=dict(description["versions"]),
            topology=str(description["topology"]),
            topology_state=dict(
                stored_states.unpack(description["topology_state"], file)
            ),
            callbacks=callbacks,
            moments=(first, second),
            batch_size=check_whole("batch_size", description["batch_size"], 0),
            shuffle=bool(description["shuffle"]),
            activation_dtype=model.activation_dtype,
            path=str(path),
        )


def _moments(model: SparseMLP) -> dict[str, np.ndarray]:
    """Return the arrays of the optimiser state by their names in the file."""
    arrays = {}
    for index, layer in enumerate(model.layers):
        for part, moments in zip(_PARTS, layer.all_moments(), strict=False):
            for order, array in moments._asdict().items():
                if array.size:
                    arrays[f"layers.{index}.moments.{part}.{order}"] = array
    return arrays


def _read_moments(file, model: SparseMLP, first: bool, second: bool) -> None:
    for layer in model.layers:
        layer.allocate_moments(first, second)
    for name, array in _moments(model).items():
        tensor = read_tensor(file, name, array.dtype.name)
        if tensor.shape != array.shape:
            raise ValueError(f"{name} has shape {tensor.shape}, not {array.shape}")
        if name.endswith("second") and tensor.min() < 0.0:
            raise ValueError(f"numbers of {name} are negative")
        array[:] = tensor


def _read_history(file, description: dict[str, Any]) -> list[EpochRecord]:
    if description["format"] == _FIRST_FORMAT:
        return [
            epoch_records.make_record(record)
            for record in description["run"]["history"]
        ]
    return epoch_records.unpack(read_tensor(file, _HISTORY, "uint8"))


def _make_run(
    model: SparseMLP, fields: dict[str, Any], history: list[EpochRecord]
) -> Run:
    place: dict[str, Any] = {
        name: check_whole(name, fields[name], 0) for name in (*_PLACE, "n_epochs")
    }
    numbers: dict[str, Any] = {name: float(fields[name]) for name in _NUMBERS}
    if not all(math.isfinite(numbers[name]) for name in ("loss_sum", "weight_sum")):
        raise ValueError("sums of losses are not finite")
    run = Run(model, **place, **numbers, stop=bool(fields["stop"]), history=history)
    epochs = [record.epoch for record in history]
    # The number of epochs may be any, so that no list is made of it.
    if len(epochs) != run.epoch or epochs != list(range(1, len(epochs) + 1)):
        raise ValueError(f"{len(history)} epochs are recorded, but {run.epoch} done")
    steps = run.first_step + run.batch
    if not (
        run.n_batches >= 1
        and run.n_samples >= 1
        and run.n_epochs >= run.epoch
        and run.batch <= run.n_batches
        and (model.step == steps if run.batch else model.step >= steps)
    ):
        raise ValueError("epochs, batches and steps of the run contradict each other")
    return run
