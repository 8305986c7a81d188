"""Which processes train copies of a network together."""

from typing import Any

from torch import distributed, nn

from truesparse.errors import UsageError


def unwrap(model: nn.Module, group: Any) -> tuple[nn.Module, Any]:
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
    ddp_group = None
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            ddp_group, model = model.process_group, model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
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
