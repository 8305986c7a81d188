"""Soft-DeepR: deep rewiring with as many connections as turn out to be active.

Bellec, Kappel, Maass and Legenstein, "Deep rewiring: training very sparse deep
networks", ICLR 2018, Algorithm 2; details as in the authors' script of soft DeepR
(guillaumeBellec/deep_rewiring).

Active connections move as in DeepR, see deepr.py. A dormant one has a negative theta,
which feels the noise alone and stops at theta_min; where it becomes positive, the
connection is active. The number of connections is free. It stays near a share p of the
cells by the authors' rule for theta_min,

    theta_min = -(1 - p) / p  temperature / l1

with which positive and negative thetas balance where there is no gradient. Here p is
the layer's density at first, times `final_share` as it falls.

The walks of all dormant cells would take memory for every cell of the layer. But with
the noise alone they have a flat stationary distribution, from theta_min to 0, in which
they also start. So each update draws from it. In n steps of learning rate lr the noise
has the deviation s = sqrt(2 n lr temperature), and of the dormant cells

    s E[min(max(z, 0), |theta_min| / s)] / |theta_min|,    z ~ N(0, 1)

become active, in uniformly drawn cells with a random sign and a theta as far above 0 as
the noise carries one. The number is thus drawn exactly as from a layer in balance, and
so is theta where theta_min is many deviations of the noise away. What is lost is
memory: a connection that has just gone dormant is no closer to 0 than others, and a
cell has no sign of its own.

Departures: that; and an update is refused that would activate more than four for each
neuron and connection of a layer, as its noise is too large beside theta_min.
"""

import math

import numpy as np

from truesparse.common.rng import Purpose
from truesparse.errors import UsageError
from truesparse.topology.deepr import DeepRewiring
from truesparse.topology.parts.topology_update import Update

# New connections of one update for each connection and neuron of a layer.
_MOST_NEW = 4.0
# New connections of one update, for each that a layer is to have, with the published
# noise: 0.8 at the authors' learning rate of 0.05, and twice as many at 0.2.
_USUALLY_NEW = 1.6


class SoftDeepr(DeepRewiring):
    """Soft-DeepR: connections come and go, each by a random walk of its own.

    Parameters
    ----------
    l1 : float
        Penalty, above 0; a step subtracts it, times the learning rate, from each
        magnitude.
    temperature : float
        Temperature of the noise, above 0.
    **options
        See TopologyAlgorithm; by default updates happen after every step.
    """

    name = "soft_deepr"
    conserves = False

    def __init__(self, *, l1: float = 1e-5, temperature: float = 2.5e-12, **options):
        super().__init__(l1=l1, temperature=temperature, **options)
        if not (self.l1 > 0.0 and self.temperature > 0.0):
            raise UsageError(
                f"l1 and temperature must be above 0 for soft_deepr, got {l1} and "
                f"{temperature}"
            )

    @property
    def growth(self) -> float:
        """Connections that a layer usually has at most, for each that it had first."""
        return super().growth * (1.0 + _USUALLY_NEW)

    def grow(self, update: Update) -> dict[int, np.ndarray]:
        """Return the dormant cells that become active."""
        grown = {}
        for index, count in self.grow_counts(update).items():
            # What has just gone dormant was not there to become active.
            grown[index] = self.grow_at_random(
                update, index, count, besides_dropped=True
            )
        return grown

    def grow_counts(self, update: Update) -> dict[int, int]:
        """Draw how many dormant cells of each layer become active."""
        counts = {}
        for index, connections in update.connections.items():
            n_in, n_out = connections.n_in, connections.n_out
            dormant = n_in * n_out - connections.nnz
            p, budget = self._share_active(update, index), self.budget(update, index)
            if dormant * p > _MOST_NEW * (budget + n_in + n_out):
                raise UsageError(
                    f"soft_deepr would activate {dormant * p:,.0f} connections in "
                    f"layer {index}, which is to have {budget:,}: the noise is large "
                    "beside temperature / l1; update more often, or raise the "
                    f"temperature above {self.temperature}"
                )
            draw = update.stream(Purpose.REACTIVATION, index)
            counts[index] = int(draw.binomial(dormant, p))
        return counts

    def new_weights(self, update: Update, index: int, keys: np.ndarray) -> np.ndarray:
        """Return weights as far from 0 as the noise carries a dormant theta."""
        draw, noise = update.stream(Purpose.REGROWN_WEIGHTS, index), self._noise(update)
        # A jump z past a flat distribution: its density is z times that of the noise,
        # and it ends anywhere between 0 and its length.
        theta = noise * draw.rayleigh(size=keys.size) * draw.random(keys.size)
        signs = 2.0 * draw.integers(0, 2, keys.size) - 1.0
        return (theta * signs).astype(update.connections[index].values.dtype)

    def _noise(self, update: Update) -> float:
        """Return the deviation of the noise since the last update."""
        return math.sqrt(2.0 * self.rate(update) * self.temperature)

    def _share_active(self, update: Update, index: int) -> float:
        """Return the share of the dormant cells that become active."""
        connections, noise = update.connections[index], self._noise(update)
        density = self.budget(update, index) / (connections.n_in * connections.n_out)
        lowest = (1.0 - density) / density * self.temperature / self.l1
        if not lowest > 0.0 or noise == 0.0:
            return 0.0
        limit = lowest / noise
        above = 0.5 * math.erfc(limit / math.sqrt(2.0))
        bend = (1.0 - math.exp(-(limit**2) / 2.0)) / math.sqrt(2.0 * math.pi)
        return bend / limit + above
