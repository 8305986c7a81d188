"""Saving and loading models: plain safetensors, the configuration in the metadata.

Tensors are ``layers.N.indptr``, ``indices``, ``values`` and ``bias``, and for srelu
``activation``, with the rows of sparse.srelu.Srelu. The metadata
entry ``truesparse`` holds, as JSON, everything else a model is made of, ``config`` the
text of the run's config.toml. Loading checks every index array before a kernel sees it.
"""

import contextlib
import json
import math
import os
import pathlib

import numpy as np
import safetensors

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.errors import ModelFileError, UsageError, choose
from truesparse.inputs import is_finite
from truesparse.losses import Loss
from truesparse.model import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

FORMAT = 1
# What a description that makes no sense raises on the way to a model.
_NOT_VALID = (ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
_DTYPE_NAMES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}


def save(model: SparseMLP, path, *, config: str | None = None) -> pathlib.Path:
    """Write a model to a file; an existing one is replaced when all is written.

    Parameters
    ----------
    model : SparseMLP
    path : str or path
        By custom ending in ``.safetensors``.
    config : str, optional
        How the model was trained, to be kept in the metadata.

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
    return write_tensors(path, tensors, metadata)


def load(path) -> SparseMLP:
    """Read a model that `save` wrote.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of another kind, or describes a model whose
        arrays are not valid.
    """
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            description = _parse_description(metadata, path)
            layers = [
                _load_layer(file, index, spec)
                for index, spec in enumerate(description["layers"])
            ]
        dtypes = {layer.bias.dtype.name for layer in layers}
        if len(dtypes) > 1:
            raise ValueError(f"layers are of {' and '.join(sorted(dtypes))}")
        loss = description["loss"]
        smoothing, threshold = loss["label_smoothing"], loss["huber_threshold"]
        model = SparseMLP.from_layers(
            layers,
            Loss(loss["name"], label_smoothing=smoothing, huber_threshold=threshold),
            description["seed"],
        )
        model.step = description["step"]
        if type(model.step) is not int or model.step < 0:
            raise ValueError(f"step is {model.step!r}, not a whole number")
    except ModelFileError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"cannot read model {path}: {error}") from None
    except _NOT_VALID as error:
        raise ModelFileError(f"model {path} is not valid: {error}") from None
    return model


def write_tensors(path, tensors: dict[str, np.ndarray], metadata: dict[str, str]):
    """Write arrays in the safetensors format, one by one.

    The library's own writer first turns all arrays into one bytes object, a copy of
    the whole model in memory.
    """
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for name, array in tensors.items():
        end = offset + array.nbytes
        header[name] = {
            "dtype": _DTYPE_NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        target = pathlib.Path(path)
    except TypeError:
        raise UsageError(f"cannot write model {path!r}: give a path") from None
    if os.path.isdir(target):
        raise UsageError(
            f"cannot write model {str(path)!r}: it is a folder; add a name"
        )
    partial = None
    try:
        partial = target.with_name(target.name + ".part")
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for array in tensors.values():
                np.ascontiguousarray(array).tofile(file)
        os.replace(partial, target)
    except (OSError, ValueError) as error:
        if partial is not None:
            with contextlib.suppress(OSError, ValueError):
                partial.unlink()
        raise UsageError(f"cannot write model {str(path)!r}: {error}") from None
    return target


def _describe(model: SparseMLP) -> dict:
    loss = model.loss
    return {
        "format": FORMAT,
        "seed": model.seed,
        "step": model.step,
        "loss": {
            "name": loss.name,
            "label_smoothing": loss.label_smoothing,
            "huber_threshold": loss.huber_threshold,
        },
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
    if "truesparse" not in metadata:
        raise ModelFileError(f"{path} is not a truesparse model: no such metadata")
    description = json.loads(metadata["truesparse"])
    if description["format"] != FORMAT:
        raise ModelFileError(
            f"{path} has format {description['format']}; this version reads {FORMAT}"
        )
    return description


def _load_layer(file, index: int, spec: dict) -> SparseLayer:
    def tensor(name: str, *accepted: str) -> np.ndarray:
        name = f"layers.{index}.{name}"
        try:
            kind = file.get_slice(name).get_dtype()
        except safetensors.SafetensorError:
            raise ValueError(f"it has no tensor {name}") from None
        if kind not in accepted:
            raise ValueError(f"{name} is {kind}, not {' or '.join(accepted)}")
        return file.get_tensor(name)

    choose(spec["activation"], ACTIVATIONS, "activation")
    dropout, parameter = spec["dropout"], spec["parameter"]
    if not (0.0 <= dropout < 1.0 and math.isfinite(parameter)):
        raise ValueError(f"layer {index} has dropout {dropout}, parameter {parameter}")
    links = Connections(
        spec["n_in"],
        spec["n_out"],
        tensor("indptr", "I64"),
        tensor("indices", "I32"),
        tensor("values", "F32", "F64"),
    )
    bias = tensor("bias", _DTYPE_NAMES[links.values.dtype.name])
    # Before anything of the size that the file claims is allocated.
    if bias.shape != (links.n_out,):
        raise ValueError(f"bias of layer {index} has shape {bias.shape}")
    layer = SparseLayer(links, LayerActivation(spec["activation"], parameter, dropout))
    arrays = {"values": links.values, "bias": bias}
    if layer.srelu is not None:
        arrays["activation"] = tensor("activation", _DTYPE_NAMES[bias.dtype.name])
        layer.srelu.adopt(arrays["activation"])
    for name, array in arrays.items():
        if not is_finite(array):
            raise ValueError(f"{name} of layer {index} hold NaN or infinity")
    layer.bias[:] = bias
    return layer
