"""The update sequence that all dynamic sparse training algorithms share.

An update of the topology, between two optimiser steps:

    1. drop      mark connections to remove, layer by layer, by a score
    2. count     decide how many each layer grows
    3. propose   name absent cells, at least as many as are wanted
    4. score     rate the proposals and keep the best, unless all are taken
    5. rewire    survivors keep value and optimiser state; new connections get their
                 initial weight and zero state

An algorithm overrides only the steps in which it differs.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from truesparse import rng
from truesparse.errors import UsageError, check_numbers, choose
from truesparse.model import SparseMLP
from truesparse.sparse.connections import Connections
from truesparse.sparse.init import INITIALIZERS, draw_weights, sample_absent
from truesparse.topology.prune import drop_smallest
from truesparse.topology.schedule import UpdateSchedule


@dataclass(frozen=True)
class UpdateContext:
    """Where in the run an update happens.

    Parameters
    ----------
    seed : int
    step, epoch : int
        Optimiser steps and epochs done.
    n_steps, n_epochs : int
        Of the whole run.
    """

    seed: int
    step: int
    epoch: int
    n_steps: int
    n_epochs: int

    @property
    def is_final(self) -> bool:
        """Whether training ends with this update."""
        return self.step >= self.n_steps


@dataclass(frozen=True)
class LayerChange:
    """What one update did to one layer."""

    layer: int
    removed: int
    grown: int
    nnz: int


class TopologyAlgorithm:
    """Base of all algorithms: magnitude pruning and uniform growth.

    Parameters
    ----------
    zeta : float
        Share of a layer's connections that an update replaces, in [0, 1).
    schedule : UpdateSchedule, optional
        By default after every epoch.
    evolve_output : bool
        Whether the output layer takes part.
    final : {"none", "prune_only"}
        What happens after the last step: nothing, or a removal without regrowth. A
        run that a callback stops early does not reach it.
    regrow_init : str
        Initialiser of new weights, see sparse.init.INITIALIZERS.
    """

    name: ClassVar[str] = ""

    def __init__(
        self,
        *,
        zeta: float = 0.3,
        schedule: UpdateSchedule | None = None,
        evolve_output: bool = False,
        final: str = "none",
        regrow_init: str = "zero",
    ):
        check_numbers(zeta=zeta)
        if not 0.0 <= zeta < 1.0:
            raise UsageError(f"zeta must be from 0 up to but not 1, got {zeta}")
        self.zeta = zeta
        self.schedule = schedule or UpdateSchedule()
        self.evolve_output = evolve_output
        self.final = choose(final, ("none", "prune_only"), "final update")
        self.regrow_init = choose(regrow_init, INITIALIZERS, "weight initialiser")

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that the algorithm takes."""
        return tuple(inspect.signature(cls).parameters)

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Whether to update now, at the end of a step or of an epoch."""
        if context.is_final:
            # Asked once, at the end of the last epoch.
            return unit == "epoch" and self.final == "prune_only"
        count = context.epoch if unit == "epoch" else context.step
        return self.schedule.due(unit, count)

    def update(self, model: SparseMLP, context: UpdateContext) -> list[LayerChange]:
        """Change the model's topology and return what changed."""
        layers = self.evolving_layers(model)
        links = {index: model.layers[index].connections for index in layers}
        dropped = {index: self.drop(links[index], context) for index in layers}
        if context.is_final:
            counts = dict.fromkeys(layers, 0)
        else:
            counts = self.grow_counts(links, dropped)
        changes = []
        for index in layers:
            draw = rng.stream(context.seed, rng.Purpose.EVOLUTION, context.step, index)
            keys = self.grow(links[index], dropped[index], counts[index], draw)
            draw = rng.stream(
                context.seed, rng.Purpose.REGROWN_WEIGHTS, context.step, index
            )
            weights = self.new_weights(links[index], keys, draw)
            removed = int(np.count_nonzero(dropped[index]))
            links[index].rewire(dropped.pop(index), keys, weights)
            change = LayerChange(index, removed, keys.size, links[index].nnz)
            changes.append(change)
        return changes

    def evolving_layers(self, model: SparseMLP) -> list[int]:
        """Return the layers that take part; a full one has nowhere to grow."""
        last = len(model.layers) - 1
        return [
            index
            for index, layer in enumerate(model.layers)
            if (index < last or self.evolve_output) and layer.connections.density < 1.0
        ]

    def drop(self, connections: Connections, context: UpdateContext) -> np.ndarray:
        """Mark the connections to remove, as an (nnz,) bool array."""
        count = int(self.drop_fraction(context) * connections.nnz)
        scores = self._rated(self.drop_scores(connections), connections.nnz)
        return drop_smallest(scores, count)

    def _rated(self, scores: np.ndarray, size: int) -> np.ndarray:
        """Return scores if they can be ordered, else say whose are wrong."""
        if scores.shape != (size,) or np.isnan(scores).any():
            raise UsageError(
                f"{type(self).__name__} must give {size} scores without NaN, got "
                f"{scores.shape} with {int(np.isnan(scores).sum())} NaN"
            )
        return scores

    def drop_fraction(self, context: UpdateContext) -> float:
        """Return the share of connections to replace now."""
        return self.zeta

    def drop_scores(self, connections: Connections) -> np.ndarray:
        """Rate the connections; the lowest go."""
        return np.abs(connections.values)

    def grow_counts(
        self, links: Mapping[int, Connections], dropped: Mapping[int, np.ndarray]
    ) -> dict[int, int]:
        """Return how many connections each layer grows: as many as it lost."""
        return {index: int(np.count_nonzero(dropped[index])) for index in links}

    def grow(
        self,
        connections: Connections,
        dropped: np.ndarray,
        count: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Return the keys of the cells to connect, ascending."""
        keys = self.propose(connections, dropped, count, generator)
        if keys.size <= count:
            return keys
        scores = self._rated(self.proposal_scores(connections, keys), keys.size)
        return keys[~drop_smallest(scores, keys.size - count)]

    def propose(
        self,
        connections: Connections,
        dropped: np.ndarray,
        count: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Name absent cells, ascending and distinct; here `count` uniform ones."""
        return sample_absent(connections, dropped, count, generator)

    def proposal_scores(self, connections: Connections, keys: np.ndarray) -> np.ndarray:
        """Rate the proposals; the highest are grown."""
        raise NotImplementedError(
            f"{type(self).__name__} proposes more cells than are grown, so it must "
            "define proposal_scores"
        )

    def new_weights(
        self,
        connections: Connections,
        keys: np.ndarray,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Return the initial weights of new connections."""
        return draw_weights(self.regrow_init, connections, keys.size, generator)
