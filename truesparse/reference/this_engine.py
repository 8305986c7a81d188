"""The engine as an implementation of the protocol, with the scores of its updates.

It observes the engine from outside: a batch by `SparseMLP.observe_batch`, an update by
the steps that topology algorithms override.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from truesparse.activations import LayerActivation, layer_activation
from truesparse.common import rng
from truesparse.kernels.arrays import Moments
from truesparse.network.inputs import as_source_data
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.reference.cases import Case
from truesparse.reference.protocol import (
    PATTERN,
    Batch,
    Description,
    Tensors,
    TopologyDraws,
    n_layers_of,
    name,
)
from truesparse.sparse.connections import Connections
from truesparse.sparse.layer import SparseLayer
from truesparse.topology import Batches, UpdateContext
from truesparse.topology.parts.gradients import CellGradients
from truesparse.topology.parts.paths import highest_scores

# Path scores that differ by less are equal but for rounding.
TIE = 1e-9


class Observer:
    """Methods before those of a topology algorithm, which note what an update does."""

    name: str
    rule: str
    needs_batches: bool

    def note(self, connections: dict[int, Connections]) -> None:
        """Forget the last update; these connections are those before the next."""
        # An update may take one layer after the other, so that `grow` only adds.
        self.before = {index: _keys(each) for index, each in connections.items()}
        self.dropped: dict[int, np.ndarray] = {}
        self.grown: dict[int, np.ndarray] = {}
        self.chosen: dict[int, np.ndarray] = {}
        self.cell_scores: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.sizes: Tensors = {}
        self.drawn: Tensors = {}

    def grow(self, update):
        """Note what is dropped and what grows, with scores and draws."""
        for index, connections in update.connections.items():
            self.dropped[index] = update.dropped_keys(index)
            sizes = np.abs(connections.values[update.dropped[index]])
            self.sizes[name(index, "dropped_scores")] = sizes
        grown = super().grow(update)  # type: ignore[misc]
        self.grown |= {index: keys.copy() for index, keys in grown.items()}
        for index in grown.keys() & self.cell_scores.keys():
            cells, scores = self.cell_scores[index]
            places = np.searchsorted(cells, self.grown[index]) % cells.size
            is_scored = cells[places] == self.grown[index]
            sizes = np.where(is_scored, scores[places], 0.0)
            self.sizes[name(index, "grown_scores")] = sizes
        if self.needs_batches:
            grew = {index: self.grown[index] for index in grown}
            gradients = CellGradients(update.connections, grew)
            update.batches.observe(update.context, 1, gradients)
            for index, sums in gradients.sums.items():
                self.sizes[name(index, "grown_scores")] = np.abs(sums)
                if self.name == "srigl":
                    self.chosen[index] = self.grown[index][sums != 0.0]
        for index in grown:
            self.drawn[name(index, "ranks")] = self._ranks(index)
        return grown

    def fill_at_random(self, update, index, keys, count):
        """Note which cells the scores chose."""
        self.chosen[index] = keys.copy()
        return super().fill_at_random(update, index, keys, count)  # type: ignore[misc]

    def choose_cells(self, update, index, count):
        """Note the scores of the cells that paths choose, and which of equal ones."""
        keys = super().choose_cells(update, index, count)  # type: ignore[misc]
        size, is_whole = count, not keys.size
        while not is_whole:
            size *= 2
            marks = update.dropped[index]
            pattern = update.connections[index], marks
            cells, scores = highest_scores(*pattern, size, self.rule)
            self.cell_scores[index] = cells, scores
            is_chosen = np.isin(cells, keys)
            lowest = scores.min(where=is_chosen, initial=np.inf)
            # Or until all that equal the lowest one are there.
            is_whole = cells.size < size or scores.min() < lowest * (1.0 - 2.0 * TIE)
            ties = is_chosen[np.abs(scores - lowest) <= TIE * lowest]
            self.drawn[name(index, "ties")] = np.flatnonzero(ties)
        return keys

    def _ranks(self, index: int) -> np.ndarray:
        """Return where the drawn cells stand among those that are still empty."""
        grown = self.grown[index]
        chosen = self.chosen.get(index, grown[:0])
        random = grown[~np.isin(grown, chosen)]
        taken = self.before[index]
        if self.name != "dsr":
            taken = taken[~np.isin(taken, self.dropped[index])]
        taken = np.sort(np.concatenate([taken, chosen]))
        return random - np.searchsorted(taken, random)


class SensitivityObserver(Observer):
    """Methods before those of SNIP."""

    # Weights of each layer's superset; a generator draws others in float32.
    given: Mapping[int, np.ndarray] = {}

    def scores(self, model, connections, batches):
        """Note the superset, with the weights that are given, and its sensitivities."""
        for index, weights in self.given.items():
            connections[index].values[:] = weights
        scores = super().scores(model, connections, batches)  # type: ignore[misc]
        for index, each in connections.items():
            keys = _keys(each)
            added = keys[~np.isin(keys, self.before[index])]
            ranks = added - np.searchsorted(self.before[index], added)
            self.drawn[name(index, "ranks")] = ranks
            self.drawn[name(index, "superset")] = each.values.copy()
            self.cell_scores[index] = keys, scores[index].copy()
        return scores

    def note_change(self, connections: dict[int, Connections]) -> None:
        """Note what the choice did to the pattern."""
        for index, each in connections.items():
            before, after = self.before[index], _keys(each)
            keys, sizes = self.cell_scores[index]
            self.dropped[index] = before[~np.isin(before, after)]
            self.grown[index] = after[~np.isin(after, before)]
            for what in ("dropped", "grown"):
                marks = np.isin(keys, getattr(self, what)[index])
                self.sizes[name(index, f"{what}_scores")] = sizes[marks]


class GivenBatch(Batches):
    """One batch that is given, not drawn."""

    def draw(self, context, count):
        """Yield the batch."""
        yield self.samples


class ThisEngine:
    """The engine, driven step by step.

    Parameters
    ----------
    case : dict
        Description of a case, with its dtype.
    """

    def __init__(self, case: Description):
        self.case = Case.from_description(case)
        self.dtype = case["dtype"]
        self.optimizer = self.case.make_optimizer()
        self.is_snip = self.case.topology == "snip"
        observer = SensitivityObserver if self.is_snip else Observer
        self.algorithm: Any = self.case.make_topology(observer)
        self.model: SparseMLP

    def load(self, state: Tensors) -> None:
        """Replace topology, weights, biases and optimiser state."""
        case, n_layers = self.case, n_layers_of(state)
        layers = []
        for index in range(n_layers):
            n_in, n_out = case.layer_sizes[index : index + 2]
            indptr, indices = (state[name(index, each)].copy() for each in PATTERN)
            values = state[name(index, "weights")].astype(self.dtype)
            activation = LayerActivation("identity")
            if index < n_layers - 1:
                activation = layer_activation(
                    case.activation, index, None, case.dropout
                )
            connections = Connections(n_in, n_out, indptr, indices, values)
            layer = SparseLayer(connections, activation)
            layer.bias[:] = state[name(index, "bias")]
            layer.allocate_moments(*self.optimizer.needs)
            _fill(connections.moments, state, index, "")
            _fill(layer.bias_moments, state, index, "bias_")
            layers.append(layer)
        self.model = SparseMLP.from_layers(layers, case.loss, case.seed)
        # Whatever the step, this is no new run, in which SNIP would choose anew.
        self.model.step = 1
        self.algorithm.begin(self.model)

    def state(self) -> Tensors:
        """Return the present state."""
        return state_of(self.model)

    def evaluate(self, inputs: Any, targets: np.ndarray) -> Tensors:
        """Return the outputs for samples, and the share that is right."""
        _, score = self.model.evaluate(inputs, targets, self.case.batch_size)
        output = self.model.decision_function(inputs, self.case.batch_size)
        return {"output": output, "accuracy": np.array(score)}

    def step(self, batch: Batch) -> Tensors:
        """Take one optimiser step, and return what was before it."""
        model, data = self.model, self._prepare(batch)
        result: Tensors = {}

        def observe(index, inputs, delta):
            if index > 0:
                out = inputs[:, : batch.targets.shape[0]].T.copy()
                result[name(index - 1, "output")] = out

        def collect(index, gradient):
            result[name(index, "gradient")] = gradient.copy()

        loss = model.observe_batch(*data, observer=observe, collector=collect)
        result["loss"] = np.array(loss)
        for index, layer in enumerate(model.layers):
            result[name(index, "bias_gradient")] = layer.bias_gradient.copy()
        last = len(model.layers) - 1
        top = SparseMLP.from_layers([model.layers[last]], model.loss, model.seed)
        hidden = result[name(last - 1, "output")]
        result[name(last, "output")] = top.decision_function(hidden, len(hidden))
        model.train_batch(*data, self.optimizer, self.case.lr)
        if self.is_snip:
            context = self._context(model.step)
            self.algorithm.advance("step", model, context, self._batches(data))
        return result

    def plan_update(self, step: int) -> TopologyDraws | None:
        """Return what is known of the update after a step, or None if none is due."""
        model, algorithm = self.model, self.algorithm
        context = self._context(step)
        if self.is_snip:
            if step > 0:
                return None
            return TopologyDraws(0, 0.0, list(range(len(model.layers))), {}, None)
        if step == 0 or not algorithm.due("step", context):
            return None
        layers = algorithm.evolving_layers(model)
        draws = {
            name(i, "budget"): np.array(round(algorithm.budgets[i])) for i in layers
        }
        if self.case.topology == "dsr":
            draws["threshold"] = np.array(algorithm.threshold)
        fraction = algorithm.drop_fraction(context)
        return TopologyDraws(step, fraction, layers, draws, None)

    def update_topology(self, update: TopologyDraws) -> Tensors:
        """Update the topology, with the draws of this engine's generators."""
        model, algorithm = self.model, self.algorithm
        batches = None
        if update.batch is not None:
            batches = self._batches(self._prepare(update.batch))
        model.step = update.step
        connections = {i: each.connections for i, each in enumerate(model.layers)}
        algorithm.note(connections)
        if self.is_snip:
            algorithm.given = {
                index: update.draws[name(index, "superset")]
                for index in update.layers
                if name(index, "superset") in update.draws
            }
            algorithm.begin(model, batches)
            algorithm.note_change(connections)
        else:
            layers = range(len(model.layers))
            algorithm.stopped = set(layers) - set(update.layers)
            for index in update.layers:
                algorithm.budgets[index] = int(update.draws[name(index, "budget")])
            if "threshold" in update.draws:
                algorithm.threshold = float(update.draws["threshold"])
            algorithm.update(model, self._context(update.step), batches)
        return {
            name(index, what): each
            for what in ("dropped", "grown")
            for index, each in getattr(algorithm, what).items()
        }

    def _context(self, step: int) -> UpdateContext:
        return UpdateContext(
            seed=self.case.seed,
            step=step,
            epoch=0,
            n_steps=self.case.n_steps,
            n_epochs=1,
            lr=self.case.lr,
        )

    def _prepare(self, batch: Batch) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return a batch as the engine takes it, with all of its samples."""
        model = self.model
        n_features, n_out = model.layer_sizes[0], model.layer_sizes[-1]
        source = as_source_data(batch.inputs, model.dtype, n_features)
        targets = model.loss.prepare_targets(batch.targets, n_out, model.dtype)
        model.prepare(self.case.batch_size, source)
        model.step = batch.step
        return source, targets, np.arange(len(targets))

    def _batches(self, data) -> GivenBatch:
        source, targets, samples = data
        return GivenBatch(self.model, source, targets, samples, samples.size)


def state_of(model: SparseMLP) -> Tensors:
    """Return topology, weights, biases and optimiser state of a net, copied."""
    tensors: Tensors = {}
    for index, layer in enumerate(model.layers):
        connections, of_bias = layer.connections, layer.bias_moments
        arrays = {
            "indptr": connections.indptr,
            "indices": connections.indices,
            "weights": connections.values,
            "bias": layer.bias,
            "first": connections.moments.first,
            "second": connections.moments.second,
            "bias_first": of_bias.first,
            "bias_second": of_bias.second,
        }
        tensors |= {name(index, key): each.copy() for key, each in arrays.items()}
    return tensors


def dropout_keys(case: Case, step: int) -> np.ndarray:
    """Return the key of each layer's dropout in a step, int64."""
    layers = range(len(case.layer_sizes) - 1)
    purpose = rng.Purpose.DROPOUT
    return np.array([rng.key32(case.seed, purpose, step, each) for each in layers])


def factory(case: Description) -> ThisEngine:
    """Return this engine as an implementation."""
    return ThisEngine(case)


def _fill(moments: Moments, state: Tensors, index: int, prefix: str) -> None:
    for array, which in zip(moments, ("first", "second"), strict=True):
        if array.size:
            array[:] = state[name(index, prefix + which)]


def _keys(connections: Connections) -> np.ndarray:
    return connections.keys(np.arange(connections.nnz))
