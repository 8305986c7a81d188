"""The update sequence that all dynamic sparse training algorithms share.

An update of the topology, between two optimiser steps:

    1. drop      mark the connections to remove, those of lowest score
    2. grow      choose absent cells to connect, as many as each layer is to gain
    3. rewire    the remaining connections keep weight and optimiser state; new ones
                 get their initial weight and zero state

Optional stages say when updates happen, how much they replace and what else goes; their
options are in options.py. An algorithm lists the options of the stages it has, and
overrides only the steps in which it differs.
"""

from typing import Any, ClassVar

import numpy as np

from truesparse.common.rng import Purpose
from truesparse.common.work import Advance, work
from truesparse.drawing.cells import (
    draw_weights,
    is_among,
    sample_absent,
    sample_ranks,
)
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.options import Options
from truesparse.topology.parts.chains import remove_chains
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import drop_neurons, relative_importance
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.topology_update import Update, update_bytes


class TopologyAlgorithm(Options):
    """Base of all algorithms: magnitude pruning and uniform growth.

    Parameters
    ----------
    **options
        See Options.

    Raises
    ------
    UsageError
        For an option that the algorithm does not take, or a bad value.
    """

    # Whether a connection that is removed and grown again in the same update keeps its
    # weight and state, as if it had not been removed.
    keeps_regrown: ClassVar[bool] = False
    # Whether layers exchange connections.
    redistributes: bool = False
    # Whether an update grows as many connections as it drops, where final_share is 1
    # and the score stands still.
    conserves: ClassVar[bool] = True
    # Whether random numbers decide what an update does.
    is_random: ClassVar[bool] = True
    # Whether an update looks at batches of training data, with the options it has.
    needs_batches: bool = False
    # Whether an update goes by the score on validation data.
    needs_score: ClassVar[bool] = False
    # Memory that an update takes whatever the size of the net, in bytes.
    scratch_bytes: ClassVar[int] = 0
    # What its kernels take more than those of SET once they are loaded, in bytes.
    kernel_bytes: ClassVar[int] = 0
    # What compiling its kernels takes more than for an update of SET, in bytes.
    compiler_bytes: ClassVar[int] = 0
    # Float64 numbers that it takes for each neuron and sample, see network/hessian.py.
    sample_numbers: ClassVar[int] = 0
    # Steps between two looks at a batch, also between updates; 0 for none.
    sample_every: int = 0

    def __init__(self, **options: Any):
        super().__init__(**options)
        # Layers that stand still, see early_stop.
        self.stopped: set[int] = set()
        # Connections that a layer had at first, or would have had as they are now.
        self.budgets: dict[int, float] = {}
        # The first epoch in which unimportant neurons may lose their inputs again.
        self.importance_epoch = 0

    @property
    def takes_turns(self) -> bool:
        """Whether a layer can be done with before the next is looked at.

        An update then holds no more than what one layer takes.
        """
        return False

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return self.share.peak

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: numbers, lists, dicts and arrays."""
        return {
            "stopped": sorted(self.stopped),
            "budgets": {str(index): each for index, each in self.budgets.items()},
            "importance_epoch": self.importance_epoch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state` that was returned before."""
        self.stopped = set(state["stopped"])
        self.budgets = {int(i): budget for i, budget in state["budgets"].items()}
        self.importance_epoch = int(state["importance_epoch"])

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Forget other runs; note how many connections the layers have at first.

        Raises
        ------
        UsageError
            If one of `layers` does not exist.
        """
        self.stopped, self.importance_epoch = set(), 0
        self.evolving_layers(model)
        self.budgets = {i: each.connections.nnz for i, each in enumerate(model.layers)}

    def advance(
        self, unit: str, model: SparseMLP, context: UpdateContext, batches: Batches
    ) -> list[LayerChange] | None:
        """Look at a batch or update, if it is time; called after each step and epoch.

        Returns
        -------
        list of LayerChange, or None if there was nothing to do
        """
        is_over = self.fraction.is_over(context.progress) or context.is_final
        looks = unit == "step" and self.sample_every > 0 and not is_over
        looks = looks and context.step % self.sample_every == 0
        if looks:
            self.look(Update(model, context, self.evolving_layers(model), batches))
        if self.due(unit, context):
            return self.update(model, context, batches)
        return [] if looks else None

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Whether to update now, at the end of a step or of an epoch."""
        if context.is_final:
            # Asked once, at the end of the last epoch.
            return unit == "epoch" and self.final == "prune_only"
        is_shrinking = not self.share.is_one and context.progress <= self.share.end
        if self.fraction.is_over(context.progress) and not is_shrinking:
            return False
        count = context.epoch if unit == "epoch" else context.step
        return self.schedule.due(unit, count)

    def is_idle(self, n_steps: int, n_epochs: int) -> bool:
        """Whether a run of so many steps and epochs ends before the first update."""
        end = self.fraction.end if self.share.is_one else 1.0
        length = n_steps if self.schedule.unit == "step" else n_epochs
        last = min(end * length, length - 1)
        return "schedule" in self.takes and self.schedule.start > last

    def visited(self, n_steps: int, n_epochs: int) -> float:
        """Return how many cells lose their connection in a run, for each connection.

        Parameters
        ----------
        n_steps, n_epochs : int
            Length of the run.
        """
        length = n_steps if self.schedule.unit == "step" else n_epochs
        return self.schedule.count(length) * self.fraction.mean

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Change the model's topology and return what changed."""
        layers = self.evolving_layers(model)
        groups = [[index] for index in layers] if self.takes_turns else [layers]
        total = sum(model.layers[index].connections.nnz for index in layers)
        changes: list[LayerChange] = []
        with work("updating the topology", total) as advance:
            for group in filter(None, groups):
                update = Update(model, context, group, batches)
                changes += self._update(update, advance)
        return changes

    def _update(self, update: Update, advance: Advance) -> list[LayerChange]:
        """Change the layers of one Update, and count their connections as done."""
        context = update.context
        self.drop(update)
        if self.importance.is_due(context, self.importance_epoch):
            self.importance_epoch = context.epoch + self.importance.every
            drop_neurons(update, self.importance.share)
        share = self.share_left(context)
        for index, lost in update.lost.items():
            nnz = update.connections[index].nnz
            self.budgets[index] = self.budgets.get(index, nnz) - lost / share
        if self.chain_removal and any(marks.any() for marks in update.dropped.values()):
            remove_chains(update)
        if context.is_final:
            grown = {index: np.empty(0, np.int64) for index in update.connections}
        else:
            grown = self.grow(update)
        if not isinstance(grown, dict) or grown.keys() != update.connections.keys():
            raise UsageError(
                f"grow of {type(self).__name__} must return a dict with the keys to "
                f"connect of each layer, {list(update.connections)}, got {grown!r}"
            )
        changes = []
        for index, connections in update.connections.items():
            nnz = connections.nnz
            changes.append(self._rewire(update, index, grown.pop(index)))
            advance(nnz)
        if self.redistributes:
            self.budgets |= {change.layer: change.nnz / share for change in changes}
        return changes

    def evolving_layers(self, model: SparseMLP) -> list[int]:
        """Return the layers that take part in an update.

        A full layer does only if connections go for good, or to other layers.
        """
        layers = [i for i in self.layers.of(model) if i not in self.stopped]
        with_room = [i for i in layers if model.layers[i].connections.density < 1.0]
        can_lose = not self.share.is_one or (self.redistributes and with_room)
        return layers if can_lose else with_room

    # What algorithms override --------------------------------------------------------

    def look(self, update: Update) -> None:
        """Learn from a batch, every `sample_every` steps."""

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see topology_update.update_bytes."""
        return update_bytes(self.zeta, itemsize)

    def visited_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds of each cell that was connected before.

        Bytes in all layers, and in one layer at a time, as those of `update_bytes`.
        """
        return 0.0, 0.0

    def drop(self, update: Update) -> None:
        """Mark the connections to remove: those of lowest score in each layer."""
        for index, connections in update.connections.items():
            scores = self.drop_scores(update, index)
            if scores.shape != (connections.nnz,) or np.isnan(scores).any():
                raise UsageError(
                    f"{type(self).__name__} must give {connections.nnz} scores without "
                    f"NaN, got {scores.shape} with {np.isnan(scores).sum()} NaN"
                )
            pruned = self.prune_surplus(update, index)
            if pruned is not None:
                scores = np.where(pruned, -np.inf, scores)
            count = self.drop_count(update, index)
            update.dropped[index] = drop_smallest(scores, count)

    def drop_count(self, update: Update, index: int) -> int:
        """Return how many connections a layer loses: the fraction, and any surplus."""
        nnz, budget = update.connections[index].nnz, self.budget(update, index)
        fraction = self.drop_fraction(update.context)
        return max(nnz - budget, 0) + int(fraction * min(nnz, budget))

    def drop_fraction(self, context: UpdateContext) -> float:
        """Return the share of a layer's connections to replace now."""
        return self.fraction.at(context.progress)

    def share_left(self, context: UpdateContext) -> float:
        """Return the share of the initial connections that is to be left."""
        return self.share.at(context.progress)

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Return a score of each connection of a layer, (nnz,); the lowest go."""
        return np.abs(update.connections[index].values)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells to connect: uniformly drawn ones.

        Returns
        -------
        dict of int to (k,) int64 array
            Keys ``row * n_out + column`` of each layer, ascending and distinct.
        """
        return {
            index: self.grow_at_random(update, index, count)
            for index, count in self.grow_counts(update).items()
        }

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows: those missing to its budget."""
        counts = {}
        for index in update.connections:
            missing = self.budget(update, index) - update.remaining(index)
            counts[index] = min(max(missing, 0), update.room(index))
        return counts

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return the initial weights of new connections."""
        connections = update.connections[index]
        draw = update.stream(Purpose.REGROWN_WEIGHTS, index)
        return draw_weights(self.regrow_init, connections, keys.size, draw)

    # What algorithms use -------------------------------------------------------------

    def budget(self, update: Update, index: int) -> int:
        """Return how many connections a layer is to have after the update."""
        at_first = self.budgets.get(index, update.connections[index].nnz)
        return max(round(at_first * self.share_left(update.context)), 1)

    def prune_surplus(self, update: Update, index: int) -> np.ndarray | None:
        """Mark what a layer has beyond its budget as pruned, by relative importance.

        Returns
        -------
        (nnz,) bool array, or None where `surplus` is "score" or there is none
        """
        connections = update.connections[index]
        count = connections.nnz - self.budget(update, index)
        if self.surplus == "score" or count <= 0:
            return None
        pruned = drop_smallest(relative_importance(connections), count)
        update.pruned[index] = pruned
        return pruned

    def grow_at_random(
        self, update: Update, index: int, count: int, *, besides_dropped: bool = False
    ) -> np.ndarray:
        """Draw empty cells uniformly and return their keys, ascending.

        Cells that the update empties may be drawn unless `besides_dropped` is True.
        """
        connections, marks = update.connections[index], update.dropped[index]
        if besides_dropped:
            marks = np.zeros_like(marks)
        draw = update.stream(Purpose.EVOLUTION, index)
        return sample_absent(connections, marks, count, draw)

    def fill_at_random(
        self, update: Update, index: int, keys: np.ndarray, count: int
    ) -> np.ndarray:
        """Add uniformly drawn empty cells to `keys` until there are `count`."""
        missing = min(count, update.room(index)) - keys.size
        if missing <= 0:
            return keys
        # So many that enough are left without those that `keys` holds already.
        drawn = self.grow_at_random(update, index, missing + keys.size)
        drawn = drawn[~is_among(drawn, keys)]
        draw = update.stream(Purpose.FILLING, index)
        drawn = drawn[sample_ranks(drawn.size, missing, draw)]
        return np.sort(np.concatenate([keys, drawn]))

    def _rewire(self, update: Update, index: int, keys: np.ndarray) -> LayerChange:
        """Connect the cells of a layer; it stands still if they repeat its removal."""
        counts_again = self.early_stop is not None
        change = update.rewire(
            index, keys, self.new_weights, self.keeps_regrown, counts_again
        )
        limit = np.inf if self.early_stop is None else self.early_stop
        is_settled = self.share.is_reached(update.context.progress)
        if change.regrown > limit * change.grown and is_settled:
            self.stopped.add(index)
        return change
