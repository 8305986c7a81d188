"""The contents of a model file, described without loading the model.

Only the index arrays of a layer are read, a block at a time: row starts say which
neurons have outputs, column numbers how many inputs each neuron has. Of the weights
only the number is read.
"""

import itertools
import json
import math
import pathlib
import tomllib
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.condensed import condensed_mlp
from truesparse.datasets import Preprocessing
from truesparse.losses import Loss
from truesparse.network.buffers import padded_columns
from truesparse.sparse.connections import LARGEST_SIDE
from truesparse.storage import models, run_folder
from truesparse.storage.preprocessing import PREFIX
from truesparse.storage.tensors import (
    CONDENSED_KEY,
    DTYPES,
    StoredTensors,
    extent,
    open_tensors,
    read_activation,
    scan_connections,
    view_bytes,
)

_ARRAYS = ("indptr", "indices", "values", "bias", "activation")


def describe_file(path, file_path: pathlib.Path | None = None) -> dict[str, Any]:
    """Return the contents of a model file, or of the one in a run folder.

    Parameters
    ----------
    path : str or path
    file_path : path, optional
        What `find_model` chose for it.

    Returns
    -------
    dict
        Ready for JSON: kind, format, layer_sizes, nnz, density, dtype, loss, layers,
        memory, and more if the file has it. Each of `layers` has its number of
        connections, activation, inputs a neuron (fan_in) and number of dead neurons.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or not a model of truesparse.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse import SparseMLP, save
    >>> from truesparse.commands.describe import describe_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(SparseMLP([4, 8, 3], density=1.0), f"{folder}/m")
    ...     result = describe_file(path)
    >>> result["layer_sizes"], result["layers"][0]["fan_in"]
    ([4, 8, 3], {'min': 4, 'mean': 4.0, 'max': 4})
    """
    if file_path is None:
        file_path = models.find_model(path)
    with open_tensors(file_path) as file:
        metadata = file.metadata() or {}
        tensors = StoredTensors(file)
        if CONDENSED_KEY in metadata:
            facts = _describe_condensed(tensors, metadata)
        else:
            facts = _describe_model(tensors, metadata, file_path)
        others = _others(tensors)
        facts["other_tensors"] = {
            "names": sorted({name.split(".")[-1] for name in others}),
            "bytes": tensors.bytes_of(others),
        }
        n_outputs = facts.get("n_outputs", facts["layer_sizes"][-1])
        stored = models.read_preprocessing(file, facts["layer_sizes"][0], n_outputs)
        if stored is not None:
            facts |= _describe_preprocessing(stored)
    if "config" in metadata:
        facts["config"] = _parse_config(metadata["config"])
    facts["memory"]["file"] = file_path.stat().st_size
    facts = {"file": str(file_path), **facts}
    if file_path != pathlib.Path(path):  # it is in that folder
        facts["run"] = _describe_run(pathlib.Path(path))
    return facts


def prediction_bytes(path, batch_size: int) -> int:
    """Estimate the bytes that a model takes when it predicts, from its header.

    Raises
    ------
    ModelFileError
        If the file is not a model.
    """
    with open_tensors(path) as file:
        tensors = StoredTensors(file)
        # The state of a run in a checkpoint is not needed.
        needed = {name for name in tensors.names if name.startswith(PREFIX)}
        total = index = 0
        while f"layers.{index}.values" in tensors.names:
            needed |= {f"layers.{index}.{name}" for name in _ARRAYS} & tensors.names
            values = tensors.slice(f"layers.{index}.values", 1, "float32", "float64")
            bias = tensors.slice(f"layers.{index}.bias", 1, "float32", "float64")
            (nnz,), (n_out,) = values.get_shape(), bias.get_shape()
            dtype = DTYPES[bias.get_dtype()]
            columns, _ = padded_columns(batch_size, dtype)
            total += view_bytes(nnz, n_out)
            total += np.dtype(dtype).itemsize * n_out * (columns + 1)
            index += 1
        total += tensors.bytes_of(needed)
    return int(total)


