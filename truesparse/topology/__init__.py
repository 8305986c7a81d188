"""Dynamic sparse training algorithms by name. README.md tells how to add one."""

from truesparse.errors import UsageError, choose
from truesparse.topology.base import LayerChange, TopologyAlgorithm, UpdateContext
from truesparse.topology.schedule import UpdateSchedule
from truesparse.topology.set import Set
from truesparse.topology.static import Static

ALGORITHMS: dict[str, type[TopologyAlgorithm]] = {
    algorithm.name: algorithm for algorithm in (Static, Set)
}

__all__ = [
    "ALGORITHMS",
    "LayerChange",
    "Set",
    "Static",
    "TopologyAlgorithm",
    "UpdateContext",
    "UpdateSchedule",
    "make",
]


def make(name: str | TopologyAlgorithm, **options) -> TopologyAlgorithm:
    """Return the algorithm `name` with its options.

    Raises
    ------
    UsageError
        For an unknown name or option; the message lists the valid ones.

    Examples
    --------
    >>> from truesparse import topology
    >>> topology.make("set", zeta=0.2).zeta
    0.2
    """
    if isinstance(name, TopologyAlgorithm):
        return name
    algorithm = ALGORITHMS[choose(name, ALGORITHMS, "topology")]
    accepted = algorithm.options()
    for option in options:
        if not accepted:
            raise UsageError(f"topology {name!r} takes no options, got {option!r}")
        choose(option, accepted, f"option of topology {name!r}")
    return algorithm(**options)
