"""Numbers and inputs that sparse layers accept."""

import numpy as np
import torch
from torch.autograd import forward_ad

from truesparse.errors import UsageError

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
SUPPORTED = "sparse layers compute in float32 or float64, on the CPU"


def float_type(dtype: torch.dtype | None) -> type:
    """Return the type of NumPy; that of torch's default for None.

    Raises
    ------
    UsageError
        If layers cannot compute in it.
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if dtype not in DTYPES:
        raise UsageError(f"{SUPPORTED}; got dtype {dtype}")
    return DTYPES[dtype]


def check_input(x: torch.Tensor, weight: torch.Tensor, in_features: int) -> None:
    """Raise UsageError unless a layer of these weights can take x."""
    if x.dtype != weight.dtype or x.device.type != "cpu":
        raise UsageError(
            f"a sparse layer of {weight.dtype} got {x.dtype} on {x.device}; "
            f"{SUPPORTED}: convert the input, or leave this layer out of autocast"
        )
    if x.layout not in (torch.strided, torch.sparse_csr):
        raise UsageError(
            f"a sparse layer takes dense tensors and sparse CSR tensors, got {x.layout}"
        )
    if x.ndim < 1 or x.shape[-1] != in_features:
        raise UsageError(
            f"a sparse layer of {in_features} inputs got a tensor of shape "
            f"{tuple(x.shape)}; its last size must be {in_features}"
        )
    if x.layout == torch.sparse_csr and x.ndim != 2:
        raise UsageError(
            f"a sparse layer takes sparse CSR tensors (batch, {in_features}), got "
            f"shape {tuple(x.shape)}: give the matrices one by one"
        )
    if not torch.compiler.is_compiling() and (_has_tangent(x) or _has_tangent(weight)):
        # The operators would drop it, and torch would go on with zeros.
        raise UsageError(
            "sparse layers have no derivatives in forward mode (torch.func.jvp, "
            "torch.autograd.forward_ad): use backward passes, as "
            "torch.autograd.functional.jvp does"
        )


def _has_tangent(tensor: torch.Tensor) -> bool:
    return forward_ad.unpack_dual(tensor).tangent is not None
