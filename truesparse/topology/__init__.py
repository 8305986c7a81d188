"""Dynamic sparse training algorithms by name; README.md explains how to add one.

base        TopologyAlgorithm: the update sequence that all share
options     the options that all share, and the stages they set
parts/      what they are put together from: schedules, removal, growth, scores
Connections that move
    set         drop the smallest weights of each sign, grow at random
    accset      SET with fewer connections the better the net predicts
    cht         CHT, CHTs and CHTss: grow where paths of length 3 lead
    deepr       drop weights that change sign
    soft_deepr  the same with a free number of connections
    dsr         drop below a threshold, move connections between layers
    dst_ee      grow by gradient, and where connections have rarely been
    ggr         move connections between layers by gradient
    gse         grow by gradient among a random subset
    itop        SET-ITOP: grow where no connection has ever been
    mest        drop by weight and gradient, grow at random
    nest        grow by gradient, prune by a threshold
    rigl        drop the smallest weights, grow by gradient
    snfs        grow by momentum of absent cells
    srigl       RigL with a constant fan-in
    taylor      drop by the product of weight and gradient
    top_kast    different sets in the forward and the backward pass
    wast        drop and grow by the importance of neurons
Pruning, and the baseline
    granet      gradual pruning, with some growth
    lottery     magnitude pruning in rounds, weights wound back
    magnitude   train first, then prune
    superset    pruning before training, of a sparse superset
    snip        ... by sensitivity
    grasp       ... by what the gradient's norm owes to a connection
    synflow     ... by the flow along paths, without data
    static      the initial topology stays
"""

import importlib

from truesparse.common.checks import choose
from truesparse.errors import UsageError
from truesparse.topology.accset import Accset
from truesparse.topology.base import TopologyAlgorithm
from truesparse.topology.cht import Cht, Chts, Chtss
from truesparse.topology.deepr import Deepr
from truesparse.topology.dsr import Dsr
from truesparse.topology.dst_ee import DstEe
from truesparse.topology.ggr import Ggr
from truesparse.topology.granet import Granet
from truesparse.topology.grasp import Grasp
from truesparse.topology.gse import Gse
from truesparse.topology.itop import Itop
from truesparse.topology.lottery import Lottery
from truesparse.topology.magnitude import Magnitude
from truesparse.topology.mest import Mest
from truesparse.topology.nest import Nest
from truesparse.topology.parts.context import LayerChange, UpdateContext
from truesparse.topology.parts.gradients import Batches
from truesparse.topology.parts.schedule import Fraction, UpdateSchedule
from truesparse.topology.parts.topology_update import Update
from truesparse.topology.rigl import Rigl
from truesparse.topology.set import Set
from truesparse.topology.snfs import Snfs
from truesparse.topology.snip import Snip
from truesparse.topology.soft_deepr import SoftDeepr
from truesparse.topology.srigl import Srigl
from truesparse.topology.static import Static
from truesparse.topology.synflow import Synflow
from truesparse.topology.top_kast import TopKast
from truesparse.topology.wast import Wast

ALGORITHMS: dict[str, type[TopologyAlgorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        *(Static, Set, Accset, Cht, Chts, Chtss, Deepr, Dsr, Ggr, Granet, Gse),
        *(Itop, Mest, Nest, Rigl, Snfs, Srigl, TopKast),
        *(DstEe, SoftDeepr, Wast),
        *(Snip, Grasp, Synflow, Magnitude, Lottery),
    )
}

__all__ = [
    "ALGORITHMS",
    "Batches",
    "Dsr",
    "Fraction",
    "LayerChange",
    "Set",
    "Static",
    "TopologyAlgorithm",
    "Update",
    "UpdateContext",
    "UpdateSchedule",
    "make",
]


def make(
    name: str | type[TopologyAlgorithm] | TopologyAlgorithm, **options
) -> TopologyAlgorithm:
    """Return the algorithm `name` with its options.

    Parameters
    ----------
    name : str, class or TopologyAlgorithm
        The name of a built-in algorithm, or one of your own. An object is returned as
        it is, without options.
    **options
        See `TopologyAlgorithm` and the class of the algorithm.

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
        if options:
            raise UsageError(
                f"{', '.join(options)}: an algorithm that is made has its options; "
                "give its name or class to have others"
            )
        return name
    if isinstance(name, type) and issubclass(name, TopologyAlgorithm):
        return name(**options)
    return ALGORITHMS[choose(name, ALGORITHMS, "topology")](**options)


def __getattr__(name: str):
    if name == "Exploration":  # a callback; it was here in version 0.1
        return importlib.import_module("truesparse.callbacks").Exploration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
