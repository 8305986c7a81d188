"""The connections of a layer as tensors: all that its kernels need but the values.

A layer holds them as buffers and gives them to the operators, which remember nothing
between calls: copies of a layer, and tensors that a compiler hands on, just work.
"""

from typing import NamedTuple

import numpy as np
import torch

from truesparse.kernels.arrays import Csc, Csr
from truesparse.sparse.balance import N_TASKS, balance
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import scatter_tasks


class Wiring(NamedTuple):
    """Which cells are connected, by input and by output, and how work is split.

    The sizes depend on the shape of the layer and its number of connections alone: as
    long as that number stands, a compiled program need not be compiled again.
    """

    indptr: torch.Tensor  # (in_features + 1,) int64
    indices: torch.Tensor  # (nnz,) int32, output neurons, ascending within an input
    by_output: torch.Tensor  # (out_features + 1,) int64, as indptr
    inputs: torch.Tensor  # (nnz,) int32, input neurons, ascending within an output
    positions: torch.Tensor  # (nnz,) int32 or int64, places of these in the values
    input_tasks: torch.Tensor  # (N_TASKS + 1,) int64, bounds of ranges of inputs
    output_tasks: torch.Tensor  # (N_TASKS + 1,) int64, bounds of ranges of outputs
    scatter_tasks: torch.Tensor  # (3 to 9,) int64, bounds of ranges of inputs

    @property
    def shape(self) -> tuple[int, int]:
        """Number of inputs and of outputs."""
        return self.indptr.shape[0] - 1, self.by_output.shape[0] - 1

    def csr(self, values: np.ndarray) -> Csr:
        """Return the connections by input neuron, as kernels take them."""
        return Csr(self.indptr.numpy(), self.indices.numpy(), values)

    def csc(self) -> Csc:
        """Return the connections by output neuron, as kernels take them."""
        parts = (self.by_output, self.inputs, self.positions)
        return Csc(*(part.numpy() for part in parts))


# What a state_dict holds; the rest follows from it.
STORED = ("indptr", "indices")


def wiring_of(connections: Connections) -> Wiring:
    """Return the wiring of connections, whose arrays it shares."""
    view = connections.view
    n_scattering = scatter_tasks(connections.nnz, connections.n_out)
    arrays = (
        connections.indptr,
        connections.indices,
        *view,
        _tasks(connections.indptr, N_TASKS),
        _tasks(view.indptr, N_TASKS),
        _tasks(connections.indptr, n_scattering),
    )
    return Wiring(*(torch.from_numpy(array) for array in arrays))


def _tasks(indptr: np.ndarray, n_tasks: int) -> np.ndarray:
    """Return the bounds of exactly `n_tasks` ranges of rows; the last may be empty."""
    bounds = balance(indptr, n_tasks)
    return np.pad(bounds, (0, n_tasks + 1 - bounds.size), mode="edge")
