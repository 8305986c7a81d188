"""TopologyUpdater: the algorithms of truesparse.topology on the layers of any network.

An algorithm sees the sparse layers as those of a network of truesparse. After an update
each layer, the gradient of its weights and what the optimiser keeps for them take the
new order; see following.py.
"""

import collections
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from truesparse.common.checks import check_whole
from truesparse.common.rng import check_seed
from truesparse.errors import UsageError
from truesparse.topology import ALGORITHMS, LayerChange, TopologyAlgorithm
from truesparse.topology import make as make_topology
from truesparse.topology.parts.context import UpdateContext
from truesparse.torch.batches import SeenBatches, unwrap
from truesparse.torch.following import TrackedConnections, rewire
from truesparse.torch.neighbours import neighbours_of
from truesparse.torch.observing import Recorder
from truesparse.torch.sparse_linear import SparseLinear

# Algorithms that do not fit a network of which only some layers are sparse, and why.
UNFIT = {
    "lottery": "it winds the whole network back to early weights, also layers that are "
    "not sparse, and trains it again; see torch.nn.utils.prune",
    **dict.fromkeys(
        ("snip", "grasp", "synflow"),
        "it chooses connections before training, from a superset that is larger than "
        "the layers; make the layers with SparseLinear(connectivity=...)",
    ),
    "top_kast": "it rescales the weights before the first step and decays them itself, "
    "beside what the optimiser does",
}
# Algorithms that take steps of their own, with the learning rate.
_USE_RATE = ("deepr", "nest", "soft_deepr")


@dataclass
class _Net:
    """Layers as an algorithm sees them, in place of a SparseMLP."""

    layers: list[SimpleNamespace]
    neighbours: list[tuple[int, int]]
    seed: int
    step: int


