"""The optional stages of an update: which layers take part, and flat options for all.

A stage is a frozen dataclass. Its `OPTIONS` name the options that set its fields, as
``topology.make`` and the command line take them; the fields have shorter names.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn, TypeVar

from truesparse.common.checks import check_bools, check_whole, choose
from truesparse.errors import UsageError
from truesparse.network.sparse_mlp import SparseMLP

Stage = TypeVar("Stage")


def with_options(stage: Stage, options: Mapping[str, Any]) -> Stage:
    """Return the stage with the fields that options set.

    Parameters
    ----------
    stage : dataclass with OPTIONS
    options : mapping of str to object
        Options of this stage and of others.

    Examples
    --------
    >>> from truesparse.topology.parts.schedule import Fraction
    >>> with_options(Fraction(0.3), {"zeta": 0.2, "decay_end": 0.5, "final": "none"})
    Fraction(initial=0.2, decay='constant', end=0.5, floor=0.0)
    """
    names: Mapping[str, str] = stage.OPTIONS  # type: ignore[attr-defined]
    fields = {names[name]: value for name, value in options.items() if name in names}
    return dataclasses.replace(stage, **fields)  # type: ignore[type-var]


def keyword_parameters(cls: type) -> list[str]:
    """Return the keyword parameters of a class's constructors, those of bases last."""
    constructors = [vars(each).get("__init__") for each in cls.__mro__[:-1]]
    return [
        each.name
        for constructor in filter(None, constructors)
        for each in inspect.signature(constructor).parameters.values()
        if each.kind == each.KEYWORD_ONLY
    ]


def refuse(option: str, name: str, accepted: tuple[str, ...]) -> NoReturn:
    """Raise UsageError for an option that the algorithm `name` does not take."""
    if not accepted:
        raise UsageError(f"topology {name!r} takes no options, got {option!r}")
    choose(option, accepted, "option", f" of topology {name!r}")
    raise AssertionError(f"{option} is an option of {name}")


@dataclasses.dataclass(frozen=True)
class Layers:
    """Which layers take part in updates.

    Parameters
    ----------
    numbers : sequence of int, optional
        Layers, counted from 0; by default all hidden ones.
    evolve_output : bool
        Whether the output layer takes part too, where no numbers are given.
    """

    OPTIONS: ClassVar = {"layers": "numbers", "evolve_output": "evolve_output"}

    numbers: tuple[int, ...] | None = None
    evolve_output: bool = False

    def __post_init__(self):
        check_bools(evolve_output=self.evolve_output)
        if self.numbers is None:
            return
        if not isinstance(self.numbers, list | tuple) or not self.numbers:
            raise UsageError(
                f"layers must be a list of numbers, got {self.numbers!r}; leave it out "
                "for all hidden layers"
            )
        numbers = tuple(check_whole("layers", number, 0) for number in self.numbers)
        object.__setattr__(self, "numbers", numbers)

    def of(self, model: SparseMLP) -> list[int]:
        """Return the numbers of the model's layers that take part, ascending.

        Raises
        ------
        UsageError
            If the model has no layer of a given number.
        """
        n_layers = len(model.layers)
        if self.numbers is None:
            return list(range(n_layers - 1 + self.evolve_output))
        if max(self.numbers) >= n_layers:
            raise UsageError(
                f"layers must be from 0 to {n_layers - 1}, got {list(self.numbers)}"
            )
        return sorted(set(self.numbers))
