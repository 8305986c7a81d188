"""CondensedMLP: a trained model in condensed layers, for fast predictions.

Single samples gain most: condensed layers allocate nothing for them but the output.

Files are safetensors with ``layers.N.weights``, ``inputs``, ``neurons`` and ``bias`` of
condensed layers; ``indptr``, ``indices``, ``values``, ``neurons`` and ``bias`` of those
in CSR; and ``constants``: the outputs without connections. Layers with srelu have an
array ``activation``, too. The preprocessing is stored as in other model files.
"""

import functools
import json
import pathlib
import threading
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole, float_type
from truesparse.condensed.convert import condense_all
from truesparse.condensed.layers import CondensedLayer, RowsLayer
from truesparse.datasets import Preprocessing
from truesparse.errors import ModelFileError, UsageError
from truesparse.export.by_output import model_of
from truesparse.kernels.arrays import Csr
from truesparse.kernels.batch import gather_dense
from truesparse.kernels.simd import make_tile
from truesparse.losses import Loss
from truesparse.network.inputs import as_source_data, n_samples, warn_of_scales
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import LARGEST_SIDE, Connections
from truesparse.storage import digest
from truesparse.storage.models import read_preprocessing
from truesparse.storage.preprocessing import to_tensors
from truesparse.storage.tensors import (
    CONDENSED_KEY,
    open_tensors,
    read_activation,
    read_tensor,
    write_tensors,
)

FORMAT = 1
# A batch of any size costs at least as much as 16 samples; up to this many are faster
# one by one.
_FEW_SAMPLES = 2
_TILE_BYTES = 64  # for four neurons at once, what the registers of AVX2 hold


