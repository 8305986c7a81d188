"""Counts over the connections of a model, in O(connections), none of them dense."""

import itertools
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from truesparse.checks import check_whole
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections

# Connections that are looked at together: enough to be quick, few enough to be small.
CHUNK = 1 << 20


def as_model(source: Any) -> SparseMLP:
    """Return the model that a source holds.

    Parameters
    ----------
    source : SparseMLP, fitted estimator, path of a model file or of a run folder

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
        from truesparse.storage.models import load
        from truesparse.storage.run_folder import find_model

        return load(find_model(model))
    raise UsageError(
        "expected a SparseMLP, a fitted estimator, a model file or a run folder, got "
        f"{type(source).__name__}"
    )


def chosen_layers(model: SparseMLP, layers: Any) -> list[int]:
    """Return the numbers of the layers asked for, from 0; all of them for None."""
    n_layers = len(model.layers)
    if layers is None:
        return list(range(n_layers))
    if isinstance(layers, int):
        layers = [layers]
    if not len(layers):
        raise UsageError("layers must name at least one layer")
    return [check_whole("layers", index, 0, n_layers - 1) for index in layers]


def row_chunks(links: Connections) -> Iterator[tuple[slice, slice]]:
    """Yield rows, and the positions of their connections, in about equal parts."""
    cuts = np.searchsorted(links.indptr, np.arange(0, links.nnz, CHUNK))
    cuts = np.unique(np.concatenate([[0], cuts, [links.n_in]]))
    for start, stop in itertools.pairwise(cuts):
        positions = slice(int(links.indptr[start]), int(links.indptr[stop]))
        yield slice(int(start), int(stop)), positions


def out_degrees(links: Connections) -> np.ndarray:
    """Return the connections of every input neuron, (n_in,) int64."""
    return np.diff(links.indptr)


def in_degrees(links: Connections) -> np.ndarray:
    """Return the connections of every output neuron, (n_out,) int64."""
    degrees = np.zeros(links.n_out, np.int64)
    # bincount would turn all indices into int64 at once; a part much smaller than
    # n_out would cost more than it saves.
    size = max(CHUNK, links.n_out)
    for start in range(0, links.nnz, size):
        part = links.indices[start : start + size]
        degrees += np.bincount(part, minlength=links.n_out)
    return degrees


def out_strengths(links: Connections) -> np.ndarray:
    """Return the sum of |weight| over the connections of inputs, (n_in,) float64."""
    strengths = np.zeros(links.n_in)
    for rows, positions in row_chunks(links):
        sizes = np.abs(links.values[positions], dtype=np.float64)
        degrees = np.diff(links.indptr[rows.start : rows.stop + 1])
        owners = np.repeat(np.arange(degrees.size), degrees)
        strengths[rows] = np.bincount(owners, sizes, degrees.size)
    return strengths


def bin_edges(n: int, n_bins: int) -> np.ndarray:
    """Return where each of `n_bins` parts of 0 to n begins; part b ends at b + 1.

    Neuron i is in part ``i * n_bins // n``.
    """
    return -(-np.arange(n_bins + 1) * n // n_bins)


def binned_pattern(links: Connections, n_rows: int, n_columns: int) -> np.ndarray:
    """Count the connections in each part of the matrix, O(nnz + parts).

    Returns
    -------
    (n_rows, n_columns) int64 array
        Part (r, c) holds the rows and columns that `bin_edges` says.
    """
    counts = np.zeros(n_rows * n_columns, np.int64)
    for rows, positions in row_chunks(links):
        degrees = np.diff(links.indptr[rows.start : rows.stop + 1])
        bins = np.arange(rows.start, rows.stop, dtype=np.int64) * n_rows // links.n_in
        parts = np.repeat(bins * n_columns, degrees)
        columns = links.indices[positions].astype(np.int64)
        parts += columns * n_columns // links.n_out
        counts += np.bincount(parts, minlength=counts.size)
    return counts.reshape(n_rows, n_columns)


class Dead(NamedTuple):
    """Hidden neurons of a layer that cannot take part."""

    n_neurons: int
    no_input: int  # no incoming connection, though perhaps outgoing ones
    no_output: int
    neither: int

    @property
    def total(self) -> int:
        """Those that lack the one, the other or both."""
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
    found = []
    links = [layer.connections for layer in model.layers]
    for before, after in itertools.pairwise(links):
        no_input, no_output = in_degrees(before) == 0, out_degrees(after) == 0
        neither = int(np.count_nonzero(no_input & no_output))
        found.append(
            Dead(
                before.n_out,
                int(np.count_nonzero(no_input)) - neither,
                int(np.count_nonzero(no_output)) - neither,
                neither,
            )
        )
    return found
