"""One sparse layer: connections, biases and activation, forward and backward.

The layer picks the kernel that suits the batch, the shape and the input, dense or
sparse. Buffers come from outside and are reused from step to step.
"""

import math

import numpy as np

from truesparse.activations import LayerActivation
from truesparse.kernels import jit
from truesparse.kernels.activation import NO_GRADIENT, RELU
from truesparse.kernels.arrays import (
    Activation,
    Csc,
    Head,
    Moments,
    Source,
    SparseBatch,
)
from truesparse.kernels.awake import COLUMNS as SKIPPED
from truesparse.kernels.backward import backward, backward_skipping
from truesparse.kernels.forward import combine, forward_gather, scatter
from truesparse.kernels.simd import LANES
from truesparse.kernels.sparse_input import backward_sparse, forward_sparse
from truesparse.kernels.update import STORE, Rule, StoreGradient, step_all, step_biases
from truesparse.sparse.balance import TASK_SIZE, balance, rows_per_task
from truesparse.sparse.connections import Connections, new_moments
from truesparse.sparse.srelu import Srelu

# If the outputs fit in the first-level cache and the inputs do not fit in the second,
# reading every input once beats gathering it for each output.
_FEW_OUTPUT_BYTES = 32 << 10
_MANY_INPUT_BYTES = 1 << 20
_MOST_SCATTER_TASKS = 8


def scatters(n_in: int, n_out: int, columns: int, itemsize: int) -> bool:
    """Whether a layer computes its outputs by scattering, for this many columns."""
    if columns < LANES:
        return True
    size = columns * itemsize
    return n_out * size <= _FEW_OUTPUT_BYTES and n_in * size > _MANY_INPUT_BYTES


