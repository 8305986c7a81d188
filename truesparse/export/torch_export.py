"""The net as a torch.nn.Module that computes with sparse CSR tensors.

torch has its matrices the other way round: a layer's ``weight`` is (n_out, n_in), one
row an output neuron, as in torch.nn.Linear, where truesparse and SciPy have
(n_in, n_out).
"""

import functools
import warnings
from typing import Any

import numpy as np

from truesparse.checks import check_bools
from truesparse.errors import UsageError
from truesparse.export.by_output import Part, take_apart
from truesparse.losses import Loss


def to_torch(model: Any, *, probabilities: bool = False) -> Any:
    """Return the net as a torch.nn.Module.

    Parameters
    ----------
    model : SparseMLP, CondensedMLP or fitted estimator
    probabilities : bool
        Whether the module ends in softmax or logistic; if not, it returns what
        ``decision_function`` does. For a regression that is the same.

    Returns
    -------
    torch.nn.Module
        Takes (batch, n_features) tensors of the model's dtype to (batch, n_out).
        ``module.layers[i].weight`` is a sparse CSR tensor of shape (n_out, n_in) and
        ``bias`` a dense one. The arrays are copies. They are buffers, not parameters:
        the gradient that torch (2.13) makes of a sparse CSR weight is dense, of size
        n_in x n_out. Gradients with respect to the input do flow.

    Raises
    ------
    UsageError
        Without torch.

    Notes
    -----
    ``module.to(...)`` and ``state_dict()`` work; torch calls sparse CSR tensors beta.
    """
    check_bools(probabilities=probabilities)
    classes = _classes()
    net = take_apart(model)
    layers = [classes.layer(part) for part in net.parts()]
    return classes.net(layers, _head(net.loss, probabilities))


def __getattr__(name: str) -> Any:
    """Make the classes found where pickle looks for them."""
    if name in ("SparseLinear", "SparseNet"):
        classes = _classes()
        return classes.layer if name == "SparseLinear" else classes.net
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _head(loss: Loss, probabilities: bool) -> str:
    is_classifier = loss.name in ("softmax", "logistic")
    return loss.name if probabilities and is_classifier else "identity"


class _Classes:
    """The classes of modules, which need torch to be defined."""

    def __init__(self, layer: type, net: type):
        self.layer, self.net = layer, net


@functools.cache
def _classes() -> _Classes:
    try:
        import torch
    except ImportError:
        raise UsageError(
            "to_torch needs torch: pip install 'truesparse[torch]'"
        ) from None
    F = torch.nn.functional

    class SparseLinear(torch.nn.Module):
        """A layer a = f(W x + bias); x and a are (neurons, batch)."""

        crow_indices: torch.Tensor
        col_indices: torch.Tensor
        values: torch.Tensor

        def __init__(self, part: Part):
            super().__init__()
            self.shape = part.n_out, part.n_in
            self.activation = part.activation.name
            self.parameter = part.activation.parameter
            fits = part.weights.size <= np.iinfo(np.int32).max
            index = np.int32 if fits else np.int64
            arrays = {
                "crow_indices": part.indptr.astype(index),
                "col_indices": part.inputs.astype(index),
                "values": part.weights.copy(),
                "bias": part.bias.copy(),
                "srelu": None if part.srelu is None else part.srelu.copy(),
            }
            # The parts of the matrix, for torch cannot move or copy a module that
            # holds a sparse CSR tensor.
            for name, array in arrays.items():
                tensor = None if array is None else torch.from_numpy(array)
                self.register_buffer(name, tensor)
            with warnings.catch_warnings():
                # torch says once that they are beta; so does our documentation.
                warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
                self._csr(check=True)

        @property
        def weight(self):
            """The weights as a sparse CSR tensor (n_out, n_in) of the same memory."""
            return self._csr(check=False)

        def forward(self, x):
            return self._activate(self.weight @ x + self.bias[:, None])

        def extra_repr(self) -> str:
            nnz = self.values.numel()
            return f"{self.shape[1]}, {self.shape[0]}, {nnz=}, {self.activation}"

        def _csr(self, check: bool):
            return torch.sparse_csr_tensor(
                self.crow_indices,
                self.col_indices,
                self.values,
                size=self.shape,
                check_invariants=check,
            )

        def _activate(self, z):
            name, parameter = self.activation, self.parameter
            if name in ("leaky_relu", "all_relu"):
                return F.leaky_relu(z, parameter)
            if name == "elu":
                return F.elu(z, parameter)
            if name == "srelu":
                t_left, a_left, t_right, a_right = self.srelu[:, :, None]
                left = torch.where(z <= t_left, t_left + a_left * (z - t_left), z)
                right = t_right + a_right * (z - t_right)
                return torch.where(z >= t_right, right, left)
            others = {
                "identity": lambda z: z,
                "relu": F.relu,
                "gelu": F.gelu,
                "silu": F.silu,
                "tanh": torch.tanh,
                "logistic": torch.sigmoid,
            }
            return others[name](z)

    class SparseNet(torch.nn.Module):
        """Sparse layers one after the other, (batch, n_features) to (batch, n_out)."""

        def __init__(self, layers: list, head: str):
            super().__init__()
            self.layers = torch.nn.Sequential(*layers)
            self.head = head

        def forward(self, x):
            z = self.layers(x.T).T
            if self.head == "softmax":
                return torch.softmax(z, dim=1)
            return torch.sigmoid(z) if self.head == "logistic" else z

    for each in (SparseLinear, SparseNet):
        each.__module__, each.__qualname__ = __name__, each.__name__
    return _Classes(SparseLinear, SparseNet)
