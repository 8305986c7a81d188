"""Saving and loading models: plain safetensors, the configuration in the metadata.

Tensors are ``layers.N.indptr``, ``indices``, ``values`` and ``bias``. The metadata
entry ``truesparse`` holds, as JSON, everything else a model is made of. Loading checks
every index array before a kernel sees it.
"""

import json
import math
import os
import pathlib

import numpy as np
import safetensors

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.errors import ModelFileError, TruesparseError, UsageError, choose
from truesparse.losses import Loss
from truesparse.model import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer

FORMAT = 1
_DTYPE_NAMES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}


def save(model: SparseMLP, path) -> pathlib.Path:
    """Write a model to a file; an existing one is replaced when all is written.

    Parameters
    ----------
    model : SparseMLP
    path : str or path
        By custom ending in ``.safetensors``.

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
    return write_tensors(path, tensors, {"truesparse": json.dumps(_describe(model))})


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
        loss = description["loss"]
        smoothing, threshold = loss["label_smoothing"], loss["huber_threshold"]
        model = SparseMLP.from_layers(
            layers,
            Loss(loss["name"], label_smoothing=smoothing, huber_threshold=threshold),
            description["seed"],
        )
        model.step = int(description["step"])
    except ModelFileError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelFileError(f"cannot read model {path}: {error}") from None
    except (KeyError, TypeError, ValueError, TruesparseError) as error:
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
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for array in tensors.values():
                np.ascontiguousarray(array).tofile(file)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write model {path}: {error}") from None
    return path


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
    def tensor(name: str) -> np.ndarray:
        return file.get_tensor(f"layers.{index}.{name}")

    choose(spec["activation"], ACTIVATIONS, "activation")
    dropout, parameter = float(spec["dropout"]), float(spec["parameter"])
    if not (0.0 <= dropout < 1.0 and math.isfinite(parameter)):
        raise ValueError(f"layer {index} has dropout {dropout}, parameter {parameter}")
    links = Connections(
        spec["n_in"],
        spec["n_out"],
        tensor("indptr"),
        tensor("indices"),
        tensor("values"),
    )
    layer = SparseLayer(links, LayerActivation(spec["activation"], parameter, dropout))
    bias = tensor("bias")
    if bias.shape != layer.bias.shape or bias.dtype != layer.bias.dtype:
        raise ValueError(f"bias of layer {index} is {bias.dtype} of shape {bias.shape}")
    for name, array in (("values", links.values), ("bias", bias)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of layer {index} hold NaN or infinity")
    layer.bias[:] = bias
    return layer
