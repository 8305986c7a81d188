"""DeepR: deep rewiring.

Bellec, Kappel, Maass and Legenstein, "Deep rewiring: training very sparse deep
networks", ICLR 2018, Algorithm 1.

Every connection has a sign that it keeps, w = s theta with theta > 0. Besides the
gradient, theta feels an L1 penalty and noise:

    theta -= lr l1;    theta += sqrt(2 lr temperature) N(0, 1)

Where theta becomes negative, the connection goes dormant. Another one, drawn uniformly
among the empty cells, becomes active with a random sign and theta = 1e-12.

Departures: the sign is that of the weight, of which only the sign at the last update is
stored; penalty and noise of all the steps between two updates come at once. A new
connection starts without optimiser state; use plain SGD as the authors do.
"""

import math
from typing import Any, ClassVar

import numpy as np

from truesparse.common.checks import check_not_negative
from truesparse.common.rng import Purpose
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.prune import drop_smallest
from truesparse.topology.parts.schedule import Share, UpdateSchedule
from truesparse.topology.parts.stages import Layers
from truesparse.topology.parts.topology_update import Update


class Deepr(TopologyAlgorithm):
    """DeepR, deep rewiring: connections that change their sign are replaced.

    Parameters
    ----------
    l1 : float
        Penalty; a step subtracts it, times the learning rate, from each magnitude.
    temperature : float
        Temperature of the noise.
    **options
        See TopologyAlgorithm; by default updates happen after every step.
    """

    name = "deepr"
    new_weight: ClassVar[float] = 1e-12
    # The signs decide how many connections go.
    takes = (
        *("decay_end", "schedule", *Layers.OPTIONS, "chain_removal", "early_stop"),
        *(*Share.OPTIONS, *Importance.OPTIONS, "final"),
    )
    schedule = UpdateSchedule(1, "step")

    def __init__(
        self,
        *,
        l1: float = 1e-5,
        temperature: float = 2.5e-11,
        **options,
    ):
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
        steps = update.context.step - self._last_step
        lr = update.context.lr * steps
        for index, connections in update.connections.items():
            values, number = connections.values, connections.values.dtype.type
            was_negative = self._signs.get(index, np.signbit(values))
            values += np.where(
                was_negative, number(lr * self.l1), number(-lr * self.l1)
            )
            draw = update.stream(Purpose.NOISE, index)
            noise = draw.standard_normal(connections.nnz, values.dtype)
            noise *= number(math.sqrt(2.0 * lr * self.temperature))
            values += noise
            dropped = np.signbit(values) != was_negative
            if self.share.final < 1.0:
                # The smallest go too, where more are left than the budget allows.
                sizes = np.where(dropped, -1.0, np.abs(values))
                surplus = connections.nnz - self.budget(update, index)
                count = max(surplus, int(np.count_nonzero(dropped)))
                dropped = drop_smallest(sizes, count)
            update.dropped[index] = dropped

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return weights next to 0, of random sign."""
        draw = update.stream(Purpose.REGROWN_WEIGHTS, index)
        signs = 2.0 * draw.integers(0, 2, keys.size) - 1.0
        return (self.new_weight * signs).astype(update.connections[index].values.dtype)
