"""SparseMLP: a multilayer perceptron whose layers exist only as index arrays."""

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse

from truesparse import rng
from truesparse.checks import check_whole, float_type
from truesparse.drawing.draw_layers import check_layer_sizes, check_layers, draw_layers
from truesparse.errors import DataError, UsageError
from truesparse.export.methods import Exports
from truesparse.kernels.arrays import Csr, Head
from truesparse.kernels.loss import row_sums
from truesparse.losses import Loss
from truesparse.network import backprop
from truesparse.network.buffers import Buffers, lend
from truesparse.network.inputs import as_source_data, batch_room, n_samples
from truesparse.optimizers import Optimizer
from truesparse.sparse.layer import SparseLayer

DEFAULT_EPSILON = 20.0
# Held while tasks are adapted: several threads may predict with one model.
_adapting = threading.Lock()


class SparseMLP(Exports):
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
        Of the hidden layers, see activations.ACTIVATIONS.
    activation_parameter : float, optional
        Slope of leaky_relu and all_relu, alpha of elu.
    loss : Loss or str
    dropout : float
        Share of the hidden outputs dropped while training.
    init_topology : str
        Which cells are connected at first, see drawing.draw_layers.INIT_TOPOLOGIES.
    init_options : dict, optional
        Of the initial topology, see drawing.patterns.
    init_data : (n, n_features) array or scipy.sparse matrix, optional
        Training data, which "csti" goes by.
    weight_init : str
        See sparse.init.INITIALIZERS.
    dtype : {"float32", "float64"}
    seed : int
        Decides topology, weights, dropout and everything else that is drawn.

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
        seed: int = 0,
    ):
        if epsilon is None and density is None:
            epsilon = DEFAULT_EPSILON
        number = float_type(dtype)
        sizes = check_layer_sizes(layer_sizes)
        layers = draw_layers(
            sizes,
            init_topology,
            weight_init,
            epsilon=epsilon,
            density=density,
            activation=activation,
            activation_parameter=activation_parameter,
            dropout=dropout,
            dtype=number,
            seed=seed,
            data=init_data,
            options=init_options,
        )
        self._assemble(list(layers), loss, seed)

    @classmethod
    def from_layers(
        cls, layers: Sequence[SparseLayer], loss: Loss | str = "softmax", seed: int = 0
    ) -> "SparseMLP":
        """Build a model of given layers, each as wide as the next one expects."""
        self = cls.__new__(cls)
        self._assemble(list(layers), loss, seed)
        return self

    def _assemble(self, layers: list[SparseLayer], loss: Loss | str, seed: int) -> None:
        check_layers(layers)
        self.layers = layers
        self.loss = Loss(loss) if isinstance(loss, str) else loss
        if not isinstance(self.loss, Loss):
            raise UsageError(f"loss must be a name or Loss, got {loss!r}")
        self.seed = rng.check_seed(seed)
        self.step = 0
        self.moments_since = 0  # when the optimiser's state was zero
        self._buffers: Buffers | None = None
        self._gradients: list[np.ndarray] = []
        self._version = -1  # of the topology that buffers and tasks are made for

    def __getstate__(self) -> dict[str, Any]:
        # A pickle and a copy make their own buffers, when they need them.
        return self.__dict__ | {"_buffers": None, "_gradients": [], "_version": -1}

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, features first."""
        links = [layer.connections for layer in self.layers]
        return (links[0].n_in, *(c.n_out for c in links))

    @property
    def n_neurons(self) -> int:
        """Neurons that compute: hidden and output."""
        return sum(self.layer_sizes[1:])

    @property
    def nnz(self) -> int:
        """Number of connections."""
        return sum(layer.connections.nnz for layer in self.layers)

    @property
    def density(self) -> float:
        """Share of all cells that are connected."""
        cells = sum(a * b for a, b in itertools.pairwise(self.layer_sizes))
        return self.nnz / cells

    @property
    def dtype(self) -> np.dtype:
        """Dtype of weights and activations."""
        return self.layers[0].bias.dtype

    def allocate_moments(self, optimizer: Optimizer, keep: bool = False) -> None:
        """Give all weights the zero state that `optimizer` needs, or `keep` theirs."""
        needed = optimizer.needs_first, optimizer.needs_second
        if keep and all(layer.has_moments(*needed) for layer in self.layers):
            return
        self.moments_since = self.step
        for layer in self.layers:
            layer.allocate_moments(*needed)

    def reset_moments(self) -> None:
        """Set all optimiser state to zero, as at the start of a run."""
        self.moments_since = self.step
        for layer in self.layers:
            layer.reset_moments()

    def prepare(
        self,
        batch_size: int,
        data: np.ndarray | Csr | None = None,
        validation: np.ndarray | Csr | None = None,
    ) -> None:
        """Allocate the training buffers for a batch size, dense or sparse data.

        Predictions on `validation` data can then do without buffers of their own.
        Buffers that are there already stay, if they serve.
        """
        check_whole("batch_size", batch_size, 1)
        parts = [part for part in (data, validation) if isinstance(part, Csr)]
        rooms = [batch_room(part, batch_size) for part in parts]
        room = max(rooms, default=None)
        if self._buffers is None or not self._buffers.can_train(batch_size, room):
            self._buffers = None  # gone before there are others
            self._buffers = Buffers(self.layers, batch_size, room)

    def release(self, keep_buffers: bool = False) -> None:
        """Let go of the data of the last step and of the buffers."""
        if self._buffers is not None:
            self._buffers.forget_data()
        if not keep_buffers:
            self._buffers, self._gradients = None, []

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
            As ``network.inputs.as_source_data`` returns them.
        targets : array
            As ``loss.prepare_targets`` returns them.
        samples : (batch,) int64 array
            Which samples; at most as many as `prepare` was told.
        optimizer : Optimizer
            Its state must have been allocated.
        lr : float
        sample_weight : (n,) float64 array, optional
        clip_norm : float, optional
            Scale the gradient down to this global L2 norm if it is longer.
        clock : callable, optional
            Called with "data", "forward" and "backward" as each part ends.

        Raises
        ------
        UsageError
            If buffers or optimiser state do not fit what is asked.
        """
        buffers = self._ready(data, targets, samples, sample_weight)
        needed = optimizer.needs_first, optimizer.needs_second
        if not all(layer.has_moments(*needed) for layer in self.layers):
            raise UsageError("call allocate_moments with this optimiser first")
        x, loss = self._load_and_forward(
            buffers, data, targets, samples, sample_weight, clock
        )
        if math.isfinite(loss):
            self._backward(buffers, x, optimizer, lr, clip_norm)
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
        """Show what the backward pass of a batch sees, take no step, return the loss.

        Parameters
        ----------
        data, targets, samples, sample_weight : as `train_batch` takes them
        observer : callable, optional
            Called for every layer, last to first, with its number, its input x and
            its delta, (n_in, columns) and (n_out, columns): sum_b x_ib delta_jb is the
            gradient of connection (i, j), whether it exists or not.
        collector : callable, optional
            Called for every layer with its number and the gradient of its weights,
            (nnz,); the array is used again.
        """
        buffers = self._ready(data, targets, samples, sample_weight)
        x, loss = self._load_and_forward(buffers, data, targets, samples, sample_weight)
        if math.isfinite(loss):
            backprop.observe(self.layers, buffers, x, observer, collector)
        return loss

    def decision_function(
        self, data: np.ndarray | scipy.sparse.sparray, batch_size: int = 128
    ) -> np.ndarray:
        """Return the outputs before softmax or logistic, as an (n, n_out) array.

        The last bits may depend on the batch size, which decides the order of sums.
        Several threads may call this at once.
        """
        check_whole("batch_size", batch_size, 1)
        source = as_source_data(data, self.dtype, self.layer_sizes[0])
        # One sample takes one column, also where wider buffers are there.
        return self._decide(source, min(batch_size, max(n_samples(source), 1)))

    def _decide(self, source: np.ndarray | Csr, batch_size: int) -> np.ndarray:
        self._follow_topology()
        n = n_samples(source)
        out = np.empty((n, self.layer_sizes[-1]), self.dtype)
        if n == 0:
            return out
        room = batch_room(source, batch_size) if isinstance(source, Csr) else None
        order = np.arange(n)
        with lend(self._buffers, self.layers, batch_size, n, room) as buffers:
            for start in range(0, n, batch_size):
                samples = order[start : start + batch_size]
                x = buffers.load_inputs(source, samples)
                self._forward(buffers, x, training=False)
                outputs = buffers.outputs[-1][:, : samples.size]
                out[start : start + samples.size] = outputs.T
        return out

    def predict_proba(self, data, batch_size: int = 128) -> np.ndarray:
        """Return probabilities, or predictions of a regression, as (n, n_out)."""
        return self.loss.activate(self.decision_function(data, batch_size))

    def evaluate(
        self, data, targets: np.ndarray, batch_size: int = 128
    ) -> tuple[float, float]:
        """Return mean loss and score on data, with targets as `Trainer.fit` takes."""
        targets = self.loss.prepare_targets(targets, self.layer_sizes[-1], self.dtype)
        check_whole("batch_size", batch_size, 1)
        source = as_source_data(data, self.dtype, self.layer_sizes[0])
        # In the buffers of a training run, however few samples these are.
        z = self._decide(source, batch_size)
        if len(z) != len(targets):
            raise DataError(f"{len(z)} samples but {len(targets)} targets")
        weights = np.full(len(z), 1.0 / max(len(z), 1))
        columns = z.T.copy()  # the loss overwrites it
        by_output = targets if targets.ndim == 1 else np.ascontiguousarray(targets.T)
        scratch = np.zeros((4, len(z)))
        loss = self.loss.apply(columns, by_output, weights, scratch)
        return loss, self.loss.score(z, targets)

    def _follow_topology(self) -> None:
        """Adapt tasks and buffers, if the topology changed since the last time."""
        version = sum(layer.connections.version for layer in self.layers)
        with _adapting:
            if version == self._version:
                return
            for layer in self.layers:
                layer.refresh()
            self._gradients = []
            if self._buffers is not None:
                self._buffers.fit(self.layers)
            self._version = version

    def _ready(self, data, targets, samples, weights) -> Buffers:
        """Return the buffers, if a pass over these samples can be made with them."""
        self._follow_topology()
        if self._buffers is None:
            raise UsageError("call prepare first")
        n_features = self.layer_sizes[0]
        self._buffers.check(data, targets, weights, samples, n_features, self.loss)
        return self._buffers

    def _load_and_forward(self, buffers, data, targets, samples, weights, clock=None):
        """Return the batch and its loss; the last outputs then are its delta."""
        x = buffers.load_inputs(data, samples)
        batch_targets = buffers.load_targets(targets, samples)
        batch_weights = buffers.load_weights(weights, samples)
        if clock:
            clock("data")
        self._forward(buffers, x, training=True)
        delta, scratch = buffers.outputs[-1], buffers.loss_scratch
        loss = self.loss.apply(delta, batch_targets, batch_weights, scratch)
        row_sums(delta, self.layers[-1].bias_gradient)
        if clock:
            clock("forward")
        return x, loss

    def _forward(self, buffers: Buffers, x, training: bool) -> None:
        for index, layer in enumerate(self.layers):
            head = Head(layer.bias, buffers.outputs[index], buffers.slopes[index])
            if training:
                key = rng.key32(self.seed, rng.Purpose.DROPOUT, self.step, index)
                activation = layer.activation.for_training(key)
            else:
                activation = layer.activation.for_inference()
            layer.forward(buffers.tile, x, head, activation, buffers.partial)
            x = head.out

    def _backward(self, buffers, x, optimizer, lr, clip_norm) -> None:
        state_age = self.step - self.moments_since
        rules = [
            optimizer.rule(lr, state_age, layer.connections.fan_in)
            for layer in self.layers
        ]
        bias_rule = optimizer.bias_rule(lr, state_age)
        if clip_norm is None:
            backprop.step_fused(self.layers, buffers, x, rules, bias_rule)
            return
        if not self._gradients:
            self._gradients = [
                np.zeros_like(layer.connections.values) for layer in self.layers
            ]
        room = self._gradients, clip_norm
        backprop.step_clipped(self.layers, buffers, x, rules, bias_rule, *room)