def scatter_tasks(nnz: int, n_out: int) -> int:
    """Return into how many partial sums a layer scatters.

    Each task writes a full set of outputs, which pays as long as that is little beside
    the weights it reads.
    """
    return min(_MOST_SCATTER_TASKS, max(2, nnz // (4 * n_out)))


def sums_shape(columns: int) -> tuple[int, int]:
    """Return the shape of what a layer with sparse input adds up in.

    Each thread has a row of its own, of a cache line or more.
    """
    return jit.most_threads(), max(columns, LANES)


class SparseLayer:
    """A layer z = W^T x + bias, a = f(z).

    Parameters
    ----------
    connections : Connections
    activation : LayerActivation

    Attributes
    ----------
    srelu : Srelu or None
        The trained parameters of the activation "srelu"; None for all others.
    """

    _bias_gradient: np.ndarray | None = None

    def __init__(self, connections: Connections, activation: LayerActivation):
        self.connections = connections
        self.activation = activation
        dtype = connections.values.dtype
        self.bias = np.zeros(connections.n_out, dtype)
        self.bias_moments = new_moments(self.bias, False, False)
        self.srelu: Srelu | None = None
        if activation.is_trained:
            self.srelu = Srelu(connections.n_out, dtype)
        self.refresh()

    def forget_gradients(self) -> None:
        """Let go of gradients, which the next pass writes again."""
        self._bias_gradient = None
        if self.srelu is not None:
            self.srelu.gradient = np.zeros_like(self.srelu.values)

    @property
    def bias_gradient(self) -> np.ndarray:
        """The gradients of the biases, from the last pass that was to store them.

        Allocated when first needed: most steps leave them in a room that all layers
        share, see `as_source`.
        """
        if self._bias_gradient is None:
            self._bias_gradient = np.zeros_like(self.bias)
        return self._bias_gradient

    def refresh(self) -> None:
        """Recompute how work is split, after the connections changed."""
        self._view_tasks: np.ndarray | None = None
        connections = self.connections
        tasks = scatter_tasks(connections.nnz, connections.n_out)
        self._scatter_tasks = balance(connections.indptr, tasks)

    def allocate_moments(self, first: bool, second: bool) -> None:
        """Give everything trained zero optimiser state, as far as it is needed."""
        self.connections.allocate_moments(first, second)
        self.bias_moments = new_moments(self.bias, first, second)
        if self.srelu is not None:
            self.srelu.allocate_moments(first, second)

    def reset_moments(self) -> None:
        """Set all optimiser state to zero."""
        for moments in self.all_moments():
            for array in moments:
                array.fill(0)

    def has_moments(self, first: bool, second: bool) -> bool:
        """Whether everything trained has the optimiser state that is needed."""
        trained = (self.connections.values, *self.neuron_parameters())
        # Asked before every step: a generator would take twice as long.
        for moments, values in zip(self.all_moments(), trained, strict=True):
            if first and moments.first.size != values.size:
                return False
            if second and moments.second.size != values.size:
                return False
        return True

    def all_moments(self) -> list[Moments]:
        """Return the optimiser state of weights, biases and srelu's, if there are."""
        moments = [self.connections.moments, self.bias_moments]
        return moments if self.srelu is None else [*moments, self.srelu.moments]

    def neuron_parameters(self) -> list[np.ndarray]:
        """Return the trained arrays besides the weights: biases, then srelu's."""
        return [self.bias] if self.srelu is None else [self.bias, self.srelu.values]

    def neuron_gradients(self) -> list[np.ndarray]:
        """Return the gradients of `neuron_parameters`, as `backward` left them."""
        gradients = [self.bias_gradient]
        return gradients if self.srelu is None else [*gradients, self.srelu.gradient]

    def scatters(self, columns: int) -> bool:
        """Whether outputs are computed by scattering, for this many columns."""
        n_in, n_out = self.connections.n_in, self.connections.n_out
        return scatters(n_in, n_out, columns, self.bias.itemsize)

    def partial_size(self, columns: int, is_sparse: bool = False) -> int:
        """Return how many numbers partial outputs need; 0 if the layer gathers.

        With sparse input it neither scatters nor gathers.
        """
        if is_sparse:
            return math.prod(sums_shape(columns))
        if not self.scatters(columns):
            return 0
        return (self._scatter_tasks.size - 1) * self.connections.n_out * columns

    def forward(
        self,
        tile: tuple,
        x: np.ndarray | SparseBatch,
        head: Head,
        activation: Activation,
        partial: np.ndarray,
    ) -> None:
        """Write the layer's output to `head`.

        Parameters
        ----------
        tile : tuple
            See simd.make_tile.
        x : (n_in, columns) array or SparseBatch
        head : Head
        activation : Activation
        partial : 1-D array
            Room for as many numbers as `partial_size` says, or more.
        """
        connections, whole = self.connections, activation
        if self.srelu is not None:
            activation = whole._replace(keeps_slope=False, drop_below=0)
        if isinstance(x, SparseBatch):
            tasks, values, view = self._gather()
            shape = sums_shape(head.out.shape[1])
            sums = partial[: math.prod(shape)].reshape(shape)
            forward_sparse(tasks, view, values, x, head, activation, sums)
        elif self.scatters(x.shape[1]):
            size = self.partial_size(x.shape[1])
            sums = partial[:size].reshape(-1, x.shape[1])
            scatter(tile, self._scatter_tasks, tuple(connections.csr), x, sums)
            how = tuple(head), tuple(activation)
            combine(tile, sums, *how, rows_per_task(x.shape[1]))
        else:
            tasks, values, view = self._gather()
            how = tuple(head), tuple(activation)
            forward_gather(tile, tasks, tuple(view), values, x, *how)
        if self.srelu is not None:
            self.srelu.forward(head.out, head.slope, whole)

    def backward(
        self,
        tile: tuple,
        source: Source | SparseBatch,
        delta: np.ndarray,
        rule: Rule,
        bias_rule: Rule,
        scratch: np.ndarray,
        gradient: np.ndarray | None = None,
    ) -> None:
        """Update the weights and turn the layer's input into its delta.

        Parameters
        ----------
        tile : tuple
        source : Source or SparseBatch
            The input; a Source's `x` is overwritten and its biases are updated, unless
            its code is NO_GRADIENT.
        delta : (n_out, columns) array
        rule : Rule
        bias_rule : Rule
            Step of the biases of the layer below, see `as_source`.
        scratch : (n_threads, longest row) array
        gradient : (nnz,) array, optional
            With the rule StoreGradient, receives the gradient of every connection.
        """
        moments = self.connections.moments
        if gradient is not None:
            moments = Moments(gradient, moments.second)
        tasks, csr = self.connections.row_tasks, self.connections.csr
        if isinstance(source, SparseBatch):
            backward_sparse(tasks, csr, moments, rule, source, delta)
            return
        below = tuple(source)
        whole = tile, tasks, tuple(csr), tuple(moments), rule, below, bias_rule
        if delta.shape[1] <= SKIPPED and source.code in (NO_GRADIENT, RELU):
            backward_skipping(*whole, delta)
        else:
            backward(*whole, (delta, scratch))

    def complete_delta(self, delta: np.ndarray, slope: np.ndarray) -> None:
        """Send delta back through trained activations; do nothing for others.

        Parameters
        ----------
        delta : (n_out, columns) array
            Gradient of the outputs, which the layer above wrote in their place.
        slope : (n_out, columns) array or (0, 0)
            The `slope` of the head in the forward pass.
        """
        if self.srelu is not None:
            self.srelu.backward(slope, delta, self.bias_gradient)

    def update_outputs(self, rule: Rule, delta: np.ndarray) -> None:
        """Apply one optimiser step to the biases of the last layer, from its delta.

        With StoreGradient, `bias_gradient` receives their gradients instead.
        """
        step_biases(rule, self.bias, self._bias_moments(rule), delta)

    def update_neurons(self, rule: Rule) -> None:
        """Apply one optimiser step to the biases and the activation's parameters."""
        step_all(rule, self.bias, self.bias_moments, self.bias_gradient, TASK_SIZE)
        if self.srelu is not None:
            self.srelu.update(rule)

    def update_weights(self, rule: Rule, gradient: np.ndarray) -> None:
        """Apply one optimiser step to the weights from gradients written before."""
        values, moments = self.connections.values, self.connections.moments
        step_all(rule, values, moments, gradient, TASK_SIZE)

    def as_source(
        self,
        x: np.ndarray,
        slope: np.ndarray,
        rule: Rule,
        room: np.ndarray | None = None,
    ) -> tuple[Source, Rule]:
        """Describe this layer's output as the source of the next layer's backward pass.

        Parameters
        ----------
        x, slope : (n_out, columns) array
        rule : Rule
            Step of this layer's biases.
        room : (n_out,) array, optional
            For their gradients where nobody asks for them after the step; by default
            `bias_gradient`, which holds them with StoreGradient.

        Returns
        -------
        Source
        Rule
            What that pass is to do with the biases of this layer: `rule`, or only store
            their gradients. Trained activations count as linear there; `complete_delta`
            and `update_neurons` do the rest.
        """
        activation = self.activation
        rule = rule if self.srelu is None else STORE
        if room is None or isinstance(rule, StoreGradient):
            room = self.bias_gradient
        source = Source(
            x,
            slope,
            self.bias,
            room,
            *self._bias_moments(rule),
            activation.derivative_code,
            activation.parameter,
            activation.scale,
        )
        return source, rule

    def _bias_moments(self, rule: Rule) -> Moments:
        """Return what a rule writes besides the biases: moments or the gradient."""
        moments = self.bias_moments
        if isinstance(rule, StoreGradient):
            moments = Moments(self.bias_gradient, moments.second)
        return moments

    def _gather(self) -> tuple[np.ndarray, np.ndarray, Csc]:
        """Return tasks, values and column view for outputs that gather their inputs."""
        view = self.connections.view
        if self._view_tasks is None:
            self._view_tasks = balance(view.indptr)
        return self._view_tasks, self.connections.values, view


def data_source(x: np.ndarray, dtype: np.dtype) -> Source:
    """Describe input data as the source of the first layer, which needs no delta.

    `dtype` is that of the weights.
    """
    none = np.empty(0, dtype)
    return Source(x, x[:0, :0], none, none, none, none, NO_GRADIENT, 0.0, 1.0)
