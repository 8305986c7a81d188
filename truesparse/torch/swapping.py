"""Sparse layers in place of the dense ones of a network that exists."""

from collections.abc import Iterable
from typing import Any, TypeVar

import torch

from truesparse.errors import UsageError
from truesparse.torch.sparse_linear import SparseLinear

Model = TypeVar("Model", bound=torch.nn.Module)


def replace_linear(
    model: Model,
    *,
    density: float | None = None,
    epsilon: float | None = None,
    skip: Iterable[str] = (),
    weights: str = "largest",
    seed: int | None = None,
    **options: Any,
) -> Model | SparseLinear:
    """Replace the torch.nn.Linear modules of a model by sparse layers, in place.

    Modules of subclasses of ``torch.nn.Linear`` stay: attention and others read their
    weights as matrices.

    Parameters
    ----------
    model : torch.nn.Module
    density, epsilon : float, optional
        One of the two, see SparseLinear.
    skip : iterable of str
        Names of modules that stay as they are, with all that is in them, as
        ``model.named_modules()`` has them.
    weights : {"largest", "drawn"}
        See SparseLinear.from_linear.
    seed : int, optional
        Where weights are drawn; layer k has the seed + k. By default torch draws them.
    **options
        Options of SparseLinear, where weights are drawn.

    Returns
    -------
    model
        A new layer if the model itself is a ``torch.nn.Linear``.

    Raises
    ------
    UsageError
        If there is nothing to replace, `skip` has a name that does not exist, or a
        weight belongs to another module, too.

    Examples
    --------
    >>> from torch import nn
    >>> from truesparse.torch import replace_linear
    >>> model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    >>> model = replace_linear(model, density=0.05, skip=["2"])
    >>> [type(module).__name__ for module in model]
    ['SparseLinear', 'ReLU', 'Linear']
    """
    if isinstance(skip, str):
        skip = (skip,)
    skipped = list(skip)
    names = dict(model.named_modules(remove_duplicate=False))
    for name in skipped:
        if name not in names:
            raise UsageError(
                f"skip names {name!r}, but the model has no such module; it has "
                f"{', '.join(each for each in names if each)}"
            )
    chosen = {
        name: module
        for name, module in names.items()
        if type(module) is torch.nn.Linear and not _is_within(name, skipped)
    }
    if not chosen:
        raise UsageError("the model has no torch.nn.Linear to replace")
    _refuse_shared(model, chosen)
    if seed is not None:
        options["seed"] = seed
    options |= {"density": density, "epsilon": epsilon, "weights": weights}
    # A module that stands in several places is replaced by one layer.
    layers: dict[torch.nn.Linear, SparseLinear] = {}
    for module in dict.fromkeys(chosen.values()):
        layers[module] = SparseLinear.from_linear(module, **options)
        if "seed" in options:
            options["seed"] += 1
    for name, module in chosen.items():
        if not name:
            return layers[module]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, layers[module])
    return model


def _is_within(name: str, skipped: list[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in skipped)


def _refuse_shared(model: torch.nn.Module, chosen: dict[str, torch.nn.Linear]) -> None:
    """Raise UsageError if other modules share weights with one to be replaced."""
    owners: dict[torch.nn.Parameter, set[torch.nn.Module]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(parameter, set()).add(module)
    for name, module in chosen.items():
        if any(len(owners[each]) > 1 for each in module.parameters()):
            raise UsageError(
                f"module {name!r} shares its weights with another module; name it in "
                "skip"
            )
