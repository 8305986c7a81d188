"""A device that computes like a GPU as far as code can tell: another memory.

Its tensors hold one of the processor, and say that they are elsewhere, so that torch
refuses to make NumPy arrays of them. What mixes them with tensors of the processor, as
no GPU can, is refused here. Kernels are those of the processor: what a GPU lacks or
rounds otherwise does not show.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# A device that torch takes without a driver; not "cuda", unless it was built for one.
DEVICE = "lazy"
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class MixedDevicesError(RuntimeError):
    """An operation on tensors of both memories."""


class Elsewhere(torch.Tensor):
    """A tensor of the device."""

    @staticmethod
    def __new__(cls, inner):
        options = {"dtype": inner.dtype, "device": DEVICE}
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, **options)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class PretendedGpu(TorchDispatchMode):
    """While it is entered, tensors can be made on the device."""

    def __enter__(self):
        self._before = torch._C._only_lift_cpu_tensors()
        # That torch.tensor moves to a device by an operation that this mode sees.
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(self._before)
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function, args, kwargs):
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    there = {id(x.inner): x for x in given if isinstance(x, Elsewhere)}
    here = [x for x in given if not isinstance(x, Elsewhere) and x.dim() > 0]
    if there and here and function not in _COPIES:
        raise MixedDevicesError(f"{function} takes tensors of two devices")
    goes_there = bool(there)
    if kwargs.get("device") is not None:
        goes_there = torch.device(kwargs["device"]).type == DEVICE
        kwargs = kwargs | {"device": "cpu"}
    if function is torch.ops.aten.copy_.default:
        goes_there = isinstance(args[0], Elsewhere)

    def unwrapped(x):
        return x.inner if isinstance(x, Elsewhere) else x

    def wrapped(x):
        if not isinstance(x, torch.Tensor) or not goes_there:
            return x
        # What works in place returns what it was given.
        return there.get(id(x)) if id(x) in there else Elsewhere(x)

    result = function(*tree_map(unwrapped, args), **tree_map(unwrapped, kwargs))
    return tree_map(wrapped, result)
