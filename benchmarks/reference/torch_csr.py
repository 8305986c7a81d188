"""CSR products and sampled gradients in torch: nothing has the size n_in n_out.

The values stand in the order of the CSR of W (n_in, n_out), as in the engine. W^T has
pattern and order of its own, and its values are gathered anew after each step:

    Z = W^T A + b      CSR of W^T (n_out, n_in) times dense
    W D                CSR of W times dense
    A D^T              torch.sparse.sampled_addmm at the pattern of W
"""

import warnings

import torch

from benchmarks.reference.driven import Driven
from benchmarks.reference.torch_net import Layer, TorchNet
from truesparse.reference.protocol import Description

# Indices of 32 bits: MKL takes no others, and cuSPARSE reads half as much.
_INDEX = torch.int32


class CsrLayer(Layer):
    """A layer that exists only as index arrays."""

    def connect(self, keys: torch.Tensor) -> None:
        """Take these cells as the connected ones: derive the two CSR patterns."""
        n_in, n_out = self.shape
        self._keys = keys
        rows, columns = keys // n_out, keys % n_out
        self._order = torch.argsort(columns * n_in + rows)
        self._pattern = _pointers(rows, n_in), columns.to(_INDEX)
        self._transposed = _pointers(columns, n_out), rows[self._order].to(_INDEX)
        self._empty: torch.Tensor | None = None

    def keys(self) -> torch.Tensor:
        """Return the connected cells, ascending."""
        return self._keys

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values: weights are stored in the order of `keys`."""
        return values

    def values(self, array: torch.Tensor) -> torch.Tensor:
        """Return what `spread` was given."""
        return array

    def follow_weights(self) -> None:
        """Make matrices of the weights as they are now."""
        self._matrix = _csr(*self._pattern, self.weights, self.shape)
        values = self.weights[self._order]
        self._matrix_t = _csr(*self._transposed, values, self.shape[::-1])

    def multiply(self, a: torch.Tensor) -> torch.Tensor:
        """Return W^T A + b, (n_out, batch)."""
        return (self._matrix_t @ a.contiguous()).add_(self.bias)

    def weight_gradient(self, a: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Return A D^T at the connections, (nnz,)."""
        if self._empty is None:
            zeros = torch.zeros_like(self.weights)
            self._empty = _csr(*self._pattern, zeros, self.shape)
        both = a.contiguous(), delta.t()
        return torch.sparse.sampled_addmm(self._empty, *both, beta=0.0).values()

    def input_gradient(self, delta: torch.Tensor) -> torch.Tensor:
        """Return W D, (n_in, batch)."""
        return self._matrix @ delta.contiguous()


def factory(case: Description, device: str = "cpu") -> Driven:
    """Return the implementation for a case."""
    return Driven(TorchNet(CsrLayer, case, device))


def on_cuda(case: Description) -> Driven:
    """Return the implementation for a case, on a GPU."""
    return factory(case, "cuda")


def _pointers(rows: torch.Tensor, n: int) -> torch.Tensor:
    """Return where each of n rows begins among its entries, (n + 1,)."""
    out = torch.zeros(n + 1, dtype=torch.int64, device=rows.device)
    torch.cumsum(torch.bincount(rows, minlength=n), 0, out=out[1:])
    return out.to(_INDEX)


def _csr(
    indptr: torch.Tensor,
    indices: torch.Tensor,
    values: torch.Tensor,
    shape: tuple[int, int],
) -> torch.Tensor:
    """Return a CSR tensor that shares these arrays."""
    with warnings.catch_warnings():
        # That sparse CSR is in beta state.
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_csr_tensor(
            indptr, indices, values, shape, check_invariants=False
        )
