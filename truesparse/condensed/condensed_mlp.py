"""CondensedMLP: a trained model in condensed layers, for fast predictions.

Single samples gain most: condensed layers allocate nothing for them but the output.
"""

import json
import pathlib
from typing import Any

import numpy as np

from truesparse.common.checks import check_whole, float_type
from truesparse.condensed.layer_files import is_regular, load_layer, stored_arrays
from truesparse.errors import ModelFileError, UsageError
from truesparse.export.by_output import model_of
from truesparse.losses import Loss
from truesparse.network.inputs import as_source_data, n_samples, warn_of_scales
from truesparse.network.probabilities import Probabilities
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.condensed_chain import CondensedChain
from truesparse.sparse.condensed_layer import CondensedLayer
from truesparse.sparse.condensing import condense_all
from truesparse.sparse.connections import LARGEST_SIDE
from truesparse.storage import digest
from truesparse.storage.models import read_preprocessing
from truesparse.storage.preprocessing import to_tensors
from truesparse.storage.tensors import (
    CONDENSED_KEY,
    open_tensors,
    read_tensor,
    write_tensors,
)

FORMAT = 1


class CondensedMLP(Probabilities):
    """A multilayer perceptron for prediction, made by `from_model` or `load`.

    Layers may have any topology. Neurons without connections are left out. Each neuron
    adds up its inputs in ascending order, so that results differ from those of the
    SparseMLP by rounding alone, and depend on no number of threads.

    Several threads may predict with one object; each has its buffers for one sample.
    A layer takes 8 bytes a connection. With AVX-512, the first prediction of up to 8
    samples stores layers of float32 a second time if they are dense enough, see
    kernels/windows.py. A layer then takes 13 to 16 bytes a connection, or up to 26 if
    it fits the cache, where latency falls to a third. Making that copy takes 0.1 us a
    connection and for that time 30 bytes, half of that in layers of millions of
    connections.

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

    def __init__(
        self,
        n_features: int,
        layers: list[CondensedLayer],
        constants: np.ndarray,
        loss: Loss,
    ):
        self.n_features = check_whole("n_features", n_features, 1, LARGEST_SIDE)
        self.layers, self.constants, self.loss = layers, constants, loss
        self._check()
        self._chain = CondensedChain(layers, constants)

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
        """Number of connections."""
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
        return self._chain.predict(source, n_samples(source), batch_size)

    def save(self, path) -> pathlib.Path:
        """Write the model to a file; an existing one is replaced when all is written.

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        tensors = {"constants": self.constants}
        for index, layer in enumerate(self.layers):
            for name, array in stored_arrays(layer).items():
                tensors[f"layers.{index}.{name}"] = array
        description = {
            "format": FORMAT,
            "n_features": self.n_features,
            "loss": self.loss.to_json(),
            "layers": [
                {
                    "condensed": is_regular(layer),
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
                layers.append(load_layer(file, index, spec, width))
                width = layers[-1].n_active
            constants = read_tensor(file, "constants", "float32", "float64")
            loss = Loss.from_json(description["loss"])
            model = cls(description["n_features"], layers, constants, loss)
            sizes = model.n_features, constants.size
            model.preprocessing = read_preprocessing(file, *sizes)
            return model

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take layers from a pickle, if they form a model."""
        self.__dict__.update(state)
        try:
            self._check()
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelFileError(f"the pickled network is damaged: {error}") from None

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
