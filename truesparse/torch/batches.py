"""The batches of a training step, as topology algorithms ask for them.

An algorithm of truesparse draws batches and takes their gradients. In a network of
torch it sees instead those that the optimiser's last step has seen: all of its backward
passes together count as one batch, as under gradient accumulation, and under
DistributedDataParallel those of all processes, which `unwrap` finds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import distributed

from truesparse.errors import DivergedError, UsageError
from truesparse.kernels.arrays import SparseBatch
from truesparse.network.backprop import Collector, Observer
from truesparse.network.buffers import padded_columns
from truesparse.sparse.connections import Connections
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.gradients import Batches, CellGradients
from truesparse.torch.observing import Inputs, Recorder


class SeenBatches:
    """What the layers have seen in the last steps; a stand-in for topology.Batches.

    Parameters
    ----------
    recorders : sequence of Recorder
        One for each step, the last step last.
    connections : sequence of Connections
    names : sequence of str
        Names of the layers, for messages.
    group : torch.distributed.ProcessGroup, optional
        Processes that train copies of the network.
    """

    def __init__(
        self,
        recorders: Sequence[Recorder],
        connections: Sequence[Connections],
        names: Sequence[str],
        group: Any = None,
    ):
        self._recorders, self._connections = list(recorders), connections
        self._names, self._group = names, group
        self._steps: dict[int, list[tuple[Inputs, np.ndarray]]] = {}

    @property
    def batch_size(self) -> int:
        """Samples of the last step, in the layer that saw most."""
        return max(delta.shape[1] for _, delta in self._step(-1))

    @property
    def size(self) -> int:
        """Samples of the last step.

        Raises
        ------
        UsageError
            If layers saw different numbers of them.
        """
        recorder = self._recorders[-1]
        counts = {sum(delta.shape[1] for _, delta in each) for each in recorder.notes}
        if len(counts) > 1:
            raise UsageError(
                f"the sparse layers saw {sorted(counts)} samples in the same step, and "
                "this algorithm needs the same number in all"
            )
        return counts.pop()

    # It only asks `observe`.
    connection_gradients = Batches.connection_gradients

    def available(self, count: int) -> int:
        """Return how many batches there are, at most `count`."""
        return min(count, len(self._recorders))

    def observe(
        self,
        context: UpdateContext,
        count: int = 1,
        observer: Observer | None = None,
        collector: Collector | None = None,
    ) -> None:
        """Show what the layers saw in the last `count` steps, the last layer first.

        Raises
        ------
        UsageError
            If a layer took no part in a step.
        DivergedError
            If a delta is NaN or infinite.
        """
        for number in range(-self.available(count), 0):
            step = self._step(number)
            for index in range(len(step) - 1, -1, -1):
                inputs, delta = step[index]
                if observer is not None:
                    observer(index, inputs, delta)
                if collector is not None:
                    connections = self._connections[index]
                    keys = connections.keys(np.arange(connections.nnz))
                    sums = CellGradients({index: connections}, {index: keys})
                    sums(index, inputs, delta)
                    collector(index, sums.sums[index])

    def _step(self, number: int) -> list[tuple[Inputs, np.ndarray]]:
        """Return inputs and delta of every layer in one step, padded for kernels."""
        if number not in self._steps:
            if not self._recorders:
                raise UsageError(
                    "no backward pass was recorded: call step() of the updater after "
                    "each step of the optimiser, and load its state before training "
                    "goes on; an algorithm of your own that looks at batches sets "
                    "needs_batches"
                )
            notes = self._recorders[number].notes
            for name, each in zip(self._names, notes, strict=True):
                if not each:
                    raise UsageError(
                        f"sparse layer {name!r} took no part in the backward passes of "
                        "the step that an update looks at; to leave it alone, set "
                        "requires_grad of its weight to False and make the updater then"
                    )
            self._steps[number] = [_merge(self._gather(each)) for each in notes]
            for _, delta in self._steps[number]:
                if not np.isfinite(delta).all():
                    raise DivergedError(
                        "gradients became NaN or infinite in the step that a topology "
                        "update looks at; lower the learning rate or clip gradients"
                    )
        return self._steps[number]

    def _gather(
        self, notes: list[tuple[Inputs, np.ndarray]]
    ) -> list[tuple[Inputs, np.ndarray]]:
        """Return the notes of all processes; gradients become means over them."""
        if self._group is None:
            return notes
        n_processes = distributed.get_world_size(self._group)
        gathered: list[Any] = [None] * n_processes
        distributed.all_gather_object(gathered, notes, group=self._group)
        return [
            (inputs, delta / delta.dtype.type(n_processes))
            for each in gathered
            for inputs, delta in each
        ]


def _merge(
    notes: list[tuple[Inputs, np.ndarray]],
) -> tuple[Inputs, np.ndarray]:
    """Return inputs and delta of several backward passes as those of one."""
    delta = np.concatenate([each for _, each in notes], axis=1)
    n_samples = delta.shape[1]
    columns = padded_columns(max(n_samples, 1), delta.dtype)[0]
    delta = _pad(delta, columns)
    dense = [inputs for inputs, _ in notes if isinstance(inputs, np.ndarray)]
    if len(dense) == len(notes):
        return _pad(np.concatenate(dense, axis=1), columns), delta
    # A layer may see dense batches and sparse ones in the same step.
    parts = [_as_matrix(inputs, each.shape[1]) for inputs, each in notes]
    whole = scipy.sparse.hstack(parts, format="csr")
    indptr, positions = whole.indptr.astype(np.int64), whole.indices.astype(np.int32)
    return SparseBatch(indptr, positions, whole.data), delta


def _as_matrix(inputs: Inputs, n_samples: int) -> scipy.sparse.csr_array:
    """Return inputs as a sparse matrix (in_features, n_samples)."""
    if isinstance(inputs, np.ndarray):
        return scipy.sparse.csr_array(inputs)
    parts = (inputs.values, inputs.positions, inputs.indptr)
    return scipy.sparse.csr_array(parts, shape=(inputs.indptr.size - 1, n_samples))


def _pad(array: np.ndarray, columns: int) -> np.ndarray:
    padded = np.zeros((array.shape[0], columns), array.dtype)
    padded[:, : array.shape[1]] = array
    return padded


def unwrap(model: torch.nn.Module, group: Any) -> tuple[torch.nn.Module, Any]:
    """Return what torch.compile and DistributedDataParallel wrap, and the processes.

    Parameters
    ----------
    model : torch.nn.Module
    group : "ddp", ProcessGroup or None
        See TopologyUpdater.

    Returns
    -------
    model : torch.nn.Module
    group : ProcessGroup or None
        None where this process trains alone.

    Raises
    ------
    UsageError
        If there are several processes and nothing says whether they train together.
    """
    ddp_group: Any = None
    while True:
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            ddp_group, model = model.process_group, model.module
        elif isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
            model = model._orig_mod
        else:
            break
    if not isinstance(group, str):
        return model, group
    if group != "ddp":
        raise UsageError(
            f"process_group must be 'ddp', a ProcessGroup or None, got {group!r}"
        )
    if ddp_group is None and _n_processes() > 1:
        raise UsageError(
            f"torch.distributed has {_n_processes()} processes and the model is in no "
            "DistributedDataParallel, so updates would differ between them; give the "
            "wrapped model, or say which processes train copies of it: "
            "process_group=torch.distributed.group.WORLD if all do, None if each "
            "trains a network of its own"
        )
    return model, ddp_group


def _n_processes() -> int:
    is_on = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_on else 1
