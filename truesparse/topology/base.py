"""The update sequence that all dynamic sparse training algorithms share.

An update of the topology, between two optimiser steps:

    1. drop      mark the connections to remove, those of lowest score
    2. grow      choose absent cells to connect, as many as each layer is to gain
    3. rewire    the remaining connections keep weight and optimiser state; new ones
                 get their initial weight and zero state

Optional stages say when updates happen, how much they replace and what else goes. An
algorithm lists the options of its stages, and overrides only the steps that differ.
"""

from typing import Any, ClassVar

import numpy as np

from truesparse.common.checks import check_bools, check_share, choose
from truesparse.common.rng import Purpose
from truesparse.drawing.cells import (
    INITIALIZERS,
    draw_weights,
    is_among,
    sample_absent,
    sample_ranks,
)
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.parts.chains import remove_chains
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance, drop_neurons
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Fraction, Share, UpdateSchedule
from truesparse.topology.parts.stages import (
    Layers,
    keyword_parameters,
    refuse,
    with_options,
)
from truesparse.topology.parts.topology_update import Update, update_bytes


class TopologyAlgorithm:
    """Base of all algorithms: magnitude pruning and uniform growth.

    Parameters
    ----------
    zeta : float
        Share of a layer's connections that an update replaces, in [0, 1).
    decay : {"constant", "cosine", "linear", "steps"}
        How zeta falls over the run, see schedule.Fraction.
    decay_end : float
        Share of the run after which no update happens.
    decay_floor : float
        Value that zeta falls to.
    schedule : UpdateSchedule, optional
        When updates happen; by default after every epoch.
    layers : sequence of int, optional
        Layers that take part, counted from 0; by default all hidden ones.
    evolve_output : bool
        Whether the output layer takes part too.
    chain_removal : bool
        Whether connections that a removal cuts off from all inputs or all outputs go
        too, see chains.remove_chains.
    early_stop : float, optional
        A layer stands still once more than this share of the connections it grows had
        just been removed (Zhang et al., ICLR 2024, use 0.9).
    final_share : float
        Share of the initial connections that is left at the end, see schedule.Share.
    share_shape : {"cubic", "sigmoid"}
        How the number of connections falls to that share.
    share_end : float
        Share of the run after which it is reached.
    share_peak, share_cycles : float, int
        Waves in which the share rises and falls until then, see schedule.Share.
    importance : float
        Share of a hidden layer's neurons, the least important ones, that lose all
        their inputs for good from time to time, see importance.drop_neurons; 0 for
        none.
    importance_every : int
        Epochs between two such times, or more where updates are rarer.
    importance_start : float
        Share of the run after which they begin.
    final : {"none", "prune_only"}
        What happens after the last step: nothing, or a removal without regrowth. A
        run that a callback stops early does not reach it.
    regrow_init : str
        Initialiser of new weights, see drawing.cells.INITIALIZERS.

    Raises
    ------
    UsageError
        For an option that the algorithm does not take, or a bad value.
    """

    name: ClassVar[str] = ""
    # The options above that the algorithm has; subclasses list theirs.
    takes: ClassVar[tuple[str, ...]] = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *("early_stop", *Share.OPTIONS, *Importance.OPTIONS, "final", "regrow_init"),
    )
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
    # Whether an update looks at batches of training data.
    needs_batches: ClassVar[bool] = False
    # Whether an update goes by the score on validation data.
    needs_score: ClassVar[bool] = False

    # Stages with their defaults, which a subclass may replace -------------------------

    fraction = Fraction(0.3)
    schedule = UpdateSchedule()
    layers = Layers()
    chain_removal: bool = False
    early_stop: float | None = None
    share = Share()
    importance = Importance()
    final: str = "none"
    regrow_init: str = "zero"
    # Steps between two looks at a batch, also between updates; 0 for none.
    sample_every: int = 0

    def __init__(self, **options: Any):
        for option in options:
            if option not in self.takes:
                refuse(option, self.name or type(self).__name__, self.options())
        self.fraction = with_options(self.fraction, options)
        self.layers = with_options(self.layers, options)
        self.share = with_options(self.share, options)
        self.importance = with_options(self.importance, options)
        if options.get("schedule") is not None:
            self.schedule = options["schedule"]
        if not isinstance(self.schedule, UpdateSchedule):
            raise UsageError(
                f"schedule must be an UpdateSchedule, got {self.schedule!r}"
            )
        self.chain_removal = options.get("chain_removal", self.chain_removal)
        check_bools(chain_removal=self.chain_removal)
        self.early_stop = options.get("early_stop", self.early_stop)
        if self.early_stop is not None:
            check_share(early_stop=self.early_stop)
        final = options.get("final", self.final)
        self.final = choose(final, ("none", "prune_only"), "final update")
        regrow_init = options.get("regrow_init", self.regrow_init)
        self.regrow_init = choose(regrow_init, INITIALIZERS, "weight initialiser")
        # Layers that stand still, see early_stop.
        self.stopped: set[int] = set()
        # Connections that a layer had at first, or would have had as they are now.
        self.budgets: dict[int, float] = {}
        # The first epoch in which unimportant neurons may lose their inputs again.
        self.importance_epoch = 0

    @property
    def zeta(self) -> float:
        """Share of a layer's connections that the first update replaces."""
        return self.fraction.initial

    @property
    def evolve_output(self) -> bool:
        """Whether the output layer takes part too."""
        return self.layers.evolve_output

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return self.share.peak

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that the algorithm takes, its constructor's first."""
        named = keyword_parameters(cls)
        return tuple(dict.fromkeys([*named, *cls.takes]))

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

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Change the model's topology and return what changed."""
        update = Update(model, context, self.evolving_layers(model), batches)
        if not update.connections:
            return []
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
        changes = [self._rewire(update, i, grown.pop(i)) for i in update.connections]
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

    def drop(self, update: Update) -> None:
        """Mark the connections to remove: those of lowest score in each layer."""
        for index, connections in update.connections.items():
            scores = self.drop_scores(update, index)
            if scores.shape != (connections.nnz,) or np.isnan(scores).any():
                raise UsageError(
                    f"{type(self).__name__} must give {connections.nnz} scores without "
                    f"NaN, got {scores.shape} with {np.isnan(scores).sum()} NaN"
                )
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
        connections, dropped = update.connections[index], update.dropped.pop(index)
        removed, grown, regrown = int(np.count_nonzero(dropped)), keys.size, 0
        if self.keeps_regrown or self.early_stop is not None:
            again = np.flatnonzero(dropped)
            again = again[is_among(connections.keys(again), keys)]
            regrown = again.size
            if self.keeps_regrown:
                again = again[~update.pruned.get(index, ~dropped)[again]]
                keys = keys[~is_among(keys, connections.keys(again))]
                dropped[again] = False
        weights = update.new_weights.pop(index, None)
        if weights is None:
            weights = self.new_weights(update, index, keys)
        connections.rewire(dropped, keys, weights)
        limit = np.inf if self.early_stop is None else self.early_stop
        if regrown > limit * grown and self.share.is_reached(update.context.progress):
            self.stopped.add(index)
        growth = update.growth.get(index, "random" if grown else "")
        return LayerChange(index, removed, grown, connections.nnz, regrown, growth)
