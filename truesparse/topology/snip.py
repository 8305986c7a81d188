"""SNIP: single-shot network pruning by connection sensitivity, on a sparse superset.

Lee, Ajanthan and Torr, "SNIP: single-shot network pruning based on connection
sensitivity", ICLR 2019, section 4. Before training, a batch gives the sensitivity
|w_ij g_ij| of every connection. The most sensitive connections of all layers stay, the
output layer's included, and do not change from then on. Biases are ranked with them in
the authors' code (namhoonlee/snip-public); since a bias is 0 then, its sensitivity is
0: all biases go, and stay 0.

Departures: biases that are not 0 at the start are left alone. The choice is among a
superset, see superset.py, where the authors start from the dense net.
"""

import numpy as np

from truesparse.common.checks import check_bools, check_whole
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.superset import SupersetPruning, before_training


class Snip(SupersetPruning):
    """SNIP: connections are chosen by sensitivity before training, and stay.

    Parameters
    ----------
    gradient_batches : int
        Batches over which gradients are summed.
    prune_biases : bool
        Whether biases stay 0, as in the authors' code.
    rescale : bool
        See SupersetPruning.
    **options
        See SupersetPruning.
    """

    name = "snip"
    needs_batches = True

    def __init__(
        self,
        *,
        gradient_batches: int = 1,
        prune_biases: bool = True,
        rescale: bool = False,
        **options,
    ):
        super().__init__(rescale=rescale, **options)
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)
        check_bools(prune_biases=prune_biases)
        self.prune_biases = prune_biases
        # Marks of the pruned biases of each layer, which are those that are 0.
        self._pruned: list[np.ndarray] = []

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Choose the connections, unless the model has been trained already."""
        super().begin(model, batches)
        self._pruned = [layer.bias == 0.0 for layer in model.layers]

    def scores(
        self,
        model: SparseMLP,
        connections: dict[int, Connections],
        batches: Batches | None,
    ) -> dict[int, np.ndarray]:
        """Return sensitivities."""
        assert batches is not None
        start = before_training(model)
        count = self.gradient_batches
        scores = batches.connection_gradients(start, connections, count)
        for index, each in connections.items():
            scores[index] *= each.values
            np.abs(scores[index], out=scores[index])
        return scores

    def advance(
        self, unit: str, model: SparseMLP, context: UpdateContext, batches: Batches
    ) -> list[LayerChange] | None:
        """Set the pruned biases to 0 again; called after each step."""
        if self.prune_biases and unit == "step":
            for layer, pruned in zip(model.layers, self._pruned, strict=True):
                layer.bias[pruned] = 0.0
        return None
