"""Which sparse layer of a network takes what another one outputs.

Chain removal needs to know. It follows from the modules of a ``torch.nn.Sequential``;
what happens in a forward method cannot be seen, and has to be said.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from truesparse.errors import UsageError
from truesparse.torch.sparse_linear import SparseLinear

# Modules whose output has the neurons of their input, each by itself.
NEURONWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU),
    *(nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid, nn.Threshold),
    *(nn.Hardshrink, nn.Softshrink, nn.Tanhshrink),
    *(nn.Dropout, nn.AlphaDropout, nn.BatchNorm1d, nn.Identity),
)


def neighbours_of(
    model: nn.Module,
    layers: Sequence[SparseLinear],
    given: Iterable[tuple[str, str]] | None,
) -> list[tuple[int, int]]:
    """Return pairs of numbers of layers, of which the second is fed by the first alone.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of SparseLinear
    given : iterable of (str, str), optional
        Names of modules; by default layers that follow each other in a Sequential,
        with nothing but `NEURONWISE` modules between.

    Raises
    ------
    UsageError
        If a name is not that of one of the layers, or sizes do not fit.
    """
    numbers = {layer: index for index, layer in enumerate(layers)}
    if given is None:
        pairs = (pair for each in model.modules() for pair in _in_sequence(each))
        known = (pair for pair in pairs if numbers.keys() >= set(pair))
        return sorted({(numbers[below], numbers[above]) for below, above in known})
    names = {
        name: numbers[module]
        for name, module in model.named_modules()
        if isinstance(module, SparseLinear) and module in numbers
    }
    chosen = []
    for pair in given:
        for name in pair:
            if name not in names:
                raise UsageError(
                    f"neighbours names {name!r}, which is no sparse layer that trains; "
                    f"use {', '.join(names)}"
                )
        below, above = (names[name] for name in pair)
        if layers[below].out_features != layers[above].in_features:
            raise UsageError(
                f"{pair[0]!r} has {layers[below].out_features} outputs and cannot "
                f"feed {pair[1]!r} with {layers[above].in_features} inputs"
            )
        chosen.append((below, above))
    return sorted(chosen)


def _in_sequence(
    module: nn.Module,
) -> Iterator[tuple[SparseLinear, SparseLinear]]:
    """Yield pairs of sparse layers that follow each other in a Sequential."""
    if type(module) is not nn.Sequential:
        return
    steps = [each for each in flatten(module) if not isinstance(each, NEURONWISE)]
    for below, above in itertools.pairwise(steps):
        if isinstance(below, SparseLinear) and isinstance(above, SparseLinear):
            yield below, above


def flatten(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Yield the modules of nested Sequentials in the order in which they compute."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from flatten(child)
    else:
        yield module
