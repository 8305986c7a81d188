"""Saving and loading models: safetensors files, with the configuration as metadata.

The tensors are ``layers.N.indptr``, ``indices``, ``values`` and ``bias``, and for srelu
``activation``, with the rows of sparse.srelu.Srelu. The metadata entry ``truesparse``
holds everything else that makes the model, as JSON; ``config`` holds the text of the
run's config.toml. For scales and labels of the training data see preprocessing.py.
Loading checks every index array before a kernel sees it.
"""

import json
import os
import pathlib
import warnings

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.datasets import Preprocessing
from truesparse.errors import ModelFileError, UsageError
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.storage import digest, run_folder
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
    previous: pathlib.Path | None = None,
) -> pathlib.Path:
    """Write a model to a file; an existing file is replaced once all is written.

    Parameters
    ----------
    model : SparseMLP or fitted estimator
        An estimator adds its classes and feature names, see its `save`.
    path : str or path
        Name of the file, usually ending in ``.safetensors``.
    config : str, optional
        Configuration of the training, stored in the metadata.
    preprocessing : Preprocessing, optional
        How features were scaled and what the outputs stand for; by default that of
        the model, which it has if `load` read it.
    more_tensors, more_metadata : dict, optional
        Stored in the same file and ignored by `load`, see checkpoint.write.
    previous : path, optional
        Name, in the same folder, that an existing file is kept under, if its digest
        shows that it is as it was written; otherwise, and by default, it is lost.

    Returns
    -------
    path

    Raises
    ------
    UsageError
        If `path` is no name for a file in an existing folder.
    StorageError
        If the system refuses to write the file, as on a full disk.

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
        connections = layer.connections
        tensors[f"layers.{index}.indptr"] = connections.indptr
        tensors[f"layers.{index}.indices"] = connections.indices
        tensors[f"layers.{index}.values"] = connections.values
        tensors[f"layers.{index}.bias"] = layer.bias
        if layer.srelu is not None:
            tensors[f"layers.{index}.activation"] = layer.srelu.values
    metadata = {"truesparse": json.dumps(_describe(model))}
    if config is not None:
        metadata["config"] = config
    if preprocessing is None:
        preprocessing = model.preprocessing
    if not isinstance(preprocessing, Preprocessing | None):
        raise UsageError(
            "preprocessing must be a Preprocessing, or a Dataset, which is one, got "
            f"{preprocessing!r}"
        )
    if preprocessing is not None:
        preprocessing.check(model.layer_sizes[0], model.layer_sizes[-1])
        more, text = to_tensors(preprocessing)
        tensors |= more
        metadata["preprocessing"] = text
    tensors |= more_tensors or {}
    metadata |= more_metadata or {}
    return write_tensors(path, tensors, metadata, previous)


def load(path, *, verify: bool = True) -> SparseMLP:
    """Read a model that `save` wrote, or that of a run.

    Its `preprocessing` says how the training data were scaled and labelled, if the file
    does; exports start from it. The model itself takes scaled rows, as in training:
    `load_predictor` returns what predicts from raw rows.

    Parameters
    ----------
    path : str or path
        A file, or the folder of a run. As long as the run has not ended, its checkpoint
        may be the latest model; a warning says so.
    verify : bool
        Compare the file with its digest first, see storage/digest.py. A file without
        one is warned of.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or has changed since it was written, is not a
        model, or has arrays that are not valid; or if the folder holds no model.
    """
    file_path = find_model(path, verify=verify)
    with digest.verifying(file_path, verify), open_tensors(file_path) as file:
        description = parse_description(file.metadata() or {}, file_path)
        layers = [
            _load_layer(file, index, spec)
            for index, spec in enumerate(description["layers"])
        ]
        dtypes = {layer.bias.dtype.name for layer in layers}
        if len(dtypes) > 1:
            raise ValueError(f"layers differ in dtype: {', '.join(sorted(dtypes))}")
        loss = Loss.from_json(description["loss"])
        how = description["seed"], description.get("activation_dtype")
        model = SparseMLP.from_layers(layers, loss, *how)
        model.step = check_whole("step", description["step"], 0)
        model.preprocessing = read_preprocessing(
            file, layers[0].connections.n_in, layers[-1].connections.n_out
        )
    note = note_if_unfinished(path, file_path, model)
    if note is not None:
        warnings.warn(note, UserWarning, stacklevel=2)
    return model


def find_model(path, *, verify: bool = True) -> pathlib.Path:
    """Return the model file of a run folder; return any other path unchanged.

    In the folder of an unfinished run it is the model or the checkpoint, whichever has
    more steps. If that one is damaged it is the next one, with a warning.

    Parameters
    ----------
    path : str or path
    verify : bool
        Compare files of an unfinished run with their digests.

    Raises
    ------
    ModelFileError
        If the folder holds no model, or an unfinished run has none that can be read.
    """
    try:
        folder = pathlib.Path(path)
    except TypeError:
        raise ModelFileError(f"cannot read model {path!r}: give a path") from None
    if not os.path.isdir(folder):
        return folder
    names = run_folder.MODELS
    files = run_folder.model_files(folder, *names, run_folder.PREVIOUS)
    if not files:
        raise ModelFileError(
            f"folder {path} holds no {' or '.join(names)}; give a run folder or a "
            "model file"
        )
    # A finished run may have saved the model of its best epoch, with fewer steps.
    has_ended = files[0].name == run_folder.MODEL and not run_folder.is_unfinished(path)
    return files[0] if has_ended else _latest_sound(files, verify)


def _latest_sound(files: list[pathlib.Path], verify: bool) -> pathlib.Path:
    """Return the file with the most steps that is not damaged, with a warning."""
    steps: list[tuple[int, pathlib.Path]] = []
    damage: list[ModelFileError] = []
    for file in files:
        try:
            steps.append((load_step(file), file))
        except ModelFileError as error:
            damage.append(error)
    for step, file in sorted(steps, key=lambda each: each[0], reverse=True):
        try:
            if verify:
                digest.verify(file)
        except ModelFileError as error:
            damage.append(error)
            continue
        if damage:
            said = "; ".join(map(str, damage))
            message = f"{said}; {file.name}, of step {step:,}, is taken instead"
            warnings.warn(message, UserWarning, stacklevel=3)
        return file
    raise damage[0]


def note_if_unfinished(path, file_path: pathlib.Path, model: SparseMLP) -> str | None:
    """Return what to say about a model of a run that has not ended, or None.

    Parameters
    ----------
    path : str or path
        What the user gave, a file or the folder of a run.
    file_path : path
        The file that `find_model` chose.
    model : SparseMLP
        The model in it.
    """
    if file_path == pathlib.Path(path) or not run_folder.is_unfinished(path):
        return None
    return (
        f"the run in {path} has not ended: this is {file_path.name}, saved after step "
        f"{model.step:,}"
    )


def notes_on(path, file_path: pathlib.Path, model: SparseMLP) -> list[str]:
    """Return what to say about a model: that its run goes on, that it is untrained."""
    if note := note_if_unfinished(path, file_path, model):
        return [note]
    in_run = run_folder.model_files(file_path.parent, run_folder.METRICS)
    if model.step == 0 and in_run:
        return [f"{file_path} holds the untrained network, of step 0"]
    return []


def load_preprocessing(path) -> Preprocessing | None:
    """Read how the training data of a model were scaled and labelled.

    Returns
    -------
    Preprocessing or None
        None if the file does not contain it.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, is not a model, or has a preprocessing that
        is not valid.

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
        layers = parse_description(file.metadata() or {}, path)["layers"]
        return read_preprocessing(file, layers[0]["n_in"], layers[-1]["n_out"])


