"""Initial topologies of a layer by name, and what drawing each of them takes.

``PATTERNS[name].draw(n_in, n_out, nnz, generator, dtype, **options)`` returns exactly
`nnz` connections of weight 0, for every shape and every nnz from 1 to all cells, in
O(nnz + n_in + n_out) memory.

    constant_fan_in  the same number of inputs for every neuron
    bsf              scale-free
    bsw              small world
    brf              receptive fields
    csti             inputs connected where features correlate
    placing          what they share: lists of cells

Uniform cells (erdos_renyi) are drawn by ../cells.py.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from truesparse.common.checks import choose
from truesparse.drawing.cells import erdos_renyi
from truesparse.drawing.patterns.brf import brf
from truesparse.drawing.patterns.bsf import bsf
from truesparse.drawing.patterns.bsw import bsw
from truesparse.drawing.patterns.constant_fan_in import constant_fan_in
from truesparse.drawing.patterns.csti import SCRATCH_BYTES, csti
from truesparse.sparse.connections import Connections


@dataclass(frozen=True)
class LayerPattern:
    """An initial topology of a layer, and what drawing it takes.

    Parameters
    ----------
    draw : function
    connection_bytes : int
        Memory that drawing takes at its peak, in bytes a connection of the layer, the
        connections themselves included.
    scratch_bytes : int
        Bytes that it takes besides, whatever the layer.
    needs_data : bool
        Whether `draw` takes training data, as ``X``.
    """

    draw: Callable[..., Connections]
    connection_bytes: int
    scratch_bytes: int = 0
    needs_data: bool = False

    @property
    def options(self) -> list[str]:
        """Names of the options of `draw`."""
        parameters = inspect.signature(self.draw).parameters.values()
        names = [each.name for each in parameters if each.kind == each.KEYWORD_ONLY]
        return [name for name in names if name != "X"]

    def drawing_bytes(self, nnz: int) -> int:
        """Return how many bytes drawing a layer takes at its peak."""
        return self.connection_bytes * nnz + self.scratch_bytes


# Bytes a connection: measured on 1.5 and 2 million connections, 2026-11.
PATTERNS = {
    "erdos_renyi": LayerPattern(erdos_renyi, 18),
    "constant_fan_in": LayerPattern(constant_fan_in, 34),
    "bsf": LayerPattern(bsf, 73),
    "bsw": LayerPattern(bsw, 34),
    "brf": LayerPattern(brf, 36),
    "csti": LayerPattern(csti, 75, SCRATCH_BYTES, needs_data=True),
}
# Patterns, and ways to split a budget over layers of uniform cells.
INIT_TOPOLOGIES = (*PATTERNS, "erk", "uniform")


def pattern_of(init_topology: str) -> LayerPattern:
    """Return the pattern of a layer: uniform for a name that only splits a budget.

    Raises
    ------
    UsageError
        If the name is not in INIT_TOPOLOGIES.

    Examples
    --------
    >>> from truesparse.drawing.patterns import pattern_of
    >>> pattern_of("csti").needs_data, pattern_of("erk").draw.__name__
    (True, 'erdos_renyi')
    """
    choose(init_topology, INIT_TOPOLOGIES, "initial topology")
    return PATTERNS.get(init_topology, PATTERNS["erdos_renyi"])


__all__ = [
    "INIT_TOPOLOGIES",
    "PATTERNS",
    "LayerPattern",
    "brf",
    "bsf",
    "bsw",
    "constant_fan_in",
    "csti",
    "erdos_renyi",
    "pattern_of",
]
