"""Sparse layers for PyTorch: in any network, trained and rewired truly sparsely.

    sparse_linear  SparseLinear: a linear layer with weights where it has connections
    swapping       replace_linear: sparse layers in place of dense ones
    updater        TopologyUpdater: the algorithms of truesparse.topology at work
    conversion     SparseMLP to trainable modules, and back
What they are made of
    accepting      numbers and inputs that layers accept
    choosing       connections that are given, or chosen from a dense layer
    wiring         the connections of a layer as tensors
    operators      operators of torch, with derivatives and fake kernels
    products       the kernels on tensors
    observing      inputs and deltas of a step, for updates
    batches        the same as the algorithms ask for them
    following      tensors that follow their connections
    neighbours     which layer feeds which, for chain removal

Needs torch: ``pip install 'truesparse[torch]'``.
"""

from truesparse.common.checks import import_extra
from truesparse.errors import UsageError

try:
    import_extra("torch", "truesparse.torch needs torch", "torch")
except UsageError as error:
    raise ImportError(str(error)) from None

from truesparse.torch.sparse_linear import SparseLinear
from truesparse.torch.swapping import replace_linear
from truesparse.torch.updater import TopologyUpdater

__all__ = ["SparseLinear", "TopologyUpdater", "replace_linear"]
