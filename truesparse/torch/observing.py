"""What topology updates see of a training step: inputs and deltas of sparse layers.

The gradient at cell (i, j), connected or not, is sum_b x_ib delta_jb. A recorder is
active only in steps that an update looks at. It copies, for after a backward pass
other tensors may take the memory of these; a compiler relies on that.

The operators note what they see, not hooks of modules: a compiled module calls none
that were not there when it was compiled. They compute products with other vectors than
the weights, too, for second derivatives, and gradients that nobody wants, where only
those of the inputs are asked for. A recorder takes what adds to the gradients of the
weights, and nothing else.
"""

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import get_gradient_edge

from truesparse.kernels.arrays import SparseBatch

Inputs = np.ndarray | SparseBatch


class Recorder:
    """Inputs and deltas of some layers in one step, in the order they came.

    Parameters
    ----------
    tensors : iterable of (indptr, weight)
        A pair for each layer.

    Attributes
    ----------
    notes : list of lists of (inputs, delta)
        For each layer, one pair for each backward pass through it: (in_features, n)
        array or SparseBatch, and (out_features, n) array, n being the samples.
    """

    def __init__(self, tensors: Iterable[tuple[torch.Tensor, torch.Tensor]]):
        self._tensors = list(tensors)
        self.notes: list[list[tuple[Inputs, np.ndarray]]] = [[] for _ in self._tensors]
        self._is_active = True
        self._start()

    def _start(self) -> None:
        self._numbers: dict[int, int] = {}
        self._nodes: list[tuple[Any, torch.Size]] = []
        for index, (indptr, weight) in enumerate(self._tensors):
            self._numbers[indptr.data_ptr()] = index
            self._nodes.append((_node_of(weight), weight.shape))
        if self._is_active:
            _active.update(dict.fromkeys(self._numbers, self))

    def stop(self) -> None:
        """Take no more notes."""
        self._is_active = False
        for address in self._numbers:
            if _active.get(address) is self:
                del _active[address]

    def __getstate__(self) -> dict[str, Any]:
        left_out = "_numbers", "_nodes"
        return {key: self.__dict__[key] for key in self.__dict__ if key not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Become the copy of a recorder, for the copies of its layers."""
        self.__dict__.update(state)
        self._start()

    def add(
        self, address: int, weight: torch.Tensor, inputs: Inputs, delta: np.ndarray
    ) -> None:
        """Note copies of what the layer at an address sees, if its weight learns it."""
        index = self._numbers[address]
        parameter = self._tensors[index][1]
        if weight.data_ptr() != parameter.data_ptr():
            return
        node, shape = self._nodes[index]
        # A weight that has another size by now has another node, too.
        if parameter.shape == shape and not _runs(node):
            return
        if isinstance(inputs, SparseBatch):
            copied: Inputs = SparseBatch(*(array.copy() for array in inputs))
        else:
            copied = inputs.copy()
        self.notes[index].append((copied, delta.copy()))


# The active recorder of each layer, by the address of the layer's indptr: a copy of the
# layer has another one.
_active: weakref.WeakValueDictionary[int, Recorder] = weakref.WeakValueDictionary()


def note(
    indptr: torch.Tensor, weight: torch.Tensor, inputs: Inputs, delta: np.ndarray
) -> None:
    """Note what adds to the gradient of a weight, if a recorder is active for it."""
    recorder = _active.get(indptr.data_ptr()) if _active else None
    if recorder is not None:
        recorder.add(indptr.data_ptr(), weight, inputs, delta)


def _node_of(weight: torch.Tensor) -> Any:
    """Return the node of autograd that adds up the gradient of a parameter."""
    needs_gradient = weight.requires_grad
    # Also that of a weight which is frozen for the moment.
    node = get_gradient_edge(weight.requires_grad_(True)).node
    weight.requires_grad_(needs_gradient)
    return node


def _runs(node: Any) -> bool:
    """Whether the backward pass of this moment comes to a node."""
    try:
        # torch.autograd.graph.register_multi_grad_hook asks the same.
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:
        # It has no answer for what torch.autograd.grad is to return: such a gradient.
        return True
