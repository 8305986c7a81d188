"""Options that all algorithms share, and the stages of an update that they set.

An algorithm lists in `takes` those that it has, and overrides their defaults by class
attributes.
"""

from typing import Any, ClassVar

from truesparse.common.checks import check_bools, check_share, choose
from truesparse.drawing.cells import INITIALIZERS
from truesparse.errors import UsageError
from truesparse.topology.parts.importance import Importance
from truesparse.topology.parts.schedule import Fraction, Share, UpdateSchedule
from truesparse.topology.parts.stages import (
    Layers,
    keyword_parameters,
    refuse,
    with_options,
)


class Options:
    """Common options of algorithms.

    Parameters
    ----------
    zeta : float
        Share of a layer's connections that an update replaces, in [0, 1).
    decay : {"constant", "cosine", "linear", "steps"}
        How zeta falls over the run, see schedule.Fraction.
    decay_end : float
        Share of the run after which no update happens.
    decay_floor : float
        Value that zeta falls to.
    schedule : UpdateSchedule, optional
        When updates happen; by default after every epoch.
    layers : sequence of int, optional
        Layers that take part, counted from 0; by default all hidden ones.
    evolve_output : bool
        Whether the output layer takes part too.
    chain_removal : bool
        Whether connections that a removal cuts off from all inputs or all outputs go
        too, see chains.remove_chains.
    early_stop : float, optional
        A layer stands still once more than this share of the connections it grows had
        just been removed (Zhang et al., ICLR 2024, use 0.9).
    final_share : float
        Share of the initial connections that is left at the end, see schedule.Share.
    share_shape : {"cubic", "sigmoid"}
        How the number of connections falls to that share.
    share_end : float
        Share of the run after which it is reached.
    share_peak, share_cycles : float, int
        Waves in which the share rises and falls until then, see schedule.Share.
    surplus : {"score", "relative"}
        Which connections go for good as their number falls: those of lowest score,
        with those that are exchanged, or before them those of least relative
        importance, see importance.relative_importance (Zhang et al., NeurIPS 2025).
    importance : float
        Share of a hidden layer's neurons, the least important ones, that lose all
        their inputs for good from time to time, see importance.drop_neurons; 0 for
        none.
    importance_every : int
        Epochs between two such times, or more where updates are rarer.
    importance_start : float
        Share of the run after which they begin.
    final : {"none", "prune_only"}
        What happens after the last step: nothing, or a removal without regrowth. A
        run that a callback stops early does not reach it.
    regrow_init : str
        Initialiser of new weights, see drawing.cells.INITIALIZERS.

    Raises
    ------
    UsageError
        For an option that the algorithm does not take, or a bad value.
    """

    name: ClassVar[str] = ""
    # The options above that the algorithm has; subclasses list theirs.
    takes: ClassVar[tuple[str, ...]] = (
        *(*Fraction.OPTIONS, "schedule", *Layers.OPTIONS, "chain_removal"),
        *("early_stop", *Share.OPTIONS, "surplus", *Importance.OPTIONS, "final"),
        "regrow_init",
    )
    # Stages with their defaults, which a subclass may replace.
    fraction = Fraction(0.3)
    schedule = UpdateSchedule()
    layers = Layers()
    chain_removal: bool = False
    early_stop: float | None = None
    share = Share()
    surplus: str = "score"
    importance = Importance()
    final: str = "none"
    regrow_init: str = "zero"

    def __init__(self, **options: Any):
        for option in options:
            if option not in self.takes:
                refuse(option, self.name or type(self).__name__, self.options())
        self.fraction = with_options(self.fraction, options)
        self.layers = with_options(self.layers, options)
        self.share = with_options(self.share, options)
        self.importance = with_options(self.importance, options)
        if options.get("schedule") is not None:
            self.schedule = options["schedule"]
        if not isinstance(self.schedule, UpdateSchedule):
            raise UsageError(
                f"schedule must be an UpdateSchedule, got {self.schedule!r}"
            )
        self.chain_removal = options.get("chain_removal", self.chain_removal)
        check_bools(chain_removal=self.chain_removal)
        self.early_stop = options.get("early_stop", self.early_stop)
        if self.early_stop is not None:
            check_share(early_stop=self.early_stop)
        surplus = options.get("surplus", self.surplus)
        self.surplus = choose(surplus, ("score", "relative"), "choice of the surplus")
        final = options.get("final", self.final)
        self.final = choose(final, ("none", "prune_only"), "final update")
        regrow_init = options.get("regrow_init", self.regrow_init)
        self.regrow_init = choose(regrow_init, INITIALIZERS, "weight initialiser")

    @property
    def zeta(self) -> float:
        """Share of a layer's connections that the first update replaces."""
        return self.fraction.initial

    @property
    def evolve_output(self) -> bool:
        """Whether the output layer takes part too."""
        return self.layers.evolve_output

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that the algorithm takes, its constructor's first."""
        named = keyword_parameters(cls)
        return tuple(dict.fromkeys([*named, *cls.takes]))
