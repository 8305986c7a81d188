"""Arguments of the kernels: arrays and scalars, grouped into NamedTuples.

Activations are feature-major: row = neuron, column = sample, so that every connection
touches one contiguous run of memory. Outputs, slopes and deltas may hold bfloat16, see
bfloat16.py: they and inputs, which are outputs or data, are "arrays" below, and all
others "float arrays".

The kernels of a step take such a group as a plain tuple, too, and make the NamedTuple
themselves: from Python, Numba takes 0.7 to 1.2 us to find the type of a NamedTuple, and
0.1 to 0.2 of a tuple of the same (EPYC, 2026-11).
"""

from typing import NamedTuple

import numpy as np


class Csr(NamedTuple):
    """Connections by input neuron: the order in which values are stored everywhere."""

    indptr: np.ndarray  # (n_in + 1,) int64
    indices: np.ndarray  # (nnz,) int32, output neurons, ascending within a row
    values: np.ndarray  # (nnz,) float


class Pattern(NamedTuple):
    """The cells that are connected, and which of them count as absent nevertheless."""

    indptr: np.ndarray  # (n_in + 1,) int64
    indices: np.ndarray  # (nnz,) int32
    dropped: np.ndarray  # (nnz,) bool


class Csc(NamedTuple):
    """The same connections by output neuron; values are reached by `permutation`."""

    indptr: np.ndarray  # (n_out + 1,) int64
    rows: np.ndarray  # (nnz,) int32, input neurons, ascending within a column
    permutation: np.ndarray  # (nnz,) int32 or int64, position in Csr.values


class Moments(NamedTuple):
    """Optimiser state, parallel to the values; empty where a method has none."""

    first: np.ndarray
    second: np.ndarray


class Growth(NamedTuple):
    """New connections of a layer."""

    keys: np.ndarray  # (k,) int64, cells as row * n_out + column, ascending
    values: np.ndarray  # (k,) float, their weights


class Activation(NamedTuple):
    """The steps from a pre-activation to the output."""

    code: int
    parameter: float  # slope or alpha, see activation.py
    keeps_slope: bool  # write the derivative beside the output
    drop_below: int  # a sample of a neuron is dropped if its 32-bit hash is below
    scale: float  # 1 / (1 - dropout), factor of the samples not dropped
    key: int  # 32-bit seed of this step's and layer's dropout


class Head(NamedTuple):
    """The output side of a layer."""

    bias: np.ndarray  # (n_out,)
    out: np.ndarray  # (n_out, columns)
    slope: np.ndarray  # (n_out, columns), or (0, 0) if the output suffices


class Source(NamedTuple):
    """The input side of a layer in the backward pass.

    `x` holds the layer's input on entry and, unless `code` is NO_GRADIENT, the delta
    of the layer below on return. A row is read by one task alone, so the delta needs
    no separate buffer. The biases of the layer below get their step in the same pass.
    """

    x: np.ndarray  # (n_in, columns)
    slope: np.ndarray  # (n_in, columns) or (0, 0)
    bias: np.ndarray  # (n_in,), biases of the layer below; empty if it has none
    bias_gradient: np.ndarray  # written by the pass
    bias_first: np.ndarray  # their moments, see Moments
    bias_second: np.ndarray
    code: int  # activation that made x
    parameter: float
    scale: float


class Above(NamedTuple):
    """What a backward pass takes from the layer above, and room to work in."""

    delta: np.ndarray  # (n_out, columns), gradient at the pre-activations, 0 in padding
    scratch: np.ndarray  # (n_threads, longest row) float


class SparseBatch(NamedTuple):
    """A sparse batch, feature by feature: the samples that are not zero there."""

    indptr: np.ndarray  # (n_features + 1,) int64
    positions: np.ndarray  # (room,) int32, sample's column in the batch
    values: np.ndarray  # (room,) float
