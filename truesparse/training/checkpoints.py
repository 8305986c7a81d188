"""Checkpoint files: a model with all that its run needs to go on, bit by bit.

A checkpoint is a model file, which `truesparse.load` reads as any other. It also holds
the state of the optimiser, ``layers.N.moments.PART.first`` and ``second`` for weights,
bias and activation; the arrays that topology algorithm and callbacks remember,
``states.N``; and in the metadata entry ``checkpoint``, as JSON, where the run is.
"""

import functools
import importlib.metadata
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import truesparse
from truesparse.checks import check_whole
from truesparse.errors import ModelFileError, UsageError
from truesparse.kernels.arrays import Moments
from truesparse.network.inputs import is_finite
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.layer import SparseLayer
from truesparse.storage import models
from truesparse.storage.tensors import open_tensors, read_tensor
from truesparse.topology.parts.state import check_state
from truesparse.training.run import EpochRecord, Run
from truesparse.training.snapshot import has_finite_weights

FORMAT = 1
_TENSOR = "tensor"  # the key of what stands in the JSON for an array
_DTYPES = ("float32", "float64", "int32", "int64", "uint8")
_NUMBERS = "first", "second"
# What a state that makes no sense raises on its way.
_NOT_VALID = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_PLACE = ("n_batches", "n_samples", "start", "epoch", "batch", "first_step")


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions on which the last bits of results depend."""
    names = "numpy", "numba"
    found = {name: importlib.metadata.version(name) for name in names}
    return {"truesparse": truesparse.__version__, **found}


def size(model: SparseMLP) -> int:
    """Return about how many bytes a checkpoint takes, without what others remember."""
    arrays = (
        array
        for layer in model.layers
        for array in (*layer.connections.csr, *layer.connections.moments)
    )
    return sum(array.nbytes for array in arrays)


def has_finite_state(model: SparseMLP) -> bool:
    """Whether weights and optimiser state are finite."""
    moments = [array for _, _, arrays in _moments(model) for array in arrays]
    return has_finite_weights(model) and all(map(is_finite, moments))


def write(run: Run, path, *, about: dict[str, Any] | None = None, **options) -> None:
    """Write a checkpoint of a run, between two steps; an existing one is replaced.

    Parameters
    ----------
    run : Run
        That of a Trainer.
    path : str or path
    about : dict, optional
        What else is to be kept, as JSON takes it.
    **options
        Of truesparse.save.

    Raises
    ------
    UsageError
        If the file cannot be written, or a state that is to be kept in it.
    """
    tensors = {
        f"layers.{index}.moments.{part}.{name}": array
        for index, part, arrays in _moments(run.model)
        for name, array in zip(_NUMBERS, arrays, strict=True)
        if array.size
    }
    states: dict[str, np.ndarray] = {}
    trainer = run.trainer
    callbacks = [(type(each).__name__, each.state()) for each in trainer.callbacks]
    needed = trainer.optimizer.needs_first, trainer.optimizer.needs_second
    description = {
        "format": FORMAT,
        "versions": versions(),
        "run": {
            **{name: getattr(run, name) for name in _PLACE},
            "n_epochs": run.n_epochs,
            "stop": run.stop,
            **{name: getattr(run, name) for name in ("loss_sum", "weight_sum")},
            **{name: getattr(run, name) for name in ("loss", "lr")},
            "history": [asdict(record) for record in run.history],
        },
        "batch_size": trainer.batch_size,
        "shuffle": bool(trainer.shuffle),
        "moments": list(needed),
        "moments_since": run.model.moments_since,
        "topology": trainer.topology.name,
        "topology_state": _pack(trainer.topology.state(), states),
        "callbacks": [
            [name, _pack(state, states)] for name, state in callbacks if state
        ],
        "about": about,
    }
    models.save(
        run.model,
        path,
        more_tensors=tensors | states,
        more_metadata={"checkpoint": json.dumps(description)},
        **options,
    )


@dataclass
class Saved:
    """A run as a checkpoint has it.

    Attributes
    ----------
    model : SparseMLP
        With its optimiser state.
    run : Run
        Where it was.
    config : str or None
        How it is trained, if that was given.
    about : dict
        What else was given.
    versions : dict of str to str
        Of the packages it was written with.
    topology : str
    topology_state : dict
    callbacks : list of (str, dict)
        Names of classes, and states.
    moments : tuple of bool
        Whether the optimiser has first and second moments.
    batch_size : int
    shuffle : bool
    path : str
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
    path: str

    def resume(self, trainer) -> Run:
        """Put a trainer where the run was, and return the run for `Trainer.fit`.

        The trainer has this model and the options of that time; more `epochs` lengthen
        the run, so that a learning rate that depends on their number is another from
        here on. Callbacks get their state back by the name of their class and, among
        those of one class, in order.

        Raises
        ------
        UsageError
            If the trainer does not fit the run.
        ModelFileError
            If what topology algorithm or callbacks remembered does not make sense.
        """
        run, optimizer = self.run, trainer.optimizer
        if trainer.model is not self.model:
            raise UsageError("the trainer that goes on needs the model of the file")
        needed = optimizer.needs_first, optimizer.needs_second
        state, name = "state of the optimizer", trainer.topology.name
        given: dict[str, Any] = {"topology": name, state: needed}
        wanted: dict[str, Any] = {"topology": self.topology, state: self.moments}
        if run.batch:
            given |= {"batch_size": trainer.batch_size, "shuffle": trainer.shuffle}
            wanted |= {"batch_size": self.batch_size, "shuffle": self.shuffle}
        for name, value in wanted.items():
            if given[name] != value:
                raise UsageError(
                    f"the run in {self.path} has {name} {value!r}, the trainer that "
                    f"is to go on {given[name]!r}"
                )
        if trainer.epochs < run.epoch + (run.batch > 0):
            raise UsageError(
                f"the run in {self.path} is in epoch {run.epoch + (run.batch > 0)}, "
                f"beyond epochs={trainer.epochs}"
            )
        run.n_epochs = trainer.epochs
        trainer.topology.begin(self.model)
        try:
            check_state(self.topology_state, self.model)
            trainer.topology.restore(self.topology_state)
            left = list(self.callbacks)
            for callback in trainer.callbacks:
                name = type(callback).__name__
                found = next((each for each in left if each[0] == name), None)
                if found is not None:
                    left.remove(found)
                    callback.restore(found[1])
        except (UsageError, ModelFileError):
            raise
        except _NOT_VALID as error:
            raise ModelFileError(
                f"checkpoint {self.path} is not valid: {error}"
            ) from None
        return run


