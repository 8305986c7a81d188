"""Soft-DeepR: deep rewiring with as many connections as turn out to be active.

Bellec, Kappel, Maass and Legenstein, "Deep rewiring: training very sparse deep
networks", ICLR 2018, Algorithm 2; details as in the authors' script of soft DeepR
(guillaumeBellec/deep_rewiring).

Active connections move as in DeepR, see deepr.py. A dormant one has a negative theta,
which feels the noise alone and stops at theta_min; where it becomes positive, the
connection is active. The number of connections is free. Without gradient it stays near
a share p of the cells by the authors' rule,

    theta_min = -(1 - p) / p  temperature / l1

Here p is the layer's density at first, times `final_share` as it falls. With the noise
alone dormant thetas stay evenly spread from theta_min to 0, as they are drawn at first.
Gradients keep more connections active, unless l1 is as large as they are: on digits two
layers of 200 neurons with p = 0.05 have five times as many after 15 epochs, also where
all thetas are followed (2026-11). There is no bound but a full layer: noise brings
every dormant theta up to 0 at some time, where a gradient may hold it. Later updates
add fewer: after 60 epochs there are six times as many as at first. An update whose
connections would not fit in memory is refused.

The thetas of all dormant cells would take memory for every cell of the layer. So only
those next to 0 are followed, down to -window temperature / l1, which are about `window`
times as many as connections. Deeper ones are anonymous: they count as evenly spread,
and the noise, of deviation s since the last update, brings each of a share

    s E[min(max(z, 0), d / s)] / d,    z ~ N(0, 1)

of them up to where they are followed, d being the depth that they have. These are
uniformly drawn cells with random signs. A cell that sinks is forgotten.

This is exact where the window reaches down to theta_min, as it does with a window of
(1 - p) / p. A smaller one lets forgotten cells be replaced sooner than they could
return, so that more cells have their turn in as many steps.

Departures: that; the thetas of one update are moved at once for all the steps since the
last; and an update is refused that would raise more than four cells for each neuron and
connection of a layer, as its noise is too large beside theta_min.
"""

import math
from typing import Any

import numpy as np

from truesparse.common import memory
from truesparse.common.checks import check_positive
from truesparse.common.rng import Purpose
from truesparse.drawing.cells import is_among, sample_absent
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP
from truesparse.topology.deepr import DeepRewiring
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.topology_update import Update

# Cells that one update raises at most, for each connection and neuron of a layer.
_MOST_RAISED = 4.0
# Connections that a net usually has at most, for each that it had at first, with the
# published noise and learning rates up to 0.2: 1.9 to 6.4 on digits with densities from
# 0.005 to 0.05 and up to 60 epochs (2026-11).
_USUAL_GROWTH = 6.4


