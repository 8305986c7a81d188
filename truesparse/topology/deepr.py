"""DeepR: deep rewiring.

Bellec, Kappel, Maass and Legenstein, "Deep rewiring: training very sparse deep
networks", ICLR 2018, Algorithm 1.

Every connection has a sign that it keeps, w = s theta with theta > 0. Besides the
gradient, theta feels an L1 penalty and noise:

    theta -= lr l1;    theta += sqrt(2 lr temperature) N(0, 1)

Where theta becomes negative, the connection goes dormant. Another one, drawn uniformly
among the empty cells, becomes active with a random sign and theta = 1e-12.

Each layer keeps its number of connections, or with the scope "global" all layers
together keep theirs. Then each that went dormant is replaced in a layer drawn in
proportion to the connections that the layers had at first, as in the authors' script
with a global constraint (guillaumeBellec/deep_rewiring); the paper draws uniformly from
the dormant connections of all layers.

Departures: the sign is that of the weight, of which only the sign at the last update is
stored; penalty and noise of all the steps between two updates come at once. A new
connection starts without optimiser state; use plain SGD as the authors do.
"""

import math
from typing import Any, ClassVar

import numpy as np

from truesparse.common.checks import check_not_negative, choose
from truesparse.common.rng import Purpose
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.distribute import share_out
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Share, UpdateSchedule
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update


class DeepRewiring(TopologyAlgorithm):
    """Connections that keep their sign, under a penalty and noise.

    Parameters
    ----------
    l1 : float
        Penalty; a step subtracts it, times the learning rate, from each magnitude.
    temperature : float
        Temperature of the noise.
    **options
        See TopologyAlgorithm; by default updates happen after every step.
    """

    # The signs decide how many connections go.
    takes = (
        *("decay_end", "schedule", *Layers.OPTIONS, "chain_removal", "early_stop"),
        *(*Share.OPTIONS, *Importance.OPTIONS, "final"),
    )
    schedule = UpdateSchedule(1, "step")

    def __init__(self, *, l1: float, temperature: float, **options):
        super().__init__(**options)
        check_not_negative(l1=l1, temperature=temperature)
        self.l1, self.temperature = l1, temperature
        self._signs: dict[int, np.ndarray] = {}
        self._last_step = 0

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Store the signs of all weights."""
        super().begin(model, batches)
        self._signs = {
            index: np.signbit(layer.connections.values)
            for index, layer in enumerate(model.layers)
        }
        self._last_step = model.step

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the signs, as arrays of bits."""
        signs = {str(index): np.packbits(bits) for index, bits in self._signs.items()}
        return {**super().state(), "last_step": self._last_step, "signs": signs}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state, after `begin` has seen the model of the same time."""
        super().restore(state)
        self._last_step = int(state["last_step"])
        for index, bits in state["signs"].items():
            size = self._signs[int(index)].size
            self._signs[int(index)] = np.unpackbits(bits, count=size).astype(bool)

    def update(
        self, model: SparseMLP, context: UpdateContext, batches: Batches | None = None
    ) -> list[LayerChange]:
        """Replace connections that changed their sign, and store the signs of all."""
        changes = super().update(model, context, batches)
        for index, layer in enumerate(model.layers):
            self._signs[index] = np.signbit(layer.connections.values)
        self._last_step = context.step
        return changes

    def drop(self, update: Update) -> None:
        """Apply penalty and noise, then mark what changed its sign."""
        rate = self.rate(update)
        for index, connections in update.connections.items():
            values, number = connections.values, connections.values.dtype.type
            was_negative = self._signs.get(index, np.signbit(values))
            values += np.where(
                was_negative, number(rate * self.l1), number(-rate * self.l1)
            )
            draw = update.stream(Purpose.NOISE, index)
            noise = draw.standard_normal(connections.nnz, values.dtype)
            noise *= number(math.sqrt(2.0 * rate * self.temperature))
            values += noise
            update.dropped[index] = np.signbit(values) != was_negative

    def rate(self, update: Update) -> float:
        """Return the learning rate, times the steps since the last update."""
        return update.context.lr * (update.context.step - self._last_step)


class Deepr(DeepRewiring):
    """DeepR, deep rewiring: connections that change their sign are replaced.

    Parameters
    ----------
    l1 : float
        Penalty; a step subtracts it, times the learning rate, from each magnitude.
    temperature : float
        Temperature of the noise.
    scope : {"layer", "global"}
        Whether each layer keeps its number of connections, or only all of them do.
    **options
        See TopologyAlgorithm; by default updates happen after every step.
    """

    name = "deepr"
    new_weight: ClassVar[float] = 1e-12

    def __init__(
        self,
        *,
        l1: float = 1e-5,
        temperature: float = 2.5e-11,
        scope: str = "layer",
        **options,
    ):
        super().__init__(l1=l1, temperature=temperature, **options)
        self.scope = choose(scope, ("layer", "global"), "scope")
        self.redistributes = scope == "global"
        self._at_first: dict[int, int] = {}

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Store the signs of all weights, and the sizes of the layers."""
        super().begin(model, batches)
        self._at_first = {index: int(count) for index, count in self.budgets.items()}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the sizes of the layers at first."""
        at_first = {str(index): count for index, count in self._at_first.items()}
        return {**super().state(), "at_first": at_first}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state; older ones have no sizes, which are the model's then."""
        super().restore(state)
        at_first = state.get("at_first", {}).items()
        self._at_first |= {int(index): int(count) for index, count in at_first}

    def drop(self, update: Update) -> None:
        """Apply penalty and noise, then mark what changed its sign, and any surplus."""
        super().drop(update)
        if self.share.is_one:
            return
        for index, connections in update.connections.items():
            # The smallest go too, where more are left than the budget allows.
            sizes = np.where(update.dropped[index], -1.0, np.abs(connections.values))
            surplus = connections.nnz - self.budget(update, index)
            count = max(surplus, update.removed(index))
            update.dropped[index] = drop_smallest(sizes, count)

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Return how many connections each layer grows."""
        counts = super().grow_counts(update)
        if self.scope == "layer":
            return counts
        budget = sum(self.budget(update, index) for index in counts)
        missing = budget - sum(update.remaining(index) for index in counts)
        weights = np.array([self._at_first[index] for index in counts], float)
        draw = update.stream(Purpose.REACTIVATION, 0)
        drawn = draw.multinomial(max(missing, 0), weights / weights.sum())
        shares = dict(zip(counts, drawn.tolist(), strict=True))
        # What a layer has no room for goes to the others.
        rooms = {index: update.room(index) for index in counts}
        return share_out(sum(shares.values()), shares, rooms)

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return weights next to 0, of random sign."""
        draw = update.stream(Purpose.REGROWN_WEIGHTS, index)
        signs = 2.0 * draw.integers(0, 2, keys.size) - 1.0
        return (self.new_weight * signs).astype(update.connections[index].values.dtype)
