"""The update sequence that all dynamic sparse training algorithms share.

An update of the topology, between two optimiser steps:

    1. drop      mark connections to remove, by a score of each
    2. grow      name absent cells to connect, as many as each layer shall gain
    3. rewire    survivors keep value and optimiser state; new connections get their
                 initial weight and zero state

An algorithm overrides only the steps in which it differs.
"""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from truesparse.checks import check_bools, check_numbers, check_whole, choose
from truesparse.drawing.cells import (
    INITIALIZERS,
    draw_weights,
    is_among,
    sample_absent,
    sample_ranks,
)
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.rng import Purpose
from truesparse.topology.parts.chains import remove_chains
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Fraction, Share, UpdateSchedule
from truesparse.topology.parts.topology_update import Update, update_bytes


class TopologyAlgorithm:
    """Base of all algorithms: magnitude pruning and uniform growth.

    Parameters
    ----------
    zeta : float
        Share of a layer's connections that an update replaces, in [0, 1).
    decay : {"constant", "cosine", "linear"}
        How zeta falls in the course of the run, see schedule.Fraction.
    decay_end : float
        Share of the run after which no update happens.
    decay_floor : float
        What zeta falls to.
    schedule : UpdateSchedule, optional
        By default after every epoch.
    layers : sequence of int, optional
        Which layers take part, counted from 0; by default all hidden ones.
    evolve_output : bool
        Whether the output layer takes part too.
    chain_removal : bool
        Also remove connections that removal left without a way to an input or an
        output, see chains.remove_chains.
    early_stop : float, optional
        A layer whose share of regrown connections that had just been removed exceeds
        this stands still from then on (Zhang et al., ICLR 2024, use 0.9).
    final_share : float
        Share of the initial connections that is left in the end; see schedule.Share.
    share_shape : {"cubic", "sigmoid"}
    share_end : float
        Share of the run after which it is reached.
    importance : float
        Share of a hidden layer's neurons, the least important ones, that lose all
        their inputs for good every so often, see importance.drop_neurons; 0 for none.
    importance_every : int
        Epochs between two such times, or more where updates are rarer.
    importance_start : float
        Share of the run after which they begin.
    final : {"none", "prune_only"}
        What happens after the last step: nothing, or a removal without regrowth. A
        run that a callback stops early does not reach it.
    regrow_init : str
        Initialiser of new weights, see drawing.cells.INITIALIZERS.
    """

    name: ClassVar[str] = ""
    # Whether a connection that is removed and grown again in the same update keeps its
    # weight and state, as if it had not been removed.
    keeps_regrown: ClassVar[bool] = False
    # Whether layers exchange connections.
    redistributes: ClassVar[bool] = False
    # Steps between two looks at a batch, also between updates; 0 for none.
    sample_every: int = 0
    # Options of the classes above that mean nothing to an algorithm.
    void_options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        zeta: float = 0.3,
        decay: str = "constant",
        decay_end: float = 1.0,
        decay_floor: float = 0.0,
        schedule: UpdateSchedule | None = None,
        layers: Sequence[int] | None = None,
        evolve_output: bool = False,
        chain_removal: bool = False,
        early_stop: float | None = None,
        final_share: float = 1.0,
        share_shape: str = "cubic",
        share_end: float = 0.8,
        importance: float = 0.0,
        importance_every: int = 10,
        importance_start: float = 0.5,
        final: str = "none",
        regrow_init: str = "zero",
    ):
        self.fraction = Fraction(zeta, decay, decay_end, decay_floor)
        self.schedule = UpdateSchedule() if schedule is None else schedule
        if not isinstance(self.schedule, UpdateSchedule):
            raise UsageError(f"schedule must be an UpdateSchedule, got {schedule!r}")
        check_bools(evolve_output=evolve_output, chain_removal=chain_removal)
        if layers is not None:
            if not isinstance(layers, list | tuple):
                raise UsageError(f"layers must be a list of numbers, got {layers!r}")
            layers = tuple(check_whole("layers", index, 0) for index in layers)
        self.layers = layers
        self.evolve_output = evolve_output
        self.chain_removal = chain_removal
        check_numbers(early_stop=early_stop)
        self.early_stop = early_stop
        self.share = Share(final_share, share_shape, end=share_end)
        self.importance = Importance(importance, importance_every, importance_start)
        self.final = choose(final, ("none", "prune_only"), "final update")
        self.regrow_init = choose(regrow_init, INITIALIZERS, "weight initialiser")
        self.stopped: set[int] = set()
        # Connections that a layer had at first, or would have had as they are now.
        self.budgets: dict[int, float] = {}

    @property
    def zeta(self) -> float:
        """Share of a layer's connections that the first update replaces."""
        return self.fraction.initial

    @property
    def growth(self) -> float:
        """Connections that a layer can have, as a multiple of those at first."""
        return 1.0

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that the algorithm takes, its own ones first."""
        names: dict[str, None] = {}
        for ancestor in cls.__mro__[:-1]:
            if "__init__" in vars(ancestor):
                kinds = inspect.signature(
                    vars(ancestor)["__init__"]
                ).parameters.values()
                own = [each for each in kinds if each.kind != each.VAR_KEYWORD]
                names |= {each.name: None for each in own if each.name != "self"}
                if len(own) == len(kinds):
                    break
        return tuple(name for name in names if name not in cls.void_options)

    def state(self) -> dict[str, Any]:
        """Return what an algorithm remembers: numbers, lists, dicts and arrays."""
        budgets = {str(index): budget for index, budget in self.budgets.items()}
        return {
            "stopped": sorted(self.stopped),
            "budgets": budgets,
            "importance_epoch": self.importance.next_epoch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` that was returned before."""
        self.stopped = set(state["stopped"])
        self.budgets = {int(i): budget for i, budget in state["budgets"].items()}
        self.importance.next_epoch = int(state["importance_epoch"])

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Forget other runs; note how many connections the layers have at first.

        Raises
        ------
        UsageError
            If a layer is to evolve that does not exist.
        """
        self.stopped, self.importance.next_epoch = set(), 0
        self.evolving_layers(model)
        self.budgets = {i: each.connections.nnz for i, each in enumerate(model.layers)}

    def advance(
        self, unit: str, model: SparseMLP, context: UpdateContext, batches: Batches
    ) -> list[LayerChange] | None:
        """Look and update if it is time, after each step and epoch.

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
        is_shrinking = self.share.final < 1.0 and context.progress <= self.share.end
        if self.fraction.is_over(context.progress) and not is_shrinking:
            return False
        count = context.epoch if unit == "epoch" else context.step
        return self.schedule.due(unit, count)

    def is_idle(self, n_steps: int, n_epochs: int) -> bool:
        """Whether a run of so many steps and epochs ends before the first update."""
        end = self.fraction.end if self.share.final == 1.0 else 1.0
        length = n_steps if self.schedule.unit == "step" else n_epochs
        last = min(end * length, length - 1)
        return "schedule" in self.options() and self.schedule.start > last

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Change the model's topology and return what changed."""
        update = Update(model, context, self.evolving_layers(model), batches)
        if not update.connections:
            return []
        self.drop(update)
        self.importance.drop(update)
        share = self.share.at(context.progress)
        for index, lost in update.lost.items():
            nnz = update.connections[index].nnz
            self.budgets[index] = self.budgets.get(index, nnz) - lost / share
        if self.chain_removal and any(marks.any() for marks in update.dropped.values()):
            remove_chains(update)
        if context.is_final:
            grown = {index: np.empty(0, np.int64) for index in update.connections}
        else:
            grown = self.grow(update)
        changes = [
            self._rewire(update, index, grown.pop(index))
            for index in update.connections
        ]
        if self.redistributes:
            self.budgets |= {change.layer: change.nnz / share for change in changes}
        return changes

    def evolving_layers(self, model: SparseMLP) -> list[int]:
        """Return the layers that take part.

        A full one has nowhere to grow, unless the number of connections falls.
        """
        n_layers = len(model.layers)
        chosen = self.layers
        if chosen is None:
            chosen = tuple(range(n_layers - 1 + self.evolve_output))
        elif chosen and max(chosen) >= n_layers:
            raise UsageError(
                f"layers must be from 0 to {n_layers - 1}, got {list(chosen)}"
            )
        return [
            index
            for index in sorted(set(chosen) - self.stopped)
            if model.layers[index].connections.density < 1.0 or self.share.final < 1.0
        ]

    # What algorithms override --------------------------------------------------------

    def look(self, update: Update) -> None:
        """Learn from a batch, every `sample_every` steps."""

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update.update_bytes."""
        return update_bytes(self.zeta, itemsize)

    def drop(self, update: Update) -> None:
        """Mark the connections to remove: here of each layer those of lowest score."""
        for index, connections in update.connections.items():
            scores = self.rated(self.drop_scores(update, index), connections.nnz)
            count = self.drop_count(update, index)
            update.dropped[index] = drop_smallest(scores, count)

    def drop_count(self, update: Update, index: int) -> int:
        """Return how many connections a layer loses: the fraction, and any surplus."""
        nnz, budget = update.connections[index].nnz, self.budget(update, index)
        return max(nnz - budget, 0) + int(
            self.drop_fraction(update.context) * min(nnz, budget)
        )

    def drop_fraction(self, context: UpdateContext) -> float:
        """Return the share of connections to replace now."""
        return self.fraction.at(context.progress)

    def drop_scores(self, update: Update, index: int) -> np.ndarray:
        """Rate the connections of a layer, (nnz,); the lowest go."""
        return np.abs(update.connections[index].values)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells to connect: here uniformly drawn ones.

        Returns
        -------
        dict of int to (k,) int64 array
            Of every layer the keys, ascending and distinct.
        """
        counts = self.grow_counts(update)
        return {
            index: self.grow_at_random(update, index, count)
            for index, count in counts.items()
        }

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows: what it lacks to its budget."""
        return {
            index: min(
                max(self.budget(update, index) - update.kept(index), 0),
                update.room(index),
            )
            for index in update.connections
        }

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return the initial weights of new connections."""
        generator = update.stream(Purpose.REGROWN_WEIGHTS, index)
        return draw_weights(
            self.regrow_init, update.connections[index], keys.size, generator
        )

    # What algorithms use -------------------------------------------------------------

    def budget(self, update: Update, index: int) -> int:
        """Return how many connections a layer is to have after this update."""
        at_first = self.budgets.get(index, update.connections[index].nnz)
        return max(round(at_first * self.share.at(update.context.progress)), 1)

    def grow_at_random(
        self, update: Update, index: int, count: int, *, besides_dropped: bool = False
    ) -> np.ndarray:
        """Draw empty cells uniformly; as keys, ascending.

        Those just emptied are among them, unless told otherwise.
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
        # So many that enough are left without those that have been chosen already.
        drawn = self.grow_at_random(update, index, missing + keys.size)
        drawn = drawn[~is_among(drawn, keys)]
        draw = update.stream(Purpose.FILLING, index)
        drawn = drawn[sample_ranks(drawn.size, missing, draw)]
        return np.sort(np.concatenate([keys, drawn]))

    def rated(self, scores: np.ndarray, size: int) -> np.ndarray:
        """Return scores if they can be ordered, else say whose are wrong."""
        if scores.shape != (size,) or np.isnan(scores).any():
            raise UsageError(
                f"{type(self).__name__} must give {size} scores without NaN, got "
                f"{scores.shape} with {int(np.isnan(scores).sum())} NaN"
            )
        return scores

    def _rewire(self, update: Update, index: int, keys: np.ndarray) -> LayerChange:
        connections, dropped = update.connections[index], update.dropped.pop(index)
        removed, grown, regrown = int(np.count_nonzero(dropped)), keys.size, 0
        if self.keeps_regrown or self.early_stop is not None:
            positions = np.flatnonzero(dropped)
            emptied = connections.keys(positions)
            again = is_among(emptied, keys)
            regrown = int(np.count_nonzero(again))
            if self.keeps_regrown:
                keys = keys[~is_among(keys, emptied)]
                dropped[positions[again]] = False
            del positions, emptied, again
        weights = self.new_weights(update, index, keys)
        connections.rewire(dropped, keys, weights)
        settled = self.share.final == 1.0 or update.context.progress >= self.share.end
        if (
            self.early_stop is not None
            and settled
            and regrown > self.early_stop * grown
        ):
            self.stopped.add(index)
        growth = update.growth.get(index, "random" if grown else "")
        return LayerChange(index, removed, grown, connections.nnz, regrown, growth)