class SoftDeepr(DeepRewiring):
    """Soft-DeepR: connections come and go, each by a random walk of its own.

    Parameters
    ----------
    l1 : float
        Penalty, above 0; a step subtracts it, times the learning rate, from each
        magnitude.
    temperature : float
        Temperature of the noise, above 0.
    window : float
        Dormant cells that are followed, for each connection that a layer is to have.
    **options
        See TopologyAlgorithm; by default updates happen after every step.
    """

    name = "soft_deepr"
    conserves = False

    def __init__(
        self,
        *,
        l1: float = 1e-5,
        temperature: float = 2.5e-12,
        window: float = 10.0,
        **options,
    ):
        super().__init__(l1=l1, temperature=temperature, **options)
        if not (self.l1 > 0.0 and self.temperature > 0.0):
            raise UsageError(
                f"l1 and temperature must be above 0 for soft_deepr, got {l1} and "
                f"{temperature}"
            )
        check_positive(window=window)
        self.window = window
        # Cells that are followed, and what their weights would be: of the sign that
        # the connection does not have, and of the size of theta.
        self._near: dict[int, np.ndarray] = {}
        self._theta: dict[int, np.ndarray] = {}

    @property
    def growth(self) -> float:
        """Connections that a layer usually has at most, for each that it had first."""
        return super().growth * _USUAL_GROWTH

    def begin(self, model: SparseMLP, batches: Batches | None = None) -> None:
        """Start without thetas; earlier ones may be of another net."""
        super().begin(model, batches)
        self._near, self._theta = {}, {}

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs: also the thetas that are followed."""
        near = {str(index): keys for index, keys in self._near.items()}
        theta = {str(index): each for index, each in self._theta.items()}
        return {**super().state(), "near": near, "theta": theta}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state."""
        super().restore(state)
        self._near = {int(index): keys for index, keys in state["near"].items()}
        self._theta = {int(index): each for index, each in state["theta"].items()}

    def update_bytes(self, itemsize: int) -> tuple[float, float]:
        """Return what an update holds, see update_bytes: cells and their thetas."""
        of_all, of_one = super().update_bytes(itemsize)
        # For each connection that there was at first, not of those that have grown.
        followed = self.window * (8 + itemsize) / self.growth
        # Measured: both lists are merged and sorted.
        return of_all + followed, of_one + 5.3 * followed

    def drop(self, update: Update) -> None:
        """Move all thetas, and mark the connections that become dormant."""
        super().drop(update)
        for index in update.connections:
            if index not in self._near:
                self._begin_walks(update, index)
            self._walk(update, index)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the cells that have become active."""
        grown = {}
        for index in update.connections:
            grown[index], update.new_weights[index] = update.notes.pop(index)
            self._require_room(update, index, grown[index].size)
        return grown

    def _require_room(self, update: Update, index: int, n_grown: int) -> None:
        """Refuse connections that do not fit in memory, where no estimate counts them.

        Raises
        ------
        MemoryLimitError
            Before the system would end the process.
        """
        first = self.budgets.get(index, update.connections[index].nnz)
        nnz = update.remaining(index) + n_grown
        if nnz > self.growth * first:
            itemsize = update.connections[index].values.itemsize
            # New arrays beside the present ones: index, view, weight and its state.
            memory.require(
                (12 + 2 * itemsize) * nnz,
                f"soft_deepr has brought layer {index} from {first:,.0f} to {nnz:,} "
                f"connections; raise l1, which is {self.l1}",
            )

    def _begin_walks(self, update: Update, index: int) -> None:
        """Draw the dormant cells that are followed at first."""
        connections, (edge, lowest) = (
            update.connections[index],
            self._depths(update, index),
        )
        dormant = connections.n_in * connections.n_out - connections.nnz
        draw = update.stream(Purpose.CANDIDATES, index)
        share = edge / lowest if lowest > 0.0 else 0.0
        count = int(draw.binomial(dormant, share))
        taken = np.zeros(connections.nnz, bool)
        keys = sample_absent(connections, taken, count, draw)
        theta = edge * (1.0 - draw.random(count)) * draw.choice([-1.0, 1.0], count)
        self._near[index] = keys
        self._theta[index] = theta.astype(connections.values.dtype)

    def _walk(self, update: Update, index: int) -> None:
        """Move the thetas of dormant cells, and note which become active."""
        connections, (edge, lowest) = (
            update.connections[index],
            self._depths(update, index),
        )
        draw, noise = update.stream(Purpose.REACTIVATION, index), self._noise(update)
        keys, theta = self._near[index], self._theta[index]
        depth = np.abs(theta) + noise * draw.standard_normal(theta.size, theta.dtype)
        depth = np.minimum(depth, theta.dtype.type(lowest))
        raised = self._raise(update, index, noise, lowest - edge)
        overshoot = noise * draw.rayleigh(size=raised.size) * draw.random(raised.size)
        dropped = update.dropped[index]
        # Their signs are those that the connections do not have: -1 leads up to +1.
        signs = np.concatenate([np.sign(theta), draw.choice([-1.0, 1.0], raised.size)])
        keys = np.concatenate([keys, raised])
        depth = np.concatenate([depth, edge - overshoot])
        order = np.argsort(keys, kind="stable")
        keys, theta = keys[order], (signs * depth)[order].astype(theta.dtype)
        depth = depth[order]
        active = depth < 0.0
        update.notes[index] = keys[active], theta[active]
        stays = ~active & (depth <= edge)
        sunk = connections.values[dropped]
        keys = np.concatenate([keys[stays], update.dropped_keys(index)])
        theta = np.concatenate([theta[stays], sunk])
        order = np.argsort(keys, kind="stable")
        self._near[index], self._theta[index] = keys[order], theta[order]

    def _raise(
        self, update: Update, index: int, noise: float, deep: float
    ) -> np.ndarray:
        """Return the anonymous cells that come up to where they are followed."""
        connections = update.connections[index]
        n_in, n_out = connections.n_in, connections.n_out
        dormant = n_in * n_out - connections.nnz
        share = _share_above(noise, deep)
        if dormant * share > _MOST_RAISED * (connections.nnz + n_in + n_out):
            raise UsageError(
                f"soft_deepr would raise {dormant * share:,.0f} dormant cells in layer "
                f"{index}, of {connections.nnz:,} connections: the noise is large "
                "beside temperature / l1; update more often, or raise the temperature "
                f"above {self.temperature}"
            )
        # Of all dormant cells, those that are followed drop out: the others are drawn
        # with the same probability.
        count = int(update.stream(Purpose.FILLING, index).binomial(dormant, share))
        keys = self.grow_at_random(update, index, count, besides_dropped=True)
        return keys[~is_among(keys, self._near[index])]

    def _noise(self, update: Update) -> float:
        """Return the deviation of the noise since the last update."""
        return math.sqrt(2.0 * self.rate(update) * self.temperature)

    def _depths(self, update: Update, index: int) -> tuple[float, float]:
        """Return how far below 0 thetas are followed, and how far they go at all."""
        connections, scale = update.connections[index], self.temperature / self.l1
        density = self.budget(update, index) / (connections.n_in * connections.n_out)
        lowest = max(1.0 - density, 0.0) / density * scale
        return min(self.window * scale, lowest), lowest


def _share_above(noise: float, depth: float) -> float:
    """Return the share of numbers, spread over [-depth, 0], that noise lifts above 0.

    Examples
    --------
    >>> _share_above(0.0, 1.0), round(_share_above(1.0, 100.0) * 100.0, 6)
    (0.0, 0.398942)
    >>> round(_share_above(100.0, 1.0), 2)
    0.5
    """
    if noise == 0.0 or not depth > 0.0:
        return 0.0
    limit = depth / noise
    above = 0.5 * math.erfc(limit / math.sqrt(2.0))
    return (1.0 - math.exp(-(limit**2) / 2.0)) / math.sqrt(
        2.0 * math.pi
    ) / limit + above
