"""Condensed models: constant fan-in layers without row pointers, for predictions."""

from typing import TYPE_CHECKING

from truesparse.lazy import attach

if TYPE_CHECKING:
    from truesparse.condensed.condensed_mlp import CondensedMLP

__all__ = ["CondensedMLP"]

__getattr__, __dir__ = attach(__name__, {"CondensedMLP": "condensed_mlp"})