class TopologyUpdater:
    """Rewires the sparse layers of a network as it trains.

    Call `step` after each step of the optimiser. Updates come when the algorithm's
    schedule says, after some steps or at the end of epochs.

    Parameters
    ----------
    model : torch.nn.Module
        A network with SparseLinear layers; those whose weights need no gradient are
        left alone. A model in DistributedDataParallel or from torch.compile is given
        as it is.
    optimizer : torch.optim.Optimizer
        One that has the weights of these layers.
    topology : str, class or TopologyAlgorithm
        One of `TopologyUpdater.algorithms()`, an algorithm of your own, or one with its
        options.
    epochs : int
        Epochs of the run.
    steps_per_epoch : int
        Optimiser steps of an epoch: ``len(loader)``, or fewer where gradients of
        several batches add up for a step.
    seed : int
        Determines all that updates draw.
    neighbours : sequence of (str, str), optional
        Names of sparse layers of which the second takes what the first outputs, and
        nobody else does, for `chain_removal`; by default those that follow each other
        in a ``torch.nn.Sequential``.
    process_group : "ddp", torch.distributed.ProcessGroup or None
        Processes that train copies of the network with the same gradients. By default
        those of the DistributedDataParallel that the model is in; None for a network
        that one process trains alone.
    **options
        Options of the algorithm, see `truesparse.topology`. All layers take part by
        default; ``layers`` names some by number, ``evolve_output=False`` all but the
        last.

    Attributes
    ----------
    layers : dict of str to SparseLinear
        The layers by name; an algorithm numbers them in this order. The last one counts
        as the output of the network where that matters (`importance`, "srigl").
    algorithm : TopologyAlgorithm
    steps : int
        Steps so far.
    score : float or None
        Score on validation data, which "accset" goes by; set it before an update.

    Raises
    ------
    UsageError
        If the algorithm does not fit, or for a value that is not accepted.

    Notes
    -----
    An algorithm that looks at gradients sees the batch of the last step, before that
    step; one that sums them over several batches sees the last steps. Layers record
    what they need only in steps that an update looks at. State that a resumed run loads
    has no records: in the first update after it there may be fewer batches.

    Examples
    --------
    >>> import torch
    >>> from truesparse.torch import SparseLinear, TopologyUpdater
    >>> layer = SparseLinear(20, 10, density=0.2, seed=0)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> options = {"zeta": 0.25, "removal": "magnitude"}
    >>> updater = TopologyUpdater(
    ...     layer, optimizer, "set", epochs=2, steps_per_epoch=1, **options
    ... )
    >>> layer(torch.ones(4, 20)).square().mean().backward()
    >>> optimizer.step()
    >>> [(change.removed, change.nnz) for change in updater.step()]
    [(10, 40)]
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        topology: str | type[TopologyAlgorithm] | TopologyAlgorithm = "set",
        *,
        epochs: int,
        steps_per_epoch: int,
        seed: int = 0,
        neighbours: Iterable[tuple[str, str]] | None = None,
        process_group: Any = "ddp",
        **options: Any,
    ):
        self.epochs = check_whole("epochs", epochs, 1)
        self.steps_per_epoch = check_whole("steps_per_epoch", steps_per_epoch, 1)
        self.n_steps = self.epochs * self.steps_per_epoch
        self.seed, self.steps = check_seed(seed), 0
        self.score: float | None = None
        model, self._group = unwrap(model, process_group)
        self.layers = _trained_layers(model, optimizer)
        self._optimizer = optimizer
        layers = list(self.layers.values())
        self._neighbours = neighbours_of(model, layers, neighbours)
        self.algorithm = _make(topology, options)
        if options.get("chain_removal") and not self._neighbours:
            raise UsageError(
                "chain_removal needs sparse layers that feed each other, and no two "
                "follow each other in a torch.nn.Sequential; name them as neighbours"
            )
        if self._group is not None:
            _refuse_changing_counts(self.algorithm)
        if self.algorithm.is_idle(self.n_steps, self.epochs):
            warnings.warn(
                f"the first update of topology {self.algorithm.name!r} comes after the "
                f"{self.n_steps} steps of this run: the connections stay as they are; "
                "update earlier or train longer",
                stacklevel=2,
            )
        n_batches = getattr(self.algorithm, "gradient_batches", 1)
        self._recorders: collections.deque[Recorder] = collections.deque(
            maxlen=n_batches
        )
        self._rate()  # raises where there are several and it takes one
        self.algorithm.begin(self._net())
        self._watch()

    @staticmethod
    def algorithms() -> list[str]:
        """Return the names of the algorithms that fit."""
        return [name for name in ALGORITHMS if name not in UNFIT]

    def step(self) -> list[LayerChange]:
        """Update the topology if it is time, and return what changed.

        Returns
        -------
        list of LayerChange
            One for each layer that took part; empty if no update was due, also after
            the last step of the run.
        """
        self.steps += 1
        for recorder in self._recorders:
            recorder.stop()
        changes = []
        for unit, context in self._moments(self.steps):
            if self._acts(unit, context):
                changes += self._update(unit, context)
        self._watch()
        return changes

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values."""
        return {
            "topology": self.algorithm.name,
            "steps": self.steps,
            "score": self._plain_score(),
            "algorithm": _as_tensors(self.algorithm.state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state, after the model and the optimiser have loaded theirs.

        Raises
        ------
        UsageError
            If it is the state of another algorithm.
        """
        if state["topology"] != self.algorithm.name:
            raise UsageError(
                f"the state is of topology {state['topology']!r}, and this updater has "
                f"{self.algorithm.name!r}"
            )
        self.steps = check_whole("steps", state["steps"], 0)
        self.score = state["score"]
        self.algorithm.begin(self._net())
        self.algorithm.restore(_as_arrays(state["algorithm"]))
        self._recorders.clear()
        self._watch()

    def _moments(self, step: int) -> Iterator[tuple[str, UpdateContext]]:
        """Yield the times after a step at which an update may happen."""
        if step > self.n_steps:
            return
        yield "step", self._context(step, (step - 1) // self.steps_per_epoch)
        if step % self.steps_per_epoch == 0:
            yield "epoch", self._context(step, step // self.steps_per_epoch)

    def _context(self, step: int, epoch: int) -> UpdateContext:
        run = self.n_steps, self.epochs, self._rate(), self._plain_score()
        return UpdateContext(self.seed, step, epoch, *run)

    def _plain_score(self) -> float | None:
        """Return the score as Python's number, whatever holds the one that is set."""
        return None if self.score is None else float(self.score)

    def _rate(self) -> float:
        """Return the learning rate of the sparse layers."""
        weights = {id(layer.weight) for layer in self.layers.values()}
        rates = {
            float(group["lr"])
            for group in self._optimizer.param_groups
            if weights & {id(each) for each in group["params"]}
        }
        if len(rates) > 1 and self.algorithm.name in _USE_RATE:
            raise UsageError(
                f"topology {self.algorithm.name!r} takes steps with the learning rate, "
                f"and the sparse layers have several: {sorted(rates)}"
            )
        return max(rates)

    def _acts(self, unit: str, context: UpdateContext) -> bool:
        """Whether the algorithm looks at a batch or updates."""
        every = self.algorithm.sample_every
        looks = unit == "step" and every > 0 and context.step % every == 0
        return looks or self.algorithm.due(unit, context)

    def _watch(self) -> None:
        """Record the next step, if an update looks at it."""
        if not self.algorithm.needs_batches:
            return
        room = self._recorders.maxlen or 1
        steps = range(self.steps + 1, self.steps + 1 + room)
        moments = (moment for step in steps for moment in self._moments(step))
        if any(self._acts(*moment) for moment in moments):
            layers = self.layers.values()
            tensors = [(layer.indptr, layer.weight) for layer in layers]
            self._recorders.append(Recorder(tensors))
        else:
            self._recorders.clear()

    def _net(self) -> Any:
        """Return the layers as an algorithm sees them, in place of a SparseMLP."""
        connections = [TrackedConnections.of(each) for each in self.layers.values()]
        layers = [SimpleNamespace(connections=each) for each in connections]
        return _Net(layers, self._neighbours, self.seed, self.steps)

    def _update(self, unit: str, context: UpdateContext) -> list[LayerChange]:
        if self.algorithm.needs_score and self.score is None:
            raise UsageError(
                f"topology {self.algorithm.name!r} goes by the score on validation "
                "data: set the updater's score before an update"
            )
        net = self._net()
        connections = [layer.connections for layer in net.layers]
        names = list(self.layers)
        batches: Any = SeenBatches(self._recorders, connections, names, self._group)
        changes = self.algorithm.advance(unit, net, context, batches) or []
        pairs = list(zip(self.layers.items(), connections, strict=True))
        for (name, layer), each in pairs:
            if self._group is not None and each.nnz != layer.nnz:
                raise UsageError(
                    f"layer {name!r} would have {each.nnz} connections instead of "
                    f"{layer.nnz}; where several processes train it, the number must "
                    "stand"
                )
        for (_, layer), each in pairs:
            if each.moves:
                rewire(layer, each, self._optimizer)
        return changes


def _trained_layers(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, SparseLinear]:
    """Return the sparse layers whose weights the optimiser trains, by name."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UsageError(f"optimizer must be one of torch, got {optimizer!r}")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UsageError(
            "LBFGS keeps vectors over all parameters, which cannot follow connections; "
            "take an optimiser whose state has the shape of its parameters"
        )
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SparseLinear) and module.weight.requires_grad
    }
    if not layers:
        raise UsageError(
            "the model has no SparseLinear whose weight needs a gradient; make some, "
            "for instance by replace_linear"
        )
    trained = {id(each) for group in optimizer.param_groups for each in group["params"]}
    for name, layer in layers.items():
        if id(layer.weight) not in trained:
            raise UsageError(
                f"the optimiser does not have the weight of layer {name!r}; make it "
                "after the sparse layers. Where several optimisers train a model, give "
                "each its own updater, and this the part of the model that it trains; "
                "a layer that does not train has requires_grad False"
            )
    return layers


def _make(topology: Any, options: dict[str, Any]) -> TopologyAlgorithm:
    """Return the algorithm; all layers take part unless options say otherwise."""
    named: Any = topology if isinstance(topology, type) else ALGORITHMS.get(topology)
    chooses = {"layers", "evolve_output"} & options.keys()
    if named is not None and "evolve_output" in named.options() and not chooses:
        options = {**options, "evolve_output": True}
    algorithm = make_topology(topology, **options)
    if algorithm.name in UNFIT:
        fitting = ", ".join(TopologyUpdater.algorithms())
        raise UsageError(
            f"topology {algorithm.name!r} does not fit a network of torch: "
            f"{UNFIT[algorithm.name]}. Use one of {fitting}"
        )
    return algorithm


def _refuse_changing_counts(algorithm: TopologyAlgorithm) -> None:
    stands = algorithm.conserves and not algorithm.redistributes
    stands = stands and algorithm.share.is_one and algorithm.final == "none"
    stands = stands and not algorithm.needs_score
    if not stands or algorithm.importance.share > 0.0:
        raise UsageError(
            f"topology {algorithm.name!r} with these options changes the number of "
            "connections of a layer, which must stand where several processes train "
            "copies of it; use set, rigl or another one that keeps it"
        )


def _as_tensors(item: Any) -> Any:
    """Return state of an algorithm with tensors in place of arrays."""
    if isinstance(item, dict):
        return {key: _as_tensors(each) for key, each in item.items()}
    if isinstance(item, np.generic):
        return item.item()
    return torch.from_numpy(item.copy()) if isinstance(item, np.ndarray) else item


def _as_arrays(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _as_arrays(each) for key, each in item.items()}
    return item.numpy().copy() if isinstance(item, torch.Tensor) else item
