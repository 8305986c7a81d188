"""The net as a torch.nn.Module that computes with sparse CSR tensors.

Its matrices are transposed, as in torch.nn.Linear: a layer's ``weight`` is
(n_out, n_in), one row for each output neuron, where truesparse and SciPy have
(n_in, n_out).

The two classes of modules are made when they are first needed, for their base class is
torch's, and torch is optional and takes seconds to import.
"""

import functools
import importlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from truesparse.common.checks import check_bools, import_extra
from truesparse.datasets import Preprocessing
from truesparse.datasets.dataset import SCALE_NAMES
from truesparse.errors import UsageError
from truesparse.export.by_output import LayerByOutput, net_of

# What follows the last layer.
HEADS = ("identity", "softmax", "logistic", "poisson")


def to_torch(
    model: Any,
    *,
    probabilities: bool = False,
    preprocessing: Preprocessing | None = None,
    trainable: bool = False,
) -> Any:
    """Return the net as a torch.nn.Module.

    Parameters
    ----------
    model : SparseMLP, CondensedMLP or fitted estimator
    probabilities : bool
        Whether the module ends in softmax or logistic; if not, it returns what
        ``decision_function`` does. For regression both are the same, but for the
        poisson loss: means, or their logarithms.
    preprocessing : Preprocessing, optional
        How the training data were scaled and labelled, such as their Dataset; by
        default that of the model, which it has if `truesparse.load` read it.

    Returns
    -------
    torch.nn.Module
        Maps (batch, n_features) tensors of the model's dtype to (batch, n_out).
        ``module.layers[i].weight`` is a sparse CSR tensor of shape (n_out, n_in) and
        ``bias`` a dense one. The arrays are copies. They are buffers, not parameters:
        torch (2.13) would compute a dense gradient of a sparse CSR weight, of size
        n_in x n_out. The input gets its gradient.

        With a preprocessing it takes raw rows of any dtype and scales them, by the
        buffers ``feature_mean`` and ``feature_scale``, and the predictions of a
        regression are in the units of its targets. ``module.about`` is a dict of
        ``task``, ``classes`` (the label of each output), ``feature_names``,
        ``target_name`` and ``rows``, which says what the module takes: "raw" rows;
        "encoded" ones, where a table had columns of text, which
        ``truesparse.datasets.load_rows`` encodes; or rows "as trained", where nothing
        is known of them.

    Raises
    ------
    UsageError
        If torch is not installed, or the preprocessing does not suit the model.

    Notes
    -----
    ``module.to(...)`` and ``state_dict()`` work; in torch, sparse CSR tensors are
    in beta state. Scales stay float64, so that features of large mean and small
    deviation lose only the digits that the rows lack.
    """
    check_bools(probabilities=probabilities, trainable=trainable)
    require_torch("to_torch")
    if trainable:
        if probabilities or preprocessing is not None:
            raise UsageError(
                "a trainable module takes rows as trained and returns what "
                "decision_function does: leave out probabilities and preprocessing"
            )
        # By name: it is far above this module.
        conversion = importlib.import_module("truesparse.torch.conversion")
        return conversion.to_sequential(getattr(model, "model_", model))
    net = net_of(model, preprocessing)
    is_linear = net.loss.name in ("squared", "huber") or not probabilities
    head = "identity" if is_linear else net.loss.name
    scales = {name: getattr(net.preprocessing, name) for name in SCALE_NAMES}
    return make_module(net.layers(), scales, head, net.describe())


def make_module(
    layers: Iterable[LayerByOutput],
    scales: dict[str, np.ndarray | None],
    head: str,
    about: dict[str, Any],
) -> Any:
    """Return the module of a net.

    Parameters
    ----------
    layers : iterable of LayerByOutput
    scales : dict
        The arrays of SCALE_NAMES, or None.
    head : str
        One of HEADS.
    about : dict
        Its attribute `about`.
    """
    linear = [_linear_class()(layer) for layer in layers]
    return _net_class()(linear, scales, head, about)


def require_torch(name: str) -> Any:
    """Return torch, or raise UsageError if the function `name` lacks it."""
    return import_extra("torch", f"{name} needs torch", "torch")


def __getattr__(name: str) -> Any:
    """Make a class of modules when pickle looks for it here."""
    # Before version 0.2 the first one was called SparseLinear.
    linear = dict.fromkeys(("CsrLinear", "SparseLinear"), _linear_class)
    makers = {**linear, "SparseNet": _net_class}
    if name in makers:
        require_torch(name)
        return makers[name]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _as_global(make: Callable[[], type]) -> Callable[[], type]:
    """Decorate a function that makes a class: once, and for pickle to find it here."""

    @functools.cache
    def make_once() -> type:
        made = make()
        made.__module__, made.__qualname__ = __name__, made.__name__
        return made

    return make_once