def read_preprocessing(file, n_features: int, n_outputs: int) -> Preprocessing | None:
    """Read the preprocessing from an open file of a model of these sizes, or None.

    Raises
    ------
    ValueError, TypeError or KeyError
        If it is not valid.
    """
    metadata = file.metadata() or {}
    if "preprocessing" not in metadata:
        return None
    preprocessing = from_tensors(file, metadata["preprocessing"])
    preprocessing.check(n_features, n_outputs)
    return preprocessing


def load_config(path) -> str | None:
    """Return the configuration that a model was trained with, if the file has it.

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
        If the file cannot be read or is not a model.
    """
    with open_tensors(path) as file:
        step = parse_description(file.metadata() or {}, path)["step"]
        return check_whole("step", step, 0)


def _describe(model: SparseMLP) -> dict:
    rounds = model.activation_dtype != model.dtype.name
    return {
        "format": FORMAT,
        # Earlier versions know none, and take the dtype of the weights.
        **({"activation_dtype": model.activation_dtype} if rounds else {}),
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


def parse_description(metadata: dict[str, str], path) -> dict:
    """Return the description of a model; ModelFileError if it is not of a SparseMLP."""
    if CONDENSED_KEY in metadata:
        raise ModelFileError(
            f"{path} is a condensed model, which only CondensedMLP.load reads; give "
            "the model that it was made from"
        )
    if "truesparse" not in metadata:
        raise ModelFileError(
            f"{path} is not a truesparse model: it lacks the metadata of one; give a "
            "file that truesparse.save or truesparse.train wrote"
        )
    description: dict = json.loads(metadata["truesparse"])
    check_format(description, path)
    return description


def check_format(description: dict, path, supported: int = FORMAT) -> None:
    """Raise ModelFileError unless a description has the supported format."""
    if description["format"] != supported:
        raise ModelFileError(
            f"{path} has format {description['format']}, this version of truesparse "
            f"reads format {supported}; use the version that wrote the file"
        )


def _load_layer(file, index: int, spec: dict) -> SparseLayer:
    def tensor(name: str, *dtypes: str):
        return read_tensor(file, f"layers.{index}.{name}", *dtypes)

    dropout = spec["dropout"]
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"layer {index} has dropout {dropout}")
    activation = read_activation(spec, dropout)
    connections = Connections(
        spec["n_in"],
        spec["n_out"],
        tensor("indptr", "int64"),
        tensor("indices", "int32"),
        tensor("values", "float32", "float64"),
    )
    dtype = connections.values.dtype.name
    bias = tensor("bias", dtype)
    # Checked before anything of the size that the file claims is allocated.
    if bias.shape != (connections.n_out,):
        raise ValueError(f"bias of layer {index} has shape {bias.shape}")
    layer = SparseLayer(connections, activation)
    if layer.srelu is not None:
        layer.srelu.adopt(tensor("activation", dtype))
    layer.bias[:] = bias
    return layer
