"""Dense weights and a mask in torch: sparsity simulated, as most research code has it.

Weights are W (n_in, n_out); the mask multiplies their gradient. What the optimiser
adds elsewhere is 0 as well, since its state and the weights are 0 there.
"""

import torch

from benchmarks.reference.driven import Driven
from benchmarks.reference.torch_net import Layer, TorchNet
from truesparse.reference.protocol import Description


class MaskedLayer(Layer):
    """A dense layer with a mask."""

    def connect(self, keys: torch.Tensor) -> None:
        """Take these cells as the connected ones."""
        self.mask = torch.zeros(self.shape, dtype=torch.bool, device=keys.device)
        self.mask.view(-1)[keys] = True

    def keys(self) -> torch.Tensor:
        """Return the connected cells, ascending."""
        return self.mask.view(-1).nonzero()[:, 0]

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return values (nnz,), in the order of `keys`, as (n_in, n_out)."""
        dense = torch.zeros(self.shape, dtype=values.dtype, device=values.device)
        dense[self.mask] = values
        return dense

    def values(self, array: torch.Tensor) -> torch.Tensor:
        """Return what `spread` was given."""
        return array[self.mask]

    def multiply(self, a: torch.Tensor) -> torch.Tensor:
        """Return W^T A + b, (n_out, batch)."""
        return torch.addmm(self.bias, self.weights.t(), a)

    def weight_gradient(self, a: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Return A D^T times the mask, (n_in, n_out)."""
        return (a @ delta.t()).mul_(self.mask)

    def input_gradient(self, delta: torch.Tensor) -> torch.Tensor:
        """Return W D, (n_in, batch)."""
        return self.weights @ delta

    def follow_weights(self) -> None:
        """Do nothing: nothing is derived from the weights."""


def factory(case: Description, device: str = "cpu") -> Driven:
    """Return the implementation for a case."""
    return Driven(TorchNet(MaskedLayer, case, device))


def on_cuda(case: Description) -> Driven:
    """Return the implementation for a case, on a GPU."""
    return factory(case, "cuda")
