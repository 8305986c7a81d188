"""SynFlow: pruning before training without data, by the flow along paths.

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by
iteratively conserving synaptic flow", NeurIPS 2020, Algorithm 1; details as in the
authors' code (ganguli-lab/Synaptic-Flow).

The flow R is the sum of the products of absolute weights along all paths from an input
to an output. The score of a connection is |w dR/dw|, what flows through it. In each of
100 rounds the connections of lowest score of all layers together go; after round k of n
the share d^(k / n) is left, where d is the share in the end. Since scores are taken
anew in every round, and those of a layer always add up to R, no layer is emptied before
all others.

Departures: activations count as linear, as relu is for what is positive; biases, which
are 0 at first, take no part, as in the paper (in the code they do). Scores are divided
by R, so that none overflows or vanishes, however deep the net. The choice is among a
superset, see superset.py, of which d is a share, where the authors start from the dense
net. Where no path is left scores are 0, and of equal scores the first go.
"""

import numpy as np
from scipy import sparse

from truesparse.common.checks import check_whole
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.prune import drop_smallest_of_all
from truesparse.topology.superset import SupersetPruning


class Synflow(SupersetPruning):
    """SynFlow: connections are chosen by the flow through them, without data.

    Parameters
    ----------
    rounds : int
        Times that scores are taken and the lowest go.
    **options
        See SupersetPruning.
    """

    name = "synflow"

    def __init__(self, *, rounds: int = 100, **options):
        super().__init__(**options)
        self.rounds = check_whole("rounds", rounds, 1)

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what `begin` holds, see update_bytes: magnitudes, scores, order."""
        return 28.0, 0.0

    def choose_dropped(
        self,
        model: SparseMLP,
        connections: dict[int, Connections],
        n_left: int,
        batches: Batches | None,
    ) -> dict[int, np.ndarray]:
        """Mark what goes in all rounds."""
        weights = [_magnitudes(layer.connections) for layer in model.layers]
        n_candidates = sum(each.nnz for each in connections.values())
        dropped = {i: np.zeros(each.nnz, bool) for i, each in connections.items()}
        for number in range(1, self.rounds + 1):
            share = (n_left / n_candidates) ** (number / self.rounds)
            count = n_candidates - round(share * n_candidates)
            scores = flows(weights)
            chosen = {index: scores[index] for index in connections}
            for index, marks in dropped.items():
                # What is gone stays so, also where other scores are 0.
                chosen[index][marks] = -1.0
            dropped = drop_smallest_of_all(chosen, count)
            for index, marks in dropped.items():
                weights[index].data[marks] = 0.0
        return dropped


def flows(weights: list[sparse.csr_array]) -> list[np.ndarray]:
    """Return the share of the flow from inputs to outputs through each connection.

    Parameters
    ----------
    weights : list of (n_in, n_out) csr_array
        Absolute weights of each layer, first to last.

    Returns
    -------
    list of (nnz,) float64 array
        Shares of a layer add up to 1, or are all 0 if no path is left.

    Examples
    --------
    >>> from scipy import sparse
    >>> chain = [sparse.csr_array([[1.0, 3.0]]), sparse.csr_array([[3.0], [1.0]])]
    >>> [each.tolist() for each in flows(chain)]
    [[0.5, 0.5], [0.5, 0.5]]
    """
    above = [np.ones(weights[-1].shape[1])]
    for each in reversed(weights[1:]):
        above.append(_scaled(each @ above[-1]))
    shares, below = [], np.ones(weights[0].shape[0])
    for each in weights:
        flow = np.repeat(below, np.diff(each.indptr)) * each.data
        flow *= above.pop()[each.indices]
        shares.append(_scaled(flow))
        below = _scaled(each.T @ below)
    return shares


def _scaled(sums: np.ndarray) -> np.ndarray:
    """Divide numbers that are not negative by their sum, unless that is 0."""
    total = sums.sum()
    return sums / total if total > 0.0 else sums


def _magnitudes(connections: Connections) -> sparse.csr_array:
    """Return absolute weights in float64, in arrays that may be written to."""
    matrix = connections.to_scipy()
    sizes = np.abs(matrix.data).astype(np.float64)
    parts = (sizes, matrix.indices, matrix.indptr)
    return sparse.csr_array(parts, shape=matrix.shape)