def read(path) -> Saved:
    """Read a checkpoint, all of it checked but what algorithm and callbacks remember.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or no checkpoint.

    Examples
    --------
    See callbacks.Checkpoint.
    """
    model = models.load(path)
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
        if "checkpoint" not in metadata:
            raise ModelFileError(f"{path} is a model, not a checkpoint of a run")
        description = json.loads(metadata["checkpoint"])
        if description["format"] != FORMAT:
            raise ModelFileError(
                f"{path} has format {description['format']}; this version reads "
                f"{FORMAT}"
            )
        first, second = (bool(each) for each in description["moments"])
        for index, layer in enumerate(model.layers):
            _read_moments(file, index, layer, (first, second))
        model.moments_since = check_whole(
            "moments_since", description["moments_since"], 0
        )
        if model.moments_since > model.step:
            raise ValueError(f"moments_since is {model.moments_since}, after the end")
        callbacks = [
            (str(name), _unpack(state, file))
            for name, state in description["callbacks"]
        ]
        return Saved(
            model=model,
            run=_make_run(model, description["run"]),
            config=metadata.get("config"),
            about=dict(description["about"] or {}),
            versions=dict(description["versions"]),
            topology=str(description["topology"]),
            topology_state=dict(_unpack(description["topology_state"], file)),
            callbacks=callbacks,
            moments=(first, second),
            batch_size=check_whole("batch_size", description["batch_size"], 0),
            shuffle=bool(description["shuffle"]),
            path=str(path),
        )


