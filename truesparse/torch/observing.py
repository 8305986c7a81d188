"""What topology updates see of a training step: inputs and deltas of sparse layers.

The gradient at cell (i, j), connected or not, is sum_b x_ib delta_jb. A recorder is
active only in steps that an update looks at. It copies, for after a backward pass
other tensors may take the memory of these; a compiler relies on that.

The operators note what they see, not hooks of modules: a compiled module calls none
that were not there when it was compiled.
"""

import weakref
from collections.abc import Iterable

import numpy as np
import torch

from truesparse.kernels.arrays import SparseBatch

Inputs = np.ndarray | SparseBatch


class Recorder:
    """Inputs and deltas of some layers in one step, in the order they came.

    Attributes
    ----------
    notes : list of lists of (inputs, delta)
        For each layer, one pair for each backward pass through it: (in_features, n)
        array or SparseBatch, and (out_features, n) array, n being the samples.
    """

    def __init__(self, indptrs: Iterable[torch.Tensor]):
        addresses = [indptr.data_ptr() for indptr in indptrs]
        self.notes: list[list[tuple[Inputs, np.ndarray]]] = [[] for _ in addresses]
        self._numbers = {address: index for index, address in enumerate(addresses)}
        _active.update(dict.fromkeys(addresses, self))

    def stop(self) -> None:
        """Take no more notes."""
        for address in self._numbers:
            if _active.get(address) is self:
                del _active[address]

    def add(self, address: int, inputs: Inputs, delta: np.ndarray) -> None:
        """Note copies of what the layer at an address sees."""
        if isinstance(inputs, SparseBatch):
            copied: Inputs = SparseBatch(*(array.copy() for array in inputs))
        else:
            copied = inputs.copy()
        self.notes[self._numbers[address]].append((copied, delta.copy()))


# The active recorder of each layer, by the address of the layer's indptr: a copy of the
# layer has another one.
_active: weakref.WeakValueDictionary[int, Recorder] = weakref.WeakValueDictionary()


def note(indptr: torch.Tensor, inputs: Inputs, delta: np.ndarray) -> None:
    """Note what a layer sees in a backward pass, if a recorder is active for it."""
    recorder = _active.get(indptr.data_ptr()) if _active else None
    if recorder is not None:
        recorder.add(indptr.data_ptr(), inputs, delta)
