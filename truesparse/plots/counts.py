"""Counts over the connections of a model, in O(connections) time and memory."""

import itertools
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from truesparse.common.checks import check_whole
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections

# Connections counted together: enough to be quick, few enough to take little memory.
CHUNK = 1 << 20


def as_model(source: Any) -> SparseMLP:
    """Return the model that a source holds.

    Parameters
    ----------
    source : SparseMLP, fitted estimator, or path of a model file or run folder

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    UsageError
        If the source is none of these.
    """
    model = getattr(source, "model_", source)
    if isinstance(model, SparseMLP):
        return model
    if isinstance(model, str | os.PathLike):
        from truesparse.storage.models import find_model, load

        return load(find_model(model))
    raise UsageError(
        "model must be a SparseMLP, a fitted estimator, or the path of a model file or "
        f"run folder, got {type(source).__name__}"
    )


def chosen_layers(model: SparseMLP, layers: Any) -> list[int]:
    """Return the numbers of the chosen layers, from 0; all of them for None."""
    n_layers = len(model.layers)
    if layers is None:
        return list(range(n_layers))
    try:
        given = list(layers)
    except TypeError:  # one number
        given = [layers]
    if not given:
        raise UsageError("layers must name at least one layer, got none")
    return [check_whole("layers", index, 0, n_layers - 1) for index in given]


def row_chunks(connections: Connections) -> Iterator[tuple[slice, slice]]:
    """Yield slices of rows and of their connections, about ``CHUNK`` at a time."""
    cuts = np.searchsorted(connections.indptr, np.arange(0, connections.nnz, CHUNK))
    cuts = np.unique(np.concatenate([[0], cuts, [connections.n_in]]))
    for start, stop in itertools.pairwise(cuts):
        positions = slice(int(connections.indptr[start]), int(connections.indptr[stop]))
        yield slice(int(start), int(stop)), positions


def out_degrees(connections: Connections) -> np.ndarray:
    """Return the number of connections of every input neuron, (n_in,) int64."""
    return np.diff(connections.indptr)


def in_degrees(connections: Connections) -> np.ndarray:
    """Return the number of connections of every output neuron, (n_out,) int64."""
    degrees = np.zeros(connections.n_out, np.int64)
    # bincount would turn all indices into int64 at once; chunks much smaller than
    # n_out would cost more than they save.
    size = max(CHUNK, connections.n_out)
    for start in range(0, connections.nnz, size):
        chunk = connections.indices[start : start + size]
        degrees += np.bincount(chunk, minlength=connections.n_out)
    return degrees


def out_strengths(connections: Connections) -> np.ndarray:
    """Return the sum of |weight| of every input neuron, (n_in,) float64."""
    strengths = np.zeros(connections.n_in)
    for rows, positions in row_chunks(connections):
        sizes = np.abs(connections.values[positions], dtype=np.float64)
        degrees = np.diff(connections.indptr[rows.start : rows.stop + 1])
        owners = np.repeat(np.arange(degrees.size), degrees)
        strengths[rows] = np.bincount(owners, sizes, degrees.size)
    return strengths


def in_strengths(connections: Connections) -> np.ndarray:
    """Return the sum of |weight| of every output neuron, (n_out,) float64."""
    strengths = np.zeros(connections.n_out)
    size = max(CHUNK, connections.n_out)
    for start in range(0, connections.nnz, size):
        part = slice(start, start + size)
        sizes = np.abs(connections.values[part], dtype=np.float64)
        chunk = connections.indices[part]
        strengths += np.bincount(chunk, sizes, minlength=connections.n_out)
    return strengths


def bin_edges(n: int, n_bins: int) -> np.ndarray:
    """Return the edges of `n_bins` bins of about equally many of n neurons.

    Bin b holds the neurons from ``edges[b]`` to below ``edges[b + 1]``: neuron i is in
    bin ``i * n_bins // n``.

    Returns
    -------
    (n_bins + 1,) int64 array
    """
    return -(-np.arange(n_bins + 1) * n // n_bins)


def binned_pattern(connections: Connections, n_rows: int, n_columns: int) -> np.ndarray:
    """Count the connections in each bin of the matrix, O(nnz + bins).

    Returns
    -------
    (n_rows, n_columns) int64 array
        Entry (r, c) counts those in bin r of the rows and c of the columns, see
        `bin_edges`.
    """
    counts = np.zeros(n_rows * n_columns, np.int64)
    for rows, positions in row_chunks(connections):
        degrees = np.diff(connections.indptr[rows.start : rows.stop + 1])
        neurons = np.arange(rows.start, rows.stop, dtype=np.int64)
        row_bins = neurons * n_rows // connections.n_in
        cells = np.repeat(row_bins * n_columns, degrees)
        columns = connections.indices[positions].astype(np.int64)
        cells += columns * n_columns // connections.n_out
        counts += np.bincount(cells, minlength=counts.size)
    return counts.reshape(n_rows, n_columns)


class Dead(NamedTuple):
    """Numbers of hidden neurons of a layer that lack connections on a side."""

    n_neurons: int
    no_input: int  # no incoming connection, though perhaps outgoing ones
    no_output: int
    neither: int

    @property
    def total(self) -> int:
        """Number of neurons that lack incoming or outgoing connections, or both."""
        return self.no_input + self.no_output + self.neither


def dead_neurons(model: SparseMLP) -> list[Dead]:
    """Count the dead neurons of every hidden layer.

    A neuron counts once: `no_input` and `no_output` leave out those that lack both.

    Examples
    --------
    >>> from truesparse import SparseMLP
    >>> from truesparse.plots.counts import dead_neurons
    >>> [layer.total for layer in dead_neurons(SparseMLP([4, 8, 2], density=1.0))]
    [0]
    """
    dead = []
    connections = [layer.connections for layer in model.layers]
    for before, after in itertools.pairwise(connections):
        no_input, no_output = in_degrees(before) == 0, out_degrees(after) == 0
        neither = int(np.count_nonzero(no_input & no_output))
        dead.append(
            Dead(
                before.n_out,
                int(np.count_nonzero(no_input)) - neither,
                int(np.count_nonzero(no_output)) - neither,
                neither,
            )
        )
    return dead
