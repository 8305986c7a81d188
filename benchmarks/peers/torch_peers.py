"""Peers that run on PyTorch: dense, masked dense, and CSR.

The dense peers compute sample-major, A (batch, n), as torch.nn.Linear does. The CSR
peer computes feature-major, A (n, batch), because MKL multiplies a CSR matrix with a
row-major dense one::

    Z = W^T A + b      addmm on CSR of W^T (n_out, n_in)
    dA = W dZ          addmm on CSR of W, its values gathered from those of W^T
    dW = dZ A^T        on the pattern only: torch.sparse.sampled_addmm
"""

import warnings
from types import ModuleType
from typing import Any

import numpy as np

from .common import LEARNING_RATE, MOMENTUM, Layer, Peer, PeerUnavailableError, Task


def load_torch(threads: int) -> ModuleType:
    """Import torch and limit it to `threads`, or raise PeerUnavailableError."""
    try:
        import torch
    except ImportError as error:
        raise PeerUnavailableError(f"torch is not installed ({error})") from None
    torch.set_num_threads(threads)
    return torch


class _TorchPeer(Peer):
    """A torch.nn.Sequential of linear layers and ReLU with fused SGD."""

    def __init__(self, task: Task) -> None:
        torch = load_torch(task.threads)
        self._before(task)
        x, labels = task.data()
        self._x, self._labels = torch.from_numpy(x), torch.from_numpy(labels)
        modules: list[Any] = []
        for module in self._linear(torch, task):
            modules += [module, torch.nn.ReLU()]
        self._model = torch.nn.Sequential(*modules[:-1])
        self._loss = torch.nn.functional.cross_entropy
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, fused=True
        )

    def _before(self, task: Task) -> None:
        """Raise PeerUnavailableError if this peer cannot run `task`."""

    def _linear(self, torch: ModuleType, task: Task) -> list[Any]:
        """Make one module per layer and set ``nnz``."""
        raise NotImplementedError

    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self._model(self._x), self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.item()


class TorchDense(_TorchPeer):
    """torch.nn.Linear layers with every weight."""

    name = "torch_dense"

    def _before(self, task: Task) -> None:
        # Weights, gradients and momentum.
        task.refuse_dense(3)

    def _linear(self, torch: ModuleType, task: Task) -> list[Any]:
        self.nnz = task.net.n_dense
        torch.manual_seed(task.seed)
        modules = []
        for n_in, n_out in task.net.shapes:
            module = torch.nn.Linear(n_in, n_out)
            torch.nn.init.normal_(module.weight, std=(2 / n_in) ** 0.5)
            torch.nn.init.zeros_(module.bias)
            modules.append(module)
        return modules


class TorchMasked(_TorchPeer):
    """Sparsity simulated as most research code does: dense layers, then a mask.

    The mask multiplies the weights after every step, so that weights outside the
    pattern are zero in every forward pass.
    """

    name = "torch_masked"

    def _before(self, task: Task) -> None:
        # As the dense peer, and the mask.
        task.refuse_dense(4)

    def _linear(self, torch: ModuleType, task: Task) -> list[Any]:
        self.nnz = task.net.nnz
        self._masks, modules = [], []
        for layer in task.layers():
            module = torch.nn.Linear(layer.n_in, layer.n_out)
            dense = np.zeros((layer.n_out, layer.n_in), dtype=np.float32)
            dense[layer.indices, layer.rows()] = layer.weights
            mask = np.zeros_like(dense)
            mask[layer.indices, layer.rows()] = 1
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(dense))
                module.bias.zero_()
            self._masks.append(torch.from_numpy(mask))
            modules.append(module)
        self._no_grad = torch.no_grad
        self._weights = [module.weight for module in modules]
        return modules

    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""
        loss = super().step()
        with self._no_grad():
            for weight, mask in zip(self._weights, self._masks, strict=True):
                weight.mul_(mask)
        return loss


