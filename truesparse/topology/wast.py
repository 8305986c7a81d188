"""WAST: connections move to the neurons that matter most.

Sokar, Atashgahi, Pechenizkiy and Mocanu, "Where to pay attention in sparse training for
feature selection?", NeurIPS 2022, section 3; details as in the authors' code
(GhadaSokar/WAST).

Neurons of the input and output layers gain importance with every batch,

    I += lambda mean |error| + (1 - lambda) sum |w|

over the batch's samples and the neuron's connections; hidden neurons are all equally
important. After every step SET's rule removes connections, with the products of weight
and importances in place of weights, and as many grow in the empty cells where the
product of the importances of both neurons is largest. Cells just emptied are among
them, and connections that come back keep weight and state. A heap finds the largest
products without a matrix of all (kernels/products.py).

The authors train an autoencoder of one hidden layer, where the error of an input and of
an output neuron is that of the reconstruction of one feature. Here it is the gradient
of the loss: at an output neuron with regard to its pre-activation, which is what it
gets wrong, and at an input with regard to its value, sum_j w_ij delta_j. The importance
of the inputs also ranks features, as in the paper.

So the first layer goes by its inputs and the output layer, where it evolves, by its
outputs. Layers between hidden neurons have no importances that differ, so they grow
uniformly drawn cells, as does whatever the products leave open.

Departures: the extension to other networks; importances are taken on a batch drawn for
the purpose, not on that of the step; new connections start without optimiser state,
where the authors' have the state of a dense net; of equal products those in neurons
drawn at random go first, where the authors' choice is arbitrary.
"""

from typing import Any

import numpy as np

from truesparse.common.checks import check_numbers, check_whole
from truesparse.common.rng import Purpose
from truesparse.errors import UsageError
from truesparse.kernels.arrays import Pattern
from truesparse.kernels.products import Factors, Heap, largest_products
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.schedule import UpdateSchedule
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.set import SignedRemoval

# Samples whose gradients at the inputs are held at a time.
_SAMPLES = 16


class Wast(SignedRemoval):
    """WAST: removal and growth by the importance of neurons.

    Parameters
    ----------
    error_weight : float
        Share lambda of the error in what a batch adds to an importance, from 0 to 1.
    sample_every : int
        Steps between two batches that add to the importances.
    **options
        See SignedRemoval and TopologyAlgorithm; by default updates happen after every
        step.

    Attributes
    ----------
    row_importance, column_importance : dict of int to float64 array
        Importances of the inputs of the first layer and the outputs of the last.
    """

    name = "wast"
    keeps_regrown = True
    needs_batches = True
    schedule = UpdateSchedule(1, "step")

    def __init__(self, *, error_weight: float = 0.9, sample_every: int = 1, **options):
        super().__init__(**options)
        check_numbers(error_weight=error_weight)
        if not 0.0 <= error_weight <= 1.0:
            raise UsageError(f"error_weight must be from 0 to 1, got {error_weight}")
        self.error_weight = error_weight
        self.sample_every = check_whole("sample_every", sample_every, 1)
        self.row_importance: dict[int, np.ndarray] = {}
        self.column_importance: dict[int, np.ndarray] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start without importances; earlier ones may be of another net."""
        super().begin(model, batches)
        self.row_importance, self.column_importance = {}, {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the importances."""
        rows = {str(index): each for index, each in self.row_importance.items()}
        columns = {str(index): each for index, each in self.column_importance.items()}
        more = {"row_importance": rows, "column_importance": columns}
        return {**super().state(), **more}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        rows, columns = state["row_importance"], state["column_importance"]
        self.row_importance = {int(index): each for index, each in rows.items()}
        self.column_importance = {int(index): each for index, each in columns.items()}

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: scores and keys of a layer."""
        of_all, of_one = super().update_bytes(itemsize)
        return of_all, of_one + 2.0 * itemsize + 16.0

    def look(self, update: Update) -> None:
        """Add one batch to the importances."""
        last = len(update.model.layers) - 1

        def add(index, inputs, delta):
            if index not in (0, last):
                return
            connections = update.model.layers[index].connections
            sizes = np.abs(connections.values)
            if index == 0:
                error = _input_errors(connections, delta)
                strength = np.bincount(connections.rows(), sizes, connections.n_in)
                self._add(self.row_importance, 0, error, strength)
            if index == last:
                error = np.abs(delta).sum(axis=1, dtype=np.float64)
                strength = np.bincount(connections.indices, sizes, connections.n_out)
                self._add(self.column_importance, last, error, strength)

        update.batches.observe(update.context, 1, add)

    def _add(self, importance, index: int, error, strength) -> None:
        gain = self.error_weight * error + (1.0 - self.error_weight) * strength
        importance[index] = importance.get(index, 0.0) + gain

    def drop(self, update: Update) -> None:
        """Mark the connections to remove; look first where nothing is known."""
        if not (self.row_importance or self.column_importance):
            self.look(update)
        super().drop(update)

    def signed_scores(self, update: Update, index: int) -> np.ndarray:
        """Return the weights, times the importances of both of their neurons."""
        connections = update.connections[index]
        scores = connections.values
        if (rows := self.row_importance.get(index)) is not None:
            scores = scores * np.repeat(rows, np.diff(connections.indptr))
        if (columns := self.column_importance.get(index)) is not None:
            scores = scores * columns[connections.indices]
        return scores

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the empty cells of the most important neurons."""
        grown = {}
        for index, count in self.grow_counts(update).items():
            best = np.empty(0, np.int64)
            if index in self.row_importance or index in self.column_importance:
                best = np.sort(self._most_important(update, index, count))
                update.growth[index] = "importance"
            grown[index] = self.fill_at_random(update, index, best, count)
        return grown

    def _most_important(self, update: Update, index: int, count: int) -> np.ndarray:
        """Return the open cells with the largest products, at most `count`."""
        connections = update.connections[index]
        n_in, n_out = connections.n_in, connections.n_out
        rows = self.row_importance.get(index, np.ones(n_in))
        columns = self.column_importance.get(index, np.ones(n_out))
        draw = update.stream(Purpose.CANDIDATES, index)
        orders = _falling(rows, draw), _falling(columns, draw)
        heap = Heap(np.empty(n_in, np.int64), np.empty(n_in), np.zeros(n_in, np.int64))
        pattern = Pattern(
            connections.indptr, connections.indices, update.dropped[index]
        )
        keys = np.empty(count, np.int64)
        n_cells = largest_products(pattern, Factors(rows, columns, *orders), heap, keys)
        return keys[:n_cells]


def _falling(sizes: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return the order in which sizes fall, equal ones in a random order."""
    shuffled = draw.permutation(sizes.size)
    return shuffled[np.argsort(-sizes[shuffled], kind="stable")]


def _input_errors(connections: Connections, delta: np.ndarray) -> np.ndarray:
    """Return sum_b |sum_j w_ij delta_jb| of each input, (n_in,) float64."""
    weights, errors = connections.to_scipy(), np.zeros(connections.n_in)
    for start in range(0, delta.shape[1], _SAMPLES):
        part = weights @ delta[:, start : start + _SAMPLES]
        errors += np.abs(part, out=part).sum(axis=1, dtype=np.float64)
    return errors
