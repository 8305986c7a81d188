"""SparseMLP: a multilayer perceptron whose layers exist only as index arrays."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from truesparse.common import rng
from truesparse.common.checks import check_whole
from truesparse.drawing import draw_layers as drawing
from truesparse.errors import DataError, UsageError
from truesparse.kernels.arrays import Csr
from truesparse.kernels.loss import store_delta
from truesparse.losses import Loss
from truesparse.network import backprop, faults, feedforward, inputs
from truesparse.network.buffers import Buffers
from truesparse.network.condensed_copy import FewSamples
from truesparse.network.exportable import Exportable
from truesparse.network.layer_stack import LayerStack
from truesparse.network.precision import weight_dtype
from truesparse.network.probabilities import Probabilities
from truesparse.optimizers import Optimizer
from truesparse.sparse.layer import SparseLayer

DEFAULT_EPSILON = 20.0
# Held while tasks are adapted: several threads may predict with the same model.
_adapting = threading.Lock()


class SparseMLP(LayerStack, Probabilities, Exportable):
    """A truly sparse multilayer perceptron.

    Parameters
    ----------
    layer_sizes : sequence of int
        Neurons of every layer: features, hidden layers, outputs.
    epsilon : float, optional
        Each layer has ``epsilon * (n_in + n_out)`` connections, at most all cells.
        20 if neither `epsilon` nor `density` is given.
    density : float, optional
        Share of the cells of each layer, in (0, 1].
    activation : str
        Activation of the hidden layers, one of activations.ACTIVATIONS.
    activation_parameter : float, optional
        Slope of leaky_relu and all_relu, alpha of elu.
    loss : Loss or str
    dropout : float
        Share of the hidden outputs dropped during training.
    init_topology : str
        Which cells are connected at first, see drawing.patterns.INIT_TOPOLOGIES.
    init_options : dict, optional
        Options of the initial topology, see drawing.patterns.
    init_data : (n, n_features) array or scipy.sparse matrix, optional
        Training data, from which "csti" chooses the connections.
    weight_init : str
        How weights are drawn, see drawing.cells.INITIALIZERS.
    dtype : {"float32", "float64"}
    activation_dtype : {"float32", "bfloat16"}, optional
        How outputs and deltas of the layers are stored, by default as the weights are.
        bfloat16 halves the memory that wide layers fetch, and keeps three decimal
        digits; data, sums, weights and what the loss and predictions take of the last
        layer stay float32.
    seed : int
        Determines topology, weights, dropout and all other random numbers.

    Raises
    ------
    UsageError
        For a value that is not accepted.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> model = SparseMLP([64, 100, 10], epsilon=5)
    >>> model.nnz, model.n_neurons
    (1370, 110)
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        epsilon: float | None = None,
        density: float | None = None,
        activation: str = "relu",
        activation_parameter: float | None = None,
        loss: Loss | str = "softmax",
        dropout: float = 0.0,
        init_topology: str = "erdos_renyi",
        init_options: dict | None = None,
        init_data: object = None,
        weight_init: str = "he_uniform",
        dtype: str = "float32",
        activation_dtype: str | None = None,
        seed: int = 0,
    ):
        if epsilon is None and density is None:
            epsilon = DEFAULT_EPSILON
        layers = drawing.draw_layers(
            layer_sizes,
            init_topology,
            weight_init,
            epsilon=epsilon,
            density=density,
            hidden=drawing.Hidden(activation, activation_parameter, dropout),
            dtype=weight_dtype(dtype, activation_dtype),
            seed=seed,
            data=init_data,
            options=init_options,
        )
        self._assemble(list(layers), loss, seed, activation_dtype)

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[SparseLayer],
        loss: Loss | str = "softmax",
        seed: int = 0,
        activation_dtype: str | None = None,
    ) -> "SparseMLP":
        """Build a model from layers, each with the inputs that the last one outputs."""
        self = cls.__new__(cls)
        self._assemble(list(layers), loss, seed, activation_dtype)
        return self

    def _assemble(
        self,
        layers: list[SparseLayer],
        loss: Loss | str,
        seed: int,
        activation_dtype: str | None,
    ) -> None:
        drawing.check_layers(layers)
        self.layers = layers
        self.loss = Loss(loss) if isinstance(loss, str) else loss
        if not isinstance(self.loss, Loss):
            raise UsageError(f"loss must be a name or a Loss, got {loss!r}")
        self.seed = rng.check_seed(seed)
        self.step = 0
        self.moments_since = 0  # the step at which the optimiser's state was zero
        self.activation_dtype = activation_dtype
        self._version = -1  # of the topology that buffers and tasks fit
        self._few = FewSamples()

    def __getstate__(self) -> dict[str, Any]:
        # A pickle or a copy allocates buffers itself, when it needs them.
        return self.__dict__ | {"_buffers": None, "_version": -1}

    @classmethod
    def from_sparse(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        *,
        activation: str = "relu",
        activation_parameter: float | None = None,
        loss: Loss | str = "softmax",
        dropout: float = 0.0,
        dtype: str = "float32",
        activation_dtype: str | None = None,
        seed: int = 0,
    ) -> "SparseMLP":
        """Build a model whose initial connections and weights are given.

        Parameters
        ----------
        weights : sequence of (n_in, n_out) scipy.sparse matrices
            One for each layer, features first, copied. Every stored entry is a
            connection, one that holds 0 too.
        biases : sequence of (n_out,) arrays, optional
            0 if not given.
        activation, activation_parameter, loss, dropout, dtype, activation_dtype, seed
            See SparseMLP.

        Raises
        ------
        UsageError
            If a matrix is not sparse, finite and valid, or the shapes do not fit.

        Examples
        --------
        >>> import scipy.sparse
        >>> W1, W2 = scipy.sparse.eye_array(4, 6), scipy.sparse.eye_array(6, 2)
        >>> SparseMLP.from_sparse([W1, W2]).layer_sizes
        (4, 6, 2)
        """
        layers = drawing.given_layers(
            weights,
            biases,
            hidden=drawing.Hidden(activation, activation_parameter, dropout),
            dtype=weight_dtype(dtype, activation_dtype),
            seed=seed,
        )
        return cls.from_layers(list(layers), loss, seed, activation_dtype)

    def prepare(
        self,
        batch_size: int,
        data: np.ndarray | Csr | None = None,
        validation: np.ndarray | Csr | None = None,
    ) -> None:
        """Allocate the training buffers for a batch size and dense or sparse data.

        They also serve predictions on `validation` data. Existing buffers are kept if
        they fit.
        """
        check_whole("batch_size", batch_size, 1)
        # Validation data of the other kind, dense or sparse, get buffers of their own.
        room = None
        if isinstance(data, Csr):
            both = (data, validation)
            room = max(
                inputs.batch_room(x, batch_size) for x in both if isinstance(x, Csr)
            )
        if self._buffers is None or not self._buffers.can_train(batch_size, room):
            self._buffers = None  # freed before others are allocated
            how = self.activation_dtype
            self._buffers = Buffers(self.layers, batch_size, room, activation_dtype=how)

    def release(self, keep_buffers: bool = False) -> None:
        """Drop the references to the data of the last step, and the buffers."""
        if self._buffers is not None:
            self._buffers.forget_data()
        if not keep_buffers:
            self._buffers = None

    def train_batch(
        self,
        data: np.ndarray | Csr,
        targets: np.ndarray,
        samples: np.ndarray,
        optimizer: Optimizer,
        lr: float,
        *,
        sample_weight: np.ndarray | None = None,
        clip_norm: float | None = None,
        clock: Callable[[str], None] | None = None,
    ) -> float:
        """Take one optimiser step on a batch and return its loss before the step.

        Parameters
        ----------
        data : (n, n_features) array of the model's dtype, or Csr
            Return value of ``network.inputs.as_source_data``.
        targets : array
            Return value of ``loss.prepare_targets``.
        samples : (batch,) int64 array
            Indices of the batch's samples, at most the batch size given to `prepare`.
        optimizer : Optimizer
            One whose state `allocate_moments` has allocated.
        lr : float
        sample_weight : (n,) float64 array, optional
        clip_norm : float, optional
            Largest global L2 norm of the gradient; a longer one is scaled down.
        clock : callable, optional
            Called with "data", "forward" and "backward" as each phase ends.

        Raises
        ------
        UsageError
            If buffers or optimiser state are missing or do not fit the batch.
        """
        buffers = self._ready(data, targets, samples, sample_weight)
        if not self.has_moments(optimizer):
            raise UsageError("optimizer has no state: call allocate_moments first")
        x, loss = self._load_and_forward(
            buffers, data, targets, samples, sample_weight, clock
        )
        if math.isfinite(loss):
            age = self.step - self.moments_since
            backprop.step(self.layers, buffers, x, optimizer, lr, age, clip_norm)
            self.step += 1
        if clock:
            clock("backward")
        return loss

    def observe_batch(
        self,
        data: np.ndarray | Csr,
        targets: np.ndarray,
        samples: np.ndarray,
        *,
        sample_weight: np.ndarray | None = None,
        observer: backprop.Observer | None = None,
        collector: backprop.Collector | None = None,
    ) -> float:
        """Run a batch forward and backward without a step, and return its loss.

        Parameters
        ----------
        data, targets, samples, sample_weight
            See `train_batch`.
        observer : callable, optional
            Called for every layer, last to first, with its number, its input x and
            its delta, (n_in, columns) and (n_out, columns): sum_b x_ib delta_jb is the
            gradient of connection (i, j), whether it exists or not.
        collector : callable, optional
            Called for every layer with its number and the gradient of its weights,
            (nnz,); the array is reused for the next layer.
        """
        buffers = self._ready(data, targets, samples, sample_weight)
        x, loss = self._load_and_forward(buffers, data, targets, samples, sample_weight)
        if math.isfinite(loss):
            backprop.observe(self.layers, buffers, x, observer, collector)
        return loss

    def decision_function(
        self,
        data: np.ndarray | scipy.sparse.sparray,
        batch_size: int = 128,
        *,
        scaled: bool = False,
    ) -> np.ndarray:
        """Return the outputs before softmax or logistic, as an (n, n_out) array.

        At most 128 samples go together; the last bits may depend on how many. Several
        threads may call this at the same time. If `preprocessing` scales, `data` are
        scaled rows; there is a warning until ``scaled=True`` confirms it.

        Up to 8 samples are answered by a condensed copy of at most 4 million
        connections, see network/condensed_copy.py.
        """
        inputs.warn_of_scales(self.preprocessing, scaled)
        check_whole("batch_size", batch_size, 1)
        n_features = self.layers[0].connections.n_in
        source = inputs.as_source_data(data, self.dtype, n_features)
        # One sample takes one column, even if there are wider buffers.
        n = max(inputs.n_samples(source), 1)
        size = min(batch_size, n, feedforward.MOST_SAMPLES)
        if self._activation_dtype != "bfloat16":
            few = self._few.predict(self.layers, source, size)
            if few is not None:
                return few
        return self._predict(source, size)

    def evaluate(
        self, data, targets, batch_size: int = 128, sample_weight=None
    ) -> tuple[float, float]:
        """Return mean loss and score on data, which are as for `Trainer.fit`."""
        targets = self.loss.prepare_targets(targets, self.layer_sizes[-1], self.dtype)
        check_whole("batch_size", batch_size, 1)
        source = inputs.as_source_data(data, self.dtype, self.layer_sizes[0])
        if (n := inputs.n_samples(source)) != len(targets):
            raise DataError(f"{n} samples but {len(targets)} targets; give as many")
        # In the buffers of a training run, however few samples these are.
        z = self._predict(source, batch_size)
        weights = inputs.as_weights(sample_weight, len(targets))
        return self.loss.mean(z, targets, weights), self.loss.score(z, targets, weights)

    def describe_fault(self) -> str:
        """Return where a step that failed left finite numbers, see network.faults."""
        outputs = [] if self._buffers is None else self._buffers.outputs
        return faults.describe(self.layers, self.step, outputs, self.loss.name)

    def _predict(self, source: np.ndarray | Csr, batch_size: int) -> np.ndarray:
        self._follow_topology()
        how = batch_size, self.activation_dtype
        return feedforward.predict(self.layers, self._buffers, source, *how)

    def _follow_topology(self) -> None:
        """Adapt tasks and buffers if the topology has changed since the last call."""
        version = sum(layer.connections.version for layer in self.layers)
        with _adapting:
            if version == self._version:
                return
            for layer in self.layers:
                layer.refresh()
            if self._buffers is not None:
                self._buffers.fit(self.layers)
            self._version = version

    def _ready(self, data, targets, samples, weights) -> Buffers:
        """Return the buffers, after a check that they fit these samples."""
        self._few.forget()
        self._follow_topology()
        if self._buffers is None:
            raise UsageError("there are no training buffers: call prepare first")
        n_features = self.layer_sizes[0]
        self._buffers.check(data, targets, weights, samples, n_features, self.loss)
        return self._buffers

    def _load_and_forward(self, buffers, data, targets, samples, weights, clock=None):
        """Return the batch and its loss; its delta replaces the last outputs."""
        x = buffers.load_inputs(data, samples)
        batch_targets = buffers.load_targets(targets, samples)
        batch_weights = buffers.load_weights(weights, samples)
        if clock:
            clock("data")
        activations = feedforward.with_dropout(self.layers, self.seed, self.step)
        feedforward.forward(self.layers, buffers, x, activations)
        delta, scratch = buffers.outputs[-1], buffers.loss_scratch
        loss = self.loss.apply(delta, batch_targets, batch_weights, scratch)
        if buffers.deltas[-1] is not delta:
            store_delta(delta, buffers.deltas[-1])
        if clock:
            clock("forward")
        return x, loss
