"""Networks of truesparse as trainable modules of torch, and back.

`SparseMLP.to_torch(trainable=True)` and `SparseMLP.from_torch` call these functions.
Arrays are copied both ways. What the optimiser keeps stays behind.
"""

from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from truesparse.activations import LayerActivation
from truesparse.errors import UsageError
from truesparse.losses import Loss
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.sparse.srelu import Srelu as Units
from truesparse.torch.accepting import DTYPES
from truesparse.torch.neighbours import flatten
from truesparse.torch.sparse_linear import SparseLinear, set_data


class Srelu(nn.Module):
    """S-shaped rectified linear units, four trained numbers for each neuron.

    Parameters
    ----------
    values : (4, n) array
        Rows t_left, a_left, t_right, a_right, see sparse.srelu.Srelu; copied.
    """

    def __init__(self, values: np.ndarray):
        super().__init__()
        self.values = nn.Parameter(torch.from_numpy(values.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs for (..., n) inputs."""
        t_left, a_left, t_right, a_right = self.values
        left = torch.where(x <= t_left, t_left + a_left * (x - t_left), x)
        return torch.where(x >= t_right, t_right + a_right * (x - t_right), left)


def to_sequential(model: SparseMLP) -> nn.Sequential:
    """Return the network as a Sequential of SparseLinear layers and activations.

    It ends before softmax or logistic, as ``decision_function`` does.

    Raises
    ------
    UsageError
        If the model is no SparseMLP.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> module = SparseMLP([8, 5, 3], density=0.5).to_torch(trainable=True)
    >>> [type(each).__name__ for each in module]
    ['SparseLinear', 'ReLU', 'SparseLinear']
    """
    if not isinstance(model, SparseMLP):
        raise UsageError(
            f"a trainable module is made of a SparseMLP, got {type(model).__name__}"
        )
    modules: list[nn.Module] = []
    for layer in model.layers:
        linear = SparseLinear.from_connections(_copied(layer.connections))
        set_data(linear.bias, torch.from_numpy(layer.bias))
        modules.append(linear)
        activation = _module_of(layer)
        if activation is not None:
            modules.append(activation)
        if layer.activation.dropout > 0.0:
            modules.append(nn.Dropout(layer.activation.dropout))
    return nn.Sequential(*modules)


def from_sequential(
    module: nn.Module, *, loss: Loss | str = "softmax", seed: int = 0
) -> SparseMLP:
    """Return the network of linear layers, sparse or dense, and their activations.

    Parameters
    ----------
    module : torch.nn.Module
        SparseLinear or torch.nn.Linear layers, each but the last with an activation
        and a Dropout after it or without, in a torch.nn.Sequential. A dense layer
        becomes one with all connections.
    loss : Loss or str
    seed : int

    Raises
    ------
    UsageError
        If there is another module, or the layers make no SparseMLP.
    """
    layers: list[SparseLayer] = []
    for each in flatten(module):
        if isinstance(each, SparseLinear | nn.Linear):
            _check_numbers(each)
            layer = SparseLayer(_connections_of(each), LayerActivation("identity"))
            if each.bias is not None:
                layer.bias[:] = each.bias.detach().numpy()
            layers.append(layer)
        elif layers and not isinstance(each, nn.Identity):
            layers[-1] = _followed_by(layers[-1], each)
        elif not layers:
            _refuse(each, "comes before the first layer")
    return SparseMLP.from_layers(layers, loss, seed)


def _module_of(layer: SparseLayer) -> nn.Module | None:
    """Return the activation of a layer as a module; None for the identity."""
    name, parameter = layer.activation.name, layer.activation.parameter
    if layer.srelu is not None:
        return Srelu(layer.srelu.values)
    modules: dict[str, Any] = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(parameter),
        "all_relu": lambda: nn.LeakyReLU(parameter),
        "elu": lambda: nn.ELU(parameter),
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
        "logistic": nn.Sigmoid,
    }
    return None if name == "identity" else modules[name]()


def _followed_by(layer: SparseLayer, module: nn.Module) -> SparseLayer:
    """Return the layer with the activation or dropout that a module stands for."""
    before = layer.activation
    if isinstance(module, nn.Dropout):
        if before.dropout > 0.0:
            _refuse(module, "follows another Dropout")
        activation = LayerActivation(before.name, before.parameter, module.p)
    else:
        if before.name != "identity" or before.dropout > 0.0:
            _refuse(module, "follows another activation")
        activation = _activation_of(module)
    made = SparseLayer(layer.connections, activation)
    made.bias[:] = layer.bias
    made.srelu = layer.srelu
    if isinstance(module, Srelu):
        made.srelu = Units(made.bias.size, made.bias.dtype)
        made.srelu.adopt(module.values.detach().numpy())
    return made


def _activation_of(module: nn.Module) -> LayerActivation:
    if isinstance(module, nn.LeakyReLU):
        slope = module.negative_slope
        return LayerActivation("leaky_relu" if slope >= 0.0 else "all_relu", slope)
    if isinstance(module, nn.ELU):
        return LayerActivation("elu", module.alpha)
    if isinstance(module, nn.GELU) and module.approximate != "none":
        _refuse(module, "approximates")
    names = {
        nn.ReLU: "relu",
        nn.GELU: "gelu",
        nn.SiLU: "silu",
        nn.Tanh: "tanh",
        nn.Sigmoid: "logistic",
        Srelu: "srelu",
    }
    if type(module) not in names:
        _refuse(module, "has no counterpart")
    return LayerActivation(names[type(module)])


def _refuse(module: nn.Module, why: str) -> NoReturn:
    raise UsageError(
        f"{module} {why}; a SparseMLP is made of a Sequential of SparseLinear or "
        "Linear layers, each but the last followed by ReLU, LeakyReLU, ELU, GELU, "
        "SiLU, Tanh, Sigmoid or Srelu, and by Dropout, or by neither"
    )


def _check_numbers(module: SparseLinear | nn.Linear) -> None:
    """Raise UsageError unless NumPy can hold the weights as they are."""
    weight = module.weight
    if isinstance(weight, nn.parameter.UninitializedParameter):
        _refuse(module, "has no weights before its first batch")
    if weight.dtype not in DTYPES or weight.device.type != "cpu":
        raise UsageError(
            f"{module} has weights of {weight.dtype} on {weight.device}; a SparseMLP "
            "takes float32 and float64 on the CPU: convert it by .float().cpu()"
        )


def _connections_of(module: SparseLinear | nn.Linear) -> Connections:
    """Return copies of the connections of a layer: all cells of a dense one."""
    if isinstance(module, SparseLinear):
        return _copied(module.connections())
    n_in, n_out = module.in_features, module.out_features
    indptr = np.arange(n_in + 1, dtype=np.int64) * n_out
    indices = np.tile(np.arange(n_out, dtype=np.int32), n_in)
    values = module.weight.detach().t().reshape(-1).numpy()
    return Connections(n_in, n_out, indptr, indices, np.array(values))


def _copied(connections: Connections) -> Connections:
    parts = connections.indptr, connections.indices, connections.values
    shape = connections.n_in, connections.n_out
    return Connections.unchecked(*shape, *(part.copy() for part in parts))
