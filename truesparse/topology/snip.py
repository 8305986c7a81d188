"""SNIP: single-shot network pruning by connection sensitivity, on a sparse superset.

Lee, Ajanthan and Torr, "SNIP: single-shot network pruning based on connection
sensitivity", ICLR 2019, section 4. Before training, a batch gives the sensitivity
|w_ij g_ij| of every connection. The most sensitive connections of all layers stay, the
output layer's included, and do not change from then on. Biases are ranked with them in
the authors' code (namhoonlee/snip-public); since a bias is 0 then, its sensitivity is
0: all biases go, and stay 0.

Departures: biases that are not 0 at the start are left alone. The authors start from
the dense net. Here each layer gets `gamma` times as
many connections again, in uniformly drawn cells, and the choice is among all of these;
with gamma of at least (1 - density) / density they are all cells. Weights are scaled
down for the superset, and up for the rest of it that stays. This preserves the sum of
their squares, and with it the variance of the outputs.
"""

import numpy as np

from truesparse.common.checks import (
    check_bools,
    check_not_negative,
    check_whole,
    choose,
)
from truesparse.common.rng import Purpose, stream
from truesparse.drawing.cells import INITIALIZERS, draw_weights, sample_absent
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.prune import drop_smallest_of_all
from truesparse.topology.parts.stages import Layers
from truesparse.topology.static import Static


class Snip(Static):
    """SNIP: connections are chosen by sensitivity before training, and stay.

    Parameters
    ----------
    gamma : float
        Candidates, as a multiple of a layer's connections.
    gradient_batches : int
        Batches over which gradients are summed.
    weight_init : str
        Initialiser of the candidates, see drawing.cells.INITIALIZERS.
    prune_biases : bool
        Whether biases stay 0, as in the authors' code.
    **options
        evolve_output, whether the output layer takes part, by default as published;
        see TopologyAlgorithm.
    """

    name = "snip"
    takes = ("evolve_output",)
    layers = Layers(evolve_output=True)

    def __init__(
        self,
        *,
        gamma: float = 4.0,
        gradient_batches: int = 1,
        weight_init: str = "he_uniform",
        prune_biases: bool = True,
        **options,
    ):
        super().__init__(**options)
        check_not_negative(gamma=gamma)
        check_bools(prune_biases=prune_biases)
        self.prune_biases = prune_biases
        # Marks of the pruned biases of each layer, which are those that are 0.
        self._pruned: list[np.ndarray] = []
        self.gamma = gamma
        self.gradient_batches = check_whole("gradient_batches", gradient_batches, 1)
        self.weight_init = choose(weight_init, INITIALIZERS, "weight initialiser")

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return 1.0 + self.gamma

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what `begin` holds, see update_bytes: scores, and their order."""
        return 2.0 + 3 * itemsize, 8.0 + itemsize

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Choose the connections, unless the model has been trained already."""
        super().begin(model, batches)
        self._pruned = [layer.bias == 0.0 for layer in model.layers]
        layers = self.evolving_layers(model)
        if model.step > 0 or not layers:
            return
        if batches is None:
            raise UsageError("topology 'snip' looks at gradients: give begin() batches")
        connections = {index: model.layers[index].connections for index in layers}
        n_connections = sum(each.nnz for each in connections.values())
        for index in layers:
            self._enlarge(model, index)
        sums = {
            index: np.zeros_like(each.values) for index, each in connections.items()
        }

        def collect(index, gradient):
            if index in sums:
                sums[index] += gradient

        start = UpdateContext(model.seed, step=0, epoch=0, n_steps=1, n_epochs=1)
        batches.observe(start, self.gradient_batches, collector=collect)
        for index, each in connections.items():
            sums[index] *= each.values
            np.abs(sums[index], out=sums[index])
        n_candidates = sum(each.size for each in sums.values())
        dropped = drop_smallest_of_all(sums, n_candidates - n_connections)
        for index, each in connections.items():
            _rewire(each, dropped[index], np.empty(0, np.int64), each.values[:0])

    def evolving_layers(self, model: SparseMLP) -> list[int]:
        """Return the layers that are pruned, full ones included."""
        return self.layers.of(model)

    def advance(
        self, unit: str, model: SparseMLP, context: UpdateContext, batches: Batches
    ) -> list[LayerChange] | None:
        """Set the pruned biases to 0 again; called after each step."""
        if self.prune_biases and unit == "step":
            for layer, pruned in zip(model.layers, self._pruned, strict=True):
                layer.bias[pruned] = 0.0
        return None

    def _enlarge(self, model: SparseMLP, index: int) -> None:
        """Add the candidates of a layer."""
        connections = model.layers[index].connections
        nnz, nothing = connections.nnz, np.zeros(connections.nnz, bool)
        absent = connections.n_in * connections.n_out - nnz
        count = int(min(self.gamma * nnz, absent))
        draw = stream(model.seed, Purpose.CANDIDATES, layer=index)
        keys = sample_absent(connections, nothing, count, draw)
        draw = stream(model.seed, Purpose.REGROWN_WEIGHTS, layer=index)
        weights = draw_weights(self.weight_init, connections, count, draw)
        _rewire(connections, nothing, keys, weights)


def _rewire(
    connections: Connections, dropped: np.ndarray, keys: np.ndarray, weights: np.ndarray
) -> None:
    """Rewire a layer and keep the sum of the squares of its weights."""
    before = _sum_of_squares(connections.values)
    connections.rewire(dropped, keys, weights)
    after = _sum_of_squares(connections.values)
    if before > 0.0 and after > 0.0:
        connections.values *= connections.values.dtype.type(np.sqrt(before / after))


def _sum_of_squares(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))
