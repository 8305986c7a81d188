"""Saving and loading models: plain safetensors, the configuration in the metadata.

Tensors are ``layers.N.indptr``, ``indices``, ``values`` and ``bias``, and for srelu
``activation``, with the rows of sparse.srelu.Srelu. The metadata entry ``truesparse``
holds, as JSON, everything else a model is made of, ``config`` the text of the run's
config.toml, and preprocessing.py says how the training data were scaled and labelled.
Loading checks every index array before a kernel sees it.
"""

import json
import pathlib

import numpy as np

from truesparse.checks import check_whole
from truesparse.datasets import Preprocessing
from truesparse.errors import ModelFileError, UsageError
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.storage.preprocessing import from_tensors, to_tensors
from truesparse.storage.tensors import (
    CONDENSED_KEY,
    open_tensors,
    read_activation,
    read_tensor,
    write_tensors,
)

FORMAT = 1


def save(
    model: SparseMLP,
    path,
    *,
    config: str | None = None,
    preprocessing: Preprocessing | None = None,
    more_tensors: dict[str, np.ndarray] | None = None,
    more_metadata: dict[str, str] | None = None,
) -> pathlib.Path:
    """Write a model to a file; an existing one is replaced when all is written.

    Parameters
    ----------
    model : SparseMLP, or fitted estimator
        An estimator adds its classes and names of features, see its `save`.
    path : str or path
        By custom ending in ``.safetensors``.
    config : str, optional
        How the model was trained, to be kept in the metadata.
    preprocessing : Preprocessing, optional
        How features were scaled and what the outputs stand for; `load_preprocessing`
        reads it.
    more_tensors, more_metadata : dict, optional
        Kept in the same file; `load` passes over them, see checkpoint.write.

    Returns
    -------
    path

    Raises
    ------
    UsageError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse import SparseMLP, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(SparseMLP([4, 8, 3], seed=1), os.path.join(folder, "m"))
    ...     load(path).layer_sizes
    (4, 8, 3)
    """
    if not isinstance(model, SparseMLP):
        if not hasattr(model, "save"):
            raise UsageError(f"save takes a SparseMLP or an estimator, got {model!r}")
        return pathlib.Path(model.save(path))
    tensors = {}
    for index, layer in enumerate(model.layers):
        links = layer.connections
        tensors[f"layers.{index}.indptr"] = links.indptr
        tensors[f"layers.{index}.indices"] = links.indices
        tensors[f"layers.{index}.values"] = links.values
        tensors[f"layers.{index}.bias"] = layer.bias
        if layer.srelu is not None:
            tensors[f"layers.{index}.activation"] = layer.srelu.values
    metadata = {"truesparse": json.dumps(_describe(model))}
    if config is not None:
        metadata["config"] = config
    if preprocessing is not None:
        preprocessing.check(model.layer_sizes[0], model.layer_sizes[-1])
        more, text = to_tensors(preprocessing)
        tensors |= more
        metadata["preprocessing"] = text
    tensors |= more_tensors or {}
    metadata |= more_metadata or {}
    return write_tensors(path, tensors, metadata)


def load(path) -> SparseMLP:
    """Read a model that `save` wrote.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of another kind, or describes a model whose
        arrays are not valid.
    """
    with open_tensors(path) as file:
        description = _parse_description(file.metadata() or {}, path)
        layers = [
            _load_layer(file, index, spec)
            for index, spec in enumerate(description["layers"])
        ]
        dtypes = {layer.bias.dtype.name for layer in layers}
        if len(dtypes) > 1:
            raise ValueError(f"layers are of {' and '.join(sorted(dtypes))}")
        loss = Loss.from_json(description["loss"])
        model = SparseMLP.from_layers(layers, loss, description["seed"])
        model.step = check_whole("step", description["step"], 0)
    return model


def load_preprocessing(path) -> Preprocessing | None:
    """Read how the training data of a model were scaled and labelled.

    Returns
    -------
    Preprocessing or None
        None where the file does not say.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or of another kind, or what it says is not
        valid.

    Examples
    --------
    >>> import os, tempfile
    >>> from truesparse import SparseMLP, datasets, save
    >>> from truesparse.storage.models import load_preprocessing
    >>> from truesparse.datasets import Preprocessing
    >>> how = Preprocessing.of(datasets.load("iris"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "m")
    ...     path = save(SparseMLP([4, 8, 3], seed=1), path, preprocessing=how)
    ...     load_preprocessing(path).classes
    array([0, 1, 2])
    """
    with open_tensors(path) as file:
        metadata = file.metadata() or {}
        layers = _parse_description(metadata, path)["layers"]
        if "preprocessing" not in metadata:
            return None
        found = from_tensors(file, metadata["preprocessing"])
        found.check(layers[0]["n_in"], layers[-1]["n_out"])
    return found


def load_config(path) -> str | None:
    """Return the text of the configuration that a model was trained with, if any.

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    """
    with open_tensors(path) as file:
        config: str | None = (file.metadata() or {}).get("config")
    return config


def load_step(path) -> int:
    """Return how many steps a model was trained for, without loading it.

    Raises
    ------
    ModelFileError
        If the file cannot be read or is no model.
    """
    with open_tensors(path) as file:
        step = _parse_description(file.metadata() or {}, path)["step"]
        return check_whole("step", step, 0)


def _describe(model: SparseMLP) -> dict:
    return {
        "format": FORMAT,
        "seed": model.seed,
        "step": model.step,
        "loss": model.loss.to_json(),
        "layers": [
            {
                "n_in": layer.connections.n_in,
                "n_out": layer.connections.n_out,
                "activation": layer.activation.name,
                "parameter": layer.activation.parameter,
                "dropout": layer.activation.dropout,
            }
            for layer in model.layers
        ],
    }


def _parse_description(metadata: dict[str, str], path) -> dict:
    if CONDENSED_KEY in metadata:
        raise ModelFileError(
            f"{path} is a condensed model, which only CondensedMLP.load reads; give "
            "the model that it was made of"
        )
    if "truesparse" not in metadata:
        raise ModelFileError(f"{path} is not a truesparse model: no such metadata")
    description: dict = json.loads(metadata["truesparse"])
    check_format(description, path)
    return description


def check_format(description: dict, path) -> None:
    """Raise ModelFileError unless the description is one that this version reads."""
    if description["format"] != FORMAT:
        raise ModelFileError(
            f"{path} has format {description['format']}; this version reads {FORMAT}"
        )


def _load_layer(file, index: int, spec: dict) -> SparseLayer:
    def tensor(name: str, *dtypes: str):
        return read_tensor(file, f"layers.{index}.{name}", *dtypes)

    dropout = spec["dropout"]
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"layer {index} has dropout {dropout}")
    activation = read_activation(spec, dropout)
    links = Connections(
        spec["n_in"],
        spec["n_out"],
        tensor("indptr", "int64"),
        tensor("indices", "int32"),
        tensor("values", "float32", "float64"),
    )
    dtype = links.values.dtype.name
    bias = tensor("bias", dtype)
    # Before anything of the size that the file claims is allocated.
    if bias.shape != (links.n_out,):
        raise ValueError(f"bias of layer {index} has shape {bias.shape}")
    layer = SparseLayer(links, activation)
    if layer.srelu is not None:
        layer.srelu.adopt(tensor("activation", dtype))
    layer.bias[:] = bias
    return layer