class CondensedMLP:
    """A multilayer perceptron for prediction, made by `from_model` or `load`.

    Layers of constant fan-in, to within one connection, are condensed (those of SRigL,
    and full layers); others stay in CSR. Neurons without connections are left out.
    Where a neuron of a condensed layer has one connection less, a weight 0 of its last
    input stands in, so that an infinite activation there becomes NaN.

    Several threads may predict with one object; each has its buffers for one sample.
    With AVX-512, the first prediction of a single sample stores layers of float32 a
    second time if they are dense enough, see kernels/windows.py. A layer then takes 13
    to 16 bytes a connection, or up to 26 if it fits the cache, where latency falls to a
    third. Making that copy takes 0.1 us a connection and for that time 30 bytes, half
    of that in layers of millions of connections.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse import SparseMLP
    >>> from truesparse.condensed import CondensedMLP
    >>> model = SparseMLP([4, 8, 3], density=1.0, seed=1)
    >>> fast, x = CondensedMLP.from_model(model), np.ones((1, 4), np.float32)
    >>> bool(np.allclose(fast.predict_proba(x), model.predict_proba(x)))
    True
    """

    # How the training data were scaled and labelled, if the model knew it.
    preprocessing: Preprocessing | None = None

    def __init__(
        self,
        n_features: int,
        layers: list[CondensedLayer | RowsLayer],
        constants: np.ndarray,
        loss: Loss,
    ):
        self.n_features = check_whole("n_features", n_features, 1, LARGEST_SIDE)
        self.layers, self.constants, self.loss = layers, constants, loss
        self._check()
        # A layer that several models share is packed for the last of them.
        total = max(self.nnz, 1)
        for layer in layers:
            if isinstance(layer, CondensedLayer):
                layer.cache_share = layer.nnz / total
        self._all_active = layers[-1].n_active == constants.size

    @classmethod
    def from_model(cls, model: Any) -> "CondensedMLP":
        """Condense a trained model; all arrays are copies.

        Parameters
        ----------
        model : SparseMLP or fitted estimator
            Predictions are those of the network: probabilities of the classes in
            their order, or targets.

        Raises
        ------
        UsageError
            For anything else.
        """
        model = model_of(model)
        if not isinstance(model, SparseMLP):
            raise UsageError(
                "a CondensedMLP is condensed already; give a SparseMLP or an estimator"
            )
        layers, constants = condense_all(model.layers)
        condensed = cls(model.layer_sizes[0], layers, constants, model.loss)
        condensed.preprocessing = model.preprocessing
        return condensed

    @functools.cached_property
    def _of_thread(self) -> threading.local:
        """Each thread's buffers for the outputs of all layers for one sample."""
        return threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to threads."""
        state = vars(self).copy()
        state.pop("_of_thread", None)
        return state

    @property
    def dtype(self) -> np.dtype:
        """Dtype of weights and activations."""
        return self.constants.dtype

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Features, hidden neurons that have connections, and outputs."""
        hidden = (layer.n_active for layer in self.layers[:-1])
        return (self.n_features, *hidden, self.constants.size)

    @property
    def nnz(self) -> int:
        """Number of connections, including the weights 0 that fill up rows."""
        return sum(layer.nnz for layer in self.layers)

    def decision_function(
        self, data, batch_size: int = 128, *, scaled: bool = False
    ) -> np.ndarray:
        """Return the outputs before softmax or logistic, as an (n, n_out) array.

        Parameters
        ----------
        data : (n, n_features) array or scipy.sparse matrix
            A sparse matrix is made dense a batch at a time, never as a whole.
        batch_size : int
        scaled : bool
            Confirms that `data` are scaled; without it there is a warning if
            `preprocessing` scales.

        Raises
        ------
        DataError
            For data that SparseMLP refuses.
        """
        warn_of_scales(self.preprocessing, scaled)
        check_whole("batch_size", batch_size, 1)
        source = as_source_data(data, self.dtype, self.n_features)
        n = n_samples(source)
        out = np.empty((n, self.constants.size), self.dtype)
        buffers: dict[int, list[np.ndarray]] = {}
        for start in range(0, n, batch_size):
            stop = min(start + batch_size, n)
            batch = _dense(source, start, stop, self.n_features)
            if stop - start <= _FEW_SAMPLES:
                for x, row in zip(batch, out[start:stop], strict=True):
                    self._one(x, row)
            else:
                self._many(batch, out[start:stop], buffers)
        return out

    def predict_proba(
        self, data, batch_size: int = 128, *, scaled: bool = False
    ) -> np.ndarray:
        """Return probabilities, or predictions of a regression, as (n, n_out)."""
        warn_of_scales(self.preprocessing, scaled)
        z = self.decision_function(data, batch_size, scaled=True)
        return self.loss.activate(z)

    def save(self, path) -> pathlib.Path:
        """Write the model to a file; an existing one is replaced when all is written.

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        tensors = {"constants": self.constants}
        for index, layer in enumerate(self.layers):
            for name, array in _arrays(layer).items():
                tensors[f"layers.{index}.{name}"] = array
        description = {
            "format": FORMAT,
            "n_features": self.n_features,
            "loss": self.loss.to_json(),
            "layers": [
                {
                    "condensed": isinstance(layer, CondensedLayer),
                    "activation": layer.activation.name,
                    "parameter": layer.activation.parameter,
                }
                for layer in self.layers
            ],
        }
        metadata = {CONDENSED_KEY: json.dumps(description)}
        if self.preprocessing is not None:
            more, metadata["preprocessing"] = to_tensors(self.preprocessing)
            tensors |= more
        return write_tensors(path, tensors, metadata)

    @classmethod
    def load(cls, path, *, verify: bool = True) -> "CondensedMLP":
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path
        verify : bool
            Compare the file with its digest first, see truesparse.load.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, has changed since it was written or is of
            another kind, or its arrays do not form a model; every index is checked.
        """
        with digest.verifying(path, verify), open_tensors(path) as file:
            metadata = file.metadata() or {}
            if CONDENSED_KEY not in metadata:
                raise ModelFileError(
                    f"{path} is not a condensed model; truesparse.load reads models of "
                    "other kinds"
                )
            description = parse_description(metadata)
            width, layers = description["n_features"], []
            for index, spec in enumerate(description["layers"]):
                layers.append(_load_layer(file, index, spec, width))
                width = layers[-1].n_active
            constants = read_tensor(file, "constants", "float32", "float64")
            loss = Loss.from_json(description["loss"])
            model = cls(description["n_features"], layers, constants, loss)
            sizes = model.n_features, constants.size
            model.preprocessing = read_preprocessing(file, *sizes)
            return model

    def _check(self) -> None:
        """Raise UsageError unless the layers form a model."""
        if not self.layers:
            raise UsageError("a model needs at least one layer")
        float_type(self.dtype)
        width = self.n_features
        for layer in self.layers:
            if layer.n_in != width:
                raise UsageError(
                    f"a layer has {layer.n_in} inputs, but {width} neurons come before "
                    "it"
                )
            if layer.bias.dtype != self.dtype:
                raise UsageError(
                    f"layers and constants must be of one dtype, got {layer.bias.dtype}"
                    f" and {self.dtype}"
                )
            width = layer.n_active
        n_out, neurons = self.constants.size, self.layers[-1].neurons
        if self.constants.ndim != 1 or n_out < 1 or neurons.max(initial=-1) >= n_out:
            raise UsageError(
                f"neurons of the last layer must be from 0 to {n_out - 1}, for "
                f"constants is of shape {self.constants.shape}"
            )
        if self.layers[-1].activation.name != "identity":
            raise UsageError(
                "the last layer must have activation 'identity', got "
                f"{self.layers[-1].activation.name!r}"
            )

    def _allocate(self, columns: int) -> list[np.ndarray]:
        return [np.empty(layer.room(columns), self.dtype) for layer in self.layers]

    def _one(self, x: np.ndarray, out: np.ndarray) -> None:
        """Compute one sample (n_features,) into (n_out,)."""
        try:
            buffers = self._of_thread.buffers
        except AttributeError:
            buffers = self._of_thread.buffers = self._allocate(1)
        for layer, buffer in zip(self.layers, buffers, strict=True):
            layer.run(x, buffer)
            x = buffer.reshape(-1)
        last = self.layers[-1]
        if self._all_active:
            out[:] = x[: last.n_active]
        else:
            out[:] = self.constants
            out[last.neurons] = x[: last.n_active]

    def _many(self, batch: np.ndarray, out: np.ndarray, buffers: dict) -> None:
        """Compute samples (n, n_features) into (n, n_out), feature by feature."""
        n, tile = len(batch), _TILE_BYTES // self.dtype.itemsize
        columns = -(-n // tile) * tile
        if columns not in buffers:
            x = np.empty((self.n_features, columns), self.dtype)
            buffers[columns] = [x, *self._allocate(columns)]
        x, *outputs = buffers[columns]
        gather_dense(batch, np.arange(n), x)
        for layer, buffer in zip(self.layers, outputs, strict=True):
            layer.run_batch(make_tile(tile), x, buffer)
            x = buffer
        last = self.layers[-1]
        if not self._all_active:
            out[:] = self.constants
        out[:, last.neurons] = x[: last.n_active, :n].T


def parse_description(metadata: dict[str, str]) -> dict[str, Any]:
    """Return what the metadata of a file say of a condensed model.

    Raises
    ------
    ValueError
        For a format that this version does not read, or a wrong number of features.
    """
    description: dict[str, Any] = json.loads(metadata[CONDENSED_KEY])
    if description["format"] != FORMAT:
        raise ValueError(
            f"it has format {description['format']}; this version reads {FORMAT}"
        )
    check_whole("n_features", description["n_features"], 1, LARGEST_SIDE)
    return description


def _dense(source: np.ndarray | Csr, start: int, stop: int, n_features: int):
    """Return some samples as a dense array."""
    if not isinstance(source, Csr):
        return source[start:stop]
    out = np.zeros((stop - start, n_features), source.values.dtype)
    first, last = source.indptr[start], source.indptr[stop]
    samples = np.repeat(
        np.arange(stop - start), np.diff(source.indptr[start : stop + 1])
    )
    out[samples, source.indices[first:last]] = source.values[first:last]
    return out


def _arrays(layer: CondensedLayer | RowsLayer) -> dict[str, np.ndarray]:
    shared = {"neurons": layer.neurons, "bias": layer.bias}
    if layer.srelu is not None:
        shared["activation"] = layer.srelu.values
    if isinstance(layer, CondensedLayer):
        return {"weights": layer.weights, "inputs": layer.inputs} | shared
    names = ("indptr", "indices", "values")
    return dict(zip(names, layer.connections.csr, strict=True)) | shared


def _load_layer(
    file: Any, index: int, spec: dict, n_in: int
) -> CondensedLayer | RowsLayer:
    def tensor(name: str) -> np.ndarray:
        return read_tensor(file, f"layers.{index}.{name}")

    activation = read_activation(spec)
    neurons, bias = tensor("neurons"), tensor("bias")
    srelu = tensor("activation") if activation.is_trained else None
    outputs = neurons, bias, activation, srelu
    if spec["condensed"]:
        return CondensedLayer(n_in, tensor("weights"), tensor("inputs"), *outputs)
    csr = tensor("indptr"), tensor("indices"), tensor("values")
    return RowsLayer(Connections(n_in, neurons.size, *csr), *outputs)
