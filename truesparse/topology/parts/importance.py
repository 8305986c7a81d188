"""Importance of neurons, and of connections beside those of the same neurons.

Neurons with weak inputs lose all of them, for good.

Curci, Mocanu and Pechenizkiy, "Truly sparse neural networks at scale", arXiv 2102.01732
(2021), section 3.3: the importance of neuron j is I_j = sum_i |w_ij|. The least
important neurons of the hidden layers lose all incoming connections, which are not
replaced: those up to a percentile of all neurons, also those without inputs, so that a
second time takes few neurons where the first has emptied many. Random growth may
connect them again, and their outgoing connections stay unless chains are removed, as in
the authors' code (SelimaC/large-scale-sparse-neural-networks).

Departures: the update's algorithm chooses what it removes among all connections, also
those of these neurons, so that less of the rest is exchanged in such an update; where
the rule would empty a layer, since all its neurons are equally important, none loses
its inputs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truesparse.common.checks import check_share, check_share_below_one, check_whole
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.topology_update import Update


@dataclass(frozen=True)
class Importance:
    """When neurons lose their inputs, and how many.

    Parameters
    ----------
    share : float
        Share of a layer's neurons, in [0, 1); 0 for none.
    every : int
        Epochs between two such times, or more where updates are rarer.
    start : float
        Share of the run after which they begin.
    """

    OPTIONS: ClassVar = {
        "importance": "share",
        "importance_every": "every",
        "importance_start": "start",
    }

    share: float = 0.0
    every: int = 10
    start: float = 0.5

    def __post_init__(self):
        check_share_below_one(importance=self.share)
        check_share(importance_start=self.start)
        check_whole("importance_every", self.every, 1)

    def is_due(self, context: UpdateContext, next_epoch: int) -> bool:
        """Whether neurons lose their inputs now, at `next_epoch` at the earliest."""
        is_late = context.progress > self.start and context.epoch >= next_epoch
        return self.share > 0.0 and is_late


def drop_neurons(update: Update, share: float) -> None:
    """Mark all inputs of the least important neurons of each hidden layer that evolves.

    Those go whose importance is at most the percentile of all neurons of the layer;
    a neuron without inputs has importance 0.

    Parameters
    ----------
    update : Update
        Gets the marks, also as `pruned`; `lost` counts them.
    share : float
        Share of the neurons, in [0, 1).
    """
    for index, connections in update.connections.items():
        if index == len(update.model.layers) - 1:
            continue
        sizes = np.abs(connections.values)
        importance = np.bincount(
            connections.indices, sizes, minlength=connections.n_out
        )
        emptied = importance <= np.percentile(importance, 100.0 * share)
        inputs = emptied[connections.indices]
        if inputs.all():
            inputs[:] = False
        update.dropped[index] |= inputs
        update.pruned[index] = update.pruned.get(index, False) | inputs
        update.lost[index] = int(np.count_nonzero(inputs))


def relative_importance(connections: Connections) -> np.ndarray:
    """Return the sum of the shares that |w| has of its row's and its column's sum.

    Zhang et al., "Brain network science modelling of sparse neural networks enables
    Transformers and LLMs to perform as fully connected", NeurIPS 2025 (CHTss).

    Parameters
    ----------
    connections : Connections

    Returns
    -------
    (nnz,) float64 array
        From 0 to 2; 0 where the weight is.

    Examples
    --------
    >>> from scipy import sparse
    >>> from truesparse.sparse.connections import Connections
    >>> square = Connections.from_scipy(sparse.csr_array([[3.0, 1.0], [0.0, 2.0]]))
    >>> relative_importance(square).round(3)
    array([1.75 , 0.583, 1.667])
    """
    sizes = np.abs(connections.values).astype(np.float64)
    degrees = np.diff(connections.indptr)
    rows = np.flatnonzero(degrees)
    if not rows.size:
        return sizes
    # Each row is summed by itself: differences of a running total would be inexact.
    row_sums = np.ones(connections.n_in)
    row_sums[rows] = np.add.reduceat(sizes, connections.indptr[rows])
    column_sums = np.bincount(connections.indices, sizes, minlength=connections.n_out)
    # Shares of weights that are all 0 are 0.
    row_sums[row_sums == 0.0] = column_sums[column_sums == 0.0] = 1.0
    shares = sizes / np.repeat(row_sums, degrees)
    sizes /= column_sums[connections.indices]
    shares += sizes
    return shares
