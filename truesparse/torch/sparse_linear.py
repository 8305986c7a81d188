"""SparseLinear: a linear layer of torch that has weights where it has connections.

The weights are one dense vector, in the order of the connections by input neuron: each
optimiser, scheduler and clipping function of torch works on it as it is.
"""

import warnings
from typing import Any

import torch

from truesparse.common.checks import check_bools, choose
from truesparse.common.rng import Purpose, stream
from truesparse.drawing.cells import draw_weights
from truesparse.drawing.draw_layers import Hidden, draw_layers
from truesparse.errors import UsageError
from truesparse.sparse.connections import Connections
from truesparse.torch.accepting import DTYPES, SUPPORTED, check_input, float_type
from truesparse.torch.choosing import connect, largest_weights
from truesparse.torch.operators import linear as multiply
from truesparse.torch.operators import sparse_linear as multiply_sparse
from truesparse.torch.products import feature_major_batch
from truesparse.torch.wiring import STORED, Wiring, wiring_of


class SparseLinear(torch.nn.Module):
    """A linear layer y = x W + bias of which only the connections exist.

    Give one of `density`, `epsilon` and `connectivity`.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether the outputs have biases, 0 at first.
    density : float, optional
        Share of the cells that are connected, in (0, 1].
    epsilon : float, optional
        There are ``epsilon * (in_features + out_features)`` connections, at most all.
    connectivity : (2, nnz) tensor or array of int, optional
        Connections by output neuron (first row) and input neuron, in any order.
    init_topology : str
        Which cells are connected, see drawing.patterns.INIT_TOPOLOGIES.
    init_options : dict, optional
        Options of the initial topology, see drawing.patterns.
    init_data : (n, in_features) array or scipy.sparse matrix, optional
        Training data, from which "csti" chooses the connections.
    weight_init : str
        How weights are drawn, see drawing.cells.INITIALIZERS.
    seed : int, optional
        Determines connections and weights; by default drawn by torch, so that
        ``torch.manual_seed`` does.
    dtype : torch.dtype, optional
        float32 or float64; by default that of torch.

    Attributes
    ----------
    weight : (nnz,) Parameter
        Weights of the connections, by input neuron and then by output neuron.
    bias : (out_features,) Parameter or None
    indptr : (in_features + 1,) int64 tensor
        Connections of input neuron i are ``indptr[i]`` to ``indptr[i + 1]``.
    indices : (nnz,) int32 tensor
        Their output neurons.

    Raises
    ------
    UsageError
        For a value that is not accepted.

    Notes
    -----
    `forward` takes (..., in_features) tensors, or a sparse CSR tensor (batch,
    in_features), whose gradient is not computed. The outputs of a batch are a view of
    feature-major memory; ``y.contiguous()`` is not.

    Kernels use as many threads as torch does, at most the number that Numba started
    with: ``torch.set_num_threads`` sets both.

    Examples
    --------
    >>> import torch
    >>> from truesparse.torch import SparseLinear
    >>> layer = SparseLinear(512, 1000, density=0.01, seed=0)
    >>> layer.nnz, tuple(layer.weight.shape), layer(torch.rand(3, 512)).shape
    (5120, (5120,), torch.Size([3, 1000]))
    """

    indptr: torch.Tensor
    indices: torch.Tensor
    by_output: torch.Tensor
    inputs: torch.Tensor
    positions: torch.Tensor
    input_tasks: torch.Tensor
    output_tasks: torch.Tensor
    scatter_tasks: torch.Tensor
    weight_init = "he_uniform"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        density: float | None = None,
        epsilon: float | None = None,
        connectivity: Any = None,
        init_topology: str = "erdos_renyi",
        init_options: dict | None = None,
        init_data: Any = None,
        weight_init: str = "he_uniform",
        seed: int | None = None,
        dtype: torch.dtype | None = None,
    ):
        number = float_type(dtype)
        check_bools(bias=bias)
        given = {"density": density, "epsilon": epsilon, "connectivity": connectivity}
        names = [name for name, value in given.items() if value is not None]
        if len(names) != 1:
            raise UsageError(
                "give one of density, epsilon and connectivity, got "
                f"{' and '.join(names) or 'none of them'}"
            )
        if seed is None:
            seed = int(torch.randint(2**63 - 1, ()))
        if connectivity is not None:
            if init_topology != "erdos_renyi" or init_options or init_data is not None:
                raise UsageError(
                    "connectivity says which cells are connected: leave out "
                    "init_topology, init_options and init_data"
                )
            connections = connect(in_features, out_features, connectivity, number)
        else:
            [layer] = draw_layers(
                (in_features, out_features),
                init_topology,
                weight_init,
                epsilon=epsilon,
                density=density,
                hidden=Hidden("identity", None, 0.0),
                dtype=number,
                seed=seed,
                data=init_data,
                options=init_options,
            )
            connections = layer.connections
        self._assemble(connections, bias)
        self.weight_init = weight_init
        if connectivity is not None:
            self.reset_parameters(seed)

    @classmethod
    def from_linear(
        cls,
        linear: torch.nn.Linear,
        *,
        density: float | None = None,
        epsilon: float | None = None,
        weights: str = "largest",
        **options: Any,
    ) -> "SparseLinear":
        """Make a sparse layer of a dense one, with its biases.

        Parameters
        ----------
        linear : torch.nn.Linear
            Left as it is.
        density, epsilon : float, optional
            One of the two, see SparseLinear.
        weights : {"largest", "drawn"}
            Whether the weights of largest magnitude stay, as of a trained layer, or
            connections and weights are drawn, for training from the start.
        **options
            Options of SparseLinear, where weights are drawn.

        Examples
        --------
        >>> import torch
        >>> from truesparse.torch import SparseLinear
        >>> SparseLinear.from_linear(torch.nn.Linear(20, 10), density=0.1)
        SparseLinear(in_features=20, out_features=10, bias=True, nnz=20, density=0.1)
        """
        choose(weights, ("largest", "drawn"), "choice of weights")
        if type(linear) is not torch.nn.Linear:
            raise UsageError(
                f"from_linear takes a torch.nn.Linear, got {type(linear).__name__}"
            )
        dense, bias = linear.weight.detach(), linear.bias
        float_type(dense.dtype)
        if dense.device.type != "cpu":
            raise UsageError(f"{SUPPORTED}; got a layer on {dense.device}")
        if weights == "drawn":
            shape = linear.in_features, linear.out_features
            options |= {"density": density, "epsilon": epsilon, "dtype": dense.dtype}
            self = cls(*shape, bias=bias is not None, **options)
        elif options:
            raise UsageError(
                f"{', '.join(options)} are for weights='drawn'; the largest are not "
                "drawn"
            )
        else:
            chosen = largest_weights(dense.numpy(), density=density, epsilon=epsilon)
            self = cls.from_connections(chosen, bias is not None)
        self.weight.requires_grad_(linear.weight.requires_grad)
        if bias is not None:
            set_data(self.bias, bias.detach())
            self.bias.requires_grad_(bias.requires_grad)
        return self.train(linear.training)

    @classmethod
    def from_connections(
        cls, connections: Connections, bias: bool = True
    ) -> "SparseLinear":
        """Make a layer of connections, whose arrays it shares."""
        self = cls.__new__(cls)
        self._assemble(connections, bias)
        return self

    def _assemble(self, connections: Connections, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = connections.n_in, connections.n_out
        self.weight = torch.nn.Parameter(torch.from_numpy(connections.values))
        zeros = self.weight.new_zeros(self.out_features)
        self.register_parameter("bias", torch.nn.Parameter(zeros) if bias else None)
        for name, tensor in wiring_of(connections)._asdict().items():
            self.register_buffer(name, tensor, persistent=name in STORED)

    def reset_parameters(self, seed: int | None = None) -> None:
        """Draw the weights anew, as at first; biases become 0, connections stay.

        Parameters
        ----------
        seed : int, optional
            Determines the weights; by default drawn by torch.
        """
        seed = int(torch.randint(2**63 - 1, ())) if seed is None else seed
        connections, draw = self.connections(), stream(seed, Purpose.WEIGHT_INIT)
        values = draw_weights(self.weight_init, connections, self.nnz, draw)
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(values))
            if self.bias is not None:
                self.bias.zero_()

    @property
    def nnz(self) -> int:
        """Number of connections."""
        return self.weight.shape[0]

    @property
    def density(self) -> float:
        """Share of the cells that are connected."""
        return self.nnz / (self.in_features * self.out_features)

    @property
    def wiring(self) -> Wiring:
        """The connections as the operators take them."""
        return Wiring(*(getattr(self, name) for name in Wiring._fields))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W + bias, of shape (..., out_features)."""
        check_input(x, self.weight, self.in_features)
        if x.layout == torch.sparse_csr:
            return self._forward_csr(x)
        rows = x.reshape(-1, self.in_features)
        y = multiply(rows, self.weight, self.bias, *self.wiring)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def to_sparse_csr(self) -> torch.Tensor:
        """Return the weights as a sparse CSR tensor (out_features, in_features).

        It has the shape of the weight of ``torch.nn.Linear``; its values are a copy.
        """
        index = torch.int32 if self.nnz < 2**31 else torch.int64
        values = self.weight.detach()[self.positions.long()]
        shape = (self.out_features, self.in_features)
        rows, columns = self.by_output.to(index), self.inputs.to(index)
        parts = rows, columns, values, shape
        with warnings.catch_warnings():
            # torch warns once that they are in beta state.
            warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
            return torch.sparse_csr_tensor(*parts, check_invariants=False)

    def connections(self) -> Connections:
        """Return the connections as arrays that share the memory of the layer."""
        indptr, indices = self.indptr.numpy(), self.indices.numpy()
        shape = self.in_features, self.out_features
        values = self.weight.detach().numpy()
        return Connections.unchecked(*shape, indptr, indices, values)

    def rewire(self, connections: Connections) -> None:
        """Replace connections and weights; the Parameter stays the same object.

        Its optimiser state and gradient are left alone, see `TopologyUpdater`. With as
        many connections as before, the memory stays the same, too.
        """
        values = torch.from_numpy(connections.values)
        set_data(self.weight, values)
        for name, tensor in wiring_of(connections)._asdict().items():
            buffer = getattr(self, name)
            if buffer.shape == tensor.shape:
                buffer.copy_(tensor)
            else:
                setattr(self, name, tensor)

    def extra_repr(self) -> str:
        """Describe the layer in the representation of a model."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, nnz={self.nnz}, density={self.density:.3g}"
        )

    def _forward_csr(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            raise UsageError(
                "a sparse CSR tensor gets no gradient from a sparse layer: detach it, "
                "or give a dense tensor"
            )
        batch = feature_major_batch(x)
        parts = [torch.from_numpy(part) for part in batch]
        rest = self.weight, self.bias, *self.wiring
        return multiply_sparse(*parts, x.shape[0], *rest)

    def _apply(self, fn, recurse: bool = True):
        """Refuse what the layer cannot be moved or converted to, before it happens."""
        try:
            moved = fn(self.weight.detach()[:0])
            is_supported = moved.dtype in DTYPES and moved.device.type == "cpu"
            what = f"{moved.dtype} on {moved.device}"
        except (AssertionError, RuntimeError) as error:  # no such device
            is_supported, what = False, str(error)
        if not is_supported:
            raise UsageError(
                f"{SUPPORTED}; they cannot become {what}. Other modules of the model "
                "may have become so already: convert these back"
            )
        return super()._apply(fn, recurse)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing, unexpected, errors
    ) -> None:
        """Take over connections and weights of a state, however many they are."""
        names = [prefix + name for name in (*STORED, "weight")]
        missing_names = [name for name in names if name not in state_dict]
        if not missing_names:
            *pattern, weight = (state_dict[name].detach().cpu() for name in names)
            parts = (*pattern, weight.to(self.weight))
            try:
                shape = self.in_features, self.out_features
                # Copies: the layer must not share the memory of the state.
                self.rewire(Connections(*shape, *(p.numpy().copy() for p in parts)))
            except UsageError as error:
                errors.append(f"connections of {prefix.rstrip('.')}: {error}")
                return
        elif len(missing_names) < len(names):
            errors.append(
                f"the state has no {' and '.join(missing_names)}; weights and their "
                f"connections belong together: give {', '.join(names)}, or none of them"
            )
            return
        rest = strict, missing, unexpected, errors
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def set_data(parameter: torch.nn.Parameter, values: torch.Tensor) -> None:
    """Give a parameter other values, of another size if need be.

    The graph of the last loss may be alive. It holds a node that adds up the
    parameter's gradient and that would refuse one of another size; torch makes a new
    node only after the type has changed.
    """
    with torch.no_grad():
        if parameter.shape == values.shape:
            parameter.copy_(values)
        else:
            parameter.data = values.new_empty(0, dtype=torch.float16)
            parameter.data = values
