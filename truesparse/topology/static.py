"""Static: the random topology of the start is kept. The baseline of all others."""

from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.parts.context import UpdateContext


class Static(TopologyAlgorithm):
    """No update ever happens."""

    name = "static"

    def __init__(self):
        super().__init__(zeta=0.0)

    def due(self, unit: str, context: UpdateContext) -> bool:
        """Return False."""
        return False
