"""Layers one after the other: their sizes, and the state of their optimiser."""

import itertools
from typing import Any

import numpy as np

from truesparse.network.buffers import Buffers
from truesparse.network.precision import choose_activation_dtype
from truesparse.optimizers import Optimizer
from truesparse.sparse.layer import SparseLayer
from truesparse.sparse.unpickled import check_layers


class LayerStack:
    """Layers of which each takes what the last one outputs.

    Attributes
    ----------
    layers : list of SparseLayer
    step : int
        Optimiser steps taken.
    moments_since : int
        The step at which the optimiser's state was zero.
    """

    layers: list[SparseLayer]
    step: int
    moments_since: int
    _activation_dtype: str | None = None  # that of the weights
    _buffers: Buffers | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take layers from a pickle, if kernels can trust them."""
        self.__dict__.update(state)
        check_layers(state.get("layers", ()))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Neurons of every layer, features first."""
        widths = (layer.connections.n_out for layer in self.layers)
        return (self.layers[0].connections.n_in, *widths)

    @property
    def neighbours(self) -> list[tuple[int, int]]:
        """Numbers of layers of which the second takes what the first outputs."""
        return list(itertools.pairwise(range(len(self.layers))))

    @property
    def n_neurons(self) -> int:
        """Number of hidden and output neurons."""
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
        """Dtype of the weights."""
        return self.layers[0].bias.dtype

    @property
    def activation_dtype(self) -> str:
        """Dtype in which activations are stored, by name; it can be set."""
        return choose_activation_dtype(self._activation_dtype, self.dtype)

    @activation_dtype.setter
    def activation_dtype(self, name: str | None) -> None:
        """Store activations otherwise from now on; None is the dtype of the weights."""
        choose_activation_dtype(name, self.dtype)
        self._activation_dtype, self._buffers = name, None

    def allocate_moments(self, optimizer: Optimizer, keep: bool = False) -> None:
        """Allocate zero state for `optimizer`, or `keep` the state if it fits."""
        if keep and self.has_moments(optimizer):
            return
        self.moments_since = self.step
        for layer in self.layers:
            layer.allocate_moments(*optimizer.needs)

    def reset_moments(self) -> None:
        """Set all optimiser state to zero, as at the start of a run."""
        self.moments_since = self.step
        for layer in self.layers:
            layer.reset_moments()

    def has_moments(self, optimizer: Optimizer) -> bool:
        """Whether all layers have the state that `optimizer` needs."""
        first, second = optimizer.needs
        return all(layer.has_moments(first, second) for layer in self.layers)