def _describe_model(
    tensors: StoredTensors, metadata: dict[str, str], path: pathlib.Path
) -> dict[str, Any]:
    text = models.parse_description(metadata, path)
    specs = text["layers"]
    if not specs:
        raise ValueError("the model has no layers")
    loss = Loss.from_json(text["loss"])
    layers, unused = _describe_layers(tensors, specs)
    sizes = [specs[0]["n_in"], *(layer["n_out"] for layer in layers)]
    dtypes = {layer.pop("dtype") for layer in layers}
    if len(dtypes) > 1:
        raise ValueError(f"layers differ in dtype: {', '.join(sorted(dtypes))}")
    (dtype,) = dtypes
    cells = sum(a * b for a, b in itertools.pairwise(sizes))
    nnz = sum(layer["nnz"] for layer in layers)
    view = sum(view_bytes(layer["nnz"], layer["n_out"]) for layer in layers)
    return {
        # Other tensors are the state of a run.
        "kind": "checkpoint" if _others(tensors) else "model",
        "format": text["format"],
        "layer_sizes": sizes,
        "neurons": sum(sizes[1:-1]),
        "nnz": nnz,
        "density": nnz / cells,
        "dtype": dtype,
        "activation_dtype": text.get("activation_dtype", dtype),
        "loss": loss.to_json(),
        "seed": check_whole("seed", text["seed"], 0),
        "step": check_whole("step", text["step"], 0),
        "unused_features": unused,
        "layers": layers,
        "memory": {
            "model": tensors.bytes_of(tensors.names - _others(tensors)) + view,
            "dense_weights": np.dtype(dtype).itemsize * cells,
        },
    }


def _describe_layers(
    tensors: StoredTensors, specs: list[dict]
) -> tuple[list[dict[str, Any]], int]:
    """Describe all layers, and return how many features no neuron uses."""
    layers: list[dict[str, Any]] = []
    has_input: np.ndarray | None = None
    unused = 0
    for index, spec in enumerate(specs):
        if index and spec["n_in"] != layers[-1]["n_out"]:
            raise ValueError(
                f"layer {index} has {spec['n_in']} inputs, the layer before "
                f"{layers[-1]['n_out']} outputs"
            )
        layer, has_output, has_input_next = _describe_layer(tensors, index, spec)
        if has_input is None:
            unused = int((~has_output).sum())
        else:
            dead = layers[-1]["dead"]
            dead["no_output"] = int((~has_output).sum())
            dead["either"] = int((~(has_output & has_input)).sum())
        has_input = has_input_next
        layers.append(layer)
    return layers, unused


