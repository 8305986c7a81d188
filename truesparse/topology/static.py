"""Static: the initial topology stays; the baseline of all other algorithms."""

from typing import ClassVar

from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import UpdateContext
from truesparse.topology.parts.schedule import Fraction


class Static(TopologyAlgorithm):
    """The initial connections stay."""

    name = "static"
    takes: ClassVar[tuple[str, ...]] = ()
    fraction = Fraction(0.0)

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Return False."""
        return False