def _moments(model: SparseMLP) -> Iterator[tuple[int, str, Moments]]:
    """Yield number of the layer, name of the part and moments."""
    for index, layer in enumerate(model.layers):
        yield index, "weights", layer.connections.moments
        yield index, "bias", layer.bias_moments
        if layer.srelu is not None:
            yield index, "activation", layer.srelu.moments


def _read_moments(file, index: int, layer: SparseLayer, needed) -> None:
    def read_part(part: str, values: np.ndarray) -> Moments:
        flat = values.reshape(-1)
        found = [flat[:0], flat[:0]]
        for place, name in enumerate(_NUMBERS):
            if needed[place] and flat.size:
                full = f"layers.{index}.moments.{part}.{name}"
                found[place] = read_tensor(file, full, flat.dtype.name)
                if found[place].shape != flat.shape:
                    raise ValueError(f"{full} has shape {found[place].shape}")
        if found[1].size and found[1].min() < 0.0:
            raise ValueError(f"second moments of layer {index} are negative")
        return Moments(*found)

    layer.connections.moments = read_part("weights", layer.connections.values)
    layer.bias_moments = read_part("bias", layer.bias)
    if layer.srelu is not None:
        layer.srelu.moments = read_part("activation", layer.srelu.values)


def _make_run(model: SparseMLP, fields: dict[str, Any]) -> Run:
    place: dict[str, Any] = {
        name: check_whole(name, fields[name], 0) for name in (*_PLACE, "n_epochs")
    }
    sums: dict[str, Any]
    sums = {name: float(fields[name]) for name in ("loss_sum", "weight_sum")}
    last: dict[str, Any] = {name: float(fields[name]) for name in ("loss", "lr")}
    if not all(map(math.isfinite, sums.values())):
        raise ValueError("sums of losses are not finite")
    history = [_make_record(record) for record in fields["history"]]
    run = Run(model, **place, **sums, **last, stop=bool(fields["stop"]))
    run.history = history
    if [record.epoch for record in history] != list(range(1, run.epoch + 1)):
        raise ValueError(f"{len(history)} epochs are recorded, {run.epoch} were done")
    steps = run.first_step + run.batch
    if not (
        run.n_batches >= 1
        and run.n_samples >= 1
        and run.n_epochs >= run.epoch
        and run.batch <= run.n_batches
        and (model.step == steps if run.batch else model.step >= steps)
    ):
        raise ValueError("the place of the run does not make sense")
    return run


def _make_record(fields: dict[str, Any]) -> EpochRecord:
    for name in ("epoch", "step", "nnz"):
        check_whole(name, fields[name], 0)
    for name, value in fields.items():
        may_lack = value is None and name in ("val_loss", "val_score")
        if not may_lack and type(value) not in (int, float):
            raise ValueError(f"the history has {name} {value!r}")
    return EpochRecord(**fields)


def _pack(value: Any, states: dict[str, np.ndarray]) -> Any:
    """Return what JSON takes; arrays go to `states`."""
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _DTYPES:
            raise UsageError(f"an array of {value.dtype} cannot be kept in a file")
        name = f"states.{len(states)}"
        states[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            raise UsageError(f"a state of the one key {_TENSOR!r} cannot be kept")
        return {str(key): _pack(each, states) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(each, states) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(f"{type(value).__name__} in a state cannot be kept in a file")


def _unpack(value: Any, file) -> Any:
    if isinstance(value, dict):
        if set(value) == {_TENSOR}:
            return read_tensor(file, value[_TENSOR], *_DTYPES)
        return {key: _unpack(each, file) for key, each in value.items()}
    if isinstance(value, list):
        return [_unpack(each, file) for each in value]
    return value