class _CsrLayer:
    """Views into the flat parameters, fixed CSR tensors and reused buffers.

    ``views`` are this layer's values, their gradients, biases and their gradients.
    """

    def __init__(self, torch: ModuleType, layer: Layer, batch: int, views: Any) -> None:
        self.values, value_grads, biases, bias_grads = views
        self.bias, self.bias_grad = biases[:, None], bias_grads[:, None]
        self.out = torch.empty(layer.n_out, batch)
        self.input_grad = torch.empty(layer.n_in, batch)
        shape = (layer.n_out, layer.n_in)
        self.full = layer.is_full
        if self.full:
            # A fully connected W^T in CSR order is its own row-major dense matrix.
            self.transposed = self.values.view(shape)
            self.grad = value_grads.view(shape)
            self.matrix = self.transposed.t()
            return
        indptr, indices, order = layer.by_output()

        def csr(starts: np.ndarray, columns: np.ndarray, values: Any, size: Any) -> Any:
            # MKL's LP64 interface works on 32-bit indices.
            index = [torch.from_numpy(a.astype(np.int32)) for a in (starts, columns)]
            return torch.sparse_csr_tensor(*index, values, size, check_invariants=True)

        self.transposed = csr(indptr, indices, self.values, shape)
        self.grad = csr(indptr, indices, value_grads, shape)
        self.gathered = torch.empty_like(self.values)
        self.matrix = csr(layer.indptr, layer.indices, self.gathered, shape[::-1])
        position = np.empty(layer.nnz, dtype=np.int32)
        position[order] = np.arange(layer.nnz, dtype=np.int32)
        self.position = torch.from_numpy(position)


def _csr_function(torch: ModuleType) -> Any:
    """Make the custom autograd function; torch is not imported at module level."""
    relu_backward = torch.ops.aten.threshold_backward.grad_input

    class CsrNet(torch.autograd.Function):
        """The whole net as one node of the graph.

        Gradients are written into the parameters' ``.grad`` buffers here and None is
        returned for them, which saves autograd's copy of every gradient. One node per
        layer takes 2.0 to 2.1 ms instead of 1.7, the same calls without autograd 1.64
        (784-1000x3-10, batch 128; 2 cores of an AMD EPYC, 2026-11).
        """

        @staticmethod
        def forward(
            ctx: Any, x: Any, values: Any, biases: Any, layers: list[_CsrLayer]
        ) -> Any:
            ctx.x, ctx.layers = x, layers
            for layer in layers:
                torch.addmm(layer.bias, layer.transposed, x, out=layer.out)
                x = layer.out
                if layer is not layers[-1]:
                    x.relu_()
            return x.t()

        @staticmethod
        def backward(ctx: Any, *logit_grads: Any) -> tuple[None, ...]:
            delta = logit_grads[0].t().contiguous()
            inputs = [ctx.x, *(layer.out for layer in ctx.layers[:-1])]
            for layer, x in zip(ctx.layers[::-1], inputs[::-1], strict=True):
                torch.sum(delta, 1, keepdim=True, out=layer.bias_grad)
                if layer.full:
                    torch.mm(delta, x.t(), out=layer.grad)
                else:
                    torch.sparse.sampled_addmm(
                        layer.grad, delta, x.t(), beta=0.0, out=layer.grad
                    )
                if x is ctx.x:
                    break
                if not layer.full:
                    torch.index_select(
                        layer.values, 0, layer.position, out=layer.gathered
                    )
                grad = layer.input_grad
                torch.addmm(grad, layer.matrix, delta, beta=0.0, out=grad)
                delta = relu_backward(grad, x, 0, grad_input=grad)
            return (None,) * 4

    return CsrNet