@_as_global
def _linear_class() -> type:
    import torch

    class CsrLinear(torch.nn.Module):
        """A layer a = f(W x + bias); x and a are (neurons, batch)."""

        crow_indices: torch.Tensor
        col_indices: torch.Tensor
        values: torch.Tensor

        def __init__(self, layer: LayerByOutput):
            super().__init__()
            self.shape = layer.n_out, layer.n_in
            self.activation = layer.activation.name
            self.parameter = layer.activation.parameter
            # The arrays of the matrix, for torch cannot move or copy a module that
            # holds a sparse CSR tensor.
            for name, array in _buffers(layer).items():
                tensor = None if array is None else torch.from_numpy(array)
                self.register_buffer(name, tensor)
            with warnings.catch_warnings():
                # torch warns once that they are in beta state; we document it.
                warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
                self._csr(check=True)

        @property
        def weight(self):
            """The weights as a sparse CSR tensor (n_out, n_in) of the same memory."""
            return self._csr(check=False)

        def forward(self, x):
            z = self.weight @ x + self.bias[:, None]
            return _activate(z, self.activation, self.parameter, self.srelu)

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

    return CsrLinear


@_as_global
def _net_class() -> type:
    import torch

    class SparseNet(torch.nn.Module):
        """Sparse layers one after the other, (..., n_features) to (..., n_out)."""

        feature_mean: torch.Tensor | None
        feature_scale: torch.Tensor | None
        target_mean: torch.Tensor | None
        target_scale: torch.Tensor | None

        def __init__(self, layers: list, scales: dict, head: str, about: dict):
            super().__init__()
            self.layers = torch.nn.Sequential(*layers)
            self.head, self.about = head, about
            for name, scale in scales.items():
                tensor = None if scale is None else torch.tensor(scale)
                self.register_buffer(name, tensor)

        def _apply(self, *arguments, **options):
            """Move all buffers; the scales stay float64, whatever the net becomes."""
            before = {name: getattr(self, name) for name in SCALE_NAMES}
            super()._apply(*arguments, **options)
            for name, scale in before.items():
                if scale is not None:
                    setattr(self, name, scale.to(getattr(self, name).device))
            return self

        def forward(self, x):
            if self.feature_scale is not None:
                x = x.to(torch.float64)
                if self.feature_mean is not None:
                    x = x - self.feature_mean
                x = (x / self.feature_scale).to(self.layers[0].values.dtype)
            # As torch.nn.Linear takes them: one sample, or any number of axes of them.
            samples = x.reshape(-1, x.shape[-1])
            z = self.layers(samples.T).T
            z = z.reshape(*x.shape[:-1], z.shape[-1])
            if self.head == "softmax":
                return torch.softmax(z, dim=-1)
            if self.head == "poisson":
                z = torch.exp(z)
            if self.target_scale is not None:
                z = (z.to(torch.float64) * self.target_scale + self.target_mean).to(z)
            return torch.sigmoid(z) if self.head == "logistic" else z

    return SparseNet


def _buffers(layer: LayerByOutput) -> dict[str, np.ndarray | None]:
    """Return copies of the arrays of a layer under the names of its buffers."""
    fits = layer.weights.size <= np.iinfo(np.int32).max
    index = np.int32 if fits else np.int64
    return {
        "crow_indices": layer.indptr.astype(index),
        "col_indices": layer.inputs.astype(index),
        "values": layer.weights.copy(),
        "bias": layer.bias.copy(),
        "srelu": None if layer.srelu is None else layer.srelu.copy(),
    }


def _activate(z: Any, name: str, parameter: float, srelu: Any) -> Any:
    """Return the activation of that name of a tensor (neurons, batch)."""
    import torch

    if srelu is not None:
        t_left, a_left, t_right, a_right = srelu[:, :, None]
        left = torch.where(z <= t_left, t_left + a_left * (z - t_left), z)
        right = t_right + a_right * (z - t_right)
        return torch.where(z >= t_right, right, left)
    F = torch.nn.functional
    functions = {
        "identity": lambda z: z,
        "relu": F.relu,
        "leaky_relu": lambda z: F.leaky_relu(z, parameter),
        "all_relu": lambda z: F.leaky_relu(z, parameter),
        "elu": lambda z: F.elu(z, parameter),
        "gelu": F.gelu,
        "silu": F.silu,
        "tanh": torch.tanh,
        "logistic": torch.sigmoid,
    }
    return functions[name](z)
