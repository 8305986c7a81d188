"""Choice of connections before training, among those of a sparse superset.

Authors of such methods start from the dense net. Here each layer gets `gamma` times as
many connections again, in uniformly drawn cells, and the choice is among all of these;
with gamma of at least (1 - density) / density they are all cells. Weights are scaled
down for the superset, so that the sum of their squares stays, and with it the variance
of the outputs. Those that are chosen keep their weights, as published, or are scaled up
to that sum again.
"""

import numpy as np

from truesparse.common.checks import check_bools, check_not_negative, choose
from truesparse.common.rng import Purpose, stream
from truesparse.drawing.cells import INITIALIZERS, draw_weights, sample_absent
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.prune import drop_smallest_of_all
from truesparse.topology.parts.stages import Layers
from truesparse.topology.static import Static


class SupersetPruning(Static):
    """The connections of a superset with the highest scores stay, those of all layers.

    The score is the magnitude, unless a subclass has another.

    Parameters
    ----------
    gamma : float
        Candidates, as a multiple of a layer's connections.
    weight_init : str
        Initialiser of the candidates, see drawing.cells.INITIALIZERS.
    rescale : bool
        Whether the weights that are chosen are scaled up to the sum of squares of all.
    **options
        evolve_output, whether the output layer takes part, by default as published;
        see Options.
    """

    takes = ("evolve_output",)
    layers = Layers(evolve_output=True)

    def __init__(
        self,
        *,
        gamma: float = 4.0,
        weight_init: str = "he_uniform",
        rescale: bool = False,
        **options,
    ):
        super().__init__(**options)
        check_not_negative(gamma=gamma)
        check_bools(rescale=rescale)
        self.gamma, self.rescale = gamma, rescale
        self.weight_init = choose(weight_init, INITIALIZERS, "weight initialiser")

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return 1.0 + self.gamma

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what `begin` holds, see update_bytes: scores, and their order."""
        return 2.0 + 3 * itemsize, 0.0

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Choose the connections, unless the model has been trained already."""
        super().begin(model, batches)
        layers = self.evolving_layers(model)
        if model.step > 0 or not layers:
            return
        if self.needs_batches and batches is None:
            raise UsageError(
                f"topology {self.name!r} looks at gradients: give begin() batches"
            )
        connections = {index: model.layers[index].connections for index in layers}
        n_connections = sum(each.nnz for each in connections.values())
        for index in layers:
            self._enlarge(model, index)
        dropped = self.choose_dropped(model, connections, n_connections, batches)
        for index, each in connections.items():
            before = _sum_of_squares(each.values)
            each.rewire(dropped[index], np.empty(0, np.int64), each.values[:0])
            if self.rescale:
                _scale_to(each.values, before)

    def evolving_layers(self, model: SparseMLP) -> list[int]:
        """Return the layers that are pruned, full ones included."""
        return self.layers.of(model)

    # What algorithms override --------------------------------------------------------

    def choose_dropped(
        self,
        model: SparseMLP,
        connections: dict[int, Connections],
        n_left: int,
        batches: Batches | None,
    ) -> dict[int, np.ndarray]:
        """Mark all connections of the superset but those of highest score.

        Parameters
        ----------
        model : SparseMLP
            With the superset's connections.
        connections : dict of int to Connections
            Candidates and connections of each layer that is pruned.
        n_left : int
            Number of connections that stay, in all these layers together.
        batches : Batches or None
            None only where `needs_batches` is False.

        Returns
        -------
        dict of int to (nnz,) bool array
        """
        scores = self.scores(model, connections, batches)
        n_candidates = sum(each.size for each in scores.values())
        return drop_smallest_of_all(scores, n_candidates - n_left)

    def scores(
        self,
        model: SparseMLP,
        connections: dict[int, Connections],
        batches: Batches | None,
    ) -> dict[int, np.ndarray]:
        """Return a score of each connection, (nnz,); takes what choose_dropped does."""
        return {index: np.abs(each.values) for index, each in connections.items()}

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
        before = _sum_of_squares(connections.values)
        connections.rewire(nothing, keys, weights)
        _scale_to(connections.values, before)


def before_training(model: SparseMLP) -> UpdateContext:
    """Return the context of a choice before the first step, which draws batches."""
    return UpdateContext(model.seed, step=0, epoch=0, n_steps=1, n_epochs=1)


def _scale_to(values: np.ndarray, total: float) -> None:
    """Scale weights to a sum of squares, unless that or theirs is 0."""
    now = _sum_of_squares(values)
    if total > 0.0 and now > 0.0:
        values *= values.dtype.type(np.sqrt(total / now))


def _sum_of_squares(values: np.ndarray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))