class TorchCsr(Peer):
    """MKL's CSR products inside a custom autograd function, fused SGD on the values.

    All values are one flat parameter and all biases another, so that the optimiser
    has two tensors; every buffer is made once. Layers that are fully connected use
    dense products.
    """

    name = "torch_csr"

    def __init__(self, task: Task) -> None:
        torch = load_torch(task.threads)
        x, labels = task.data()
        self._x = torch.from_numpy(np.ascontiguousarray(x.T))
        self._labels = torch.from_numpy(labels)
        drawn = task.layers()
        self.nnz = sum(layer.nnz for layer in drawn)
        self._values = torch.nn.Parameter(
            torch.from_numpy(
                np.concatenate([layer.weights[layer.by_output()[2]] for layer in drawn])
            )
        )
        self._biases = torch.nn.Parameter(torch.zeros(sum(task.net.sizes[1:])))
        for parameter in (self._values, self._biases):
            parameter.grad = torch.zeros_like(parameter)
        nnz = [layer.nnz for layer in drawn]
        flat = zip(
            self._values.detach().split(nnz),
            self._values.grad.split(nnz),
            self._biases.detach().split(task.net.sizes[1:]),
            self._biases.grad.split(task.net.sizes[1:]),
            strict=True,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            self._layers = [
                _CsrLayer(torch, layer, task.batch, views)
                for layer, views in zip(drawn, flat, strict=True)
            ]
        self._net = _csr_function(torch)
        self._loss = torch.nn.functional.cross_entropy
        self._optimizer = torch.optim.SGD(
            [self._values, self._biases],
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            fused=True,
        )

    def step(self) -> float:
        """Take one training step and return the batch's mean loss before it."""
        logits = self._net.apply(self._x, self._values, self._biases, self._layers)
        loss = self._loss(logits, self._labels)
        loss.backward()
        self._optimizer.step()
        return loss.item()


class SparseProp(_TorchPeer):
    """The PyPI package SparseProp (C++, AVX2, OpenMP) inside a torch net.

    Its SparseLinear replaces every layer that is not fully connected; a full layer
    stays torch.nn.Linear, as the package's module swapper leaves it.
    """

    name = "sparseprop"

    def _before(self, task: Task) -> None:
        try:
            from sparseprop.modules import SparseLinear
        except ImportError as error:
            raise PeerUnavailableError(
                f"sparseprop is not installed ({error}); after torch, setuptools and "
                "pybind11: pip install --no-build-isolation sparseprop"
            ) from None
        self._sparse_linear = SparseLinear

    def _linear(self, torch: ModuleType, task: Task) -> list[Any]:
        self.nnz = task.net.nnz
        return [self._module(torch, layer) for layer in task.layers()]

    def _module(self, torch: ModuleType, layer: Layer) -> Any:
        indptr, indices, order = layer.by_output()
        values = torch.from_numpy(layer.weights[order])
        if layer.is_full:
            return _full_layer(torch, layer)
        # The constructor only takes a dense matrix, so it gets one of a single cell
        # and the CSR arrays are set afterwards.
        bias = torch.nn.Parameter(torch.zeros(layer.n_out))
        module = self._sparse_linear(torch.ones(1, 1), bias=bias)
        module.N, module.M = layer.n_out, layer.n_in
        module.W_val = torch.nn.Parameter(values)
        module.W_idx = tuple(
            torch.from_numpy(a.astype(np.int32)) for a in (indptr, indices)
        )
        return module


class SparseLayers(_TorchPeer):
    """truesparse.torch: SparseLinear for every layer that is not fully connected.

    It is not in ``PEERS``, which lists what truesparse is compared with.
    """

    name = "sparse_linear"

    def _linear(self, torch: ModuleType, task: Task) -> list[Any]:
        self.nnz = task.net.nnz
        return [self._module(torch, layer) for layer in task.layers()]

    def _module(self, torch: ModuleType, layer: Layer) -> Any:
        from truesparse.sparse.connections import Connections
        from truesparse.torch import SparseLinear

        if layer.is_full:
            return _full_layer(torch, layer)
        arrays = layer.indptr, layer.indices, layer.weights
        return SparseLinear.from_connections(
            Connections(layer.n_in, layer.n_out, *arrays)
        )


class CompiledSparseLayers(SparseLayers):
    """The same under torch.compile."""

    name = "sparse_linear_compiled"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._model = load_torch(task.threads).compile(self._model, fullgraph=True)


def _full_layer(torch: ModuleType, layer: Layer) -> Any:
    """Return a fully connected layer as a torch.nn.Linear."""
    module = torch.nn.Linear(layer.n_in, layer.n_out)
    values = torch.from_numpy(layer.weights.reshape(layer.n_in, layer.n_out))
    with torch.no_grad():
        module.weight.copy_(values.t())
        module.bias.zero_()
    return module