def _describe_layer(
    tensors: StoredTensors, index: int, spec: dict
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Describe a layer; mark input neurons with outputs, and outputs with inputs."""
    n_in, n_out = spec["n_in"], spec["n_out"]
    for name in ("n_in", "n_out"):
        check_whole(name, spec[name], 1, LARGEST_SIDE)
    if not 0.0 <= spec["dropout"] < 1.0:
        raise ValueError(f"layer {index} has dropout {spec['dropout']}")
    activation = read_activation(spec, spec["dropout"])
    prefix = f"layers.{index}"
    values = tensors.slice(f"{prefix}.values", 1, "float32", "float64")
    dtype = DTYPES[values.get_dtype()]
    bias = tensors.slice(f"{prefix}.bias", 1, dtype)
    if bias.get_shape() != [n_out]:
        raise ValueError(f"bias of layer {index} has shape {bias.get_shape()}")
    if activation.is_trained:
        tensors.slice(f"{prefix}.activation", 2, dtype)
    has_output, fan_in = scan_connections(tensors, prefix, n_in, n_out, values)
    nnz = values.get_shape()[0]
    has_input = fan_in > 0
    n_without = int(n_out - has_input.sum())
    layer = {
        "n_in": n_in,
        "n_out": n_out,
        "activation": activation.name,
        "parameter": activation.parameter,
        "dropout": activation.dropout,
        "nnz": nnz,
        "density": nnz / (n_in * n_out),
        "fan_in": extent(fan_in, nnz),
        # The next layer shows which neurons have no output; the last one feeds none.
        "dead": {"no_input": n_without, "no_output": 0, "either": n_without},
        "dtype": dtype,
    }
    return layer, has_output, has_input


def _others(tensors: StoredTensors) -> set[str]:
    """Return the names of tensors that neither layers nor preprocessing need."""
    return {name for name in tensors.unread if not name.startswith(PREFIX)}


def _describe_condensed(
    tensors: StoredTensors, metadata: dict[str, str]
) -> dict[str, Any]:
    text = condensed_mlp.parse_description(metadata)
    width = text["n_features"]
    constants = tensors.slice("constants", 1, "float32", "float64")
    dtype = DTYPES[constants.get_dtype()]
    layers: list[dict[str, Any]] = []
    for index, spec in enumerate(text["layers"]):
        layers.append(_describe_condensed_layer(tensors, index, spec, width, dtype))
        width = layers[-1]["n_out"]
    sizes = [text["n_features"], *(layer["n_out"] for layer in layers)]
    cells = sum(a * b for a, b in itertools.pairwise(sizes))
    nnz = sum(layer["nnz"] for layer in layers)
    return {
        "kind": "condensed",
        "format": text["format"],
        # Neurons that condensing removed do not count.
        "layer_sizes": sizes,
        "n_outputs": constants.get_shape()[0],
        "neurons": sum(sizes[1:-1]),
        "nnz": nnz,
        "density": nnz / cells if cells else 0.0,
        "dtype": dtype,
        "loss": Loss.from_json(text["loss"]).to_json(),
        "layers": layers,
        "memory": {
            "model": tensors.bytes_of(tensors.names),
            "dense_weights": np.dtype(dtype).itemsize * cells,
        },
    }


def _describe_condensed_layer(
    tensors: StoredTensors, index: int, spec: dict, n_in: int, dtype: str
) -> dict[str, Any]:
    prefix = f"layers.{index}"
    bias = tensors.slice(f"{prefix}.bias", 1, dtype)
    tensors.slice(f"{prefix}.neurons", 1, "int32")
    (n_out,) = bias.get_shape()
    activation = read_activation(spec)
    if activation.is_trained:
        tensors.slice(f"{prefix}.activation", 2, dtype)
    if spec["condensed"]:
        weights = tensors.slice(f"{prefix}.weights", 2, dtype)
        inputs = tensors.slice(f"{prefix}.inputs", 2, "int32")
        n_rows, each = weights.get_shape()
        if inputs.get_shape() != [n_out, each] or n_rows != n_out:
            raise ValueError(f"arrays of {prefix} do not fit each other")
        nnz, fan_in = n_out * each, {"min": each, "mean": float(each), "max": each}
    else:
        values = tensors.slice(f"{prefix}.values", 1, dtype)
        (nnz,) = values.get_shape()
        counts = scan_connections(tensors, prefix, n_in, n_out, values)[1]
        fan_in = extent(counts, nnz)
    return {
        "n_in": n_in,
        "n_out": n_out,
        "condensed": bool(spec["condensed"]),
        "activation": activation.name,
        "parameter": activation.parameter,
        "nnz": nnz,
        "density": nnz / (n_in * n_out) if n_in * n_out else 0.0,
        "fan_in": fan_in,
    }


def _describe_preprocessing(stored: Preprocessing) -> dict[str, Any]:
    scaling = "none"
    if stored.feature_scale is not None:
        # By mean and deviation, or by the range.
        is_shifted = stored.feature_mean is not None
        scaling = "shifted and divided" if is_shifted else "divided"
    encoding = stored.encoding
    return {
        "task": stored.task,
        "classes": None if stored.classes is None else stored.classes.tolist(),
        "feature_names": stored.feature_names,
        "categories": None if encoding is None else encoding.describe() or None,
        "feature_scaling": scaling,
        "target_scaling": "none" if stored.target_scale is None else "standardised",
    }


def _parse_config(text: str) -> Any:
    """Return the options, or the text itself if it is not TOML."""
    try:
        # Infinity and dates, unknown to JSON, become text.
        plain = json.dumps(tomllib.loads(text), default=str)
        return json.loads(plain, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _describe_run(folder: pathlib.Path) -> dict[str, Any]:
    """Return the last epoch in a run's metrics, and whether the run has ended."""
    last: dict[str, Any] = {}
    try:
        with open(
            folder / run_folder.METRICS, encoding="utf-8", errors="replace"
        ) as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    event = entry["event"]
                except (ValueError, LookupError, TypeError, RecursionError):
                    continue  # cut off where a run was killed
                if event == "epoch":
                    last = entry
    except OSError:
        return {"epochs": 0, "ended": False}
    names = ("train_loss", "val_loss", "val_score")
    scores = {name: _number(last.get(name)) for name in names}
    return {
        "epochs": _number(last.get("epoch", 0)),
        **scores,
        "ended": not run_folder.is_unfinished(folder),
    }


def _number(value: Any) -> int | float | None:
    """Return `value` if it is a number that JSON has, else None."""
    try:
        is_number = type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        is_number = False
    return value if is_number else None
