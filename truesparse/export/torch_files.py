"""Files of torch modules: tensors and plain values, which run no code when read.

``torch.load(path, weights_only=True)`` reads one as a dict of

    format       1
    state_dict   of the module: ``layers.N.crow_indices``, ``col_indices``, ``values``
                 (W as CSR, (n_out, n_in)), ``bias`` and for srelu ``srelu``; and the
                 scales ``feature_mean``, ``feature_scale``, ``target_mean`` and
                 ``target_scale``, where there are any
    layers       n_in, n_out, activation and its parameter of every layer
    head         "softmax", "logistic", "poisson" or "identity"
    about        task, classes, feature_names, target_name, rows; see `to_torch`

A program of torch.export it cannot be: torch (2.13) has no sparse CSR tensors there.
"""

import itertools
import json
import pathlib
import sys
from typing import Any

import numpy as np

from truesparse.activations import ACTIVATIONS, LayerActivation
from truesparse.common.checks import check_whole, choose
from truesparse.common.writing import replacing
from truesparse.datasets.dataset import SCALE_NAMES
from truesparse.errors import ModelFileError
from truesparse.export.by_output import LayerByOutput
from truesparse.export.torch_export import HEADS, make_module, require_torch, to_torch

FORMAT = 1


def save_torch(model: Any, path: Any, **options: Any) -> pathlib.Path:
    """Write the module of `to_torch` to a file, which `load_torch` reads.

    Parameters
    ----------
    model : SparseMLP, CondensedMLP or fitted estimator
    path : str or path
        Usually ends in ``.pt``.
    **options
        Options of `to_torch`.

    Returns
    -------
    path

    Raises
    ------
    UsageError
        If torch is not installed or the file cannot be written.
    """
    torch = require_torch("save_torch")
    module = to_torch(model, **options)
    layers = [
        {
            "n_in": layer.shape[1],
            "n_out": layer.shape[0],
            "activation": layer.activation,
            "parameter": float(layer.parameter),
        }
        for layer in module.layers
    ]
    content = {
        "format": FORMAT,
        "state_dict": dict(module.state_dict()),
        "layers": layers,
        "head": module.head,
        # As plain values: labels may be dates.
        "about": json.loads(json.dumps(module.about, default=str)),
    }
    # Not by name: torch reports files that cannot be written as RuntimeError.
    with replacing(path, "torch module") as partial, partial.open("xb") as file:
        before = sys.exception()
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch finds its archive unfinished after a write that failed.
            fault = error.__context__
            if isinstance(fault, OSError) and fault is not before:
                raise fault from None
            raise
    return pathlib.Path(path)


def load_torch(path: Any) -> Any:
    """Read a module that `save_torch` or ``python -m truesparse.export`` wrote.

    Returns
    -------
    torch.nn.Module
        As `to_torch` returns it.

    Raises
    ------
    UsageError
        If torch is not installed.
    ModelFileError
        If the file is missing, damaged, or not such a module.
    """
    torch = require_torch("load_torch")
    try:
        content = torch.load(path, weights_only=True)
        if "format" not in content:
            raise ValueError("it is not a file that save_torch wrote")
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, not {FORMAT}")
        tensors = content["state_dict"]
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        layers = [_layer(arrays, *pair) for pair in enumerate(content["layers"])]
        if any(a.n_out != b.n_in for a, b in itertools.pairwise(layers)):
            raise ValueError("its layers do not fit each other")
        head = choose(content["head"], HEADS, "head")
        scales = {name: arrays.get(name) for name in SCALE_NAMES}
        module = make_module(layers, scales, head, content["about"])
        module.load_state_dict(tensors)  # refuses what is left over
    except Exception as error:  # torch raises many kinds for what is no such file
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"cannot read torch module {path}: {reason}") from None
    return module


def _layer(arrays: dict[str, np.ndarray], index: int, spec: dict) -> LayerByOutput:
    def array(name: str) -> np.ndarray:
        return arrays[f"layers.{index}.{name}"]

    name = choose(spec["activation"], ACTIVATIONS, "activation")
    return LayerByOutput(
        check_whole("n_in", spec["n_in"], 0),
        array("crow_indices"),
        array("col_indices"),
        array("values"),
        array("bias"),
        LayerActivation(name, spec["parameter"]),
        arrays.get(f"layers.{index}.srelu"),
    )
